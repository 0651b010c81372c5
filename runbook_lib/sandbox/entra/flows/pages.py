"""The pages that people see: account picker, consent, approval needed, device code, messages. Everything is escaped."""

import secrets
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.http import Ask, EntraError
from runbook_lib.sandbox.world.catalogue import Resource
from runbook_lib.sandbox.world.grants import people, role_names
from runbook_lib.sandbox.world.state import App, Json, TenantState

Permission = dict[str, str]


@cache
def _templates() -> Environment:
    folder = Path(__file__).parent / "pages"
    return Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)


def page(ask: Ask, name: str, title: str, *, status: int = 200, error: str = "", **values: Any) -> Response:
    """A page from its template in pages/; the values are escaped there."""
    text = _templates().get_template(name).render(title=title, error=error, **values)
    return http.html(ask, text, status)


def pick_account(ask: Ask, app: App, ctx: str, tenant: TenantState | None, hint: str, error: str = "") -> Response:
    """The accounts of a tenant, or of all scenarios' tenants, and a box for any other.

    A person in a browser that knows nobody has only the box.
    """
    world = ask.world
    everybody = [] if ask.walking else [key for key in world.scenarios if not key.startswith("gen-")]
    keys = [tenant.key] if tenant else everybody
    tenants = [found for key in keys if (found := world.tenant(key))]
    groups = [(one.name, [_account(one, user) for user in people(one)]) for one in tenants]
    return page(
        ask,
        "pick.html",
        "Pick an account" if keys else "Sign in",
        error=error,
        app_name=app.name,
        ctx=ctx,
        groups=groups,
        hint=hint,
        tenant_name=ask.tenant_name,
    )


def _account(tenant: TenantState, user: Json) -> dict[str, str]:
    roles = ", ".join(role_names(tenant, user["id"]))
    return {"upn": user["userPrincipalName"], "name": user["displayName"], "roles": roles}


def permissions(resource: Resource, scopes: list[str], roles: list[str]) -> list[Permission]:
    """What a consent page lists: delegated scopes, then application roles, with their titles."""
    scope_titles = {row["value"]: row["adminConsentDisplayName"] for row in resource.permission_scopes}
    role_titles = {row["value"]: row["displayName"] for row in resource.app_roles}
    delegated = [{"name": name, "title": scope_titles[name], "kind": "delegated"} for name in scopes]
    return delegated + [{"name": name, "title": role_titles[name], "kind": "application"} for name in roles]


def consent(
    ask: Ask,
    app: App,
    ctx: str,
    tenant: TenantState,
    user: Json,
    asked: list[Permission],
    *,
    offer_all: bool = False,
    for_all: bool = False,
) -> Response:
    """The permissions requested page; `offer_all` lets an admin consent for everybody, `for_all` says that he does."""
    return page(
        ask,
        "consent.html",
        "Permissions requested",
        app_name=app.name,
        publisher="Microsoft" if app.first_party else "" if app.home == tenant.id else "unverified",
        upn=user["userPrincipalName"],
        permissions=asked,
        ctx=ctx,
        offer_all=offer_all,
        for_all=for_all,
        tenant=tenant.name,
        tenant_name=ask.tenant_name,
    )


def approval_needed(ask: Ask, app: App, ctx: str, user: Json, code: int) -> Response:
    """The page for a person who may not grant what the app wants."""
    return page(
        ask,
        "approval.html",
        "Need admin approval",
        app_name=app.name,
        ctx=ctx,
        upn=user["userPrincipalName"],
        code=code,
        tenant_name=ask.tenant_name,
    )


def enter_code(ask: Ask, code: str = "", error: str = "") -> Response:
    """The page that asks for the code an app shows."""
    return page(ask, "device.html", "Enter code to allow access", code=code, error=error)


def message(ask: Ask, title: str, text: str, status: int = 200) -> Response:
    """A page with one thing to say."""
    return page(ask, "message.html", title, text=text, details=[], status=status)


def trouble(ask: Ask, error: EntraError) -> Response:
    """The page of a request that cannot go back to its app."""
    details = [
        ("Request Id", ask.trace_id),
        ("Correlation Id", ask.correlation_id),
        ("Timestamp", http.entra_time(ask.world.now())),
    ]
    title = "Sorry, but we're having trouble signing you in."
    return page(ask, "message.html", title, text=str(error), details=details, status=400)


def form_post(ask: Ask, uri: str, fields: dict[str, str]) -> Response:
    """A page that posts its fields to the app at once, or at a click where scripts are off."""
    nonce = secrets.token_urlsafe(16)
    text = _templates().get_template("form_post.html").render(uri=uri, fields=fields, nonce=nonce)
    return http.html(ask, text, script_nonce=nonce)
