"""What Cronofy's enterprise application holds, line by line against what is documented (steps 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from runbook_lib import vendors
from runbook_lib.model import Json, Look, Raw, Status, Tenant
from runbook_lib.steps.access import audit_log
from runbook_lib.vendors import MICROSOFT_GRAPH, Permission

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = ("service_principal", "resource", "app_role_assignments", "delegated_grants")
GRANTS = ("app_role_assignments", "delegated_grants")
DEFAULT_ROLE = "00000000-0000-0000-0000-000000000000"
"""An assignment to the application itself, not a permission: https://learn.microsoft.com/graph/api/resources/approleassignment"""


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission that Cronofy holds on one resource; `user` is empty for the whole tenant, else an object id."""

    name: str
    id: str
    kind: str
    resource: str
    on_graph: bool
    since: datetime | None = None
    user: str = ""
    held_by: str = ""
    """The id of the assignment or grant that holds it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the scope truth table."""

    documented: str
    name: str
    resource: str
    kind: str
    required: bool
    granted: str
    status: Status
    since: datetime | None = None
    by: str = ""
    """Who granted it, as far as the audit log still tells."""
    why: str = ""
    remark: str = ""

    @property
    def extra(self) -> bool:
        """Tell whether this is held although nobody documented it."""
        return not self.required

    @property
    def level(self) -> int | None:
        """Return Microsoft's own grading of the permission, 1 to 5 and higher is wider; None where it has none."""
        graded: dict[str, int] = vendors.facts()["privilege_levels"].get(self.name, {})
        return graded.get(self.kind) if self.resource == "Microsoft Graph" else None


def read(graph: Graph, tenant: Tenant) -> Raw:
    """Ask for Cronofy's service principal, its grants of both kinds, and every resource they point at."""
    cronofy = graph.look("service_principal", app=tenant.cronofy_app)
    if not cronofy.rows:  # absent or refused: then there are no grants to ask for, for the same reason
        rest = {name: Look(name, cronofy.asked_at, refusal=cronofy.refusal, remedy=cronofy.remedy) for name in GRANTS}
        return {"service_principal": cronofy, **rest}
    raw = {"service_principal": cronofy} | {name: graph.look(name, id=cronofy.rows[0]["id"]) for name in GRANTS}
    pointed_at = sorted({row["resourceId"] for name in GRANTS for row in raw[name].rows})
    return raw | {f"resource {one}": graph.look("resource", id=one) for one in pointed_at}


def held(raw: Raw) -> tuple[Grant, ...]:
    """Return every permission that Cronofy holds, of both kinds and on every resource."""
    return (*_application(raw), *_delegated(raw))


def extras(all_held: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return what is held although nobody documented it: another id, another kind, or another resource than Graph."""
    documented = {(one.kind, one.id) for one in vendors.permissions()}
    return tuple(grant for grant in all_held if not (grant.on_graph and (grant.kind, grant.id) in documented))


def lines(raw: Raw) -> tuple[Line, ...]:
    """Return the truth table: every documented permission in the how-to's order, then everything extra.

    Permissions are matched by resource, kind and id, never by name. Who granted them comes from the audit log, when it
    is among the raw answers.
    """
    all_held = held(raw)
    granted = audit_log.events_about(raw)
    documented = {(one.kind, one.id): one for one in vendors.permissions()}
    extra = extras(all_held)
    known = [grant for grant in all_held if grant not in extra]
    required = (
        _required(one, [grant for grant in known if (grant.kind, grant.id) == key], raw)
        for key, one in documented.items()
    )
    table = (*required, *(_extra(grant) for grant in extra))
    return tuple(
        replace(line, by=audit_log.who(granted, line.name)) if line.granted != "no" else line for line in table
    )


def _required(wanted: Permission, found: list[Grant], raw: Raw) -> Line:
    look = raw[GRANTS[0] if wanted.kind == "application" else GRANTS[1]]
    tenant_wide = [grant for grant in found if not grant.user]
    if look.refusal:
        granted, status = "not seen", Status.UNKNOWN
    elif tenant_wide:
        granted, status = "yes", Status.PASS
    elif found:
        granted, status = f"for {len(found)} user(s) only", Status.FAIL
    else:
        granted, status = "no", Status.FAIL
    return Line(
        wanted.documented,
        wanted.name,
        "Microsoft Graph",
        wanted.kind,
        True,
        granted,
        status,
        since=tenant_wide[0].since if tenant_wide else None,
        why=wanted.why,
        remark=f"the how-to writes {wanted.documented}" if wanted.documented not in ("", wanted.name) else "",
    )


def _extra(grant: Grant) -> Line:
    granted = f"yes, for user {grant.user}" if grant.user else "yes"
    return Line("", grant.name, grant.resource, grant.kind, False, granted, Status.FAIL, grant.since)


def _resource(raw: Raw, resource_id: str) -> Json:
    """Return the resource's service principal, or nothing when Graph would not show it."""
    look = raw.get(f"resource {resource_id}")
    return look.rows[0] if look and look.rows else {}


def _application(raw: Raw) -> Iterator[Grant]:
    for row in raw["app_role_assignments"].rows:
        if row["appRoleId"] == DEFAULT_ROLE:
            continue
        resource = _resource(raw, row["resourceId"])
        names = {role["id"]: role["value"] for role in resource.get("appRoles", ())}
        yield Grant(
            names.get(row["appRoleId"]) or f"role {row['appRoleId']}",
            row["appRoleId"],
            "application",
            row.get("resourceDisplayName") or row["resourceId"],
            resource.get("appId") == MICROSOFT_GRAPH,
            datetime.fromisoformat(row["createdDateTime"]) if row.get("createdDateTime") else None,
            held_by=row.get("id", ""),
        )


def _delegated(raw: Raw) -> Iterator[Grant]:
    for row in raw["delegated_grants"].rows:
        resource = _resource(raw, row["resourceId"])
        ids = {scope["value"]: scope["id"] for scope in resource.get("oauth2PermissionScopes", ())}
        user = row.get("principalId") or "" if row["consentType"] == "Principal" else ""
        for name in (row.get("scope") or "").split():
            yield Grant(
                name,
                ids.get(name, ""),
                "delegated",
                resource.get("displayName") or row["resourceId"],
                resource.get("appId") == MICROSOFT_GRAPH,
                user=user,
                held_by=row.get("id", ""),
            )
