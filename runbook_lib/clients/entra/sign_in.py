"""The one home of msal: sign the runbook in to one tenant, and prove that it is that tenant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import msal

from runbook_lib import vendors
from runbook_lib.clients.entra import certificate, proof, token_cache
from runbook_lib.display.times import utc_now
from runbook_lib.errors import SignInError, UsageError, WrongTenant
from runbook_lib.model import NO_APP, Json, Tenant

DISCOVERED: Json = {}
"""What msal keeps between an app's sign-ins in one process: Entra's addresses, and pauses it asked for; no token.

Where a person attends nothing is kept: who signs in again after an error asks Entra anew.
"""
PATIENCE = 300
"""Seconds that a person has for the sign-in page in the browser."""


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


@dataclass(frozen=True, slots=True)
class SignInPrompt:
    """What a person is to do to sign in: `words` say it all; `url`, `code` and `expires` are the same in parts.

    `code` is empty where none is to be typed.
    """

    words: str
    url: str = ""
    code: str = ""
    expires: datetime | None = None

    def __str__(self) -> str:
        """Return the words."""
        return self.words


Show = Callable[[SignInPrompt], object]
"""What brings a prompt before the person."""


class Credential:
    """Who is signed in, and the access token that proves it."""

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
    show: Show,
    clock: Callable[[], datetime] = utc_now,
    encrypt: token_cache.Encrypt | None = None,
) -> Credential:
    """Sign in with the least permissions for `calls`, by the tenant file's method; `show` tells a person what to do.

    A person's sign-in is kept for later kernels where the system encrypts it (`encrypt`), never one that may write.
    Raises SignInError, WrongTenant, CertificateError, UsageError or Unreachable.
    """
    _check(tenant, attended)
    application = tenant.sign_in.method == "certificate"
    # Every sign-in proves its tenant through the organization, whatever else it is for.
    needed = vendors.scopes({*calls, "organization"}, app_only=application)
    graph = tenant.cloud.graph
    scopes = [f"{graph}/.default"] if application else sorted(f"{graph}/{name}" for name in needed)
    writes = any("Write" in name for name in needed)
    store = None if application or writes else token_cache.store(tenant, encrypt)
    if application:
        app, first = _as_application(tenant, scopes, http, attended, clock)
    else:
        app, first = _as_person(tenant, scopes, http, show, clock, store)
    token = proof.access_token(first, tenant)

    def acquire(fresh: bool) -> str:
        with _in_words(tenant):
            result = _again(app, scopes, fresh)
        renewed = proof.access_token(result, tenant)
        if store and store.file.exists() and app.token_cache.has_state_changed:  # unless somebody signed out meanwhile
            store.save(app.token_cache.serialize())
        return renewed

    return Credential(_identity(first, token, tenant), acquire)


def _check(tenant: Tenant, attended: bool) -> None:
    """Refuse what cannot become a sign-in before anything is asked."""
    if tenant.sign_in.client_id == NO_APP:
        raise UsageError(f"{tenant.name}: the tenant file names no app registration yet.", f"runbook app {tenant.key}")
    if tenant.sign_in.method != "certificate" and not attended:
        raise SignInError(
            f"Nobody is here to sign in by {tenant.sign_in.method}.",
            "For runs without a person set sign_in.method to certificate in the tenant file.",
        )


def _as_application(
    tenant: Tenant, scopes: list[str], http: object, attended: bool, clock: Callable[[], datetime]
) -> tuple[Any, Json]:
    """Return msal's app and its answer for the certificate; a person may have corrected what went wrong before."""
    if attended:
        DISCOVERED.clear()
    with _in_words(tenant):
        app = _application(tenant, http, clock)
        return app, dict(app.acquire_token_for_client(scopes))


def _as_person(
    tenant: Tenant,
    scopes: list[str],
    http: object,
    show: Show,
    clock: Callable[[], datetime],
    store: token_cache.Store | None,
) -> tuple[Any, Json]:
    """Return msal's app and its answer: of the kept sign-in if Entra still takes it, else after asking the person.

    Without a `store` the person is always asked, and nothing is kept.
    """
    silent = _silently(tenant, scopes, http, clock, store) if store else None
    if silent:
        app, first = silent
    else:
        with _in_words(tenant):
            app = _application(tenant, http, clock)
            first = _SIGN_INS[tenant.sign_in.method](app, scopes, show, clock(), tenant.sign_in.account)
        proof.access_token(first, tenant)
        proof.check_person(first, app.get_accounts(), tenant, clock())
    why_not = store.save(app.token_cache.serialize()) if store else ""
    if silent:
        then = "This machine kept the sign-in, encrypted; Microsoft Entra took it again just now."
    elif not store:
        then = "This sign-in may change something, so it is kept nowhere."
    elif why_not:
        then = f"You will be asked again in each notebook, because {why_not}."
    else:
        then = f"This machine keeps it encrypted: later notebooks ask nothing, until 'runbook signout {tenant.key}'."
    show(SignInPrompt(f"Signed in as {proof.person(first)}. {then}"))
    return app, first


