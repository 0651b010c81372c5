"""Preflight: is everything ready for tonight, and what is there before the change?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_lib import integration
from runbook_lib.model import Facts, Json, Raw, Rows, Status, Tenant, check
from runbook_lib.steps import connect, credentials, grants

if TYPE_CHECKING:
    from runbook_lib.graph import Graph

CALLS = (*connect.CALLS, *credentials.CALLS, *grants.CALLS, "cronofy_apps", "rooms")


@dataclass(frozen=True, slots=True)
class Before:
    """What stands in the tenant before the change: Cronofy's applications and the rooms."""

    raw: Raw
    cronofy_app: str
    apps: tuple[Json, ...]
    rooms: int


def read(graph: Graph, tenant: Tenant) -> Raw:
    """Ask for everything that steps 2, 4 and 6 rest on, every Cronofy application, and the list of rooms."""
    parts = [connect.read(graph, tenant), credentials.read(graph, tenant), grants.read(graph, tenant)]
    raw = {name: look for part in parts for name, look in part.items()}
    return raw | {name: graph.look(name) for name in ("cronofy_apps", "rooms")}


def parse(raw: Raw, tenant: Tenant) -> tuple[Facts, ...]:
    """Name what the answers hold, for the checks of steps 2 and 4 and for our own."""
    before = Before(raw, tenant.cronofy_app, raw["cronofy_apps"].rows, len(raw["rooms"].rows))
    return connect.parse(raw, tenant), credentials.parse(raw, tenant), before


@check(
    "cronofy-apps-known",
    "Every application that calls itself Cronofy is one that Cronofy documents",
    looks=("cronofy_apps",),
    remedy="Find out who added this application before the change; it is not the one this runbook reconnects.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/StartboardApplicationsMenuBlade/~/AppAppsPreview",
)
def cronofy_apps_known(facts: Before) -> Rows:
    """Compare application ids, because a name proves nothing."""
    known = {**integration.facts()["cronofy"]["apps"], facts.cronofy_app: "the application of the tenant file"}
    for app in facts.apps:
        status = Status.PASS if app["appId"] in known else Status.FAIL
        yield app["displayName"], status, f"application id {app['appId']}"
    if not facts.apps:
        yield "Cronofy", Status.PASS, "no application of this name yet: a first connection"


@check(
    "rooms-listed",
    "The rooms can be listed, as the inventory before the change",
    looks=("rooms",),
    remedy="If the tenant has rooms, wait up to 48 hours for the places directory, or check who may read it.",
    link="https://admin.exchange.microsoft.com/#/resources",
)
def rooms_listed(facts: Before) -> Rows:
    """Count the rooms; no visible room is not the same as no room."""
    if facts.rooms:
        yield "rooms", Status.PASS, f"{facts.rooms} rooms before the change"
    else:
        yield "rooms", Status.UNKNOWN, "no room is visible; hidden rooms never are"
