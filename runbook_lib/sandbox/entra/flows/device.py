"""Device codes: an app shows a code, a person enters it in a browser, the app's next poll gets tokens.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
"""

import json
import secrets
from dataclasses import replace
from datetime import timedelta

from starlette.responses import Response

from runbook_lib.sandbox.entra import http, scopes
from runbook_lib.sandbox.entra.clients import demand_proof, prove
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.flows.flow import Page, Visit, consent, note_sign_in, who
from runbook_lib.sandbox.entra.http import EVERYBODY, Ask, EntraError, find_app, find_tenant, granting_tenant
from runbook_lib.sandbox.entra.users import Sitting, check_user, issue_for_user
from runbook_lib.sandbox.world.sign_ins import DeviceCode, Pending, opaque, remember
from runbook_lib.sandbox.world.state import Json, TenantState
from runbook_lib.sandbox.world.world import World

LIFE = timedelta(minutes=15)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that looks like something else


def start(ask: Ask) -> Response:
    """Hand out a device code and a user code; expires in 900 s, polled every 5 s."""
    tenant = None if ask.tenant_name in EVERYBODY else find_tenant(ask)
    app = find_app(ask, tenant)
    scope = ask.need("scope")
    scopes.parse(scope, ask.host, app, tenant)
    user_code = "".join(secrets.choice(LETTERS) for _ in range(9))
    device = DeviceCode(ask.tenant_name, app.id, scope, ask.world.now() + LIFE, user_code)
    key = remember(ask.world.sign_ins.devices, opaque(), device)
    remember(ask.world.sign_ins.user_codes, user_code, key)
    page = f"{ask.base}/devicelogin"
    body: Json = {
        "user_code": user_code,
        "device_code": key,
        "verification_uri": page,
        "expires_in": int(LIFE.total_seconds()),
        "interval": 5,
        "message": f"To sign in, use a web browser to open the page {page} and enter the code {user_code} "
        "to authenticate.",
    }
    return http.answer(ask, body)


def enter(ask: Ask) -> Response:
    """The page where a person types the code, and what follows it."""
    code = ask.parameters.get("otc", "").replace("-", "").replace(" ", "").upper()
    if ask.method != "POST":
        return pages.enter_code(ask, code)
    device = find_device(ask.world, code)
    if device is None or device.answer != "pending" or ask.world.now() >= device.expires:
        return pages.enter_code(ask, code, "That code didn't work. Check the code and try again.")
    return resume(*_visit(ask, device))


def find_device(world: World, user_code: str) -> DeviceCode | None:
    """The device code behind a user code."""
    return world.sign_ins.devices.get(world.sign_ins.user_codes.get(user_code, ""))


def _visit(ask: Ask, device: DeviceCode) -> tuple[Ask, Pending]:
    sent = {"client_id": device.app_id, "scope": device.scope, "otc": device.user_code}
    asked = replace(ask, query=sent, form={}, tenant_name=device.tenant_name)
    return asked, Pending("device", device.tenant_name, ask.path, sent)


def resume(ask: Ask, pending: Pending, ctx: str = "") -> Response:
    """Go on with a person who entered a code: account, consent, done."""
    device = find_device(ask.world, pending.parameters["otc"])
    if device is None or device.answer != "pending":
        return pages.message(ask, "This code was used already", "Start again in the app.", 400)
    try:
        tenant = None if ask.tenant_name in EVERYBODY else find_tenant(ask)
        visit = Visit(ask, find_app(ask, tenant), pending, ctx)
        found, user = who(visit, tenant)
        if found.modes.get("device_code_blocked"):
            raise blocked(found)
        consent(visit, found, user, scopes.parse(device.scope, ask.host, visit.app, found))
    except Page as page:
        return page.response
    except EntraError as error:
        device.answer = "declined"
        device.refusal = _as_token_error(error)
        return pages.trouble(ask, error)
    device.answer, device.tenant_id, device.user_id = "approved", found.id, user["id"]
    note_sign_in(visit, found, user, "Mobile Apps and Desktop clients")
    text = f"You have signed in to the {visit.app.name} application on your device. You may now close this window."
    return pages.message(ask, visit.app.name, text)


def _as_token_error(error: EntraError) -> EntraError:
    """What the polling app hears of a refusal that a person met in the browser."""
    if error.error == "access_denied":
        return EntraError("authorization_declined", error.code, error.message)
    return error


def blocked(tenant: TenantState) -> EntraError:
    """Conditional Access forbids this flow: AADSTS53003, with the policies in the claims."""
    policies = [row["id"] for row in tenant.policies["conditionalAccessPolicies"]]
    claims = json.dumps({"access_token": {"capolids": {"essential": True, "values": policies}}}, separators=(",", ":"))
    message = "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
    return EntraError("invalid_grant", 53003, message, suberror="message_only", claims=claims)


def device_code(ask: Ask) -> Json:
    """Tokens for a device code, once; raises what polling apps know: authorization_pending and its like."""
    app = find_app(ask, None)
    device = ask.world.sign_ins.devices.get(ask.parameters.get("device_code") or ask.need("code"))
    if device is None or device.app_id != app.id:
        message = "The provided value for the input parameter 'device_code' is not valid."
        raise EntraError("bad_verification_code", 7000014, message)
    if not app.public:
        tenant = ask.world.tenant(device.tenant_name)
        demand_proof(prove(ask, app, tenant) if tenant else "0")
    _check_answer(ask, device)
    tenant = granting_tenant(ask, device.tenant_id)
    device.answer = "redeemed"
    wanted = scopes.parse(device.scope, ask.host, app, tenant)
    user = check_user(tenant, device.user_id)
    return issue_for_user(ask, Sitting(tenant, app, user, wanted, by_device_code=True))


def _check_answer(ask: Ask, device: DeviceCode) -> None:
    """Let an approved code through; in automatic mode the second poll finds the code answered."""
    if device.answer == "redeemed":
        message = "OAuth2 Authorization code was already redeemed, please retry with a new valid code."
        raise EntraError("invalid_grant", 54005, message)
    if ask.world.now() >= device.expires:
        message = "The provided value for the input parameter 'device_code' is not valid. This device code has expired."
        raise EntraError("expired_token", 70020, message)
    if device.refusal is not None:
        raise device.refusal
    if device.answer == "approved":
        return None
    if device.polled and ask.world.approval.auto:
        resume(*_visit(ask, device))
        return _check_answer(ask, device)
    device.polled = True
    message = "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
    raise EntraError("authorization_pending", 70016, message)
