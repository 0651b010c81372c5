"""A batch on several machines: Dask carries each tenant to a worker, where it runs as on one machine (clustertask.py).

Dask decides where a tenant runs, never whether it is done: it repeats what it lost. That is for the records to say.
https://distributed.dask.org/en/stable/tls.html, https://distributed.dask.org/en/stable/resilience.html
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.batch import plan, pool
from runbook_lib.batch.cluster import task as cluster_task
from runbook_lib.batch.cluster.task import Order
from runbook_lib.batch.pool import TenantResult
from runbook_lib.clients.http import is_this_machine
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.lock import only_one

CONNECT_SECONDS = 10
WORKERLESS_SECONDS = 60
"""So long the batch waits for a worker when it has none, at its beginning or later."""
SETTLE_SECONDS = 60
"""So long a machine may see a shared folder as it was: Linux remembers the files of an NFS folder for a minute."""
DOCUMENT = "docs/cluster.md"
SETTINGS = {
    "distributed.comm.tls.ca-file": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "distributed.comm.tls.client.cert": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "distributed.comm.tls.client.key": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
}
"""What Dask must be told for TLS, and the variables that tell it."""


def run(
    keys: Sequence[str],
    steps: Sequence[str],
    *,
    address: str,
    since: str,
    on_event: Callable[[Json], None],
    deadline_seconds: float = pool.DEADLINE_SECONDS,
) -> list[TenantResult]:
    """Run `steps` for every tenant in `keys` on the workers of the scheduler at `address`; results are in that order.

    `since` is the name of the earliest run that counts. Workers share this machine's outputs. Raises UsageError for an
    address that would be talked to in the clear, and RunbookError when there is no scheduler or a worker is not fit.
    """
    if not keys:
        return []
    topic, override = f"runbook-{secrets.token_hex(4)}", os.environ.get("RUNBOOK_OVERRIDE", "")
    said = queue.SimpleQueue[Any]()
    waiting = {f"{topic}-{key}": key for key in keys}
    with _connected(address) as client:
        _check_workers(client, keys)
        order = Order(topic, tuple(steps), since, override, cluster_task.edition(), deadline_seconds)
        client.subscribe_topic(topic, lambda event: said.put(event[1]))
        tasks = client.map(_work, keys, key=list(waiting), order=order, pure=False, retries=0)
        for task in tasks:
            task.add_done_callback(said.put)
        try:
            find = partial(plan.finished, since=since)
            results = {one.key: one for one in _results(client, said, waiting, find, on_event)}
        finally:
            client.cancel([task for task in tasks if task.key in waiting], force=True)
    return [results[key] for key in keys]


Find = Callable[[str], TenantResult | None]
"""Returns what the records say of a tenant's run that began in time."""


@contextmanager
def _probe() -> Iterator[str]:
    name = f"_batches/probe-{secrets.token_hex(4)}"
    folder = run_folders.home("outputs") / name
    with only_one(folder):
        yield name
    (folder / ".lock").unlink()
    folder.rmdir()


def _work(key: str, order: Order) -> TenantResult:
    """Be the task, on a worker."""
    from distributed import get_worker

    here = get_worker()
    name = here.get_current_task()

    def is_wanted() -> bool:
        task = here.state.tasks.get(name)
        return task is not None and task.state != "cancelled"

    def tell(event: Json) -> None:
        here.log_event(order.topic, json.loads(run_folders.to_json(event)))  # Dask adds which worker

    return cluster_task.carry_out(key, order, tell, is_wanted)


def _results(
    client: Any, said: queue.SimpleQueue[Any], waiting: dict[str, str], find: Find, on_event: Callable[[Json], None]
) -> Iterator[TenantResult]:
    """Yield each result as it comes, taking its task out of `waiting`, and pass on what workers say meanwhile."""
    watch = _Watch()
    while waiting:
        try:
            word = said.get(timeout=1.0)
        except queue.Empty:
            for event in watch.late():
                on_event(event)
            if watch.workers_are_gone(client):
                yield from (TenantResult(key, error=_lost("No worker is left.")) for key in waiting.values())
                return
            continue
        if isinstance(word, dict):
            watch.hear(word)
            if word["event"] != "tenant":  # that is said below, once the records say so too
                on_event(word)
        elif word.key in waiting:
            result = _decided(waiting.pop(word.key), word, find)
            watch.over(result)
            on_event({"event": "tenant", "tenant": result.key, "outcome": result.outcome, "error": result.error})
            yield result


