"""The pages a person rehearses the change with: where to begin at /rehearsal, and SpaceIQ's settings of each tenant.

SpaceIQ's lists, buttons and question are as the how-to names them; what it does not name has words of our own.
https://knowledge.eptura.com/SpaceIQ/Integrations/Meeting_Rooms/002Integrate_Office_365_Calendar_Using_Graph_API
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from runbook_lib.sandbox import control
from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.http import Ask
from runbook_lib.sandbox.rehearsal import walking
from runbook_lib.sandbox.world import spaceiq_connection
from runbook_lib.sandbox.world.catalogue import GRAPH
from runbook_lib.sandbox.world.grants import people, role_names, service_principal
from runbook_lib.sandbox.world.state import Json, TenantState

DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


async def endpoint(request: Request) -> Response:
    """Answer any request under /rehearsal; from this machine, and forms only from these pages."""
    ask = await http.read(request, request.state.world)
    origin = ask.headers.get("origin")
    foreign = ask.method == "POST" and origin is not None and urlsplit(origin).netloc != ask.host
    if foreign or not control.from_here(request):
        return pages.message(ask, "Not from there", "The sandbox takes orders from its own pages only.", 403)
    key, _, rest = ask.path.removeprefix("/rehearsal").strip("/").partition("/")
    if not key:
        return begin(ask)
    tenant = ask.world.tenant(key)
    page = PAGES.get((ask.method, rest))
    if tenant is None or page is None:
        return pages.message(ask, "Not found", f"No page of the rehearsal is called {ask.path}.", 404)
    return page(ask, tenant)


def begin(ask: Ask) -> Response:
    """Every tenant with its story; the one before the change first."""
    waiting = [key for key, one in ask.world.scenarios.items() if "old" in (one.get("spaceiq") or {})]
    rows = [
        {"key": key, "name": ask.world.scenarios[key]["name"], "story": ask.world.scenarios[key].get("story", "")}
        for key in dict.fromkeys([*waiting, *ask.world.scenarios])
    ]
    return pages.page(ask, "rehearsal_all.html", "Rehearse the change", tenants=rows)


def start(ask: Ask, tenant: TenantState) -> Response:
    """One tenant: who is who, where to click, where things stand, and the way back to the beginning."""
    accounts = [
        {
            "name": user["displayName"],
            "upn": user["userPrincipalName"],
            "title": user["jobTitle"] or "",
            "roles": ", ".join(role_names(tenant, user["id"])) or "none",
            "enabled": user["accountEnabled"],
        }
        for user in people(tenant)
    ]
    rooms = spaceiq_connection.rooms(tenant, ask.world.now())
    return pages.page(
        ask,
        "rehearsal.html",
        f"Rehearse the change: {tenant.name}",
        tenant=tenant,
        accounts=accounts,
        reader=spaceiq_connection.admin(tenant)["displayName"],
        stand=[*_spaceiq_stands(ask, tenant), *_entra_stands(tenant)],
        waiting=sum(row["state"] == "waiting" for row in rooms),
    )


def _spaceiq_stands(ask: Ask, tenant: TenantState) -> list[tuple[str, str]]:
    """What is true of the connection, also where SpaceIQ would not show it."""
    held, now = tenant.integration, ask.world.now()
    ready = [row["state"] for row in spaceiq_connection.rooms(tenant, now)]
    lines = [
        ("SpaceIQ's integration", state(tenant)),
        ("Rooms in SpaceIQ", f"{ready.count('synchronised')} of {len(ready)} synchronised"),
    ]
    where = ask.world.tenant(held.tenant_id) if held.tenant_id else None
    if where is not None and held.account:
        wrong = "" if where is tenant else ": the WRONG tenant"
        lines.append(("Connected tenant", f"{where.name}{wrong}, by {held.account}"))
    if held.account and held.domain not in tenant.domains:
        lines.append(("Domain typed in SpaceIQ", f"{held.domain}: not a domain of {tenant.name}"))
    return lines


def _entra_stands(tenant: TenantState) -> list[tuple[str, str]]:
    """What Cronofy holds in the tenant's Entra."""
    client = service_principal(tenant, spaceiq_connection.cronofy(tenant).id)
    if client is None:
        return [("Cronofy in Entra", "not in this tenant")]
    graph = service_principal(tenant, GRAPH)
    grants = [row for row in tenant.oauth2_permission_grants.values() if row["clientId"] == client["id"]]
    told = [
        f"{row['scope']} ({_for_whom(tenant, row)})" for row in grants if graph and row["resourceId"] == graph["id"]
    ]
    return [
        ("Cronofy in Entra", "its application is in this tenant"),
        ("Application permissions", ", ".join(spaceiq_connection.roles(tenant)) or "none: half a consent at most"),
        ("Delegated permissions", "; ".join(told) or "none"),
    ]


