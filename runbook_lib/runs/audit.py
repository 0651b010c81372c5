"""What an auditor asks: each control with its criterion, procedure, population and result, and who did what.

It follows from the rest of a record, and is written into it so that nobody needs this program to see it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from runbook_lib import vendors
from runbook_lib.checks import CHECKS
from runbook_lib.model import Confirmation, Finding, Json, Status, worst

APPROVING = ("change-approved",)
VERIFYING = ("access-reviewed", "booking-tested")
"""The confirmations that say somebody approved or checked the work; any other says that he did it."""
PARTS = ("approved", "executed", "verified")
IN_ORDER = (Status.PASS, Status.NOT_APPLICABLE)


def controls(findings: Iterable[Finding], looks: Iterable[Json], evidence: str) -> list[Json]:
    """Return one row for each check that made `findings`, in their order; `evidence` names the file of raw answers."""
    by_check: dict[str, list[Finding]] = {}
    for one in findings:
        by_check.setdefault(one.check, []).append(one)
    by_name = {look["name"]: look for look in looks}
    return [_control(check, found, by_name) | {"evidence": evidence} for check, found in by_check.items()]


def _control(check: str, findings: list[Finding], looks: dict[str, Json]) -> Json:
    known = CHECKS.get(check)
    rests_on = list(_rests_on(known.looks, looks)) if known else []
    populations = {look["name"]: look for _, look in rests_on}.values()
    return {
        "control": check,
        "criterion": known.title if known else "",
        "procedure": _names(asked for asked, _ in rests_on),
        "population": [{name: look[name] for name in ("name", "rows", "total", "complete")} for look in populations],
        "judged": len(findings),
        "result": worst(one.status for one in findings),
        "exceptions": [
            {"subject": one.subject, "status": one.status, "saw": one.saw}
            for one in findings
            if one.status not in IN_ORDER
        ],
    }


def _rests_on(names: Iterable[str], looks: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Yield what was asked, and the look that holds the answer: of Exchange's one answer, each part has a cmdlet."""
    for name in names:
        whole, _, part = name.partition(" ")
        if name in looks:
            yield looks[name]["call"], looks[name]
        elif part and whole in looks:
            yield f"{whole}: {vendors.facts()[whole]['sections'][part]}", looks[whole]


def people(changes: Iterable[Json], operators: Iterable[Json], said: Iterable[Confirmation]) -> Json:
    """Return who planned, approved, executed and verified, and whether four eyes saw it.

    Only what a named person confirmed at a known time counts; an approver in the tenant file is a plan, whose name the
    operator typed. Names are typed, too, unless a sign-in stands behind them.
    """
    done = {name: [one for one in said if _counts(one) and part(one) == name] for name in PARTS}
    executed = [*_hands(operators), *(one.by for one in done["executed"])]
    return {
        "planned": _names(change.get("planned_by", "") for change in changes),
        "approved": _names(one.by for one in done["approved"]),
        "executed": _names(executed),
        "verified": _names(one.by for one in done["verified"]),
        "four_eyes": _four_eyes(done, executed),
    }


def _counts(said: Confirmation) -> bool:
    return said.confirmed and bool(said.by.strip()) and said.at is not None


def _four_eyes(done: Mapping[str, Sequence[Confirmation]], executed: Iterable[str]) -> str:
    """Return "yes" when whoever approved, and whoever verified, executed nothing; "not shown" without confirmations.

    Of each of the two that is shown one person has to be somebody else than all who executed.
    """
    hands = {_same(name) for name in executed}
    shown = [{_same(one.by) for one in done[name]} for name in ("approved", "verified") if done[name]]
    if not done["executed"] or not shown:
        return "not shown"
    return "yes" if all(eyes - hands for eyes in shown) else "no"


def _same(name: str) -> str:
    """Return what is equal for two spellings of a name or an account."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def part(said: Confirmation) -> str:
    """Return whether a confirmation says that its author `approved`, `verified` or `executed` the work."""
    return "approved" if said.key in APPROVING else "verified" if said.key in VERIFYING else "executed"


def _hands(operators: Iterable[Json]) -> Iterator[str]:
    for one in operators:
        yield one["user"]
        if one["signed_in"]:
            yield one["signed_in"]["account"]


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))
