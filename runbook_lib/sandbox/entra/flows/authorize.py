"""The authorization endpoint: from a browser's request to a code at the app's redirect URI.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
"""

from datetime import timedelta
from uuid import uuid4

from starlette.responses import Response

from runbook_lib.sandbox.entra import http, redirects, scopes, tokens
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.flows.flow import COOKIE, Page, Visit, consent, note_sign_in, who
from runbook_lib.sandbox.entra.http import EVERYBODY, Ask, EntraError, find_app, find_tenant
from runbook_lib.sandbox.world.sign_ins import Code, Pending, opaque, remember
from runbook_lib.sandbox.world.state import App, Json, TenantState

CODE_LIFE = timedelta(minutes=10)
MODES = ("query", "fragment", "form_post")
PROMPTS = ("", "none", "login", "select_account", "consent", "create")


def authorize(ask: Ask, pending: Pending | None = None, ctx: str = "") -> Response:
    """Answer an authorization request, or go on with one that a page interrupted.

    Errors that concern the app or its redirect URI are a page; all others go back to the app.
    """
    pending = pending or Pending("authorize", ask.tenant_name, ask.path, ask.parameters)
    try:
        tenant = None if ask.tenant_name in EVERYBODY else find_tenant(ask)
        app = find_app(ask, tenant)
        _check_audience(app, tenant)
        uri = _redirect_uri(app, ask.parameters.get("redirect_uri", ""))
    except EntraError as error:
        return pages.trouble(ask, error)
    visit = Visit(ask, app, pending, ctx)
    try:
        _check_request(ask)
        return _sign_in(visit, tenant, uri)
    except Page as page:
        return page.response
    except EntraError as error:
        return _send_back(visit, uri, _error_fields(ask, error))


def _check_audience(app: App, tenant: TenantState | None) -> None:
    if tenant is None and not app.multi_tenant:
        message = (
            f"Application '{app.id}'({app.name}) is not configured as a multi-tenant application. Usage of the /common "
            "endpoint is not supported for such applications created after '10/15/2018'. Use a tenant-specific "
            "endpoint or configure the application to be multi-tenant."
        )
        raise EntraError("invalid_request", 50194, message)


def _redirect_uri(app: App, asked: str) -> str:
    """The registered URI to go back to; raises AADSTS900971 or 50011."""
    if not asked:
        raise EntraError("invalid_request", 900971, "No reply address provided.")
    if not redirects.registered(app.redirect_uris, asked):
        message = (
            f"The redirect URI '{asked}' specified in the request does not match the redirect URIs configured for the "
            f"application '{app.id}'. Make sure the redirect URI sent in the request matches one added to your "
            "application in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about "
            "how to troubleshoot this error."
        )
        raise EntraError("invalid_client", 50011, message)
    return asked


def _check_request(ask: Ask) -> None:
    """Refuse what Entra refuses before anybody signs in."""
    sent = ask.parameters
    kind = ask.need("response_type")
    if kind in ("token", "id_token", "code id_token", "id_token token"):
        code, part = (700054, "id_token") if "id_token" in kind else (700051, "token")
        raise EntraError(
            "unsupported_response_type", code, f"response_type '{part}' is not enabled for the application."
        )
    if kind != "code":
        message = "The provided value for the input parameter 'response_type' is not allowed for this client."
        raise EntraError("unsupported_response_type", 70005, f"{message} Expected value is 'code'.")
    if sent.get("response_mode", "query") not in MODES:
        raise EntraError(
            "invalid_request", 70007, f"'{sent['response_mode']}' is not a supported value of 'response_mode'."
        )
    if sent.get("prompt", "") not in PROMPTS:
        raise EntraError("invalid_request", 90023, f"Unsupported 'prompt' value '{sent['prompt']}'.")
    ask.need("scope")
    _check_challenge(sent.get("code_challenge"), sent.get("code_challenge_method", "plain"))


def _check_challenge(challenge: str | None, method: str) -> None:
    if challenge is None:
        return
    if method not in ("S256", "plain"):
        raise EntraError("invalid_request", 50149, "Invalid Code_Challenge_method parameter.")
    if not 43 <= len(challenge) <= 128:
        raise EntraError("invalid_request", 501491, "Invalid size of Code_Challenge parameter.")


def _sign_in(visit: Visit, tenant: TenantState | None, uri: str) -> Response:
    ask, app = visit.ask, visit.app
    wanted = scopes.parse(ask.parameters["scope"], ask.host, app, tenant)
    found, user = who(visit, tenant)
    consent(visit, found, user, wanted)
    note_sign_in(visit, found, user, "Browser")
    code = Code(
        tenant_id=found.id,
        app_id=app.id,
        user_id=user["id"],
        redirect_uri=uri,
        scope=ask.parameters["scope"],
        nonce=ask.parameters.get("nonce"),
        challenge=ask.parameters.get("code_challenge", ""),
        method=ask.parameters.get("code_challenge_method", "plain"),
        expires=ask.world.now() + CODE_LIFE,
    )
    fields = {"code": remember(ask.world.sign_ins.codes, opaque(), code)}
    if ask.parameters.get("client_info") == "1":
        fields["client_info"] = tokens.client_info(found, user)
    response = _send_back(visit, uri, fields | {"session_state": str(uuid4())})
    return _with_session(visit, user, response)


def _with_session(visit: Visit, user: Json, response: Response) -> Response:
    """Let the browser stay signed in, when a person chose the account there."""
    if visit.pending.account:
        key = remember(visit.ask.world.sign_ins.sessions, opaque("s."), user["userPrincipalName"].lower())
        response.set_cookie(COOKIE, key, path="/", httponly=True, samesite="lax", secure=True)
    return response


def _error_fields(ask: Ask, error: EntraError) -> dict[str, str]:
    return {
        "error": error.error,
        "error_description": http.description(ask, error),
        "error_uri": f"{ask.base}/error?code={error.code}",
    } | ({"error_subcode": "cancel"} if error.code == 65004 else {})


def _send_back(visit: Visit, uri: str, fields: dict[str, str]) -> Response:
    """Go back to the app in the response mode it asked for, with its state."""
    sent = visit.pending.parameters
    if "state" in sent:
        fields = fields | {"state": sent["state"]}
    mode = sent.get("response_mode", "query")
    if mode == "form_post":
        return pages.form_post(visit.ask, uri, fields)
    return http.redirect(visit.ask, uri, fields, fragment=mode == "fragment")


def logout(ask: Ask) -> Response:
    """End the browser's session and go to the post-logout URI, if some app has registered it."""
    uri = ask.parameters.get("post_logout_redirect_uri", "")
    known = any(redirects.registered(app.redirect_uris, uri) for app in ask.world.apps.values())
    ask.world.sign_ins.sessions.pop(ask.cookies.get(COOKIE, ""), None)
    if uri and known:
        state = {"state": ask.parameters["state"]} if "state" in ask.parameters else {}
        response = http.redirect(ask, uri, state)
    else:
        response = pages.message(ask, "You signed out of your account", "You can close this window.")
    response.delete_cookie(COOKIE, path="/")
    return response
