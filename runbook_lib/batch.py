"""The same notebooks for many tenants, a process each, through papermill. The one home of papermill."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from traitlets.config import Config

from runbook_lib import errors, evidence, records, settings
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json, Status
from runbook_lib.records import STEPS

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TENANT_STEPS = tuple(step for step in STEPS if step != "09_portfolio")
REPORT = "08_report"
DEADLINE_SECONDS = 45 * 60
"""How long one tenant may take before its process is ended."""


@dataclass
class TenantResult:
    """What became of one tenant: the run's folder, the outcome, or what broke."""

    key: str
    folder: Path | None = None
    outcome: Status | None = None
    error: str = ""
    error_exit: int = 1
    seconds: float = 0.0
    steps: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return 1 when the runbook broke (2 for a bad tenant file), else the outcome's code."""
        return self.error_exit if self.error or self.outcome is None else self.outcome.exit_code


def exit_code(results: Iterable[TenantResult]) -> int:
    """Return the worst exit code, in the order 1, 3, 4, 5; only bad tenant files and nothing else is 2."""
    codes = {result.exit_code for result in results}
    if codes == {2}:
        return 2
    ranked = {1 if code == 2 else code for code in codes} - {0}
    return min(ranked, default=0)


def chosen_steps(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the steps for words such as `06`, `6` or `06_access`, in order; nothing given means all."""
    if not wanted:
        return TENANT_STEPS
    found = []
    for word in wanted:
        number = word.partition("_")[0].zfill(2)
        match = [step for step in TENANT_STEPS if step == word or (word.isdigit() and step.startswith(f"{number}_"))]
        if not match:
            raise UsageError(f"There is no step {word!r}.", f"The steps are: {', '.join(TENANT_STEPS)}.")
        found += match
    return tuple(step for step in TENANT_STEPS if step in found)


def run(
    keys: Sequence[str],
    steps: Sequence[str],
    *,
    jobs: int,
    on_event: Callable[[Json], None],
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[TenantResult]:
    """Run `steps` for every tenant in `keys`, at most `jobs` at a time, and return the results in that order.

    A tenant file with faults, a crash or a tenant that takes too long harms no other tenant.
    """
    results = {key: TenantResult(key) for key in keys}
    waiting = [key for key in keys if _file_is_sound(results[key])]
    running: dict[str, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                key = waiting.pop(0)
                running[key] = _Worker(key, steps, deadline_seconds)
            wait([one.events for one in running.values()], timeout=1.0)
            for key, worker in list(running.items()):
                for event in worker.news():
                    _note(results[key], event)
                    on_event(event)
                if worker.over:
                    del running[key]
                    results[key].seconds = time.monotonic() - worker.began
                    if results[key].outcome is None and not results[key].error:
                        results[key].error = worker.why()
                    worker.words.unlink()
                    on_event({"event": "tenant", "tenant": key})
    finally:
        for worker in running.values():
            worker.end()
    return [results[key] for key in keys]


def _file_is_sound(result: TenantResult) -> bool:
    try:
        settings.load(records.home("parameters"), result.key)
    except RunbookError as error:
        result.error, result.error_exit = str(error), error.exit_code
        return False
    return True


def _note(result: TenantResult, event: Json) -> None:
    match event["event"]:
        case "begun":
            result.folder = Path(event["folder"])
        case "step":
            result.steps[event["step"]] = event["outcome"]
        case "ended":
            result.outcome = Status(event["outcome"]) if event["outcome"] else None
            result.error, result.error_exit = event["error"], event["error_exit"]


class _Worker:
    """One tenant's process, and what the parent knows of it."""

    def __init__(self, key: str, steps: Sequence[str], deadline_seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.events, theirs = context.Pipe(duplex=False)
        self.words = Path(tempfile.mkstemp(prefix=f"runbook-{key}-", suffix=".log")[1])
        what = (key, tuple(steps), theirs, self.words)
        self.process: BaseProcess = context.Process(target=run_tenant, args=what, name=key)
        self.began = time.monotonic()
        self.deadline = self.began + deadline_seconds
        self.over = False
        self.process.start()
        theirs.close()

    def news(self) -> Iterator[Json]:
        """Yield what the tenant's process said since last time; notice its end, and end it past its deadline."""
        try:
            while self.events.poll():
                yield self.events.recv()
        except EOFError:
            self.end()
        if time.monotonic() > self.deadline and not self.over:
            self.end()

    def why(self) -> str:
        """Say why the process left no result."""
        if time.monotonic() > self.deadline:
            return "The tenant took too long and was ended. Run it again alone; its notebook shows where it stood."
        last = self.words.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        return " ".join([f"The tenant's process ended unexpectedly (exit code {self.process.exitcode}).", *last])

    def end(self) -> None:
        """Wait for the process, killing it when it does not end by itself."""
        self.process.join(timeout=5 if time.monotonic() <= self.deadline else 0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.events.close()
        self.over = True


def run_tenant(key: str, steps: Sequence[str], events: Connection, words: Path) -> None:
    """Run `steps` for one tenant in this process, seal the run, and tell the parent through `events`.

    Whatever the process prints goes to the file `words`.
    """
    os.environ["RUNBOOK_UNATTENDED"] = "1"
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with words.open("wb") as file:  # what kernels and libraries say on the way is shown only when the process breaks
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    outcome: Status | None = None
    broke: RunbookError | None = None
    try:
        folder = records.new_run(records.home("outputs") / key, datetime.now(UTC))
        events.send({"event": "begun", "tenant": key, "folder": str(folder)})
        broke = _all_steps(key, steps, folder, events)
        if records.latest(folder):
            outcome = records.outcome(records.latest(folder))
            evidence.seal(folder, clock=lambda: datetime.now(UTC))
    except RunbookError as error:
        broke = broke or error
    events.send(
        {
            "event": "ended",
            "tenant": key,
            "outcome": outcome,
            "error": str(broke) if broke else "",
            "error_exit": broke.exit_code if broke else 0,
        }
    )
    events.close()


def _all_steps(key: str, steps: Sequence[str], folder: Path, events: Connection) -> RunbookError | None:
    """Execute the notebooks in order; after one that broke only the report still runs, and shows it."""
    broke: RunbookError | None = None
    log: list[Json] = []
    for step in steps:
        if step == REPORT:
            records.write_new(folder / "data" / "batch.json", records.to_json({"steps": log}))
        elif broke:
            log.append({"step": step, "outcome": "not run", "seconds": 0.0, "error": ""})
            continue
        began = time.monotonic()
        failure = execute(step, key, folder)
        record = records.latest(folder).get(step)
        if failure and not record:
            broke = broke or failure
        entry = {
            "step": step,
            "outcome": str(record.outcome if record else "broke"),
            "seconds": round(time.monotonic() - began, 2),
            "error": str(failure or ""),
        }
        log.append(entry)
        events.send({"event": "step", "tenant": key, **entry})
    return broke


def execute(step: str, key: str, folder: Path) -> RunbookError | None:
    """Execute the notebook of `step` with papermill, archive the copy, and return what stopped it, if anything.

    The copy is archived in one piece: under the record's name, or as `<step>.broken.ipynb` when there is no record.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    failure: RunbookError | None = None
    with (
        tempfile.TemporaryDirectory(prefix=".executing-", dir=folder) as place,
        tempfile.TemporaryDirectory(prefix="runbook-") as sockets,  # not in the folder: a socket's path must be short
    ):
        copy = Path(place) / f"{step}.ipynb"
        try:
            papermill.execute_notebook(
                NOTEBOOKS / copy.name,
                copy,
                parameters={"tenant": key, "run_id": folder.name},
                progress_bar=False,
                config=_kernel_transport(sockets),
            )
        except PapermillExecutionError as error:
            failure = _failure(step, error.ename, error.evalue)
        record = records.latest(folder).get(step)
        name = record.name if record else f"{step}.broken" if failure else step
        records.write_new(folder / "data" / f"{name}.ipynb", copy.read_bytes())
    return failure


def _kernel_transport(sockets: str) -> Config:
    """Let kernels talk over files that only this user can open: TCP ports are in the clear, and collide under load."""
    return Config() if os.name == "nt" else Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})


def portfolio(outputs: Path) -> Path:
    """Execute 09_portfolio over all tenants and return the page it made."""
    folder = records.new_run(outputs / "_portfolio", datetime.now(UTC))
    failure = execute("09_portfolio", "*", folder)
    if failure:
        raise failure
    return folder / "data" / "report.html"


def _failure(step: str, name: str, words: str) -> RunbookError:
    """Return the error that stopped a notebook as ours; what is not ours is a fault of the runbook itself."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RunbookError):
        failure = RunbookError(f"{step}: {words}")
        failure.exit_code = kind.exit_code
        return failure
    remedy = f"This is a fault of the runbook; {step}.broken.ipynb in the run's folder holds the trace."
    return RunbookError(f"{step}: {name}: {words}", remedy)
