"""How SpaceIQ is connected to a tenant's calendars: deleted, activated, connected, and its rooms coming in one by one.

What SpaceIQ keeps of a deleted integration is not documented; here each room's calendar comes back with the new one.
"""

from datetime import datetime, timedelta

from runbook_lib.sandbox.world.activations import Activations, Link
from runbook_lib.sandbox.world.catalogue import GRAPH, resources
from runbook_lib.sandbox.world.grants import granted_roles, service_principal
from runbook_lib.sandbox.world.logs import sign_in_records
from runbook_lib.sandbox.world.state import App, Integration, Json, TenantState

CRONOFY = "cronofy-enterprise"


def cronofy(tenant: TenantState) -> App:
    """The registration that SpaceIQ is connected through."""
    return next(app for app in tenant.apps.values() if app.key == CRONOFY)


def roles(tenant: TenantState) -> list[str]:
    """The application permissions that Cronofy holds on Graph in the tenant now."""
    client = service_principal(tenant, cronofy(tenant).id)
    return granted_roles(tenant, client, resources()[GRAPH]) if client else []


def begin(tenant: TenantState, old: str) -> None:
    """The connection as a scenario begins: an old one by `old`, else as far as the consent came."""
    if old or roles(tenant):
        tenant.integration = Integration("active", old or "Microsoft Graph", tenant.domains[0], tenant_id=tenant.id)
    elif service_principal(tenant, cronofy(tenant).id):
        tenant.integration = Integration("waiting", domain=tenant.domains[0])


def delete(tenant: TenantState) -> None:
    """Delete the integration: SpaceIQ has no calendars any more. What was granted in Entra stays there."""
    tenant.integration = Integration()


def activate(activations: Activations, tenant: TenantState, domain: str, now: datetime) -> None:
    """Begin a new integration for a domain and mail the activation link to SpaceIQ's admin."""
    tenant.integration = Integration("waiting", domain=domain)
    activations.send(Link(tenant.key, admin(tenant)["userPrincipalName"].lower(), now))


def admin(tenant: TenantState) -> Json:
    """Who works in SpaceIQ: the account of that name, else the tenant's first person."""
    people = [*tenant.users.values()]
    return next((user for user in people if user["mailNickname"] == "spaceiq"), people[0])


def connect(tenant: TenantState, found: TenantState, account: str, now: datetime) -> None:
    """Connect to the Microsoft tenant that consented, whichever it is.

    Rooms come only where it is the tenant of SpaceIQ's rooms and has the domain that was typed; one room each
    `sync_seconds`, none before its scenario's time.
    """
    typed = tenant.integration.domain
    reaches = found is tenant and typed in tenant.domains
    tenant.integration = Integration("active", "Microsoft Graph", typed, account, found.id, now, reaches)
    sign_in_records.add_app_sign_in(found, CRONOFY, now)  # Cronofy begins at once
    pause = tenant.modes.get("sync_seconds", 2)
    for number, space in enumerate(_with_calendar(tenant), 1):
        comes = now + timedelta(seconds=number * pause)
        space["ready"] = max(space["ready"] or comes, comes)


def finish(tenant: TenantState, now: datetime) -> None:
    """Let every room that is on its way arrive."""
    for space in _with_calendar(tenant):
        space["ready"] = min(space["ready"] or now, now)


def calendar(tenant: TenantState, space: Json, now: datetime) -> str | None:
    """The address of a space's calendar as SpaceIQ has it now; None without connection, or before it came in."""
    connected = tenant.integration.state == "active" and tenant.integration.reaches
    address: str | None = space["calendar"]
    return address if connected and (space["ready"] is None or space["ready"] <= now) else None


def rooms(tenant: TenantState, now: datetime) -> list[Json]:
    """SpaceIQ's meeting rooms with their calendars, and how far their synchronisation is."""
    return [
        {"name": space["name"], "calendar": calendar(tenant, space, now) or "", "state": _sync(tenant, space, now)}
        for space in tenant.spaces.values()
        if space["type"] == "Meeting Room"
    ]


def _sync(tenant: TenantState, space: Json, now: datetime) -> str:
    if calendar(tenant, space, now):
        return "synchronised"
    coming = tenant.integration.state == "active" and tenant.integration.reaches and space["calendar"]
    return "waiting" if coming else "no calendar"


def _with_calendar(tenant: TenantState) -> list[Json]:
    return [space for space in tenant.spaces.values() if space["calendar"]]
