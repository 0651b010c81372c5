"""Step 6: what Cronofy may do in this tenant, against exactly what is documented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runbook_lib.checks import Rows, check
from runbook_lib.model import Confirmation, Json, Raw, Status, Tenant
from runbook_lib.steps.access import audit_log, grants, limit
from runbook_lib.steps.access.grants import Line
from runbook_lib.steps.access.limit import PORTAL
from runbook_lib.steps.access.reach import CALENDARS, RBAC, Limit

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = (*grants.CALLS, *audit_log.CALLS, *limit.CALLS, "last_use")


@dataclass(frozen=True, slots=True)
class Access:
    """Cronofy's enterprise application, and the scope truth table."""

    raw: Raw
    app_id: str
    by_rbac: bool
    """Calendars are to be opened by RBAC for Applications, so that Entra's own grant for them has to go."""
    apps: tuple[Json, ...]
    lines: tuple[Line, ...]


def read(graph: Graph, tenant: Tenant, said: Iterable[Confirmation] = ()) -> Raw:
    """Ask for the grants, who granted them, when Cronofy last signed in, and how far it reaches.

    `said` are the run's own confirmations; one of them may be about the limit.
    """
    raw = grants.read(graph, tenant)
    audit = audit_log.read(graph, raw["service_principal"].asked_at)
    last_use = graph.look("last_use", app=tenant.cronofy_app)
    return {**raw, "consent_audit": audit, "last_use": last_use, **limit.read(graph, tenant, said)}


def parse(raw: Raw, tenant: Tenant) -> tuple[Access, Limit]:
    """Name what the answers hold: what Cronofy may do, and where."""
    by_rbac = tenant.access_limit.mode == RBAC
    found = Access(raw, tenant.cronofy_app, by_rbac, raw["service_principal"].rows, grants.lines(raw))
    return found, limit.parse(raw, tenant)


@check(
    "cronofy-present",
    "Cronofy's enterprise application is in the tenant and enabled",
    looks=("service_principal",),
    remedy="Repeat steps 3 to 5; if the application is disabled, enable it in the Entra admin center.",
    link=PORTAL,
)
def cronofy_present(facts: Access) -> Rows:
    """Look at the service principal itself."""
    if not facts.apps:
        yield facts.app_id, Status.FAIL, "no enterprise application with this id in the tenant"
    for app in facts.apps:
        enabled = app.get("accountEnabled") is not False
        yield app["displayName"], Status.PASS if enabled else Status.FAIL, "enabled" if enabled else "disabled"


@check(
    "application-permissions-granted",
    "Every documented application permission is granted",
    looks=("service_principal", "app_role_assignments"),
    remedy="Repeat steps 3 to 5 and accept both consent screens.",
    link=PORTAL,
)
def application_permissions_granted(facts: Access) -> Rows:
    """Compare the application roles with the documented set."""
    for line in facts.lines:
        if facts.by_rbac and line.name == CALENDARS and line.granted == "no":
            yield (
                line.name,
                Status.NOT_APPLICABLE,
                "not granted in Entra, because RBAC for Applications opens calendars",
            )
        elif line.required and line.kind == "application":
            yield line.name, line.status, f"granted: {line.granted}"


@check(
    "delegated-permissions-granted",
    "Every documented delegated permission is granted for the whole tenant",
    looks=("service_principal", "delegated_grants"),
    remedy="Repeat steps 3 to 5 and accept both consent screens.",
    link=PORTAL,
)
def delegated_permissions_granted(facts: Access) -> Rows:
    """Compare the delegated grants with the documented set."""
    for line in facts.lines:
        if line.required and line.kind == "delegated":
            yield line.name, line.status, f"granted: {line.granted}"


@check(
    "no-extra-permissions",
    "Cronofy holds nothing beyond what is documented",
    looks=("service_principal", "app_role_assignments", "delegated_grants"),
    remedy="Ask Cronofy why it holds this; if nobody can say, remove it in the Entra admin center under Permissions.",
    link=PORTAL,
)
def no_extra_permissions(facts: Access) -> Rows:
    """List everything that no document asks for, on every resource."""
    extras = [line for line in facts.lines if line.extra]
    for line in extras:
        yield f"{line.name} ({line.kind})", Status.FAIL, f"granted on {line.resource}: {line.granted}"
    if not extras:
        yield "all grants", Status.PASS, "nothing extra"


@check(
    "cronofy-in-use",
    "Cronofy has signed in since it was granted access",
    looks=("service_principal", "app_role_assignments", "last_use"),
    remedy="Wait for the first sync; if there is still no sign-in a day after the consent, repeat steps 3 to 5.",
    link=PORTAL,
)
def cronofy_in_use(facts: Access) -> Rows:
    """Compare the last sign-in of the service principal with the newest required grant."""
    since = max((line.since for line in facts.lines if line.required and line.since), default=None)
    signed_in = [
        str((row.get("lastSignInActivity") or {}).get("lastSignInDateTime") or "") for row in facts.raw["last_use"].rows
    ]
    last = max((datetime.fromisoformat(one) for one in signed_in if one), default=None)
    if since is None:
        yield facts.app_id, Status.NOT_APPLICABLE, "nothing is granted to it"
    elif last and last >= since:
        yield facts.app_id, Status.PASS, f"last signed in on {last:%Y-%m-%d %H:%M} UTC"
    else:
        saw = f"last signed in on {last:%Y-%m-%d %H:%M} UTC, before the grant" if last else "no sign-in on record"
        yield facts.app_id, Status.PENDING, saw
