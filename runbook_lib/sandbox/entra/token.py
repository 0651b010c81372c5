"""The token endpoint: the app's own tokens, refresh, and the way to the other grants.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.responses import Response

from runbook_lib.sandbox.entra import http, scopes, tokens
from runbook_lib.sandbox.entra.clients import basic_credentials, demand_proof, prove, refuse_proof
from runbook_lib.sandbox.entra.flows.code import authorization_code
from runbook_lib.sandbox.entra.flows.device import device_code
from runbook_lib.sandbox.entra.http import EVERYBODY, Ask, EntraError, check_enabled, find_app, find_tenant
from runbook_lib.sandbox.entra.users import Sitting, check_user, issue_for_user
from runbook_lib.sandbox.world.catalogue import GRAPH, Resource
from runbook_lib.sandbox.world.grants import granted_roles, person, service_principal
from runbook_lib.sandbox.world.sign_ins import RefreshToken
from runbook_lib.sandbox.world.state import App, Json, TenantState

REFRESH_LIFE = timedelta(days=90)


def token(ask: Ask) -> Response:
    """Answer a token request with tokens, or raise Entra's refusal."""
    if ask.method != "POST":
        message = f"The endpoint only accepts POST requests. Received a {ask.method} request."
        raise EntraError("invalid_request", 900561, message)
    if ask.duplicated:
        message = f"The request is not properly formatted. The parameter '{ask.duplicated[0]}' is duplicated."
        raise EntraError("invalid_request", 9000411, message)
    if (basic := basic_credentials(ask)) is not None:
        ask.form |= {"client_id": basic[0], "client_secret": basic[1]}
    if ask.tenant_name not in EVERYBODY:
        find_tenant(ask)
    grant = GRANTS.get(ask.need("grant_type"))
    if grant is None:
        message = f"The app requested an unsupported grant type '{ask.form['grant_type']}'."
        raise EntraError("unsupported_grant_type", 70003, message)
    if ask.path.endswith("/oauth2/token"):
        return http.answer(ask, _version_1(ask, grant))
    return http.answer(ask, grant(ask))


def _version_1(ask: Ask, grant: Callable[[Ask], Json]) -> Json:
    """The older endpoint, which scripts still use: a resource instead of scopes, and numbers as text."""
    resource = ask.need("resource")
    openid = "" if ask.form["grant_type"] == "client_credentials" else " openid profile offline_access"
    ask.form["scope"] = f"{resource}/.default{openid}"
    body = grant(ask)
    start, seconds = int(ask.world.now().timestamp()), body.pop("expires_in")
    times = {"expires_in": seconds, "ext_expires_in": seconds, "not_before": start, "expires_on": start + seconds}
    return body | {name: str(value) for name, value in times.items()} | {"resource": resource}


def client_credentials(ask: Ask) -> Json:
    """A token for the app itself: no refresh token, no scope in the answer, no roles when nothing is granted."""
    if ask.tenant_name in EVERYBODY:
        message = (
            "No tenant-identifying information found in either the request or implied by any provided credentials."
        )
        raise EntraError("invalid_request", 50059, message)
    tenant = find_tenant(ask)
    app = find_app(ask, tenant)
    prefix, resource = _application_scope(ask, tenant)
    proof = prove(ask, app, tenant)
    demand_proof(proof)
    client = _installed(tenant, app)
    seconds = tenant.modes.get("token_seconds", 3599)
    signed = tokens.access_token(
        ask.world,
        tenant,
        app,
        granted_roles(tenant, client, resource),
        audience=scopes.audience(prefix, resource),
        seconds=seconds,
        proof=proof,
    )
    return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": signed}


def _application_scope(ask: Ask, tenant: TenantState) -> tuple[str, Resource]:
    """The one `resource/.default` that an app may ask for itself."""
    text = ask.need("scope")
    asked = text.split()
    if len(asked) > 1:
        message = (
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
            f"'scope' is not valid. The scope {text} is not valid."
        )
        raise EntraError("invalid_scope", 70011, message)
    prefix, name = scopes.split(text.strip())
    if name != ".default" or not prefix:
        message = (
            f"The provided value for scope {text} is not valid. Client credential flows must have a scope value "
            "with /.default suffixed to the resource identifier (application ID URI)."
        )
        raise EntraError("invalid_scope", 1002012, message)
    return prefix, scopes.find_resource(prefix, ask.host, tenant)