def _for_whom(tenant: TenantState, grant: Json) -> str:
    user = tenant.users.get(grant["principalId"] or "")
    return f"for {user['userPrincipalName']} only" if user else "for everybody"


def state(tenant: TenantState) -> str:
    """The integration in words."""
    held = tenant.integration
    words = {
        "available": "none; it can be activated",
        "waiting": f"waiting for the activation of {held.domain}",
        "active": f"active, connected through {held.via}",
    }
    return words[held.state]


def reset(ask: Ask, tenant: TenantState) -> Response:
    """Put the tenant back to the beginning."""
    ask.world.forget(tenant)
    return walking.to(ask, f"/rehearsal/{tenant.key}")


def finish(ask: Ask, tenant: TenantState) -> Response:
    """Do not wait for the rooms."""
    spaceiq_connection.finish(tenant, ask.world.now())
    return walking.to(ask, f"/rehearsal/{tenant.key}")


def meeting_rooms(ask: Ask, tenant: TenantState, error: str = "") -> Response:
    """SpaceIQ's Meeting Rooms page: what is active and what is available."""
    mailed = spaceiq_connection.admin(tenant)["userPrincipalName"] if tenant.integration.state == "waiting" else ""
    values: Json = {
        "tenant": tenant,
        "mailed": mailed,
        "state": state(tenant),
        "person": spaceiq_connection.admin(tenant),
    }
    return pages.page(ask, "spaceiq.html", "Meeting Rooms", error=error, **values)


def tile(ask: Ask, tenant: TenantState) -> Response:
    """The dialog of Office365 Calendar: its state, its rooms, Delete."""
    if tenant.integration.state == "available":
        return walking.to(ask, f"/rehearsal/{tenant.key}/spaceiq")
    values: Json = {"state": state(tenant), "rooms": spaceiq_connection.rooms(tenant, ask.world.now())}
    return pages.page(ask, "spaceiq_tile.html", "Office365 Calendar", tenant=tenant, **values)


def ask_to_delete(ask: Ask, tenant: TenantState) -> Response:
    """SpaceIQ's question before the deletion."""
    return pages.page(ask, "spaceiq_delete.html", "Delete this integration?", tenant=tenant)


def delete(ask: Ask, tenant: TenantState) -> Response:
    """Yes was pressed: the outage begins."""
    spaceiq_connection.delete(tenant)
    return walking.to(ask, f"/rehearsal/{tenant.key}/spaceiq")


def ask_domain(ask: Ask, tenant: TenantState, error: str = "", typed: str = "") -> Response:
    """The dialog behind Activate, with its one field."""
    values: Json = {"tenant": tenant, "typed": typed}
    return pages.page(ask, "spaceiq_activate.html", "Activate Office365 Calendar", error=error, **values)


def activate(ask: Ask, tenant: TenantState) -> Response:
    """Activate was pressed with a domain: any is taken, as a wrong one shows only later."""
    typed = ask.form.get("domain", "").strip().lower()
    if tenant.integration.state != "available":
        return meeting_rooms(ask, tenant, "Office365 Calendar is in the Active list already; delete it first.")
    if not DOMAIN.fullmatch(typed):
        return ask_domain(ask, tenant, "Enter a domain name, such as example.com: no @, no https://.", typed)
    spaceiq_connection.activate(ask.world.activations, tenant, typed, ask.world.now())
    return walking.to(ask, f"/rehearsal/{tenant.key}/spaceiq")


PAGES: dict[tuple[str, str], Callable[[Ask, TenantState], Response]] = {
    ("GET", ""): start,
    ("POST", "reset"): reset,
    ("POST", "sync"): finish,
    ("GET", "spaceiq"): meeting_rooms,
    ("GET", "spaceiq/office365"): tile,
    ("GET", "spaceiq/delete"): ask_to_delete,
    ("POST", "spaceiq/delete"): delete,
    ("GET", "spaceiq/activate"): ask_domain,
    ("POST", "spaceiq/activate"): activate,
}
