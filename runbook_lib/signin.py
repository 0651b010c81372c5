"""The one home of msal: sign the runbook in to one tenant, and prove that it is that tenant."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

import msal

from runbook_lib import certificate, integration
from runbook_lib.errors import SignInError, WrongTenant
from runbook_lib.model import Json, Tenant
from runbook_lib.throttle import utc_now

PATIENCE = 300
"""Seconds that a person has for the sign-in page in the browser."""
SKEW = 300
"""Seconds that this machine's clock may differ from Microsoft's."""
ERROR_PAGE = "https://login.microsoftonline.com/error?code="


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the runbook is, an `application` or a `person`; `permissions` are what its token names, if readable."""

    kind: str
    account: str
    object_id: str
    tenant_id: str
    client_id: str
    method: str
    permissions: frozenset[str]


class Credential:
    """Who is signed in, and the access token that proves it, which lives in memory only."""

    def __init__(self, identity: Identity, acquire: Callable[[bool], str]) -> None:
        """Keep the identity and the way to a token."""
        self.identity = identity
        self._acquire = acquire
        self._lock = Lock()

    def token(self, *, fresh: bool = False) -> str:
        """Return an access token good for some minutes; `fresh` asks Entra even if one is at hand.

        Raises SignInError, WrongTenant or Unreachable when a new one cannot be had.
        """
        with self._lock:
            return self._acquire(fresh)

    def __repr__(self) -> str:
        """Return who it is, never the token."""
        return f"Credential({self.identity.account}, {self.identity.kind}, {self.identity.method})"


def sign_in(
    tenant: Tenant,
    calls: Iterable[str],
    http: object,
    *,
    attended: bool,
    show: Callable[[str], None],
    clock: Callable[[], datetime] = utc_now,
) -> Credential:
    """Sign in with the least permissions for `calls`, by the tenant file's method; `show` tells a person what to do.

    Raises SignInError, WrongTenant, CertificateError or Unreachable. No token is ever written to disk.
    """
    method = tenant.sign_in.method
    application = method == "certificate"
    if not (application or attended):
        raise SignInError(
            f"Nobody is here to sign in by {method}.",
            "For runs without a person set sign_in.method to certificate in the tenant file.",
        )
    # Every sign-in proves its tenant through the organization, whatever else it is for.
    needed = integration.scopes({*calls, "organization"}, app_only=application)
    graph = tenant.cloud.graph
    scopes = [f"{graph}/.default"] if application else sorted(f"{graph}/{name}" for name in needed)
    with _in_words(tenant):
        app = _application(tenant, http, clock)
        first = _SIGN_INS[method](app, scopes, show)
    token = _token(first, tenant)
    if not application:
        _check_person(first, app.get_accounts(), tenant, clock())

    def acquire(fresh: bool) -> str:
        with _in_words(tenant):
            result = _again(app, scopes, fresh)
        return _token(result, tenant)

    return Credential(_identity(first, token, tenant), acquire)


def _application(tenant: Tenant, http: object, clock: Callable[[], datetime]) -> Any:
    cloud, settings = tenant.cloud, tenant.sign_in
    options: Json = {
        "authority": f"{cloud.login}/{tenant.tenant_id}",
        "http_client": http,
        # Our own list of clouds, or the tenant file, vouches for the host; msal would ask the public cloud about it.
        "instance_discovery": False,
    }
    if settings.method != "certificate":
        return msal.PublicClientApplication(settings.client_id, **options)
    key, public = certificate.read(settings.certificate, os.environ.get(certificate.PASSWORD, ""), clock())
    credential = {"private_key": key, "public_certificate": public}
    return msal.ConfidentialClientApplication(settings.client_id, client_credential=credential, **options)


def _by_certificate(app: Any, scopes: list[str], _show: Callable[[str], None]) -> Json:
    return dict(app.acquire_token_for_client(scopes))


def _by_browser(app: Any, scopes: list[str], show: Callable[[str], None]) -> Json:
    def open_by_hand(address: str) -> None:
        show(f"No browser could be opened from here. Open this address on this machine: {address}")

    show(f"A browser window opens: sign in there within {PATIENCE // 60} minutes.")
    timing = {"timeout": PATIENCE, "auth_uri_callback": open_by_hand}
    return dict(app.acquire_token_interactive(scopes, prompt="select_account", **timing))


def _by_device_code(app: Any, scopes: list[str], show: Callable[[str], None]) -> Json:
    flow: Json = app.initiate_device_flow(scopes)
    if "user_code" not in flow:
        return flow
    minutes = flow["expires_in"] // 60
    show(f"Open {flow['verification_uri']} in a private window and enter {flow['user_code']} within {minutes} minutes.")
    return dict(app.acquire_token_by_device_flow(flow))