def _silently(
    tenant: Tenant, scopes: list[str], http: object, clock: Callable[[], datetime], store: token_cache.Store
) -> tuple[Any, Json] | None:
    """Return what the kept sign-in of the tenant's own account leads to: a new proof, checked like the first.

    None when nothing is kept, or Entra or our checks refuse it.
    """
    kept = store.load()
    if not kept:
        return None
    with _in_words(tenant):
        app = _application(tenant, http, clock, kept)
        own = [one for one in app.get_accounts() if _is_own(one, tenant)]
        if len(own) != 1:
            return None
        first = app.acquire_token_silent_with_error(scopes, own[0], force_refresh=True) or {}
    if "access_token" not in first:
        return None
    try:
        proof.access_token(first, tenant)
        proof.check_person(first, own, tenant, clock())
    except (SignInError, WrongTenant):
        return None
    return app, dict(first)


def _is_own(account: Json, tenant: Tenant) -> bool:
    home = account["home_account_id"].partition(".")[2]
    return home == tenant.tenant_id and tenant.sign_in.account in ("", account["username"].lower())


def _application(tenant: Tenant, http: object, clock: Callable[[], datetime], kept: str = "") -> Any:
    cloud, settings = tenant.cloud, tenant.sign_in
    options: Json = {
        "authority": f"{cloud.login}/{tenant.tenant_id}",
        "http_client": http,
        # Our own list of clouds, or the tenant file, vouches for the host; msal would ask the public cloud about it.
        "instance_discovery": False,
    }
    if settings.method != "certificate":
        cache = msal.SerializableTokenCache()
        cache.deserialize(kept)
        return msal.PublicClientApplication(settings.client_id, token_cache=cache, **options)
    pair = certificate.read(settings.certificate, os.environ.get(certificate.PASSWORD, ""), clock())
    # msal signs with a loaded key as it is; a text it would load and check anew for every app
    credential = {"private_key": pair.key, "public_certificate": pair.public_pem}
    options["http_cache"] = DISCOVERED
    return msal.ConfidentialClientApplication(settings.client_id, client_credential=credential, **options)


def _by_browser(app: Any, scopes: list[str], show: Show, now: datetime, account: str) -> Json:
    until = now + timedelta(seconds=PATIENCE)

    def open_by_hand(address: str) -> None:
        words = f"No browser could be opened from here. Open this address on this machine: {address}"
        show(SignInPrompt(words, address, expires=until))

    show(SignInPrompt(f"A browser window opens: sign in there within {PATIENCE // 60} minutes.", expires=until))
    timing = {"timeout": PATIENCE, "auth_uri_callback": open_by_hand}
    whom = {"login_hint": account} if account else {"prompt": "select_account"}
    return dict(app.acquire_token_interactive(scopes, **whom, **timing))


def _by_device_code(app: Any, scopes: list[str], show: Show, now: datetime, _account: str) -> Json:
    flow: Json = app.initiate_device_flow(scopes)
    if "user_code" not in flow:
        return flow
    url, code, seconds = flow["verification_uri"], flow["user_code"], flow["expires_in"]
    words = f"Open {url} in a private window and enter {code} within {seconds // 60} minutes."
    show(SignInPrompt(words, url, code, now + timedelta(seconds=seconds)))
    return dict(app.acquire_token_by_device_flow(flow))


_SIGN_INS = {"browser": _by_browser, "device-code": _by_device_code}


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
        raise proof.refused(f"{error} {error.__context__ or ''}", tenant) from error


def _identity(first: Json, token: str, tenant: Tenant) -> Identity:
    claims, person, settings = proof.claims(token), first.get("id_token_claims") or {}, tenant.sign_in
    application = settings.method == "certificate"
    proven, name = (claims, "app_displayname") if application else (person, "preferred_username")
    granted = claims.get("roles", []) if application else (claims.get("scp") or first.get("scope", "")).split()
    return Identity(
        kind="application" if application else "person",
        account=proven.get(name, settings.client_id),
        object_id=proven.get("oid", ""),
        tenant_id=tenant.tenant_id,
        client_id=settings.client_id,
        method=settings.method,
        permissions=frozenset(one.rpartition("/")[2] for one in granted),
    )
