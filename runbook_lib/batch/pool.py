"""The same notebooks for many tenants, a process each, so that no tenant harms or sees another."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from runbook_lib import settings
from runbook_lib.batch.pace import LOOK_SECONDS, Pace
from runbook_lib.batch.process import Worker
from runbook_lib.batch.tenant import run_portfolio, run_tenant
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json, Status
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.folder import STEPS

TENANT_STEPS = tuple(step for step in STEPS if step != "09_portfolio")
DEADLINE_SECONDS = 45 * 60
"""How long one tenant may take before its process is ended."""
STRAGGLER_SECONDS, STRAGGLER_TIMES = 60, 5
"""A tenant is named as a straggler after so long, when that is so many times what the others took."""


@dataclass
class TenantResult:
    """What became of one tenant: the run's folder, the outcome, or what broke; `at` is the step it is in."""

    key: str
    folder: Path | None = None
    outcome: Status | None = None
    error: str = ""
    error_exit: int = 1
    seconds: float = 0.0
    steps: dict[str, str] = field(default_factory=dict)
    at: str = ""

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
    jobs: int | None,
    on_event: Callable[[Json], None],
    deadline_seconds: float = DEADLINE_SECONDS,
    since: str = "",
) -> list[TenantResult]:
    """Run `steps` for every tenant in `keys` and return the results in that order.

    At most `jobs` are under way at a time, without that number as many as cores and memory carry (pace.py).
    A tenant file with faults, a crash or a tenant that takes too long harms no other tenant. With `since`, the name of
    the earliest run that counts, a tenant's unfinished run is continued.
    """
    results = {key: TenantResult(key) for key in keys}
    waiting, running = deque(keys), list[Worker]()
    seconds, stragglers, pace = list[float](), set[str](), Pace(jobs)
    try:
        while waiting or running:
            while waiting and pace.allows(len(running)):
                key = waiting.popleft()
                if file_is_sound(results[key]):
                    running.append(Worker(key, run_tenant, (tuple(steps), since), deadline_seconds))
            if running:
                wait([worker.events for worker in running], timeout=LOOK_SECONDS if waiting else 1.0)
            for worker in list(running):
                hear(worker, results[worker.key], on_event)
                if worker.over:
                    running.remove(worker)
                    seconds.append(worker.seconds)
                elif worker.key not in stragglers and is_late(worker.seconds, seconds):
                    stragglers.add(worker.key)
                    at = results[worker.key].at
                    on_event({"event": "straggler", "tenant": worker.key, "step": at, "seconds": worker.seconds})
    finally:
        for worker in running:
            worker.end(patience_seconds=0)
    return [results[key] for key in keys]


def file_is_sound(result: TenantResult) -> bool:
    """Tell whether the tenant's file can be used; what is wrong with it becomes the result's error."""
    try:
        settings.load(run_folders.home("parameters"), result.key)
    except RunbookError as error:
        result.error, result.error_exit = str(error), error.exit_code
        return False
    return True


def is_late(own: float, others: Sequence[float]) -> bool:
    """Tell whether a tenant is a straggler: its own seconds so far against those of the tenants that are over."""
    return own > max(STRAGGLER_SECONDS, STRAGGLER_TIMES * statistics.median(others or [0.0]))


def hear(worker: Worker, result: TenantResult, on_event: Callable[[Json], None]) -> None:
    """Take in what the tenant's process said, and complete the result when it is over."""
    for event in worker.news():
        _note(result, event)
        on_event(event)
    if worker.over:
        result.seconds = worker.seconds
        if result.outcome is None and not result.error:
            result.error = worker.why(result.at)
        on_event({"event": "tenant", "tenant": result.key, "outcome": result.outcome, "error": result.error})


def _note(result: TenantResult, event: Json) -> None:
    match event["event"]:
        case "begun":
            result.folder = Path(event["folder"])
        case "at":
            result.at = event["step"]
        case "step":
            result.steps[event["step"]] = event["outcome"]
        case "ended":
            result.outcome = Status(event["outcome"]) if event["outcome"] else None
            result.error, result.error_exit = event["error"], event["error_exit"]


def portfolio(outputs: Path) -> Path:
    """Execute 09_portfolio over all tenants and return the page it made."""
    result = TenantResult("_portfolio")
    worker = Worker(result.key, run_portfolio, (outputs,), DEADLINE_SECONDS)
    while not worker.over:
        wait([worker.events], timeout=1.0)
        hear(worker, result, lambda _: None)
    if result.error or not result.folder:
        raise RunbookError(result.error)
    return result.folder / "data" / "report.html"
