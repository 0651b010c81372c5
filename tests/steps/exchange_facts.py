"""What Graph and Exchange say of a sandbox tenant, as the steps read it, without a server in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from runbook_lib.clients import exchange
from runbook_lib.model import AccessLimit, Json, Look, Tenant
from runbook_lib.sandbox.exchange import answers
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.sandbox.world.world import World
from tests.steps.facts import NOW, TENANT, look

NOBODY: Any = SimpleNamespace(verifier=SimpleNamespace(der=b""), verifier_secret="", expired_secret="")
WORLD = World(NOBODY, clock=lambda: NOW)
CRONOFY = TENANT.cronofy_app
POLICY = AccessLimit(
    "application-access-policy", group="cronofy-rooms@contoso.example", outsiders=("admin@contoso.example",)
)
NO_POLICY = [
    "Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|The operation couldn't be "
    "performed because object 'contoso.onmicrosoft.com\\*' couldn't be found on 'AB1PR01A001DC01.PROD.OUTLOOK.COM'.",
    "||The operation couldn't be performed because object 'OU=contoso.onmicrosoft.com,OU=Microsoft Exchange Hosted "
    "Organizations,DC=EURPR01A001,DC=com\\*' couldn't be found on 'AB1PR01A001DC01'.",
    "Der Vorgang konnte nicht ausgeführt werden, weil das Objekt 'contoso.onmicrosoft.com\\*' nicht gefunden wurde.",
    "L\u2019opération n\u2019a pas pu être effectuée, car l\u2019objet « contoso.onmicrosoft.com\\* » est introuvable.",
    "Das Objekt \u201econtoso.onmicrosoft.com\\*\u201c wurde nicht gefunden.",
    'The object "contoso.onmicrosoft.com\\*" was not found.',
]
"""How Exchange says, in several languages, that a tenant has no application access policy at all."""


def state(key: str = "contoso") -> TenantState:
    """Return the sandbox tenant as it is at NOW."""
    found = WORLD.tenant(key)
    assert found is not None
    return found


def tenant(decided: AccessLimit = POLICY, **more: Any) -> Tenant:
    """Return the tenant file that goes with contoso."""
    return replace(TENANT, tenant_id=state().id, access_limit=decided, **more)


def grants(of: TenantState, consent_ago: timedelta | None = timedelta(days=2), without: str = "") -> dict[str, Look]:
    """Return the looks of `grants.read`: what Cronofy holds less the permission `without`; for None no consent."""
    graph = next(one for one in of.service_principals.values() if one["displayName"] == "Microsoft Graph")
    mine = next((one for one in of.service_principals.values() if one["appId"] == CRONOFY), None)
    if mine is None or consent_ago is None:
        return {name: look(name) for name in ("service_principal", "app_role_assignments", "delegated_grants")}
    names = {one["id"]: one["value"] for one in graph["appRoles"]}
    roles = [
        {**row, "createdDateTime": f"{NOW - consent_ago:%Y-%m-%dT%H:%M:%SZ}"}
        for row in of.app_role_assignments.values()
        if row["principalId"] == mine["id"] and names.get(row["appRoleId"]) != without
    ]
    return {
        "service_principal": look("service_principal", mine),
        "app_role_assignments": look("app_role_assignments", *roles),
        "delegated_grants": look("delegated_grants"),
        f"resource {graph['id']}": look("resource", graph),
    }


def imported(answer: Json) -> Look:
    """Return the look that an imported answer becomes."""
    return Look("exchange", datetime.fromisoformat(answer["finished"]).astimezone(UTC), (answer,), total=1)


def raw(
    key: str = "contoso",
    consent_ago: timedelta | None = timedelta(days=2),
    without: str = "",
    pilots: tuple[str, ...] = (),
    confirmed_ago: timedelta | None = None,
    **changes: object,
) -> Mapping[str, Look]:
    """Return what steps 0 and 6 read of a sandbox tenant; `changes` are those of its Exchange."""
    of = state(key)
    answer = answers.answer(of, NOW, answers.plan(key, **changes), pilots=pilots)
    said = [] if confirmed_ago is None else [{"by": "Megan Bowen", "at": (NOW - confirmed_ago).isoformat()}]
    return {
        **grants(of, consent_ago, without),
        "rooms": look("rooms", *of.rooms.values()),
        "limit_confirmed": look("access-limited", *said),
        "exchange": imported(answer),
    }


def sections(of: Mapping[str, Look]) -> Mapping[str, Look]:
    """Return the parts of the imported answer as looks."""
    return exchange.sections(of["exchange"])
