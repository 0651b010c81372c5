"""Step 5: were both consent screens accepted, by whom, and what did that change?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook_lib import forms, vendors
from runbook_lib.checks import Rows, check
from runbook_lib.model import Raw, Status, Tenant
from runbook_lib.steps.access import audit_log, grants
from runbook_lib.steps.access.audit_log import Event
from runbook_lib.steps.access.grants import Line

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = (*grants.CALLS, *audit_log.CALLS)
LOG_DELAY = timedelta(hours=1)
"""How long a record of the audit log may be on its way; "minutes" is all that is documented."""
WATCH_TIMES, WATCH_SECONDS = 12, 5
KINDS = ("application", "delegated")


@dataclass(frozen=True, slots=True)
class Consent:
    """What the two consent screens should have granted, and who granted it."""

    raw: forms.Reading
    present: bool
    """Cronofy's application is in the tenant."""
    lines: tuple[Line, ...]
    events: tuple[Event, ...]
    admin: str
    as_of: datetime


def read(graph: Graph, tenant: Tenant) -> Raw:
    """Ask for the grants, and for who granted them."""
    raw = grants.read(graph, tenant)
    return {**raw, "consent_audit": audit_log.read(graph, raw["service_principal"].asked_at)}


def watch(graph: Graph, tenant: Tenant, *, attended: bool, sleep: Callable[[float], object] = time.sleep) -> Raw:
    """Read like `read`; with somebody waiting, again every few seconds until everything documented is granted.

    A consent takes some seconds to show. After a minute what was seen last is returned, complete or not.
    """
    raw = read(graph, tenant)
    for _ in range(WATCH_TIMES if attended else 0):
        if all(line.status is Status.PASS for line in grants.lines(raw) if line.required):
            break
        sleep(WATCH_SECONDS)
        raw = read(graph, tenant)
    return raw


def parse(raw: Raw, tenant: Tenant) -> Consent:
    """Name what the answers hold."""
    answers = forms.reading(raw)
    as_of = raw["service_principal"].asked_at
    present = bool(answers.rows("service_principal", grants.Principal))
    return Consent(answers, present, grants.lines(answers), audit_log.events_about(answers), tenant.admin, as_of)


@check(
    "consent-complete",
    "Both consent screens were accepted",
    looks=("service_principal", "app_role_assignments", "delegated_grants"),
    optional=("consent_audit", "resource *"),
    remedy="Repeat steps 3 to 5 with a fresh activation link and press Accept on both screens.",
)
def consent_complete(facts: Consent) -> Rows:
    """Name a half consent: the first screen grants openid and email, the second the application permissions.

    A grant may show later than the log tells of it; before anybody consented there is nothing to complain of.
    """
    wanted = {kind: [line for line in facts.lines if line.required and line.kind == kind] for kind in KINDS}
    late = [
        line for rows in wanted.values() for line in rows if line.status is Status.FAIL and _on_its_way(line, facts)
    ]
    unseen = [line for rows in wanted.values() for line in rows if line.status is Status.UNKNOWN]
    missing = {
        kind: [line.name for line in rows if line.status is Status.FAIL and line not in late]
        for kind, rows in wanted.items()
    }
    if late:
        yield ", ".join(line.name for line in late), *_lateness(late, facts)
    if unseen:
        yield ", ".join(line.name for line in unseen), Status.UNKNOWN, unseen[0].granted
    if not any(missing.values()):
        if not late and not unseen:
            yield "consent", Status.PASS, "all documented permissions are granted"
    elif not facts.present:
        yield "consent", Status.PENDING, "nobody consented yet: Cronofy's application is not in this tenant"
    elif len(missing["application"]) == len(wanted["application"]) and not missing["delegated"]:
        saw = "half consent: the first screen was accepted, the second was not; all application permissions are missing"
        yield "consent", Status.FAIL, saw
    else:
        yield "consent", Status.FAIL, f"incomplete; missing: {', '.join(missing['application'] + missing['delegated'])}"


def _on_its_way(line: Line, facts: Consent) -> bool:
    """Tell whether the log says that this was granted so lately that the list of grants may not show it yet."""
    event = audit_log.granter(facts.events, line)
    return event is not None and facts.as_of < event.at + 2 * _budget()


def _budget() -> timedelta:
    return timedelta(hours=vendors.facts()["budgets_hours"]["grants"])


def _lateness(late: list[Line], facts: Consent) -> tuple[Status, str]:
    """Say until when a grant that the log tells of may still be on its way: pending, then nobody can tell."""
    at = max(event.at for line in late if (event := audit_log.granter(facts.events, line)))
    said = f"the audit log shows the grant of {at:%Y-%m-%d %H:%M} UTC, the list of grants does not"
    if facts.as_of < at + _budget():
        return Status.PENDING, f"{said} yet; look again after {at + _budget():%Y-%m-%d %H:%M} UTC"
    return Status.UNKNOWN, f"{said}: late, or taken away again"


@check(
    "consent-by-planned-admin",
    "What Cronofy needs was granted by the administrator of step 4",
    looks=("service_principal", "app_role_assignments", "delegated_grants", "consent_audit"),
    optional=("resource *",),
    remedy="Find out who consented and whether that person was meant to; if not, disconnect and begin again at step 1.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/AuditLogList.ReactView",
)
def consent_by_planned_admin(facts: Consent) -> Rows:
    """Match each act of granting with the planned administrator; what the log no longer holds stays unknown."""
    required = [line for line in facts.lines if line.required and line.granted == "yes"]
    acts = dict.fromkeys(event for line in required if (event := audit_log.granter(facts.events, line)))
    for event in acts:
        if not event.by:
            ids = f"only the id {', '.join(event.ids)}" if event.ids else "not even by an id"
            saw = f"granted on {event.at:%Y-%m-%d %H:%M} UTC; the log does not name who did it, {ids}"
            yield f"correlation id {event.correlation}", Status.UNKNOWN, saw
            continue
        planned = event.by_person and event.by.lower() == facts.admin.lower()
        how = "widened an earlier consent" if event.amended else "consented"
        did = how if event.by_person else "granted as a program, without a consent screen,"
        saw = f"{did} on {event.at:%Y-%m-%d %H:%M} UTC" + ("" if planned else f"; planned was {facts.admin}")
        yield event.by, Status.PASS if planned else Status.FAIL, saw
    silent = [line for line in required if audit_log.granter(facts.events, line) is None]
    if silent:
        yield ", ".join(line.name for line in silent), *_silence(silent, facts.as_of)
    if not required:
        yield "consent", Status.NOT_APPLICABLE, "nothing is granted yet"


def _silence(silent: list[Line], now: datetime) -> tuple[Status, str]:
    """Say what it means that the log does not tell who granted these."""
    days = vendors.facts()["audit_retention_days"]
    since = max((line.since for line in silent if line.since), default=None)
    if since and now - since < LOG_DELAY:
        until = since + LOG_DELAY
        return Status.PENDING, f"the audit log lags behind; look again after {until:%Y-%m-%d %H:%M} UTC"
    when = f"granted on {since:%Y-%m-%d}; " if since else ""
    kept = f"it keeps {days['free']} days on Entra ID Free and {days['premium']} days on P1 or P2"
    return Status.UNKNOWN, f"{when}the audit log holds no record of it: {kept}"
