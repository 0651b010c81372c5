"""Who granted what to Cronofy, when and how: the directory audit log, read by name and correlation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook_lib import forms, vendors
from runbook_lib.model import Look, Raw

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph
    from runbook_lib.steps.access.grants import Line

CALLS = ("consent_audit",)
CONSENT = "Consent to application"
ROLE, SCOPE = "Add app role assignment to service principal", "Add delegated permission grant"
REMOVED = "Remove delegated permission grant"
"""The activities that grant something, and the one that an amended consent writes besides:
https://learn.microsoft.com/entra/identity/enterprise-apps/app-perms-audit-logs (read 2026-11-22)"""
KEYS = "Add service principal credentials"
ACTS = (CONSENT, ROLE, SCOPE, REMOVED)


@dataclass(frozen=True, slots=True)
class Modified:
    """One modified property of a target."""

    __pydantic_config__ = forms.GRAPH
    display_name: str | None = None
    old_value: str | None = None
    new_value: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What an act was about."""

    __pydantic_config__ = forms.GRAPH
    id: str | None = None
    modified_properties: tuple[Modified, ...] | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """The account that acted; the log may leave its name out."""

    __pydantic_config__ = forms.GRAPH
    id: str | None = None
    display_name: str | None = None
    user_principal_name: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """The application that acted."""

    __pydantic_config__ = forms.GRAPH
    app_id: str | None = None
    display_name: str | None = None
    service_principal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who acted."""

    __pydantic_config__ = forms.GRAPH
    user: Person | None = None
    app: Program | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log: https://learn.microsoft.com/graph/api/resources/directoryaudit."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    activity_display_name: str | None = None
    activity_date_time: forms.Moment | None = None
    result: str | None = None
    correlation_id: str | None = None
    initiated_by: Initiator | None = None
    target_resources: tuple[Target, ...] | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return what it was about."""
        return self.target_resources or ()

    def value(self, name: str, *, old: bool = False) -> str:
        """Return a modified property by its name, without the quotes that the log puts around every value."""
        for target in self.targets:
            for one in target.modified_properties or ():
                said = one.old_value if old else one.new_value
                if one.display_name == name and said:
                    return said.strip('"')
        return ""

    @property
    def resource_id(self) -> str:
        """Return the resource that a grant is on: the target that carries the properties."""
        return next((one.id or "" for one in self.targets if one.modified_properties), "")


@dataclass(frozen=True, slots=True)
class Given:
    """One permission that an act granted: its kind, the resource, role or scope, for whom; empty is not told."""

    kind: str
    name: str
    resource_id: str
    id: str = ""
    consent_type: str = ""
    user: str = ""

    def is_for(self, line: Line) -> bool:
        """Tell whether it is the grant of this line, by all that both of them tell."""
        if self.kind != line.kind or not _agree(self.resource_id, line.resource_id):
            return False
        if self.id and line.id and self.kind == "application":
            return self.id.lower() == line.id.lower()
        wide = self.consent_type.lower() in ("", "allprincipals")
        whom = _agree(self.user, line.user) and self.consent_type.lower() != "allprincipals" if line.user else wide
        return self.name == line.name and whom


def _agree(one: str, other: str) -> bool:
    return not one or not other or one.lower() == other.lower()


@dataclass(frozen=True, slots=True)
class Event:
    """One act of granting: everything that one person or program granted under one correlation id.

    `by` is empty where the log names nobody; `ids` are what it has of him then.
    """

    correlation: str
    at: datetime
    by: str
    by_person: bool
    ids: tuple[str, ...]
    given: tuple[Given, ...]
    admin_consent: bool
    amended: bool
    """Something of it was there before: a consent that was given again, or widened."""

    @property
    def permissions(self) -> tuple[str, ...]:
        """Return the names of what was granted."""
        return tuple(dict.fromkeys(one.name for one in self.given))


def read(graph: Graph, until: datetime) -> Look:
    """Ask for every change to applications as far back as the longest retention goes."""
    days = vendors.facts()["audit_retention_days"]["premium"]
    since = (until - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return graph.look("consent_audit", since=since)


def events(records: Iterable[Record], service_principal: str, app_id: str = "") -> tuple[Event, ...]:
    """Return what was granted to the service principal, oldest first.

    Records of one correlation id belong together, and one of them may be all that names the application: by its object
    id as a target or in a property, or by its application id. One that names another application is not about ours.
    """
    ours = {one.lower() for one in (service_principal, app_id) if one}
    acts: dict[str, list[Record]] = {}
    for row in records:
        if (row.result or "").lower() == "success" and row.activity_display_name in ACTS and row.activity_date_time:
            acts.setdefault(row.correlation_id or row.id, []).append(row)
    found = []
    for correlation, rows in acts.items():
        own = [row for row in rows if _named(row) <= ours or _targets(row) & ours]
        if any((_named(row) | _targets(row)) & ours for row in own):
            found.append(_event(correlation, own))
    return tuple(sorted((one for one in found if one), key=lambda event: event.at))


def _named(row: Record) -> set[str]:
    """Return how a record names, in its properties, the application that got something."""
    names = ("ServicePrincipal.ObjectID", "ServicePrincipal.AppId")
    return {said.lower() for name in names if (said := row.value(name))}


def _targets(row: Record) -> set[str]:
    return {one.id.lower() for one in row.targets if one.id}


def _event(correlation: str, rows: list[Record]) -> Event | None:
    acts = [row for row in rows if row.activity_display_name != REMOVED]
    times = [row.activity_date_time for row in acts if row.activity_date_time]
    if not times:
        return None
    by, by_person, ids = _who(rows)
    consents = [row for row in acts if row.activity_display_name == CONSENT]
    return Event(
        correlation,
        min(times),
        by,
        by_person,
        ids,
        tuple(dict.fromkeys(one for row in acts for one in _given(row))),
        any(row.value("ConsentContext.IsAdminConsent").lower() == "true" for row in consents),
        len(acts) < len(rows) or any(_amends(row) for row in acts),
    )


def _who(rows: list[Record]) -> tuple[str, bool, tuple[str, ...]]:
    """Return who acted, whether that is a person, and the ids that the log has; no name where it has none."""
    people = [one.user for row in rows if (one := row.initiated_by) and one.user]
    programs = [one.app for row in rows if (one := row.initiated_by) and one.app]
    ids = [*(one.id for one in people), *(each for one in programs for each in (one.app_id, one.service_principal_id))]
    told = tuple(dict.fromkeys(one for one in ids if one))
    for person in people:
        if person.user_principal_name:
            return person.user_principal_name, True, told
    if people and any(one.id or one.display_name for one in people):
        return "", True, told
    for program in programs:
        if name := program.display_name or program.app_id or program.service_principal_id:
            return name, False, told
    return "", False, told


def _given(row: Record) -> Iterator[Given]:
    if row.activity_display_name == ROLE and (name := row.value("AppRole.Value") or row.value("AppRole.Id")):
        yield Given("application", name, row.resource_id, row.value("AppRole.Id"))
    if row.activity_display_name == SCOPE:
        consent, name = row.value("DelegatedPermissionGrant.ConsentType"), "DelegatedPermissionGrant.Scope"
        user = row.value("DelegatedPermissionGrant.PrincipalId") if consent.lower() != "allprincipals" else ""
        before = row.value(name, old=True).split()
        for scope in row.value(name).split():
            if scope not in before:
                yield Given("delegated", scope, row.resource_id, "", consent, user)


def _amends(row: Record) -> bool:
    if row.activity_display_name == CONSENT:
        return not row.value("ConsentAction.Permissions").strip().startswith("[] =>")
    name = "AppRole.Value" if row.activity_display_name == ROLE else "DelegatedPermissionGrant.Scope"
    return bool(row.value(name, old=True).strip())


def events_about(raw: Raw) -> tuple[Event, ...]:
    """Return what was granted to the service principal of `raw`; nothing when the log is not among the answers."""
    answers = forms.reading(raw)
    found = answers.rows("service_principal", Application)
    return events(answers.rows("consent_audit", Record), found[0].id, found[0].app_id or "") if found else ()


def keys_added(raw: Raw, service_principal: str) -> str:
    """Say who added keys to the service principal, and when, as far as the log still tells."""
    rows = forms.reading(raw).rows("consent_audit", Record)
    acts = [row for row in rows if row.activity_display_name == KEYS and service_principal in _targets(row)]
    said = [
        f"{_who([row])[0] or 'somebody'} on {row.activity_date_time:%Y-%m-%d}" for row in acts if row.activity_date_time
    ]
    return f"the log shows keys added by {', '.join(said)}" if said else "the log does not show who added it"


@dataclass(frozen=True, slots=True)
class Application:
    """The service principal that the records are about."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    app_id: str | None = None


def granter(granted: tuple[Event, ...], line: Line) -> Event | None:
    """Return the latest act that granted what the line shows, if the log still holds it."""
    return next((event for event in reversed(granted) if any(one.is_for(line) for one in event.given)), None)


def who(granted: tuple[Event, ...], line: Line) -> str:
    """Return who granted what the line shows, in words; empty when the log does not tell."""
    event = granter(granted, line)
    if event is None:
        return ""
    if not event.by:
        return f"somebody whom the log does not name ({', '.join(event.ids) or 'no id'})"
    return event.by if event.by_person else f"the application {event.by}"
