"""What goes wrong: faults ordered through the control endpoint, and the throttles that Microsoft documents."""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from starlette.requests import Request

from runbook_lib.sandbox.world.world import World

Kind = Literal["429", "503", "504", "reset", "slow", "truncated", "expired"]
KINDS: tuple[str, ...] = get_args(Kind)
Place = Literal["graph", "token", "spaceiq"]
PLACES: tuple[str, ...] = get_args(Place)
RATES = {"mailbox": (10_000, timedelta(minutes=10)), "reports": (5, timedelta(seconds=10))}
CONCURRENT = 4
ANSWERS = {
    "429": (429, "TooManyRequests", "Too Many Requests"),
    "503": (503, "serviceNotAvailable", "The service is temporarily unavailable. Please try again later."),
    "504": (504, "UnknownError", ""),
}


class GraphError(Exception):
    """A refusal; the route's family decides the shape of the body."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep what the edge turns into the error body."""
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


@dataclass
class Fault:
    """A fault to inject: into which calls, how often, and what it looks like.

    `rate` is the share of matching calls that it hits, `count` how many at most (None: no end), `tenant` a key, id or
    domain ("" all), `path` a part of the path in any case ("" all), `where` graph, token or spaceiq. `retry_after` is
    the header's text (None: no header), `ms` the delay of `slow`.
    """

    kind: Kind
    rate: float = 1.0
    count: int | None = None
    tenant: str = ""
    path: str = ""
    where: Place = "graph"
    retry_after: str | None = "1"
    ms: int = 1000

    def __post_init__(self) -> None:
        """Refuse what cannot be injected with ValueError or TypeError; Retry-After may come as a number."""
        self.tenant, self.path = str(self.tenant), str(self.path)
        self.retry_after = None if self.retry_after is None else str(self.retry_after)
        if self.kind not in KINDS or self.where not in PLACES:
            raise ValueError(f"kind is one of {', '.join(KINDS)}; where is {', '.join(PLACES)}")
        if not 0 <= self.rate <= 1 or (self.count is not None and self.count < 0) or self.ms < 0:
            raise ValueError("rate is between 0 and 1; count and ms are not negative")

    def error(self) -> GraphError:
        """The refusal of a 429, 503 or 504."""
        status, code, message = ANSWERS[self.kind]
        return GraphError(status, code, message, {"Retry-After": self.retry_after} if self.retry_after else {})


@dataclass
class Faults:
    """The faults in force, the random numbers that choose their victims, and what the throttles remember."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    latency_ms: float = 0
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - chance, not secrecy
    _seen: defaultdict[tuple[str, ...], deque[datetime]] = field(default_factory=lambda: defaultdict(deque))
    _running: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def order(self, faults: list[Fault], seed: int | None = None, latency_ms: float | None = None) -> None:
        """Replace the faults in force; the same seed chooses the same victims."""
        chance = random.Random(self.seed if seed is None else seed)  # noqa: S311 - chance, not secrecy
        self.latency_ms = self.latency_ms if latency_ms is None else float(latency_ms)
        self.seed = self.seed if seed is None else seed
        self.faults, self._random = faults, chance

    def clear(self) -> None:
        """Nothing goes wrong any more, and the throttles forget what they counted."""
        self.order([], seed=0, latency_ms=0)
        self._seen.clear()

    def draw(self, where: str, tenants: tuple[str, ...], path: str) -> Fault | None:
        """The fault that hits this call, if one does; `tenants` are all names of the call's tenant."""
        for fault in self.faults:
            aimed = fault.where == where and (not fault.tenant or fault.tenant.lower() in tenants)
            if not aimed or fault.path.lower() not in path.lower() or fault.count == 0:
                continue
            if self._random.random() < fault.rate:
                fault.count = fault.count - 1 if fault.count is not None else None
                return fault
        return None

    def admit(self, limit: Literal["mailbox", "reports"], key: tuple[str, ...], now: datetime) -> None:
        """Count a call against a documented limit. Raises GraphError 429 with Retry-After; refused calls count too.

        https://learn.microsoft.com/graph/throttling-limits: Outlook 10,000 requests in 10 minutes per app and mailbox,
        reporting 5 requests in 10 seconds per app and tenant.
        """
        most, window = RATES[limit]
        seen = self._seen[(limit, *key)]
        while seen and seen[0] <= now - window:
            seen.popleft()
        seen.append(now)
        if len(seen) <= most:
            return
        wait = str(max(1, round((seen[len(seen) - most - 1] + window - now).total_seconds() + 0.5)))
        code, message = ("TooManyRequests", "Too Many Requests")
        if limit == "mailbox":
            code, message = "ApplicationThrottled", "Application is over its RequestRate limit."
        raise GraphError(429, code, message, {"Retry-After": wait})

    @contextmanager
    def running(self, key: tuple[str, ...] | None) -> Iterator[None]:
        """Hold one of the four places that an app has at a mailbox. Raises GraphError 429 when all are taken."""
        if key is None:
            yield
            return
        if self._running[key] >= CONCURRENT:
            message = "Application is over its MailboxConcurrency limit."
            raise GraphError(429, "ApplicationThrottled", message, {"Retry-After": "1"})
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1


CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)


def unauthorized(message: str) -> GraphError:
    """401 as Graph gives it for a missing, garbled, foreign or expired token."""
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": CHALLENGE})


def faults_of(world: World) -> Faults:
    """The world's faults, made when first asked for."""
    if world.faults is None:
        world.faults = Faults()
    faults: Faults = world.faults
    return faults


def draw(world: World, where: str, tenant_name: str, path: str) -> Fault | None:
    """The fault that hits a call of that tenant (key, id or domain), if one does."""
    tenant = world.tenant(tenant_name)
    names = (tenant.key, tenant.id, *tenant.domains) if tenant else ()
    return faults_of(world).draw(where, names, path)


async def strike(fault: Fault | None, request: Request) -> None:
    """Let the fault happen: wait, break the connection, or raise GraphError; `truncated` happens on the way out."""
    if fault is None or fault.kind == "truncated":
        return
    if fault.kind == "slow":
        await asyncio.sleep(fault.ms / 1000)
    elif fault.kind == "reset":
        await abort(request)
    elif fault.kind == "expired":
        raise unauthorized("Lifetime validation failed, the token is expired.")
    else:
        raise fault.error()


async def abort(request: Request) -> None:
    """Break the client's connection without a goodbye. Raises ConnectionResetError outside uvicorn."""
    transport = getattr(getattr(request.receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("connection reset on order")
    transport.abort()
    while (await request.receive())["type"] != "http.disconnect":
        continue
