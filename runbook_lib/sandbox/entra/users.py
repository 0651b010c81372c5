"""Tokens for a person: may he sign in, is the app consented for what it wants, and what it then gets."""

import random
from dataclasses import dataclass

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.entra.clients import Proof
from runbook_lib.sandbox.entra.discovery import issuer
from runbook_lib.sandbox.entra.http import Ask, EntraError, check_enabled
from runbook_lib.sandbox.entra.scopes import OPENID, Wanted
from runbook_lib.sandbox.world.grants import granted_scopes, service_principal
from runbook_lib.sandbox.world.sign_ins import RefreshToken, opaque, remember
from runbook_lib.sandbox.world.state import App, Json, TenantState


def check_user(tenant: TenantState, user_id: str) -> Json:
    """The user, if he is in the tenant and may sign in; raises AADSTS50034 or 50057."""
    user = tenant.users.get(user_id)
    if user is None:
        message = (
            f"The user account {{EmailHidden}} does not exist in the {tenant.id} directory. To sign into this "
            "application, the account must be added to the directory."
        )
        raise EntraError("invalid_grant", 50034, message)
    if not user["accountEnabled"]:
        raise EntraError("invalid_grant", 50057, "The user account is disabled.")
    return user


def held_scopes(tenant: TenantState, app: App, wanted: Wanted, user_id: str) -> list[str]:
    """The delegated scopes that the app has on the resource for this user."""
    if app.preauthorized:
        return app.permissions.get(wanted.resource.app_id, {}).get("scopes", [])
    client = service_principal(tenant, app.id)
    return granted_scopes(tenant, client, wanted.resource, user_id) if client else []


def missing_scopes(tenant: TenantState, app: App, wanted: Wanted, user_id: str) -> list[str]:
    """What somebody must still consent to before the app gets what it wants.

    `.default` wants what the registration lists, but only while nothing at all is granted; the OpenID scopes come
    along with any other consent. Raises AADSTS65002 for a Microsoft app that asks beyond its pre-authorisation.
    """
    held = held_scopes(tenant, app, wanted, user_id)
    names = list(wanted.names)
    if not held:
        listed = app.permissions.get(wanted.resource.app_id, {}).get("scopes", [])
        names = (listed if wanted.default else names) or list(wanted.openid)
    missing = [name for name in names if name not in held]
    if missing and app.preauthorized:
        message = (
            f"Consent between first party application '{app.id}' and first party resource "
            f"'{wanted.resource.app_id}' must be configured via preauthorization - applications owned and operated by "
            "Microsoft must get approval from the API owner before requesting tokens for that API."
        )
        raise EntraError("invalid_grant", 65002, message)
    return missing


def refuse_missing_consent(app: App) -> EntraError:
    """The refusal of a request that nobody is there to consent to."""
    message = (
        f"The user or administrator has not consented to use the application with ID '{app.id}' named '{app.name}'. "
        "Send an interactive authorization request for this user and resource."
    )
    return EntraError("invalid_grant", 65001, message, suberror="consent_required")


@dataclass(frozen=True)
class Sitting:
    """What a grant has established: who sits before which app, what is wanted, and how the app proved itself.

    `by_device_code` marks the refresh token for Conditional Access; `refreshed` renews it whatever the scopes say.
    """

    tenant: TenantState
    app: App
    user: Json
    wanted: Wanted
    proof: Proof = "0"
    nonce: str | None = None
    by_device_code: bool = False
    refreshed: bool = False


def issue_for_user(ask: Ask, sitting: Sitting) -> Json:
    """The token answer for a user; raises AADSTS65001 without consent and 7000112 for a disabled app.

    As in Entra the access token carries every scope that is granted on the resource, not only the ones asked for.
    """
    tenant, app, user, wanted = sitting.tenant, sitting.app, sitting.user, sitting.wanted
    check_enabled(app, tenant.service_principals.values())
    if missing_scopes(tenant, app, wanted, user["id"]):
        raise refuse_missing_consent(app)
    held = held_scopes(tenant, app, wanted, user["id"])
    seconds = tenant.modes.get("token_seconds") or random.randint(3600, 5399)  # noqa: S311 - Entra varies it
    signed = tokens.access_token(
        ask.world,
        tenant,
        app,
        [name for name in held if name != "offline_access"],
        user=user,
        audience=wanted.audience,
        seconds=seconds,
        proof=sitting.proof,
    )
    body = {"token_type": "Bearer", "scope": _granted_text(wanted, held)}
    return body | {"expires_in": seconds, "ext_expires_in": seconds, "access_token": signed} | _company(ask, sitting)


def _company(ask: Ask, sitting: Sitting) -> Json:
    """What comes with the access token when it was asked for: refresh token, id token, client_info."""
    tenant, app, user, openid = sitting.tenant, sitting.app, sitting.user, sitting.wanted.openid
    body: Json = {}
    if sitting.refreshed or "offline_access" in openid:
        token = RefreshToken(tenant.id, app.id, user["id"], ask.world.now(), sitting.by_device_code)
        body["refresh_token"] = remember(ask.world.sign_ins.refresh_tokens, opaque(), token)
    if "openid" in openid:
        body["id_token"] = tokens.id_token(ask.world, issuer(ask, tenant.id), tenant, app, user, sitting.nonce)
    if ask.parameters.get("client_info") == "1":
        body["client_info"] = tokens.client_info(tenant, user)
    return body


def _granted_text(wanted: Wanted, held: list[str]) -> str:
    """The scopes of the answer, written as the client wrote them; what cannot be in a token is not listed."""
    own = [f"{wanted.prefix}{name}" for name in held if name not in OPENID]
    openid = [name for name in ("openid", "profile", "email") if name in held or name in wanted.openid]
    return " ".join([*own, *openid, *([f"{wanted.prefix}.default"] if wanted.default else [])])