def _installed(tenant: TenantState, app: App) -> Json:
    """The app's service principal; raises AADSTS7000229 without one and 7000112 for a disabled one."""
    client = service_principal(tenant, app.id)
    if client is None:
        message = (
            f"The client application {app.id} is missing service principal in the tenant {tenant.id}. See "
            "instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
        )
        raise EntraError("invalid_client", 7000229, message)
    check_enabled(app, [client])
    return client


def refresh_token(ask: Ask) -> Json:
    """New tokens for a refresh token, for the same or another resource; the old refresh token stays good, as in Entra.

    https://learn.microsoft.com/entra/identity-platform/refresh-tokens
    """
    app = find_app(ask, None)
    known = ask.world.sign_ins.refresh_tokens.get(ask.need("refresh_token"))
    if known is None or known.app_id != app.id:
        raise EntraError("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
    tenant = http.granting_tenant(ask, known.tenant_id)
    proof = prove(ask, app, tenant)
    if not app.public:
        demand_proof(proof)
    elif not app.secrets and not app.certificates:
        refuse_proof(proof)
    user = check_user(tenant, known.user_id)
    _check_refresh(ask.world.now(), tenant, known, user)
    default = "https://graph.microsoft.com/.default openid profile"
    wanted = scopes.parse(ask.form.get("scope") or default, ask.host, app, tenant)
    sitting = Sitting(tenant, app, user, wanted, proof, by_device_code=known.by_device_code, refreshed=True)
    return issue_for_user(ask, sitting)


def _check_refresh(now: datetime, tenant: TenantState, known: RefreshToken, user: Json) -> None:
    if now - known.issued > REFRESH_LIFE:
        message = (
            "The refresh token has expired due to inactivity. The token was issued on "
            f"{known.issued.isoformat()} and was inactive for {REFRESH_LIFE.days}.00:00:00."
        )
        raise EntraError("invalid_grant", 700082, message)
    valid_from = user["signInSessionsValidFromDateTime"]
    if valid_from and known.issued < datetime.fromisoformat(valid_from):
        message = (
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might "
            "have changed or reset their password."
        )
        raise EntraError("invalid_grant", 50173, message, suberror="bad_token")
    if known.by_device_code and tenant.modes.get("device_code_blocked"):
        message = (
            "Access has been blocked by Conditional Access policies. The refresh token is invalid due to "
            "authentication flow checks by Conditional Access."
        )
        raise EntraError("invalid_grant", 530036, message, suberror="bad_token")


def password(ask: Ask) -> Json:
    """Tokens for a name and password (deprecated, but MSAL still has it); not where several factors are demanded."""
    if ask.tenant_name == "common":
        message = (
            "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations "
            "or tenant-specific endpoint."
        )
        raise EntraError("invalid_request", 9001023, message)
    app = find_app(ask, None)
    name = ask.need("username")
    tenant = ask.world.tenant(name.rpartition("@")[2]) if ask.tenant_name in EVERYBODY else find_tenant(ask)
    if tenant is None:
        raise EntraError("invalid_request", 90002, f"Tenant '{name.rpartition('@')[2]}' not found.")
    proof = prove(ask, app, tenant)
    if not app.public:
        demand_proof(proof)
    found = person(tenant, name)
    user = check_user(tenant, found["id"] if found else "")
    if not hmac.compare_digest(ask.need("password").encode(), ask.world.credentials.people_password.encode()):
        raise EntraError("invalid_grant", 50126, "Error validating credentials due to invalid username or password.")
    if tenant.modes.get("mfa_required"):
        message = (
            "Due to a configuration change made by your administrator, or because you moved to a new location, you "
            f"must use multi-factor authentication to access '{GRAPH}'."
        )
        raise EntraError("invalid_grant", 50076, message, suberror="basic_action")
    wanted = scopes.parse(ask.need("scope"), ask.host, app, tenant)
    return issue_for_user(ask, Sitting(tenant, app, user, wanted, proof))


GRANTS: dict[str, Callable[[Ask], Json]] = {
    "client_credentials": client_credentials,
    "authorization_code": authorization_code,
    "refresh_token": refresh_token,
    "password": password,
    "urn:ietf:params:oauth:grant-type:device_code": device_code,
    "device_code": device_code,
}
