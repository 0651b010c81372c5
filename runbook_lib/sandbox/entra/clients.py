"""How an app proves itself at the token endpoint: with a secret or with an assertion signed by its certificate.

https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

import base64
import binascii
import contextlib
import hmac
from datetime import UTC, datetime
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from runbook_lib.sandbox.entra.http import Ask, EntraError
from runbook_lib.sandbox.world.keys import MICROSOFT_HOSTS
from runbook_lib.sandbox.world.state import App, Json, TenantState

Proof = Literal["0", "1", "2"]  # as the appidacr claim counts: none, secret, certificate
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
REVIEW = "Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
UNCHECKED: Options = {  # the claims are checked here, with Entra's words
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
}
SKEW = 300  # seconds
SHA1 = hashes.SHA1()  # noqa: S303 - certificates are named by it, nothing is protected


def basic_credentials(ask: Ask) -> tuple[str, str] | None:
    """Client id and secret of a Basic Authorization header, form-decoded as OAuth wants; None when there is none."""
    kind, _, value = ask.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise EntraError("invalid_client", 50027, "The Authorization header is malformed.") from None
    return unquote(name), unquote(secret)


def prove(ask: Ask, app: App, tenant: TenantState) -> Proof:
    """Check what the app shows, if it shows anything; raises AADSTS7000215, 7000222, 700027 and their like."""
    secret = ask.form.get("client_secret")
    if "client_assertion" in ask.form:
        _check_assertion(ask, app, tenant)
        return "2"
    if secret is None:
        return "0"
    _check_secret(ask, app, secret)
    return "1"


def demand_proof(proof: Proof) -> None:
    """Refuse a confidential client that showed nothing."""
    if proof == "0":
        message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise EntraError("invalid_client", 7000218, message)


def refuse_proof(proof: Proof) -> None:
    """Refuse a public client that showed a credential."""
    if proof != "0":
        message = "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
        raise EntraError("invalid_client", 700025, message)


def _check_secret(ask: Ask, app: App, secret: str) -> None:
    matching = [known for known in app.secrets if hmac.compare_digest(known.value.encode(), secret.encode())]
    if any(known.expires > ask.world.now() for known in matching):
        return
    if matching:
        message = (
            f"The provided client secret keys for app '{app.id}' are expired. Visit the Azure portal to create new "
            "keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "
            "security: https://aka.ms/certCreds."
        )
        raise EntraError("invalid_client", 7000222, message)
    message = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        f"the client secret ID, for a secret added to app '{app.id}'."
    )
    raise EntraError("invalid_client", 7000215, message)


def _check_assertion(ask: Ask, app: App, tenant: TenantState) -> None:
    if ask.form.get("client_assertion_type") != ASSERTION_TYPE:
        raise EntraError(
            "invalid_request",
            900144,
            "The request body must contain the following parameter: "
            f"'client_assertion_type' with the value '{ASSERTION_TYPE}'.",
        )
    assertion = ask.form["client_assertion"]
    try:
        header: Json = jwt.get_unverified_header(assertion)
    except jwt.InvalidTokenError:
        raise EntraError("invalid_client", 50027, "JWT token is invalid or malformed.") from None
    claims = _verified_claims(assertion, header, app)
    _check_identity(claims, app)
    _check_audience(ask, claims, tenant)
    _check_times(ask.world.now(), claims)


def _verified_claims(assertion: str, header: Json, app: App) -> Json:
    """The claims, once the signature is that of a registered certificate."""
    if header.get("alg") not in ALGORITHMS:
        message = (
            f"Invalid JWT token. '{header.get('alg')}' is not a supported signature algorithm. Supported signing "
            "algorithms are: 'RS256, RS384, RS512, PS256, PS384, PS512'."
        )
        raise EntraError("invalid_client", 5002738, message)
    certificate = _registered(header, app)
    key = cast("rsa.RSAPublicKey", certificate.public_key())  # all that keys.py makes
    try:
        claims: Json = jwt.decode(assertion, key, algorithms=[header["alg"]], options=UNCHECKED)
    except jwt.InvalidSignatureError:
        reason = "The provided signature value did not match the expected signature value."
        raise _bad_signature(reason, certificate.fingerprint(SHA1), app) from None
    except jwt.InvalidTokenError:
        raise EntraError("invalid_client", 50027, "JWT token is invalid or malformed.") from None
    return claims


def _registered(header: Json, app: App) -> x509.Certificate:
    """The registered certificate that the header points at, by SHA-1 or SHA-256 thumbprint."""
    shown = [_decoded(header[name]) for name in ("x5t#S256", "x5t", "kid") if isinstance(header.get(name), str)]
    if not shown:
        message = (
            "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified "
            "in token header."
        )
        raise EntraError("invalid_client", 5002730, message)
    for der in app.certificates:
        certificate = x509.load_der_x509_certificate(der)
        prints = [certificate.fingerprint(algorithm) for algorithm in (SHA1, hashes.SHA256())]
        if shown[0] in prints:
            return certificate
    raise _bad_signature("The key was not found.", shown[0], app)


def _decoded(text: str) -> bytes:
    """A thumbprint from base64url with or without padding, or from hexadecimal (a kid)."""
    if len(text) == 40:
        with contextlib.suppress(ValueError):  # forty letters that are no hexadecimal are base64url like any others
            return bytes.fromhex(text)
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        return text.encode()


def _bad_signature(reason: str, thumbprint: bytes, app: App) -> EntraError:
    start = "The certificate with identifier used to sign the client assertion is not registered on application."
    if "signature value" in reason:
        start = "Client assertion contains an invalid signature."
    message = (
        f"{start} [Reason - {reason}, Thumbprint of key used by client: '{thumbprint.hex().upper()}', Please visit the "
        "Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id "
        f"'{app.id}'. {REVIEW}]"
    )
    return EntraError("invalid_client", 700027, message)


def _check_identity(claims: Json, app: App) -> None:
    if claims.get("iss") != claims.get("sub"):
        raise EntraError("invalid_client", 50048, "Subject must match Issuer claim in the client assertion.")
    if str(claims.get("iss")).lower() != app.id:
        message = f"Client assertion application identifier doesn't match 'client_id' parameter. {REVIEW}"
        raise EntraError("invalid_client", 700021, message)


def _check_audience(ask: Ask, claims: Json, tenant: TenantState) -> None:
    """The audience is this tenant's token endpoint, or the tenant's issuer, at this host or one of Microsoft's."""
    audience = claims.get("aud")
    for text in audience if isinstance(audience, list) else [audience]:
        address = urlsplit(str(text).lower())
        name, _, rest = address.path.strip("/").partition("/")
        ours = address.netloc == ask.host.lower() or address.netloc in MICROSOFT_HOSTS
        same = name in (ask.tenant_name.lower(), tenant.id, *tenant.domains)
        if address.scheme == "https" and ours and same and rest in ("oauth2/v2.0/token", "oauth2/token", "v2.0", ""):
            return
    raise EntraError("invalid_client", 700023, f"Client assertion audience claim does not match Realm issuer. {REVIEW}")


def _check_times(now: datetime, claims: Json) -> None:
    start, end = claims.get("nbf", 0), claims.get("exp")
    if not isinstance(end, int | float) or not isinstance(start, int | float):
        raise EntraError("invalid_client", 50027, "JWT token is invalid or malformed. The exp claim is required.")
    if start - SKEW <= now.timestamp() <= end + SKEW:
        return
    message = (
        f"Client assertion is not within its valid time range. Current time: {_precise(now)}, assertion valid from "
        f"{_precise(datetime.fromtimestamp(start, UTC))}, expiry time of assertion "
        f"{_precise(datetime.fromtimestamp(end, UTC))}. {REVIEW}"
    )
    raise EntraError("invalid_client", 700024, message)


def _precise(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
