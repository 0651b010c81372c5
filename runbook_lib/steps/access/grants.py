"""What Cronofy's enterprise application holds, line by line against what is documented (steps 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from runbook_lib import forms, vendors
from runbook_lib.model import Look, Raw, Status, Tenant
from runbook_lib.steps.access import audit_log
from runbook_lib.vendors import MICROSOFT_GRAPH, Permission

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = ("service_principal", "resource", "app_role_assignments", "delegated_grants")
GRANTS = ("app_role_assignments", "delegated_grants")
DEFAULT_ROLE = "00000000-0000-0000-0000-000000000000"
"""An assignment to the application itself, not a permission: https://learn.microsoft.com/graph/api/resources/approleassignment"""


NO_DATA = ("openid", "profile", "email", "offline_access")
"""Scopes of OpenID Connect: they say who signs in, or keep him signed in, and open no data of the tenant.
https://learn.microsoft.com/entra/identity-platform/scopes-oidc (read 2026-12-01)"""


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate or secret that was added to a service principal; its value is never in an answer."""

    __pydantic_config__ = forms.GRAPH
    key_id: str | None = None
    display_name: str | None = None
    end_date_time: forms.Moment | None = None

    def __str__(self) -> str:
        """Return its name or id, and until when it opens."""
        until = f", until {self.end_date_time:%Y-%m-%d}" if self.end_date_time else ""
        return f"{self.display_name or self.key_id or 'without a name'}{until}"


@dataclass(frozen=True, slots=True)
class Principal:
    """A service principal, as far as steps 5 and 6 use it."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    display_name: str | None = None
    account_enabled: bool | None = None
    key_credentials: tuple[Credential, ...] | None = None
    password_credentials: tuple[Credential, ...] | None = None


@dataclass(frozen=True, slots=True)
class Assigned:
    """An app role assignment: https://learn.microsoft.com/graph/api/resources/approleassignment."""

    __pydantic_config__ = forms.GRAPH
    app_role_id: forms.Text
    resource_id: forms.Text
    id: str | None = None
    resource_display_name: str | None = None
    created_date_time: forms.Moment | None = None


@dataclass(frozen=True, slots=True)
class Delegated:
    """A delegated grant: https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant."""

    __pydantic_config__ = forms.GRAPH
    consent_type: forms.Text
    resource_id: forms.Text
    scope: str
    id: str | None = None
    principal_id: str | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the names in it; Entra writes a blank before the first."""
        return tuple(dict.fromkeys(self.scope.split()))


@dataclass(frozen=True, slots=True)
class Named:
    """A role or scope that a resource offers; an unused one may have no name."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """The service principal of a resource, with what it offers."""

    __pydantic_config__ = forms.GRAPH
    app_id: forms.Text
    display_name: str | None = None
    app_roles: tuple[Named, ...] = ()
    oauth2_permission_scopes: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission that Cronofy holds on one resource; `user` is empty for the whole tenant, else an object id.

    `on_graph` is None where the resource was not seen, so that nobody can tell which it is.
    """

    name: str
    id: str
    kind: str
    resource: str
    resource_id: str
    on_graph: bool | None
    since: datetime | None = None
    user: str = ""
    held_by: str = ""
    """The id of the assignment or grant that holds it."""

    @property
    def subject(self) -> str:
        """Return what findings, exceptions and removals call it; no other grant is called so."""
        where = "" if self.on_graph else f", {self.resource} {self.resource_id}"
        return f"{self.name} ({self.kind}{where}{f', user {self.user}' if self.user else ''})"


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
    id: str = ""
    resource_id: str = ""
    user: str = ""
    subject: str = ""

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
    found = forms.rows_of(cronofy, Principal)
    if not found:  # absent or refused: then there are no grants to ask for, for the same reason
        rest = {name: Look(name, cronofy.asked_at, refusal=cronofy.refusal, remedy=cronofy.remedy) for name in GRANTS}
        return {"service_principal": cronofy, **rest}
    raw = {"service_principal": cronofy} | {name: graph.look(name, id=found[0].id) for name in GRANTS}
    pointed_at = {row.resource_id for row in forms.rows_of(raw[GRANTS[0]], Assigned)}
    pointed_at |= {row.resource_id for row in forms.rows_of(raw[GRANTS[1]], Delegated)}
    return raw | {f"resource {one}": graph.look("resource", id=one) for one in sorted(pointed_at)}


def held(raw: Raw) -> tuple[Grant, ...]:
    """Return every permission that Cronofy holds, of both kinds and on every resource."""
    answers = forms.reading(raw)
    return (*_application(answers), *_delegated(answers))


