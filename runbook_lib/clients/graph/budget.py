"""What all tenants' processes together may ask Graph in the name of one app: a count and a pause in a locked file.

Graph counts the requests of an app over all tenants: https://learn.microsoft.com/graph/throttling-limits. Whoever is
told that the whole app has to wait tells the others here. Every process of a batch, on every machine that shares the
outputs folder, finds the file by the environment; a person's own notebooks have none and need none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from runbook_lib import vendors
from runbook_lib.runs import folder, lock

VARIABLE = "RUNBOOK_BUDGETS"
"""The folder with a file for each app, in the environment of a batch's processes."""
WINDOW_SECONDS, LOCK_SECONDS = 10, 60
LONGEST_SECONDS = 900
"""So long at most all tenants wait because one was told to; then somebody asks again, whatever the answer said."""
MOST: int = vendors.facts()["graph_limits"]["app_per_10_s"]


@dataclass(slots=True)
class _State:
    """What is in the file: when the window began, what was asked in it, and until when nobody asks; Unix seconds."""

    begun: float = 0.0
    asked: int = 0
    closed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of one app; every look into the file is a lock of some microseconds."""

    path: Path
    most: int = MOST

    def take(self, now: datetime, requests: int) -> float:
        """Take the right to send so many requests and return 0; or take nothing and return the seconds to wait."""
        at = now.timestamp()
        with self._state() as state:
            if not state.begun <= at < state.begun + WINDOW_SECONDS:
                state.begun, state.asked = at, 0
            state.closed_until = min(state.closed_until, at + LONGEST_SECONDS)
            if at < state.closed_until:
                return state.closed_until - at
            if state.asked and state.asked + requests > self.most:
                return state.begun + WINDOW_SECONDS - at
            state.asked += requests
            return 0.0

    def close(self, now: datetime, until: datetime) -> None:
        """Let nobody ask until then, or a later time that was said already, but for LONGEST_SECONDS at most."""
        with self._state() as state:
            latest = now.timestamp() + LONGEST_SECONDS
            state.closed_until = min(max(state.closed_until, until.timestamp()), latest)

    @contextmanager
    def _state(self) -> Iterator[_State]:
        folder.make(self.path.parent)
        with lock.held(self.path.with_suffix(".lock"), wait_seconds=LOCK_SECONDS):
            state = self._read()
            yield state
            self.path.write_text(json.dumps(asdict(state)), encoding="utf-8")

    def _read(self) -> _State:
        try:
            read = json.loads(self.path.read_bytes())
            return _State(float(read["begun"]), int(read["asked"]), float(read["closed_until"]))
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # the first to come, or one was killed in writing
            return _State()


def of(client_id: str) -> Budget | None:
    """Return the budget that this process shares with others for an app; None when it shares none."""
    folder = os.environ.get(VARIABLE)
    return Budget(Path(folder) / f"{client_id}.json") if folder else None


def concerns_the_app(headers: Mapping[str, str]) -> bool:
    """Tell whether lower-cased `headers` of a 429 say that the app has to wait in every tenant, not in this one alone.

    The header names a scope first, one of Tenant_Application, Tenant and Application: the page above.
    """
    return headers.get("x-ms-throttle-scope", "").partition("/")[0] == "Application"
