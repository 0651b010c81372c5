"""One tenant on a worker of a cluster: refused, run in a process of its own, or found finished. It knows no Dask.

A task is given its tenant's key and the order below, and no secret: tenant file, certificate, keys and environment are
the worker's own. The tenant's lock and the records of its newest run say whether there is anything left to do.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from pathlib import Path

from runbook_lib import settings
from runbook_lib.batch import pool, process
from runbook_lib.batch.pool import TenantResult
from runbook_lib.batch.tenant import NOTEBOOKS, run_tenant
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.lock import Held, only_one

LOCK_SECONDS = 120
"""So long a tenant waits for its lock: a file server takes 90 seconds to free the lock of a machine that vanished."""
CLOCK_SECONDS = 5
_starting = threading.Lock()


@dataclass(frozen=True, slots=True)
class Order:
    """What every task of a batch is given beside its tenant's key; `topic` is what its events are called."""

    topic: str
    steps: tuple[str, ...]
    since: str
    override: str
    edition: str
    deadline_seconds: float


@cache
def edition() -> str:
    """Return which runbook this is: its version and what its files hold."""
    library = Path(__file__).parents[2]
    files = [path for path in library.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sorted([*files, *NOTEBOOKS.glob("*.ipynb")])))
    return f"{version('spaceiq-calendar-runbook')} ({content.hexdigest()[:12]})"


def look(probe: str, keys: Sequence[str]) -> Json:
    """Return what the driver must know of this worker before it gives it tenants.

    `probe` is a folder in the shared outputs that the driver holds.
    """
    return {
        "edition": edition(),
        "lacking": sorted(set(keys) - set(settings.keys(run_folders.home("parameters")))),
        "may_have_children": not multiprocessing.current_process().daemon,
        "apart": _apart(run_folders.home("outputs") / probe),
        "time": time.time(),
    }


def _apart(probe: Path) -> str:
    if not probe.is_dir():
        return "does not see this machine's outputs: RUNBOOK_OUTPUTS must be one shared folder"
    return "" if _is_held(probe) else "sees this machine's outputs, but not the locks that it holds there"


def unfit(said: Json, asked: float, answered: float) -> Iterator[str]:
    """Yield why a worker that said this of itself, between these times in seconds, cannot be given tenants."""
    if said["edition"] != edition():
        yield f"has the runbook {said['edition']}, this machine {edition()}"
    if said["lacking"]:
        more = f" and {len(said['lacking']) - 5} more" if len(said["lacking"]) > 5 else ""
        yield f"has no tenant file of {', '.join(said['lacking'][:5])}{more}"
    if not said["may_have_children"]:
        yield "may not start processes: set DASK_DISTRIBUTED__WORKER__DAEMON=False where it is started"
    if said["apart"]:
        yield said["apart"].rstrip(".")
    if (off := max(asked - said["time"], said["time"] - answered)) > CLOCK_SECONDS:
        yield f"has a clock that is {off:.0f} s off"


def carry_out(key: str, order: Order, tell: Callable[[Json], None], is_wanted: Callable[[], bool]) -> TenantResult:
    """Run one tenant in a process of its own and return what became of it.

    The process is ended when nobody wants the result any more: the driver or the scheduler went away, or was stopped.
    """
    result = TenantResult(key)
    if order.edition != edition():
        result.error = f"The worker has the runbook {edition()}, the driver {order.edition}. Install the same on both."
    if result.error or not pool.file_is_sound(result):
        return result
    _attend(order, result, tell, is_wanted)
    return result


def _attend(order: Order, result: TenantResult, tell: Callable[[Json], None], is_wanted: Callable[[], bool]) -> None:
    """Run the tenant's process to its end, or end it; complete the result."""
    with _starting:  # a process hides the main module for a moment while it starts
        arguments = (order.steps, order.since, order.override)
        child = process.Worker(result.key, run_in_turn, arguments, order.deadline_seconds)
    try:
        while is_wanted() and not child.over:
            wait([child.events], timeout=0.2)
            pool.hear(child, result, tell)
    finally:
        if not child.over:
            child.end(patience_seconds=0)


def run_in_turn(key: str, steps: Sequence[str], since: str, override: str, events: Connection) -> None:
    """Run one tenant in this process as soon as no other process works on it, on whatever machine."""
    if override:
        os.environ["RUNBOOK_OVERRIDE"] = override
    patience = time.monotonic() + LOCK_SECONDS
    while _is_held(run_folders.home("outputs") / key) and time.monotonic() < patience:
        time.sleep(0.2)
    run_tenant(key, steps, since, events)


def _is_held(folder: Path) -> bool:
    try:
        with only_one(folder):
            return False
    except Held:
        return True
    except ArchiveError:
        return False
