"""Admin consent: an administrator grants an app what it asks for, for the whole tenant, on one page.

https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
"""

from starlette.responses import Response

from runbook_lib.sandbox.entra import http, redirects, scopes
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.flows.flow import Page, Visit, who
from runbook_lib.sandbox.entra.http import EVERYBODY, Ask, EntraError, find_app, find_tenant
from runbook_lib.sandbox.world.catalogue import resources
from runbook_lib.sandbox.world.consent import record_consent
from runbook_lib.sandbox.world.grants import may_consent_for_all
from runbook_lib.sandbox.world.sign_ins import Pending
from runbook_lib.sandbox.world.state import App, Json, TenantState

Wanted = dict[str, dict[str, list[str]]]


def admin_consent(ask: Ask, pending: Pending | None = None, ctx: str = "") -> Response:
    """Answer /adminconsent and /v2.0/adminconsent; the redirect says admin_consent=True even when it failed."""
    pending = pending or Pending("adminconsent", ask.tenant_name, ask.path, ask.parameters)
    try:
        tenant = None if ask.tenant_name in EVERYBODY else find_tenant(ask)
        app = find_app(ask, tenant)
        uri = _redirect_uri(ask, app)
    except EntraError as error:
        return pages.trouble(ask, error)
    state = {"state": ask.parameters["state"]} if "state" in ask.parameters else {}
    try:
        found, wanted = _consent(Visit(ask, app, pending, ctx), tenant)
    except Page as page:
        return page.response
    except EntraError as error:
        fields = _failure(ask, error)
    else:
        fields = {"admin_consent": "True", "tenant": found.id}
        if _version_2(ask):
            fields["scope"] = _scope_text(ask, wanted)
    return http.redirect(ask, uri, fields | state)


def _version_2(ask: Ask) -> bool:
    return "/v2.0/" in ask.path


def _redirect_uri(ask: Ask, app: App) -> str:
    """Where to go back to: demanded by version 2.0, by default the first registered one in version 1."""
    asked = ask.need("redirect_uri") if _version_2(ask) else ask.parameters.get("redirect_uri", "")
    uri = asked or next(iter(app.redirect_uris), "")
    if not redirects.registered(app.redirect_uris, uri):
        message = (
            f"The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the "
            f"application '{app.id}'."
        )
        raise EntraError("invalid_client", 50011, message)
    return uri


def _consent(visit: Visit, tenant: TenantState | None) -> tuple[TenantState, Wanted]:
    """Ask who and whether, then grant; raises Page to ask, EntraError when refused."""
    wanted = _wanted(visit.ask, visit.app, tenant)
    found, user = who(visit, tenant)
    roles = any(kinds.get("roles") for kinds in wanted.values())
    if not may_consent_for_all(found, user["id"], "application" if roles else "delegated"):
        if not visit.auto and visit.pending.answer != "cancel":
            page = pages.approval_needed(visit.ask, visit.app, visit.keep(), user, 90094)
            raise Page(page)
        message = f"{visit.app.name} needs permission that only an admin can grant."
        raise EntraError("access_denied", 90094, message)
    answer = visit.ask.world.approval.answer if visit.auto else visit.pending.answer
    if not answer:
        raise Page(_page(visit, found, user, wanted))
    if answer != "accept":
        raise EntraError("access_denied", 65004, "User declined to consent to access the app.")
    record_consent(found, visit.app, wanted, when=visit.ask.world.now(), user=user)
    return found, wanted


def _wanted(ask: Ask, app: App, tenant: TenantState | None) -> Wanted:
    """What is asked: everything that the registration lists, or the delegated scopes that version 2.0 names."""
    listed = {
        resource: {kind: list(names) for kind, names in kinds.items()} for resource, kinds in app.permissions.items()
    }
    if not _version_2(ask):
        return listed
    asked = scopes.parse(ask.need("scope"), ask.host, app, tenant)
    resource = asked.resource.app_id
    if asked.default:
        return {resource: listed.get(resource, {"scopes": [], "roles": []})}
    return {resource: {"scopes": [*asked.openid, *asked.names]}}


def _page(visit: Visit, tenant: TenantState, user: Json, wanted: Wanted) -> Response:
    rows = [
        row
        for resource, kinds in wanted.items()
        for row in pages.permissions(resources()[resource], kinds.get("scopes", []), kinds.get("roles", []))
    ]
    return pages.consent(visit.ask, visit.app, visit.keep(), tenant, user, rows, for_all=True)


def _scope_text(ask: Ask, wanted: Wanted) -> str:
    """The scopes of the answer, written in full."""
    asked = ask.parameters["scope"].split()
    if any(scope.endswith("/.default") for scope in asked):
        return " ".join(asked)
    return " ".join(f"https://graph.microsoft.com/{name}" for kinds in wanted.values() for name in kinds["scopes"])


def _failure(ask: Ask, error: EntraError) -> dict[str, str]:
    """The redirect's fields of a refusal; version 1 calls a cancel permission_denied."""
    if not _version_2(ask) and error.code == 65004:
        return {"error": "permission_denied", "error_description": "The admin canceled the request"}
    return {
        "error": error.error,
        "error_description": http.description(ask, error),
        "error_uri": f"{ask.base}/error?code={error.code}",
        "admin_consent": "True",
    }
