"""Who granted what to Cronofy, when and how: the directory audit log, read by name and correlation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook_lib import vendors
from runbook_lib.model import Json, Look, Raw

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = ("consent_audit",)
CONSENT = "Consent to application"
GRANTS = {
    "Add app role assignment to service principal": "AppRole.Value",
    "Add delegated permission grant": "DelegatedPermissionGrant.Scope",
}
"""The activities that grant something, and the property that says what:
https://learn.microsoft.com/entra/identity/enterprise-apps/app-perms-audit-logs (read 2026-11-22)"""


@dataclass(frozen=True, slots=True)
class Event:
    """One act of granting: everything that one person or program granted under one correlation id."""

    correlation: str
    at: datetime
    by: str
    by_person: bool
    permissions: tuple[str, ...]
    admin_consent: bool
    amended: bool
    """Something of it was there before: a consent that was given again, or widened."""


def read(graph: Graph, until: datetime) -> Look:
    """Ask for every change to applications as far back as the longest retention goes."""
    days = vendors.facts()["audit_retention_days"]["premium"]
    since = (until - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return graph.look("consent_audit", since=since)


def events(audit: Look, service_principal: str) -> tuple[Event, ...]:
    """Return what was granted to the service principal, oldest first.

    A grant names the resource as its target and the application in a property; a consent names the application as its
    target. Properties are picked by name: their order is not documented.
    """
    acts: dict[str, list[Json]] = {}
    for row in audit.rows:
        about = {target.get("id") for target in row.get("targetResources") or ()} | {
            _value(row, "ServicePrincipal.ObjectID")
        }
        if (
            row.get("result") == "success"
            and service_principal in about
            and row.get("activityDisplayName")
            in (
                CONSENT,
                *GRANTS,
            )
        ):
            acts.setdefault(row.get("correlationId") or row["id"], []).append(row)
    return tuple(sorted((_event(key, rows) for key, rows in acts.items()), key=lambda event: event.at))


def _event(correlation: str, rows: list[Json]) -> Event:
    people = [who["userPrincipalName"] for row in rows if (who := _initiator(row, "user")).get("userPrincipalName")]
    programs = [who.get("displayName") or "an application" for row in rows if (who := _initiator(row, "app"))]
    consents = [row for row in rows if row["activityDisplayName"] == CONSENT]
    return Event(
        correlation,
        min(datetime.fromisoformat(row["activityDateTime"]) for row in rows),
        (people or programs or ["unknown"])[0],
        bool(people),
        tuple(dict.fromkeys(name for row in rows for name in _granted(row))),
        any(_value(row, "ConsentContext.IsAdminConsent").lower() == "true" for row in consents),
        any(_amends(row) for row in rows),
    )


def _initiator(row: Json, kind: str) -> Json:
    return (row.get("initiatedBy") or {}).get(kind) or {}


def _granted(row: Json) -> Iterator[str]:
    name = GRANTS.get(row["activityDisplayName"])
    if name:
        yield from set(_value(row, name).split()) - set(_value(row, name, "oldValue").split())


def _amends(row: Json) -> bool:
    if row["activityDisplayName"] == CONSENT:
        return not _value(row, "ConsentAction.Permissions").strip().startswith("[] =>")
    return bool(_value(row, GRANTS[row["activityDisplayName"]], "oldValue").strip())


def _value(row: Json, name: str, which: str = "newValue") -> str:
    """Return a modified property by its name, without the quotes that the log puts around every value."""
    for target in row.get("targetResources") or ():
        for one in target.get("modifiedProperties") or ():
            if one.get("displayName") == name and one.get(which):
                return str(one[which]).strip('"')
    return ""


def events_about(raw: Raw) -> tuple[Event, ...]:
    """Return what was granted to the service principal of `raw`; nothing when the log is not among the answers."""
    found = raw["service_principal"].rows
    return events(raw["consent_audit"], found[0]["id"]) if found and "consent_audit" in raw else ()


def granter(granted: tuple[Event, ...], permission: str) -> Event | None:
    """Return the latest act that granted `permission`, if the log still holds it."""
    return next((event for event in reversed(granted) if permission in event.permissions), None)


def who(granted: tuple[Event, ...], permission: str) -> str:
    """Return who granted `permission`, in words; empty when the log does not tell."""
    event = granter(granted, permission)
    return "" if event is None else event.by if event.by_person else f"the application {event.by}"
