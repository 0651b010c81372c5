"""The one home of requests: the connection to a cloud, and every question that the runbook puts to Microsoft Graph."""

from __future__ import annotations

import hashlib
import os
import random
import re
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests
import truststore
from requests.adapters import HTTPAdapter

from runbook_lib import budget, bulk, integration, replies
from runbook_lib.cards import Card
from runbook_lib.errors import Forbidden, GraphError, Unreachable, UnsafeAddress, WrongTenant
from runbook_lib.integration import Call
from runbook_lib.model import Cloud, Json, Look, Tenant
from runbook_lib.paging import Seen, address, read_all, read_one
from runbook_lib.replies import Reply
from runbook_lib.signin import Credential
from runbook_lib.throttle import LIMITS, Throttle, retry_after, utc_now

TIMEOUT = (10, 60)
"""Seconds to connect, and between two bytes of an answer."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class _SystemTrust(HTTPAdapter):
    """Trusts what the operating system trusts, so that a company's own root certificate needs no setting here."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Give connections the system's trust instead of an empty one."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {**tls, "ssl_context": system_trust(verify)}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Let no connection read lists of authorities anew: its own one, or requests', which the system's replaces."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call, unused-ignore]
        conn.ca_certs = conn.ca_cert_dir = None

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Trust a proxy that speaks TLS itself as the hosts behind it."""
        if proxy.lower().startswith("https:"):
            options["proxy_ssl_context"] = system_trust()
        return super().proxy_manager_for(proxy, **options)


def system_trust(verify: bool | str = True) -> ssl.SSLContext:
    """Return what the operating system trusts, and the bundle `verify`, or the one that the environment names.

    Raises OSError for a bundle that is not there or holds no certificates.
    """
    named = (
        verify if isinstance(verify, str) else os.environ.get("REQUESTS_CA_BUNDLE", os.environ.get("CURL_CA_BUNDLE"))
    )
    return _read_trust(ssl.get_default_verify_paths(), named or "")


@lru_cache(maxsize=4)
def _read_trust(_paths: ssl.DefaultVerifyPaths, bundle: str) -> ssl.SSLContext:
    """Read it once for all connections of a process: that takes 40 ms, and truststore does it for each of them.

    Windows and macOS judge each certificate themselves.
    """
    trust: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform not in ("darwin", "win32"):
        trust = trust.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context
    if bundle:
        try:
            trust.load_verify_locations(*(None, bundle) if Path(bundle).is_dir() else (bundle,))
        except OSError as error:
            raise OSError(f"CA certificate bundle {bundle}: {error}") from error
    return trust


class _Session(requests.Session):
    """Trusts what the cloud's settings say, follows no redirect, and never waits for ever."""

    def __init__(self, ca_file: str) -> None:
        super().__init__()
        self._ca_file = ca_file
        self.headers["User-Agent"] = _user_agent()
        self.auth = lambda request: request  # a session with an auth of its own never looks into ~/.netrc
        adapter = HTTPAdapter if ca_file else _SystemTrust
        self.mount("https://", adapter(pool_maxsize=bulk.THREADS))

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:
        """Let the cloud's CA win over REQUESTS_CA_BUNDLE, and send nothing for this machine through a proxy."""
        merged = super().merge_environment_settings(url, *settings)
        if self._ca_file:
            merged["verify"] = self._ca_file
        if replies.is_this_machine(urlsplit(url).hostname or ""):
            merged["proxies"] = {}
        return merged

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request; raises Unreachable, in words, for whatever the network does."""
        options |= {"allow_redirects": False, "timeout": options.get("timeout") or TIMEOUT}
        try:
            return super().send(request, **options)
        except OSError as error:  # requests' own errors, and a file of certificates that is not there
            _read_trust.cache_clear()  # which somebody may correct before the next try
            raise replies.unreachable(error, urlsplit(request.url or "").netloc) from error


def session(cloud: Cloud) -> requests.Session:
    """Return the connection to `cloud` for sign-in and Graph; whoever asked for it closes it."""
    return _Session(str(cloud.ca_file or ""))


def _user_agent() -> str:
    name = "spaceiq-calendar-runbook"
    try:
        return f"{name}/{version(name)}"
    except PackageNotFoundError:  # a checkout that was not installed
        return name


class Graph:
    """Microsoft Graph of one tenant: asks by name, reads to the end, keeps within limits, and logs what it asked.

    `log` has a row per request that went out, without headers. One look may go on for `deadline_seconds`.
    """

    def __init__(
        self,
        tenant: Tenant,
        credential: Credential,
        http: requests.Session,
        *,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random.random,
        deadline_seconds: float = 900,
    ) -> None:
        """Ask nothing yet."""
        self.identity = credential.identity
        self.log: list[Json] = []
        self._tenant, self._credential, self._http, self._clock = tenant, credential, http, clock
        self._app_only = self.identity.kind == "application"
        self._throttle = Throttle(clock, sleep, random, deadline_seconds, budget.of(self.identity.client_id))
        self._renewing = Lock()

    def __repr__(self) -> str:
        """Return whose Graph this is, and as whom we ask."""
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        who = f"{self.identity.account} ({self.identity.kind}, {self.identity.method})"
        return Card(
            f"Microsoft Graph of {self._tenant.name}",
            {"tenant": self._tenant.tenant_id, "signed in": who, "cloud": urlsplit(self._tenant.cloud.graph).netloc},
        )

    def assert_tenant(self) -> Look:
        """Return the look at the organization, maybe a refusal; raises WrongTenant when it is not the tenant file's."""
        look = self.look("organization")
        found = ", ".join(f"{row.get('displayName')} ({row.get('id')})" for row in look.rows)
        if not look.refusal and [row.get("id") for row in look.rows] != [self._tenant.tenant_id]:
            raise WrongTenant(
                f"Graph answers for {found or 'no tenant'}, but the tenant file is about {self._tenant.name} "
                f"({self._tenant.tenant_id}).",
                "Sign in to the right tenant, or correct tenant_id in the tenant file.",
            )
        return look

    def look(self, call: str, **params: str) -> Look:
        """Ask the named question of integration.yaml and return all its rows, or why we were refused.

        Raises Unreachable, GraphError, UnsafeAddress, and UsageError for a parameter that fits no address.
        """

        def read(one: Call) -> Seen:
            path = address(one, self._app_only, params)
            if one.paging == "one":
                return read_one(self._ask, path)
            return read_all(self._ask, path, skip=one.paging == "skip")

        return self._look(call, read)

    def look_each(self, call: str, keys: Sequence[str]) -> Look:
        """Ask the named question once per key, twenty in a batch: rows are {"key", "status", "body"} in that order.

        A key that stayed throttled or broken until patience ended has no row, and the look is incomplete.
        """

        def read(one: Call) -> Seen:
            paths = [address(one, self._app_only, {"key": key}) for key in keys]
            answers = zip(keys, bulk.get_each(self._ask, self._throttle, self._clock, paths), strict=True)
            rows = [{"key": key, "status": one.status, "body": one.body or {}} for key, one in answers if one]
            return Seen(rows, len(keys), len(rows) == len(keys))

        return self._look(call, read)

    def look_schedules(
        self, call: str, mailboxes: Sequence[str], start: datetime, end: datetime, interval_minutes: int = 30
    ) -> Look:
        """Ask for the free/busy of `mailboxes`: a row each with times and states, never a subject or a place.

        A person asks through his own mailbox, an application through one of `mailboxes` that Graph can open; the
        look is refused when none can ask. Raises UsageError for a window that Graph does not take.
        """
        body = bulk.question(start, end, interval_minutes)

        def read(one: Call) -> Seen:
            step = -(-len(mailboxes) // LIMITS["schedules"]) or 1
            tried = mailboxes[::step] if self._app_only else mailboxes[:1]  # spread, or one site could fail all
            askers = [address(one, self._app_only, {"mailbox": mailbox}) for mailbox in tried]
            return bulk.read_schedules(self._ask, askers, body, mailboxes)

        return self._look(call, read)

    def change(self, call: str, body: Json | None = None, **params: str) -> bool:
        """Make the named change and return true, or false when what it removes is gone already.

        Only changes that may be repeated without harm have an entry. Raises Forbidden without the permission.
        """
        one = integration.calls()[call]
        self._throttle.begin()
        try:
            self._ask(address(one, self._app_only, params), body, method=one.method)
        except Forbidden as refused:
            words, remedy = replies.refusal(one, self.identity, refused)
            raise Forbidden(words, remedy, status=refused.status, code=refused.code) from refused
        except GraphError as error:
            if error.status == 404 and error.code in (replies.ABSENT, replies.NO_ITEM):
                return False
            raise
        return True

    def _look(self, name: str, read: Callable[[Call], Seen]) -> Look:
        call, asked_at = integration.calls()[name], self._clock()
        self._throttle.begin()
        try:
            refusal = replies.cannot_ask(call, self.identity)
            seen = Seen(refusal=refusal) if refusal else read(call)
        except Forbidden as refused:
            seen = Seen(refusal=replies.refusal(call, self.identity, refused))
        words, remedy = seen.refusal or ("", "" if seen.complete else replies.INCOMPLETE)
        complete = seen.complete and not words
        return Look(name, asked_at, tuple(seen.rows), seen.total, complete, words, remedy)

    def _ask(
        self, place: str, body: Json | None = None, headers: Mapping[str, str] = NO_HEADERS, method: str = ""
    ) -> Json:
        """Return the JSON at a path of ours or a link of Graph's, after as many tries as the throttle allows.

        POST is used for questions only (getSchedule, $batch of GETs), and DELETE and PATCH set what shall be, so that
        asking twice changes nothing. Without a `method`, a body makes it a POST.
        """
        url = self._url(place)
        token, renewed, tries = self._credential.token(), False, 0
        while True:
            try:
                answer = self._exchange(method or ("POST" if body else "GET"), url, body, headers, token, tries)
            except Unreachable as broken:
                if re.search(replies.UNTRUSTED, str(broken.__cause__)):
                    raise
                self._throttle.hold(broken, tries, None)
            else:
                if answer.good is not None:
                    return answer.good
                if answer.status == 401 and not renewed:
                    token, renewed = self._renew(token), True
                elif answer.transient:
                    pause = retry_after(answer.headers, self._clock())
                    everywhere = budget.concerns_the_app(answer.headers)
                    self._throttle.hold(answer.problem(), tries, pause, all_tenants=everywhere)
                else:
                    raise answer.problem()
            tries += 1

    def _url(self, place: str) -> str:
        """Return the address of a path of ours, which names its version where that is not v1.0; or a link as it is."""
        version = "" if place.startswith("/beta/") else "/v1.0"
        return f"{self._tenant.cloud.graph}{version}{place}" if place.startswith("/") else place

    def _exchange(
        self, method: str, url: str, body: Json | None, headers: Mapping[str, str], token: str, tries: int
    ) -> Reply:
        """Send one request when its turn has come, and log it."""
        parts, request_id = urlsplit(url), str(uuid4())
        path = f"{parts.path}?{parts.query}".removesuffix("?")
        headers = {**headers, "Accept": "application/json", "client-request-id": request_id}
        requests = len(body["requests"]) if body and "requests" in body else 1  # a batch counts as what is in it
        with self._throttle.turn(path, requests):
            sent = self._clock()
            row: Json = {"time": sent.isoformat(), "method": method, "path": path, "status": 0, "request_id": ""}
            row |= {"client_request_id": request_id, "seconds": 0.0, "body_sha256": "", "retries": tries}
            try:
                answer = self._http.request(method, url, json=body, headers=headers, auth=self._sign(token))
            except Unreachable:
                self._note(row, sent)
                raise
            row |= {"status": answer.status_code, "request_id": answer.headers.get("request-id", "")}
            row["body_sha256"] = hashlib.sha256(answer.content).hexdigest()
            self._note(row, sent)
        return replies.reply(answer.status_code, answer.headers, answer.content)

    def _note(self, row: Json, sent: datetime) -> None:
        row["seconds"] = round((self._clock() - sent).total_seconds(), 3)
        self.log.append(row)

    def _sign(self, token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """Return what puts the token on a request, and refuses to for any address but Graph's own."""
        home = urlsplit(self._tenant.cloud.graph)

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            place = urlsplit(request.url or "")
            if (place.scheme, place.netloc.removesuffix(":443")) != ("https", home.netloc.removesuffix(":443")):
                raise UnsafeAddress(
                    f"An answer of Microsoft Graph pointed to {place.scheme}://{place.netloc}, not to {home.netloc}; "
                    "nothing was sent there.",
                    "Do not repeat this before somebody found out which proxy or service changed the answer.",
                )
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        return sign

    def _renew(self, refused: str) -> str:
        """Return a token newer than `refused`; of all threads that were refused at once, one fetches it."""
        with self._renewing:
            token = self._credential.token()
            return self._credential.token(fresh=True) if token == refused else token
