"""What goes wrong: faults ordered through the control endpoint, and the throttles that Microsoft documents."""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from runbook_lib.sandbox.graph import GraphError

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