def extras(all_held: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return what is held although nobody documented it: another id, another kind, or another resource than Graph.

    What is held on a resource that was not seen is not among them: nobody can tell.
    """
    documented = {(one.kind, one.id) for one in vendors.permissions()}
    told = (grant for grant in all_held if grant.on_graph is not None)
    return tuple(grant for grant in told if not (grant.on_graph and (grant.kind, grant.id) in documented))


def lines(raw: Raw) -> tuple[Line, ...]:
    """Return the truth table: every documented permission in the how-to's order, then everything else.

    Permissions are matched by resource, kind and id, never by name. Who granted them comes from the audit log, when it
    is among the raw answers.
    """
    answers = forms.reading(raw)
    all_held = held(answers)
    granted = audit_log.events_about(answers)
    extra = extras(all_held)
    required = (_required(one, all_held, answers) for one in vendors.permissions())
    documented = {one.id for one in vendors.permissions()}
    vague = (one for one in all_held if one.on_graph is None and one.id not in documented)
    table = (*required, *map(_extra, extra), *map(_vague, vague))
    return tuple(
        replace(line, by=audit_log.who(granted, line)) if line.granted not in ("no", "not seen") else line
        for line in table
    )


def _required(wanted: Permission, all_held: tuple[Grant, ...], raw: Raw) -> Line:
    look = raw[GRANTS[0] if wanted.kind == "application" else GRANTS[1]]
    same = [one for one in all_held if (one.kind, one.id) == (wanted.kind, wanted.id)]
    found = [one for one in same if one.on_graph]
    vague = [one for one in all_held if one.on_graph is None and wanted.kind == one.kind and _may_be(one, wanted)]
    tenant_wide = [grant for grant in found if not grant.user]
    if look.refusal:
        granted, status = "not seen", Status.UNKNOWN
    elif tenant_wide:
        granted, status = "yes", Status.PASS
    elif vague:
        granted, status = "cannot tell: its resource was not seen", Status.UNKNOWN
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
        since=max((one.since for one in tenant_wide if one.since), default=None),
        why=wanted.why,
        remark=f"the how-to writes {wanted.documented}" if wanted.documented not in ("", wanted.name) else "",
        id=wanted.id,
        resource_id=tenant_wide[0].resource_id if tenant_wide else "",
        subject=wanted.name,
    )


def _may_be(grant: Grant, wanted: Permission) -> bool:
    return grant.id == wanted.id or (grant.kind == "delegated" and grant.name == wanted.name)


def _extra(grant: Grant, granted: str = "yes", status: Status = Status.FAIL) -> Line:
    return Line(
        "",
        grant.name,
        grant.resource,
        grant.kind,
        False,
        f"{granted}, for user {grant.user}" if grant.user else granted,
        Status.NOT_APPLICABLE if opens_no_data(grant) else status,
        grant.since,
        id=grant.id,
        resource_id=grant.resource_id,
        user=grant.user,
        subject=grant.subject,
    )


_vague = partial(_extra, granted="yes, on a resource that was not seen", status=Status.UNKNOWN)


def opens_no_data(grant: Grant) -> bool:
    """Tell whether it is a scope of OpenID Connect on Microsoft Graph."""
    return bool(grant.on_graph) and grant.kind == "delegated" and grant.name in NO_DATA


def _resource(raw: forms.Reading, resource_id: str) -> Resource | None:
    """Return the resource's service principal, or nothing when Graph would not show it."""
    return next(iter(raw.rows(f"resource {resource_id}", Resource)), None)


def _application(raw: forms.Reading) -> Iterator[Grant]:
    for row in raw.rows("app_role_assignments", Assigned):
        if row.app_role_id == DEFAULT_ROLE:
            continue
        resource = _resource(raw, row.resource_id)
        names = {role.id: role.value for role in (resource.app_roles if resource else ())}
        yield Grant(
            names.get(row.app_role_id) or _documented_name(row.app_role_id),
            row.app_role_id,
            "application",
            row.resource_display_name or (resource and resource.display_name) or row.resource_id,
            row.resource_id,
            None if resource is None else resource.app_id.lower() == MICROSOFT_GRAPH,
            row.created_date_time,
            held_by=row.id or "",
        )


def _documented_name(role_id: str) -> str:
    return next((one.name for one in vendors.permissions() if one.id == role_id), f"role {role_id}")


def _delegated(raw: forms.Reading) -> Iterator[Grant]:
    for row in raw.rows("delegated_grants", Delegated):
        resource = _resource(raw, row.resource_id)
        ids = {scope.value: scope.id for scope in (resource.oauth2_permission_scopes if resource else ())}
        user = (row.principal_id or "an unnamed user") if row.consent_type.lower() == "principal" else ""
        for name in row.scopes:
            yield Grant(
                name,
                ids.get(name, ""),
                "delegated",
                (resource and resource.display_name) or row.resource_id,
                row.resource_id,
                None if resource is None else resource.app_id.lower() == MICROSOFT_GRAPH,
                user=user,
                held_by=row.id or "",
            )
