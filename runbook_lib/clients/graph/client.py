"""Every question that the runbook puts to Microsoft Graph."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from types import MappingProxyType
from urllib.parse import urlsplit
from uuid import uuid4

from runbook_lib import vendors
from runbook_lib.clients import http as clients_http
from runbook_lib.clients.entra.sign_in import Credential
from runbook_lib.clients.graph import answers as graph_answers
from runbook_lib.clients.graph import batches, budget
from runbook_lib.clients.graph.answers import Reply
from runbook_lib.clients.graph.paging import Seen, address, read_all, read_one
from runbook_lib.clients.graph.throttle import LIMITS, Throttle, retry_after
from runbook_lib.clients.http import Request, Session
from runbook_lib.display.cards import Card
from runbook_lib.display.times import utc_now
from runbook_lib.errors import Forbidden, GraphError, Unreachable, UnsafeAddress, WrongTenant
from runbook_lib.model import Json, Look, Tenant
from runbook_lib.vendors import Call

UNAUTHORIZED = 401
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Graph:
    """Microsoft Graph of one tenant: asks by name, reads to the end, keeps within limits, and logs what it asked.

    `log` has a row per request that went out, without headers. One look may go on for `deadline_seconds`.
    """

    def __init__(
        self,
        tenant: Tenant,
        credential: Credential,
        http: Session,
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
        """Ask the named question of vendors.yaml and return all its rows, or why we could not look.

        An error of Graph costs this look alone. Raises Unreachable, UnsafeAddress, GraphError for a token that is not
        taken any more, and UsageError for a parameter that fits no address.
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
            answers = zip(keys, batches.get_each(self._ask, self._throttle, self._clock, paths), strict=True)
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
        body = batches.question(start, end, interval_minutes)

        def read(one: Call) -> Seen:
            step = -(-len(mailboxes) // LIMITS["schedules"]) or 1
            tried = mailboxes[::step] if self._app_only else mailboxes[:1]  # spread, or one site could fail all
            askers = [address(one, self._app_only, {"mailbox": mailbox}) for mailbox in tried]
            return batches.read_schedules(self._ask, askers, body, mailboxes)

        return self._look(call, read)

    def change(self, call: str, body: Json | None = None, **params: str) -> bool:
        """Make the named change and return true, or false when what it removes is gone already.

        Only changes that may be repeated without harm have an entry. Raises Forbidden without the permission.
        """
        one = vendors.calls()[call]
        self._throttle.begin()
        try:
            self._ask(address(one, self._app_only, params), body, method=one.method)
        except Forbidden as refused:
            words, remedy = graph_answers.refusal(one, self.identity, refused)
            raise Forbidden(words, remedy, status=refused.status, code=refused.code) from refused
        except GraphError as error:
            if error.status == 404 and error.code in (graph_answers.ABSENT, graph_answers.NO_ITEM):
                return False
            raise
        return True

    def _look(self, name: str, read: Callable[[Call], Seen]) -> Look:
        call, asked_at, said = vendors.calls()[name], self._clock(), ""
        self._throttle.begin()
        try:
            refusal = graph_answers.cannot_ask(call, self.identity, self._tenant.cloud.name)
            seen = Seen(refusal=refusal) if refusal else read(call)
        except Forbidden as refused:
            seen = Seen(refusal=graph_answers.refusal(call, self.identity, refused))
        except GraphError as error:
            if error.status == UNAUTHORIZED:
                raise
            seen, said = Seen(refusal=graph_answers.failed(call, error)), f"{error.status} {error.code}".rstrip()
        words, remedy = seen.refusal or ("", "" if seen.complete else graph_answers.INCOMPLETE)
        complete = seen.complete and not words
        return Look(name, asked_at, tuple(seen.rows), seen.total, complete, words, remedy, said)

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
                if re.search(clients_http.UNTRUSTED, str(broken.__cause__)):
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
        return graph_answers.reply(answer.status_code, answer.headers, answer.content)

    def _note(self, row: Json, sent: datetime) -> None:
        row["seconds"] = round((self._clock() - sent).total_seconds(), 3)
        self.log.append(row)

    def _sign(self, token: str) -> Callable[[Request], Request]:
        """Return what puts the token on a request, and refuses to for any address but Graph's own."""
        home = urlsplit(self._tenant.cloud.graph)

        def sign(request: Request) -> Request:
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