class _Watch:
    """What the driver knows of tenants under way, and of workers."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._at: dict[str, str] = {}
        self._seconds: list[float] = []
        self._worker_seen = time.monotonic()

    def hear(self, event: Json) -> None:
        """Note when a tenant began, and in which step it is."""
        self._began.setdefault(event["tenant"], time.monotonic())
        self._at[event["tenant"]] = event.get("step", "")

    def over(self, result: TenantResult) -> None:
        """Note how long a tenant took."""
        self._began.pop(result.key, None)
        self._seconds.append(result.seconds)

    def late(self) -> Iterator[Json]:
        """Yield an event about each straggler, once."""
        for key, began in list(self._began.items()):
            seconds = time.monotonic() - began
            if pool.is_late(seconds, self._seconds):
                self._began[key] = math.inf
                yield {"event": "straggler", "tenant": key, "step": self._at[key], "seconds": seconds}

    def workers_are_gone(self, client: Any) -> bool:
        """Tell whether there has been no worker for so long that none will come."""
        if client.scheduler_info()["workers"]:
            self._worker_seen = time.monotonic()
        return time.monotonic() - self._worker_seen > WORKERLESS_SECONDS


def _decided(key: str, task: Any, find: Find) -> TenantResult:
    """Return what the tenant's records say; only where they say nothing, what the task says, or why it is lost."""
    said = task.result() if task.status == "finished" else TenantResult(key, error=_why(task))
    over = said.outcome or not said.error
    until = time.monotonic() + (SETTLE_SECONDS if over else 0)
    while True:
        if found := find(key):
            return replace(found, seconds=said.seconds, error_exit=said.error_exit)
        if time.monotonic() >= until:
            break
        time.sleep(1)
    unseen = "" if said.error else "The worker says that the run is over, but it is not seen from this machine."
    return replace(said, outcome=None, error=f"{said.error}{unseen}")


def _why(task: Any) -> str:
    """Say why a task has no result."""
    if task.status == "error":
        return _lost(f"Its task broke: {task.exception()}.")
    return _lost("The scheduler went away before the tenant was done.")


def _lost(what: str) -> str:
    remedy = "See to the cluster, then: runbook run --resume with the same --scheduler."
    return f"{what} {remedy}"


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to the scheduler, over TLS unless it is on this machine; Dask's own log is silent: we say it in words."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UsageError("A cluster needs Dask, which is not installed.", "Run: python runbook.py extras") from error
    _check_address(address, [name for name in SETTINGS if not dask.config.get(name, None)])
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        remedy = "Is it running, may this machine reach it, and are both certificates of the same CA?"
        raise RunbookError(f"The scheduler {address} does not answer: {error}.", remedy, DOCUMENT) from error
    with client:
        yield client


def _check_address(address: str, lacking: Sequence[str]) -> None:
    """Raise UsageError for an address that anybody could listen in to, or for TLS without certificates."""
    found = urlsplit(address)
    if found.scheme == "tls":
        if lacking:
            variables = ", ".join(SETTINGS[name] for name in lacking)
            raise UsageError("Dask does not know its certificates for TLS.", f"Set {variables}.", DOCUMENT)
    elif found.scheme != "tcp" or not is_this_machine(found.hostname or ""):
        what = f"{address} would be talked to in the clear, and anybody who reaches it could run programs there."
        raise UsageError(what, "Give a scheduler as tls://host:8786; tcp:// is for this machine alone.", DOCUMENT)


def _check_workers(client: Any, keys: Sequence[str]) -> None:
    """Raise RunbookError unless each worker can run the tenants as this machine would."""
    try:
        client.wait_for_workers(1, timeout=WORKERLESS_SECONDS)
    except TimeoutError as error:
        raise RunbookError("The scheduler has no workers.", "Start some: dask worker ADDRESS", DOCUMENT) from error
    with _probe() as probe:
        asked = time.time()
        said = client.run(cluster_task.look, probe, list(keys), on_error="return")
        answered = time.time()
    faults = [f"{worker} {fault}." for worker, one in said.items() for fault in _faults(one, asked, answered)]
    if faults:
        raise RunbookError(" ".join(faults), "Put that right, or stop these workers.", DOCUMENT)


def _faults(said: Json | BaseException, asked: float, answered: float) -> Iterator[str]:
    if isinstance(said, BaseException):
        yield f"cannot run this runbook ({said})"
    else:
        yield from cluster_task.unfit(said, asked, answered)
