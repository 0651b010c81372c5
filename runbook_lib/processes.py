"""A process per tenant: forked from a warm parent where that is safe, started afresh elsewhere; ended in time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from runbook_lib import budget, records
from runbook_lib.model import Json

Target = Callable[..., None]
"""What runs in the process: target(key, *arguments, events)."""


def forks() -> bool:
    """Tell whether tenants' processes are forked and execute their notebooks themselves, the fast way.

    macOS's own libraries do not survive a fork and Windows has none; RUNBOOK_PLAIN asks for the plain way anywhere.
    """
    return sys.platform == "linux" and "RUNBOOK_PLAIN" not in os.environ


def _context() -> ForkServerContext | SpawnContext:
    if not forks():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runbook_lib.warm"])
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep multiprocessing from importing the driver's script into every tenant's process: nothing there is needed."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def helpers() -> Iterator[Executor]:
    """Give fresh processes, one a core, for what Python computes; Ctrl+C ends them with this one."""
    context, no_interrupt = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with _without_main(), ProcessPoolExecutor(os.cpu_count(), context, signal.signal, no_interrupt) as executor:
        yield executor


class Worker:
    """One tenant's process, and what the parent knows of it."""

    def __init__(self, key: str, target: Target, arguments: tuple[Any, ...], deadline_seconds: float) -> None:
        context = _context()
        self.key = key
        self.events, theirs = context.Pipe(duplex=False)
        self.words = Path(tempfile.mkstemp(prefix=f"runbook-{key}-", suffix=".log")[1])
        what = (target, (key, *arguments, theirs), self.words, dict(os.environ))
        self.process: BaseProcess = context.Process(target=_begin, args=what, name=key)
        with _without_main():
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
        last = self.words.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        return " ".join([f"The tenant's process ended unexpectedly{where} (exit code {self.process.exitcode}).", *last])

    def end(self, patience_seconds: float = 5) -> None:
        """Wait for the process, killing it when it does not end by itself."""
        self.process.join(timeout=patience_seconds if time.monotonic() <= self.deadline else 0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.events.close()
        self.over = True


def _begin(target: Target, arguments: tuple[Any, ...], words: Path, environment: Mapping[str, str]) -> None:
    """Run `target` with the driver's environment; whatever the process prints goes to its file of words.

    Ctrl+C is the driver's business: it ends its tenants itself.
    """
    os.environ.clear()
    os.environ.update(environment, RUNBOOK_UNATTENDED="1")
    os.environ[budget.VARIABLE] = str(records.home("outputs") / "_budgets")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with words.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    target(*arguments)
    arguments[-1].close()


def _end_with_driver() -> None:
    """End this process at once when the driver's ends, however that ended: --resume takes its tenant up again."""
    driver = multiprocessing.parent_process()
    if driver:
        driver.join()
        os._exit(1)