_SIGN_INS = {"certificate": _by_certificate, "browser": _by_browser, "device-code": _by_device_code}


def _again(app: Any, scopes: list[str], fresh: bool) -> Json:
    if isinstance(app, msal.ConfidentialClientApplication):
        if fresh:  # this grant has no force_refresh: without its cached token it has to ask
            app.remove_tokens_for_client()
        return dict(app.acquire_token_for_client(scopes))
    account = app.get_accounts()[0]
    result: Json | None = app.acquire_token_silent_with_error(scopes, account, force_refresh=fresh)
    return result or {"error": "interaction_required"}


@contextmanager
def _in_words(tenant: Tenant) -> Iterator[None]:
    """Turn what msal raises into words; what the network raises is in words already."""
    try:
        yield
    except (ValueError, KeyError, RuntimeError, msal.exceptions.MsalError) as error:
        raise _refused(f"{error} {error.__context__ or ''}", tenant) from error


def _refused(text: str, tenant: Tenant, name: str = "") -> SignInError:
    """Return Entra's refusal in the administrator's words: hints from data, no decision rests on a code."""
    hints = integration.facts()["sign_in_errors"]
    found = re.search(r"AADSTS(\d+)", text)
    code = int(found[1]) if found else 0
    hint = hints.get(code) or hints.get(name) or {"cause": re.split(r"\r?\n| Trace ID", text)[0], "remedy": ""}
    correlation = re.search(r"Correlation ID: ([0-9a-fA-F-]{36})", text)
    marks = [f"AADSTS{code}" if code else name, f"correlation id {correlation[1]}" if correlation else ""]
    marked = ", ".join(mark for mark in marks if mark)
    message = f"Microsoft Entra did not sign the runbook in to {tenant.name}: {hint['cause']}"
    link = f"{ERROR_PAGE}{code}" if code else ""
    return SignInError(f"{message} ({marked})" if marked else message, hint["remedy"], link)


def _token(result: Json, tenant: Tenant) -> str:
    """Return the access token of msal's answer; raises SignInError without one, WrongTenant for another tenant's.

    Microsoft may make access tokens unreadable any day; only one that can be read can be caught.
    """
    if "access_token" not in result:
        raise _refused(result.get("error_description", ""), tenant, result.get("error", ""))
    token: str = result["access_token"]
    issued_by = _claims(token).get("tid", tenant.tenant_id)
    if issued_by != tenant.tenant_id:
        raise _wrong_tenant("The access token", issued_by, tenant)
    return token


def _check_person(first: Json, accounts: list[Json], tenant: Tenant, now: datetime) -> None:
    """Check what msal does not: for whom the id_token is, until when, of which tenant, and where the account lives."""
    claims = first.get("id_token_claims") or {}
    if claims.get("aud") != tenant.sign_in.client_id or not accounts:
        raise SignInError("The sign-in brought no proof of who signed in to this app.", "Sign in again.")
    if claims.get("exp", 0) < now.timestamp() - SKEW:
        raise SignInError("The proof of who signed in has expired.", "Set this machine's clock, then sign in again.")
    who = claims.get("preferred_username", "The account")
    if claims.get("tid") != tenant.tenant_id:
        raise _wrong_tenant(who, claims.get("tid"), tenant)
    home = accounts[0]["home_account_id"].partition(".")[2]
    if home not in ("", tenant.tenant_id):
        raise _wrong_tenant(f"{who} is a guest here; the account", home, tenant)


def _wrong_tenant(what: str, other: object, tenant: Tenant) -> WrongTenant:
    return WrongTenant(
        f"{what} belongs to the tenant {other}, but the tenant file is about {tenant.name} ({tenant.tenant_id}).",
        f"Sign in with an account of {tenant.domain}, in a private window; or correct the tenant file.",
    )


def _identity(first: Json, token: str, tenant: Tenant) -> Identity:
    claims, person, settings = _claims(token), first.get("id_token_claims") or {}, tenant.sign_in
    application = settings.method == "certificate"
    proof, name = (claims, "app_displayname") if application else (person, "preferred_username")
    granted = claims.get("roles", []) if application else (claims.get("scp") or first.get("scope", "")).split()
    return Identity(
        kind="application" if application else "person",
        account=proof.get(name, settings.client_id),
        object_id=proof.get("oid", ""),
        tenant_id=tenant.tenant_id,
        client_id=settings.client_id,
        method=settings.method,
        permissions=frozenset(one.rpartition("/")[2] for one in granted),
    )


def _claims(token: str) -> Json:
    """Return what a readable access token says, nothing for an opaque one; Graph alone checks its signature."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
