"""The registry of checks: what they find, and what stands accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol, get_type_hints

from runbook_lib import vendors
from runbook_lib.model import NOT_ASKED, Finding, Raw, Status, Tenant, Unreadable, Waiver


class Facts(Protocol):
    """What a step's `parse` made of the raw answers; each step has its own frozen dataclass."""

    @property
    def raw(self) -> Raw:
        """Return the raw answers the facts were made of."""


Row = tuple[str, Status, str]
"""What a check yields: subject, status, what was seen."""


Rows = Iterator[Row]

UNREADABLE = "Run the step again; if it says the same, send this line to whoever keeps the runbook: the answer changed."


@dataclass(frozen=True, slots=True)
class Check:
    """A question with a documented right answer: one pure function over a step's facts."""

    id: str
    title: str
    step: str
    looks: tuple[str, ...]
    remedy: str
    link: str
    facts: type
    rows: Callable[[Any], Rows]
    optional: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by id, filled as the step modules are imported."""


def check(
    check_id: str,
    title: str,
    *,
    looks: tuple[str, ...],
    remedy: str,
    link: str = "",
    optional: tuple[str, ...] = (),
) -> Callable[[Callable[[Any], Rows]], Callable[[Any], Rows]]:
    """Register the decorated function as the check `check_id`.

    `looks` names the raw answers it rests on: when one of them was refused the check is `unknown` without being
    asked, and when one is incomplete an `unknown` row is added to what it yields. `optional` names those that it also
    uses where they are there; a `*` in it stands for ids. Each row of either that could not be read adds an `unknown`
    of its own.
    """

    def register(rows: Callable[[Any], Rows]) -> Callable[[Any], Rows]:
        if check_id in CHECKS:
            raise ValueError(f"two checks are called {check_id}")
        facts = next(iter(get_type_hints(rows).values()))
        step = rows.__module__.removesuffix(".checks").rpartition(".")[2]
        CHECKS[check_id] = Check(check_id, title, step, looks, remedy, link, facts, rows, optional)
        return rows

    return register


def judge(*facts: Facts) -> tuple[Finding, ...]:
    """Return the findings of every check registered for the types of `facts`, in order of registration."""
    return tuple(
        finding
        for fact in facts
        for one in CHECKS.values()
        if one.facts is type(fact)
        for finding in _findings(one, fact)
    )


def _findings(one: Check, facts: Facts) -> Iterator[Finding]:
    refused = {name: look for name in one.looks if (look := facts.raw.get(name, NOT_ASKED)).refusal}
    if refused:
        for name, look in refused.items():
            yield Finding(one.id, name, Status.UNKNOWN, look.refusal, look.remedy, one.link)
        return
    rows = list(one.rows(facts))
    for subject, status, saw in rows:
        remedy = "" if status in (Status.PASS, Status.NOT_APPLICABLE) else one.remedy
        yield Finding(one.id, subject, status, saw, remedy, one.link)
    for look in (facts.raw[name] for name in one.looks if not facts.raw[name].complete):
        saw = f"saw only {look.population}"
        yield Finding(one.id, look.call, Status.UNKNOWN, saw, look.remedy, one.link)
    unreadable = _unreadable(one, facts.raw)
    for row in unreadable:
        yield Finding(one.id, row.subject, Status.UNKNOWN, row.saw, UNREADABLE, one.link)
    if not rows and not unreadable and all(facts.raw[name].complete for name in one.looks):
        yield Finding(one.id, "", Status.UNKNOWN, "nothing was there to judge", one.remedy, one.link)


def _unreadable(one: Check, raw: Raw) -> list[Unreadable]:
    """Return the rows that could not be read, of every look that the check rests on."""
    found: Mapping[str, tuple[Unreadable, ...]] = getattr(raw, "unreadable", {})  # a forms.Reading has them
    names = (*one.looks, *one.optional)
    return [row for name, rows in found.items() if any(fnmatchcase(name, each) for each in names) for row in rows]


def accept(findings: Iterable[Finding], waivers: Iterable[Waiver], today: date) -> tuple[Finding, ...]:
    """Return the findings, with `accepted` for what failed or could not be looked at and an exception names.

    An expired one only says so.
    """
    by_finding = {(one.check, one.subject): one for one in waivers}

    def settle(finding: Finding) -> Finding:
        waiver = by_finding.get((finding.check, finding.subject))
        if waiver is None or finding.status not in (Status.FAIL, Status.UNKNOWN):
            return finding
        until = f"until {waiver.until} by {waiver.approved_by}: {waiver.reason}"
        if waiver.until < today:
            return replace(finding, saw=f"{finding.saw}; was accepted {until}, which is over")
        return replace(finding, status=Status.ACCEPTED, saw=f"{finding.saw}; accepted {until}")

    return tuple(settle(finding) for finding in findings)


def judged(facts: Iterable[Facts], tenant: Tenant, at: datetime) -> tuple[Finding, ...]:
    """Return what `judge` finds for `tenant` at that time: exceptions applied, links into the portal of its cloud."""
    found = accept(judge(*facts), tenant.exceptions, at.date())
    here, there = vendors.clouds()["global"].portal, tenant.cloud.portal
    return tuple(replace(one, link=one.link.replace(here, there or here)) for one in found)
