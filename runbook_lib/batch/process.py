"""A process per tenant: forked from a warm parent where that is safe, started afresh elsewhere; ended in time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from runbook_lib.clients.graph import budget
from runbook_lib.model import Json
from runbook_lib.report.processes import end_with_parent, without_main
from runbook_lib.runs import folder

Target = Callable[..., None]
"""What runs in the process: target(key, *arguments, events)."""


def forks() -> bool:
    """Tell whether tenants' processes are forked and execute their notebooks themselves, the fast way.

    macOS's own libraries do not survive a fork and Windows has none; RUNBOOK_PLAIN asks for the plain way anywhere.
    """
    return sys.platform == "linux" and "RUNBOOK_PLAIN" not in os.environ


def _context() -> Any:
    """Return how processes begin here; Windows has no forkserver, not even its name."""
    if not forks():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runbook_lib.batch.preload"])
    return context


class Worker:
    """One tenant's process, and what the parent knows of it."""

    def __init__(self, key: str, target: Target, arguments: tuple[Any, ...], deadline_seconds: float) -> None:
        context = _context()
        self.key = key
        self.events, theirs = context.Pipe(duplex=False)
        handle, words = tempfile.mkstemp(prefix=f"runbook-{key}-", suffix=".log")
        os.close(handle)
        self._words, self._last = Path(words), list[str]()
        what = (target, (key, *arguments, theirs), self._words, dict(os.environ))
        self.process: BaseProcess = context.Process(target=_begin, args=what, name=key)
        with without_main():
            self.process.start()
        theirs.close()
        self.began = time.monotonic()
        self.deadline = self.began + deadline_seconds
        self.over = False

    @property
    def seconds(self) -> float:
        """Return how long the process has been at it."""
        return time.monotonic() - self.began

    def news(self) -> Iterator[Json]:
        """Yield what the tenant's process said since last time; notice its end, and end it past its deadline."""
        try:
            while self.events.poll():
                yield self.events.recv()
        except (EOFError, OSError):  # OSError: it was killed in the middle of a word
            self.end()
        if time.monotonic() > self.deadline and not self.over:
            self.end()

    def why(self, step: str) -> str:
        """Say why the process left no result; `step` is where it stood."""
        where = f" in {step}" if step else ""
        if time.monotonic() > self.deadline:
            return f"The tenant took too long{where} and was ended. Run it again alone."
        what = f"The tenant's process ended unexpectedly{where} (exit code {self.process.exitcode})."
        return " ".join([what, *self._last])

    def end(self, patience_seconds: float = 5) -> None:
        """Wait for the process, killing it when it does not end by itself."""
        self.process.join(timeout=patience_seconds if time.monotonic() <= self.deadline else 0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        if not self.over:
            self._last = self._words.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            self._words.unlink()
        self.events.close()
        self.over = True


def _begin(target: Target, arguments: tuple[Any, ...], words: Path, environment: Mapping[str, str]) -> None:
    """Run `target` with the driver's environment; whatever the process prints goes to its file of words."""
    os.environ.clear()
    os.environ.update(environment, RUNBOOK_UNATTENDED="1")
    os.environ[budget.VARIABLE] = str(folder.home("outputs") / "_budgets")
    with words.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    end_with_parent()
    target(*arguments)
    arguments[-1].close()
