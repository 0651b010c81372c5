"""How fast and how long the runbook asks: Microsoft's limits, Retry-After, and the end of patience."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock, Semaphore

from runbook_lib import vendors
from runbook_lib.clients.graph.budget import Budget
from runbook_lib.errors import CloudError, GraphError

LIMITS: Mapping[str, int] = vendors.facts()["graph_limits"]
TRIES = 5
"""How often an answer without Retry-After may fail before we believe it."""
LONGEST_PAUSE = 30.0
"""The most seconds that we wait on our own account."""
REPORTS_WINDOW = timedelta(seconds=10)
REPORTS = re.compile(r"/(auditLogs|reports)/")
MAILBOX = re.compile(r"/(?:users/([^/?]+)|me)/")


class Throttle:
    """The pace of one tenant's Graph, shared by its threads: when one is told to wait, all wait."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        sleep: Callable[[float], object],
        random: Callable[[], float],
        deadline_seconds: float,
        shared: Budget | None = None,
    ) -> None:
        """Take the clock and the chance from outside, so that a test need not wait; other processes share a budget."""
        self._shared = shared
        self._clock, self._sleep, self._random = clock, sleep, random
        self._patience = timedelta(seconds=deadline_seconds)
        self._lock = Lock()
        self._free_at = clock()
        self._until = self._free_at + self._patience
        self._reports: deque[datetime] = deque(maxlen=LIMITS["reports_per_10_s"])
        self._mailboxes: dict[str, Semaphore] = defaultdict(lambda: Semaphore(LIMITS["mailbox_at_once"]))

    def begin(self) -> None:
        """Start the seconds that one look may take; a person may have paused for hours since the last."""
        self._until = self._clock() + self._patience

    @contextmanager
    def turn(self, path: str, requests: int = 1) -> Iterator[None]:
        """Wait until a request to `path`, or so many in one batch, may go out, and keep its place until it is answered.

        Raises GraphError when the wait would end after the deadline. At most four requests at a time go to one
        mailbox, and five in ten seconds to the reports: https://learn.microsoft.com/graph/throttling-limits
        """
        with self._mailbox(path):
            while wait := self._wait(path, requests):
                self._sleep(wait)
            yield

    def hold(self, problem: CloudError, tries: int, retry_after: float | None, *, all_tenants: bool = False) -> None:
        """Make every thread wait after `problem`; raise it when we tried often enough or the deadline is too near.

        With `all_tenants`, the processes of other tenants wait as well.
        """
        pause = min(LONGEST_PAUSE, 2.0 ** min(tries, 10)) * (1 + self._random()) / 2
        if retry_after is not None:
            pause = max(retry_after, pause / 8)  # a service that says 0 or 1 for ever is still not hammered
        with self._lock:
            free_at = self._clock() + timedelta(seconds=pause)
            if all_tenants and self._shared:
                self._shared.close(self._clock(), free_at)
            if free_at > self._until or (retry_after is None and tries + 1 >= TRIES):
                raise problem
            self._free_at = max(self._free_at, free_at)

    def _mailbox(self, path: str) -> AbstractContextManager[object]:
        found = MAILBOX.search(path)
        if not found:
            return nullcontext()
        with self._lock:
            return self._mailboxes[(found[1] or "me").lower()]

    def _wait(self, path: str, requests: int) -> float:
        """Return 0 when the turn has come, else the seconds to sleep before asking again."""
        reports = REPORTS.search(path) is not None
        with self._lock:
            now, due = self._clock(), self._free_at
            if reports and len(self._reports) == self._reports.maxlen:
                due = max(due, self._reports[0] + REPORTS_WINDOW)
            if now >= due and self._shared:
                due = now + timedelta(seconds=self._shared.take(now, requests))
            if max(now, due) > self._until:
                told = f" All tenants wait until {due:%H:%M:%S} UTC ({self._shared.path})." if self._shared else ""
                raise GraphError(
                    f"Microsoft Graph did not answer everything within {self._patience.total_seconds():.0f} seconds."
                    + told,
                    "Run the cell again in some minutes; other programs may be using up the tenant's share.",
                    status=429,
                    code="deadline",
                )
            if now < due:
                return (due - now).total_seconds() + self._random() / 10  # so that the threads do not wake as one
            if reports:
                self._reports.append(now)
            return 0.0


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that lower-cased `headers` ask us to wait, None when they do not or make no sense.

    Whole seconds are documented, fractions have been seen, a date is HTTP's other way; it is compared with the
    service's own `date`, because clocks of administrators' machines are minutes off.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        due = parsedate_to_datetime(value)
        there = parsedate_to_datetime(headers["date"]) if "date" in headers else now
        return max(0.0, (due - there).total_seconds())
    except (ValueError, TypeError):  # no date, or one without its time zone
        return None
