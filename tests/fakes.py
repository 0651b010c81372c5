"""Stand-ins of a few lines: a clock that waiting moves, a credential, and a cloud that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from requests.adapters import BaseAdapter

from runbook_lib.clients.entra.sign_in import Credential, Identity
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.http import session
from runbook_lib.model import Cloud, Json, SignIn, Tenant

CONTOSO = "11111111-1111-1111-1111-111111111111"
FABRIKAM = "22222222-2222-2222-2222-222222222222"
CLIENT = "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"
HOST = "https://graph.example"
CLOUD = Cloud("rehearsal", "https://login.example", HOST, microsoft=False)
TENANT = Tenant(
    key="contoso",
    name="Contoso",
    tenant_id=CONTOSO,
    domain="contoso.example",
    admin="admin@contoso.example",
    cloud=CLOUD,
    sign_in=SignIn("certificate", CLIENT),
    cronofy_app="10bb7e5b-b80b-4e6e-a209-f78581dbc79e",
)
EVERYTHING = frozenset({"Organization.Read.All", "Place.Read.All", "Calendars.ReadBasic.All", "Application.Read.All"})


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 8, tzinfo=UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


def credential(kind: str = "application", permissions: frozenset[str] = EVERYTHING) -> Credential:
    """Return a credential whose tokens are named after how often a fresh one was asked for."""
    method = "certificate" if kind == "application" else "browser"
    issued = ["token-0"]

    def acquire(fresh: bool) -> str:
        if fresh:
            issued.append(f"token-{len(issued)}")
        return issued[-1]

    return Credential(Identity(kind, "Calendar Runbook", "oid", CONTOSO, CLIENT, method, permissions), acquire)


class Script(BaseAdapter):
    """Answers each request with what `answer(request)` says, and remembers the requests."""

    def __init__(self, answer: Callable[[requests.PreparedRequest], requests.Response]) -> None:
        super().__init__()
        self.answer = answer
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        assert options["timeout"], "a request without a timeout may hang for ever"
        assert not options["proxies"], "nothing of a test goes through a proxy"
        self.requests.append(request)
        response = self.answer(request)
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        """There is nothing to close."""


def answer(body: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Return a response; bytes are sent as they are, everything else as JSON."""
    response = requests.Response()
    response.status_code = status
    response.headers.update({"request-id": "r-1", **(headers or {})})
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return response


def error(
    status: int, code: str = "", message: str = "", headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Return an error as Graph words it."""
    return answer({"error": {"code": code, "message": message}}, status, headers)


def scripted(
    *answers: requests.Response | Callable[[requests.PreparedRequest], requests.Response],
    kind: str = "application",
    permissions: frozenset[str] = EVERYTHING,
    cloud: str = "",
    **options: Any,
) -> tuple[Graph, Script, Clock]:
    """Return a Graph whose cloud gives `answers` in turn and repeats the last; a function answers for itself."""
    left = list(answers)

    def respond(request: requests.PreparedRequest) -> requests.Response:
        following = left.pop(0) if len(left) > 1 else left[0]
        return following(request) if callable(following) else following

    script, clock, http = Script(respond), Clock(), session(CLOUD)
    http.mount(HOST, script)
    tenant = replace(TENANT, cloud=replace(TENANT.cloud, name=cloud)) if cloud else TENANT
    graph = Graph(
        tenant, credential(kind, permissions), http, clock=clock, sleep=clock.sleep, random=lambda: 0.0, **options
    )
    return graph, script, clock


def sent(request: requests.PreparedRequest) -> Json:
    """Return the JSON that a request carries."""
    body: Json = json.loads(request.body or "{}")
    return body
