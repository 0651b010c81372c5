"""JSON web tokens as Entra signs them: access tokens in Microsoft Graph's format (version 1.0) and id tokens (2.0)."""

import base64
import secrets
from collections.abc import Iterable
from uuid import UUID, uuid5

import jwt
from jwt.types import Options

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import GRAPH, resource_uris
from runbook_lib.sandbox.world.grants import role_templates, service_principal
from runbook_lib.sandbox.world.state import App, Json, TenantState
from runbook_lib.sandbox.world.world import World

APP_WID = "0997a1d0-0d1d-4acb-b408-d5ca73121e90"  # carried by every app-only token
USER_WID = "b79fbf4d-3ef9-4689-8143-76b194e85509"  # carried by every user's token
ANONYMOUS = "00000000-0000-0000-0000-000000000000"
CACHED_TOKENS = 4096
UNCHECKED: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class TokenRejected(Exception):
    """A bearer token that Graph refuses; `reason` is empty, malformed, signature, expired or audience."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason and the sentence that Graph answers with."""
        super().__init__(message)
        self.reason, self.message = reason, message


def access_token(
    world: World,
    tenant: TenantState,
    app: App,
    permissions: Iterable[str],
    *,
    user: Json | None = None,
    audience: str = "https://graph.microsoft.com",
    seconds: int = 3599,
    proof: str = "1",
) -> str:
    """Sign an access token: app-only with `permissions` as roles, or for a user with them as scopes.

    `proof` is how the app proved itself: 0 not at all, 1 with a secret, 2 with a certificate.
    """
    client = service_principal(tenant, app.id)
    client_id = client["id"] if client else ANONYMOUS
    now = int(world.now().timestamp())
    issuer = f"https://sts.windows.net/{tenant.id}/"
    claims: Json = {
        "aud": audience,
        "iss": issuer,
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
        "aio": secrets.token_urlsafe(40),
        "app_displayname": app.name,
        "appid": app.id,
        "appidacr": proof,
        "tenant_region_scope": tenant.region["scope"],
        "tid": tenant.id,
        "uti": secrets.token_urlsafe(16),
        "ver": "1.0",
        "xms_tcdt": 1577836800,
    }
    names = list(permissions)
    claims |= _user_claims(tenant, app, user, names) if user else _app_claims(client_id, issuer, names)
    return _sign(world, claims)


def _app_claims(client_id: str, issuer: str, roles: list[str]) -> Json:
    claims: Json = {"idp": issuer, "idtyp": "app", "oid": client_id, "sub": client_id, "wids": [APP_WID]}
    return claims | ({"roles": roles} if roles else {})  # an app without grants gets a token without the claim


def _user_claims(tenant: TenantState, app: App, user: Json, scopes: list[str]) -> Json:
    return {
        "acct": 0 if user["userType"] == "Member" else 1,
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "family_name": user["surname"],
        "given_name": user["givenName"],
        "idtyp": "user",
        "ipaddr": "203.0.113.24",
        "name": user["displayName"],
        "oid": user["id"],
        "scp": " ".join(scopes),
        "sub": pairwise(app, user),
        "unique_name": user["userPrincipalName"],
        "upn": user["userPrincipalName"],
        "wids": [*role_templates(tenant, user["id"]), USER_WID],
    }


def pairwise(app: App, user: Json) -> str:
    """The subject of a user for one app: the same every time, different for every app."""
    halves = (uuid5(UUID(user["id"]), app.id), uuid5(UUID(app.id), user["id"]))
    return ids.joined_id(*map(str, halves))


def id_token(world: World, issuer: str, tenant: TenantState, app: App, user: Json, nonce: str | None) -> str:
    """Sign an id token (version 2.0) of a user for an app; `issuer` is the host's tenant issuer."""
    now = int(world.now().timestamp())
    claims: Json = {
        "aud": app.id,
        "iss": issuer,
        "iat": now,
        "nbf": now,
        "exp": now + 3900,
        "name": user["displayName"],
        "oid": user["id"],
        "preferred_username": user["userPrincipalName"],
        "rh": secrets.token_urlsafe(24),
        "sub": pairwise(app, user),
        "tid": tenant.id,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
    }
    if nonce is not None:
        claims["nonce"] = nonce
    return _sign(world, claims)


def client_info(tenant: TenantState, user: Json) -> str:
    """The base64url JSON that MSAL builds an account's home id from."""
    text = f'{{"uid":"{user["id"]}","utid":"{tenant.id}"}}'
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _sign(world: World, claims: Json) -> str:
    signing = world.credentials.signing
    return jwt.encode(claims, signing.key, "RS256", headers={"x5t": signing.key_id, "kid": signing.key_id})


def verify_access_token(world: World, bearer: str, resource: str = GRAPH) -> Json:
    """The claims of a token for the resource that this sandbox signed and that is still good; raises TokenRejected."""
    claims = world.verified_tokens.get(bearer)
    if claims is None:
        claims = _check_signature(world, bearer)
        if len(world.verified_tokens) >= CACHED_TOKENS:
            world.verified_tokens.clear()
        world.verified_tokens[bearer] = claims
    now = world.now().timestamp()
    if not claims["nbf"] - 300 <= now < claims["exp"] + 300:  # Graph allows five minutes of clock skew
        raise TokenRejected("expired", "Lifetime validation failed, the token is expired.")
    if resource_uris().get(claims["aud"].rstrip("/")) != resource:
        raise TokenRejected("audience", "Access token validation failure. Invalid audience.")
    return claims


def _check_signature(world: World, bearer: str) -> Json:
    if not bearer:
        raise TokenRejected("empty", "Access token is empty.")
    if bearer.count(".") != 2:
        raise TokenRejected("malformed", "IDX14100: JWT is not well formed, there are no dots (.).")
    try:
        key = world.credentials.signing.key.public_key()
        claims: Json = jwt.decode(bearer, key, algorithms=["RS256"], options=UNCHECKED)
    except jwt.InvalidSignatureError:
        raise TokenRejected("signature", "Access token validation failure. Invalid signature.") from None
    except jwt.InvalidTokenError:
        message = "CompactToken parsing failed with error code: 80049217"
        raise TokenRejected("malformed", message) from None
    if claims.get("ver") != "1.0":  # an id token is not an access token
        raise TokenRejected("audience", "Access token validation failure. Invalid audience.")
    return claims
