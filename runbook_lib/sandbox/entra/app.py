"""Entra's front door: which function answers which path, and how a refusal reaches a program or a person."""

from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.entra import discovery, http, tokens
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.flows.admin_consent import admin_consent
from runbook_lib.sandbox.entra.flows.authorize import authorize, logout
from runbook_lib.sandbox.entra.flows.device import enter, resume, start
from runbook_lib.sandbox.entra.http import Ask, EntraError
from runbook_lib.sandbox.entra.token import token
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.sign_ins import Pending
from runbook_lib.sandbox.world.world import World

Handler = Callable[[Ask], Response]


async def endpoint(request: Request) -> Response:
    """Answer any request to a sign-in path; faults that were ordered for the token endpoint hit it first."""
    world: World = request.state.world
    ask = await http.read(request, world)
    rest = ask.path.partition("/")[2].partition("/")[2].lower()
    handler = PAGES.get(ask.path) or PATHS.get(rest)
    if handler is None and rest.startswith("userrealm/"):
        handler = discovery.user_realm
    if handler is None:
        return pages.message(ask, "Not found", f"No part of sign-in answers {ask.path}.", 404)
    try:
        if handler is token:
            await faults.strike(faults.draw(world, "token", ask.tenant_name, ask.path), request)
        return handler(ask)
    except GraphError as fault:
        return _fault(ask, fault)
    except EntraError as error:
        return http.refusal(ask, error)


def _fault(ask: Ask, fault: GraphError) -> Response:
    """An ordered fault in Entra's words."""
    code = 90055 if fault.status == 429 else 90033
    error = EntraError("temporarily_unavailable", code, "There are too many incoming requests. Try again later.")
    response = http.answer(ask, http.error_body(ask, error), fault.status)
    response.headers.update(fault.headers)
    return response


def device_login(ask: Ask) -> Response:
    """The short address that apps print."""
    code = f"?otc={ask.query['otc']}" if ask.query.get("otc", "").isalnum() else ""
    return RedirectResponse(f"/common/oauth2/deviceauth{code}", 302, http.common_headers(ask))


def explain(ask: Ask) -> Response:
    """The page behind error_uri."""
    code = ask.query.get("code", "")
    return pages.message(ask, f"AADSTS{code}", "Look the code up at https://login.microsoftonline.com/error")


def user_info(ask: Ask) -> Response:
    """Who a token is about, as OpenID Connect asks it of Graph's host."""
    scheme, _, bearer = ask.headers.get("authorization", "").partition(" ")
    try:
        claims = tokens.verify_access_token(ask.world, bearer if scheme.lower() == "bearer" else "")
    except tokens.TokenRejected as rejected:
        return http.answer(ask, {"error": "invalid_token", "error_description": rejected.message}, 401)
    if "scp" not in claims:
        return http.answer(ask, {"error": "insufficient_scope", "error_description": "No user in the token."}, 403)
    names = ("sub", "name", "family_name", "given_name")
    return http.answer(ask, {name: claims[name] for name in names} | {"email": claims["upn"]})


def chosen(ask: Ask) -> Response:
    """A person chose an account, wants another one, or went away."""
    pending = ask.world.sign_ins.pending.get(ask.form.get("ctx", ""))
    if pending is None:
        return _lost(ask)
    again = {"prompt": "select_account"} if "again" in ask.form else {}  # else the browser's session would answer
    pending.account = "" if again else ask.form.get("account", pending.account).strip().lower()
    pending.parameters = pending.parameters | again
    pending.answer = "cancel" if "cancel" in ask.form else ""
    return _resume(ask, pending)


def consented(ask: Ask) -> Response:
    """A person pressed Accept or Cancel."""
    pending = ask.world.sign_ins.pending.get(ask.form.get("ctx", ""))
    if pending is None or not pending.account:
        return _lost(ask)
    pending.answer = "accept" if ask.form.get("answer") == "accept" else "cancel"
    pending.on_behalf = "on_behalf" in ask.form
    return _resume(ask, pending)


def _lost(ask: Ask) -> Response:
    error = EntraError("invalid_request", 165000, "The request has expired or was answered already. Start again.")
    return pages.trouble(ask, error)


KINDS: dict[str, Callable[[Ask, Pending, str], Response]] = {
    "authorize": authorize,
    "device": resume,
    "adminconsent": admin_consent,
}


def _resume(ask: Ask, pending: Pending) -> Response:
    """Run the interrupted request again, with what the person has said since."""
    asked = replace(ask, path=pending.path, tenant_name=pending.tenant_name, query=pending.parameters, form={})
    return KINDS[pending.kind](asked, pending, ask.form["ctx"])


PAGES: dict[str, Handler] = {"/devicelogin": device_login, "/error": explain, "/oidc/userinfo": user_info}
PATHS: dict[str, Handler] = {
    "v2.0/.well-known/openid-configuration": discovery.openid_configuration,
    ".well-known/openid-configuration": discovery.openid_configuration,
    "discovery/instance": discovery.instance_discovery,
    "discovery/v2.0/keys": discovery.signing_keys,
    "discovery/keys": discovery.signing_keys,
    "oauth2/v2.0/authorize": authorize,
    "oauth2/v2.0/devicecode": start,
    "oauth2/v2.0/token": token,
    "oauth2/token": token,
    "oauth2/v2.0/logout": logout,
    "oauth2/deviceauth": enter,
    "adminconsent": admin_consent,
    "v2.0/adminconsent": admin_consent,
    "login": chosen,
    "consent/set": consented,
}
