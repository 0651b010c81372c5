"""Authorization codes: redeemed once, by the client, redirect URI and tenant they were made for, with the verifier.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
"""

import base64
import hashlib
import hmac

from runbook_lib.sandbox.entra import redirects, scopes
from runbook_lib.sandbox.entra.clients import Proof, demand_proof, prove, refuse_proof
from runbook_lib.sandbox.entra.http import Ask, EntraError, find_app, granting_tenant
from runbook_lib.sandbox.entra.users import Sitting, check_user, issue_for_user
from runbook_lib.sandbox.world.sign_ins import Code
from runbook_lib.sandbox.world.state import App, Json


def authorization_code(ask: Ask) -> Json:
    """Tokens for a code; raises AADSTS9002313, 54005, 70008, 500112, 50148, 501481 and the client's refusals."""
    app = find_app(ask, None)
    code = ask.world.sign_ins.codes.get(ask.need("code"))
    if code is None:
        raise EntraError("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
    tenant = granting_tenant(ask, code.tenant_id)
    proof = prove(ask, app, tenant)
    _check_code(ask, app, code)
    _check_platform(app, code.redirect_uri, proof)
    _check_verifier(code, ask.form.get("code_verifier", ""))
    code.redeemed = True
    wanted = scopes.parse(ask.form.get("scope") or code.scope, ask.host, app, tenant)
    user = check_user(tenant, code.user_id)
    return issue_for_user(ask, Sitting(tenant, app, user, wanted, proof, nonce=code.nonce))


def _check_code(ask: Ask, app: App, code: Code) -> None:
    if code.app_id != app.id:
        raise EntraError("invalid_grant", 70000, "Provided grant is invalid or malformed.")
    if code.redeemed:
        message = (
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
            "refresh token."
        )
        raise EntraError("invalid_grant", 54005, message)
    if ask.world.now() >= code.expires:
        message = (
            "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "
            "authorization request for this user and resource."
        )
        raise EntraError("invalid_grant", 70008, message)
    if ask.need("redirect_uri") != code.redirect_uri:
        message = (
            f"The reply address '{ask.form['redirect_uri']}' does not match the reply address '{code.redirect_uri}' "
            "provided when requesting Authorization code."
        )
        raise EntraError("invalid_client", 500112, message)


def _check_platform(app: App, redirect_uri: str, proof: Proof) -> None:
    """A native redirect takes no credential, a web redirect needs one; a URI registered as both takes either."""
    if not redirects.registered(app.web_uris, redirect_uri):
        refuse_proof(proof)
    elif not redirects.registered(app.native_uris, redirect_uri):
        demand_proof(proof)


def _check_verifier(code: Code, verifier: str) -> None:
    """The proof of key exchange (RFC 7636), wherever the authorization request carried a challenge."""
    if not code.challenge:
        return
    if not verifier:
        message = "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE."
        raise EntraError("invalid_grant", 50148, message)
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    shown = digest if code.method == "S256" else verifier
    if not hmac.compare_digest(shown.encode(), code.challenge.encode()):
        message = "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        raise EntraError("invalid_grant", 501481, message)
