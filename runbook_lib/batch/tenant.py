"""One tenant's run, inside its own process: lock, notebooks in order, seal. What is done is read from its records."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from runbook_lib import errors
from runbook_lib.batch import process
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.evidence import seal
from runbook_lib.model import Json, Status
from runbook_lib.notebook import error_log
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import presence
from runbook_lib.runs import record as records
from runbook_lib.runs.lock import only_one
from runbook_lib.runs.record import Record

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
REPORT = "08_report"


def run_tenant(key: str, steps: Sequence[str], since: str, events: Connection) -> None:
    """Run `steps` for one tenant in this process, seal the run, and tell the parent through `events`.

    With `since`, the name of the earliest run that counts, an unfinished run is continued instead of beginning one, and
    a run that another process finished meanwhile is left alone.
    """
    outcome: Status | None = None
    broke: RunbookError | None = None
    try:
        with only_one(run_folders.home("outputs") / key):
            over = finished(key, since)
            folder = (
                over or unfinished(key, since) or run_folders.new_run(run_folders.home("outputs") / key, _now(since))
            )
            events.send({"event": "begun", "tenant": key, "folder": str(folder), "process": os.getpid()})
            broke = None if over else _all_steps(key, steps, folder, events.send)
            if found := records.latest(folder):
                outcome = records.outcome(found)
                if not over and not _can_go_on(broke):
                    seal.seal(folder, clock=lambda: datetime.now(UTC))
    except RunbookError as error:
        broke = broke or error
    events.send(ended(key, outcome, broke))


def _can_go_on(broke: RunbookError | None) -> bool:
    """Tell whether a wrong setting stopped the run: it is no evidence yet, and goes on once that is corrected."""
    return broke is not None and broke.exit_code == UsageError.exit_code


def ended(key: str, outcome: Status | None, broke: RunbookError | None) -> Json:
    """Return the last thing a tenant's process says."""
    words, code = (str(broke), broke.exit_code) if broke else ("", 0)
    return {"event": "ended", "tenant": key, "outcome": outcome, "error": words, "error_exit": code}


def _now(since: str) -> datetime:
    """Return the time that names a run: never before `since`, so that a clock that is behind loses no run."""
    earliest = datetime.strptime(f"{since}+0000", "%Y%m%dT%H%M%SZ%z") if since else datetime.min.replace(tzinfo=UTC)
    return max(datetime.now(UTC), earliest)


def finished(key: str, since: str) -> Path | None:
    """Return the tenant's newest run if it began at `since` or later and is sealed."""
    folders = run_folders.runs(run_folders.home("outputs"), key)
    over = since and folders and folders[-1].name >= since and run_folders.is_sealed(folders[-1])
    return folders[-1] if over else None


def unfinished(key: str, since: str) -> Path | None:
    """Return the tenant's newest run if it began at `since` or later, was not sealed, and is no person's.

    Its litter is swept away.
    """
    folders = run_folders.runs(run_folders.home("outputs"), key)
    if not since or not folders or folders[-1].name < since or run_folders.is_sealed(folders[-1]):
        return None
    if presence.is_a_person_s(folders[-1]):
        return None
    _begin_where_a_setting_stopped_it(folders[-1] / "data" / "batch.json")
    for litter in [*folders[-1].glob(".executing-*"), *folders[-1].rglob(".*.part")]:
        shutil.rmtree(litter) if litter.is_dir() else litter.unlink()
    return folders[-1]


def _begin_where_a_setting_stopped_it(batch: Path) -> None:
    """Take away the log of a batch that stopped at a wrong setting, so that its steps are no longer over."""
    steps = json.loads(batch.read_bytes())["steps"] if batch.exists() else []
    if any(one.get("exit_code") == UsageError.exit_code for one in steps):
        batch.unlink()


def _all_steps(key: str, steps: Sequence[str], folder: Path, tell: Callable[[Json], object]) -> RunbookError | None:
    """Execute the notebooks in order; after one that broke only the report still runs, and shows it."""
    broke: RunbookError | None = None
    ran, log = False, list[Json]()
    batch = folder / "data" / "batch.json"
    for step in steps:
        if step == REPORT and not batch.exists():
            run_folders.write_new(batch, run_folders.to_json({"steps": log}))
        done = None if step == REPORT and ran else _done(folder, step)
        if not done and step != REPORT and (broke or batch.exists()):
            log.append({"step": step, "outcome": "not run", "seconds": 0.0, "error": ""})
            continue
        tell({"event": "at", "tenant": key, "step": step})
        began, failure = time.monotonic(), None if done else execute(step, key, folder)
        record = done or records.latest(folder).get(step)
        broke = broke or (None if record else failure)
        seconds = (done.finished - done.started).total_seconds() if done else time.monotonic() - began
        outcome = str(record.outcome if record else "broke")
        ran = ran or not done
        row = {"step": step, "outcome": outcome, "seconds": round(seconds, 2), "error": str(failure or "")}
        log.append(row | ({"exit_code": failure.exit_code} if failure else {}))
        tell({"event": "step", "tenant": key, **log[-1]})
    return broke


def _done(folder: Path, step: str) -> Record | None:
    """Return the record of a step that this run has behind it: with its notebook, or it is looked at once more."""
    record = records.latest(folder).get(step)
    return record if record and (folder / "data" / f"{record.name}.ipynb").exists() else None


def execute(step: str, key: str, folder: Path) -> RunbookError | None:
    """Execute the notebook of `step` with papermill, archive the copy, and return what stopped it, if anything.

    The copy is archived in one piece: under the record's name, or as `<step>.broken.ipynb` when there is no record.
    """
    from runbook_lib.batch.engine import kernel as engine

    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix=".executing-", dir=folder) as place:
        copy = Path(place) / f"{step}.ipynb"
        parameters = {"tenant": key, "run_id": folder.name}
        stopped = engine.execute(NOTEBOOKS / copy.name, copy, parameters, here=process.forks())
        failure = _failure(step, stopped.ename, stopped.evalue, folder) if stopped else None
        record = records.latest(folder).get(step)
        name = record.name if record else _unused(folder, f"{step}.broken") if failure else step
        run_folders.write_new(folder / "data" / f"{name}.ipynb", copy.read_bytes())
    return failure


def _unused(folder: Path, stem: str) -> str:
    names = (stem if number == 1 else f"{stem}.{number}" for number in count(1))
    return next(name for name in names if not (folder / "data" / f"{name}.ipynb").exists())


def _failure(step: str, name: str, words: str, folder: Path) -> RunbookError:
    """Return the error that stopped a notebook as ours; what is not ours is a fault of the runbook itself."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RunbookError):
        failure = RunbookError(f"{step}: {words}")
        failure.exit_code = kind.exit_code
        return failure
    remedy = f"This is a fault of the runbook; {error_log.path(folder)} holds the trace."
    return RunbookError(f"{step}: {name}: {words}", remedy)


def run_portfolio(key: str, outputs: Path, events: Connection) -> None:
    """Run 09_portfolio over all tenants in this process and tell the parent through `events`."""
    os.environ["RUNBOOK_OUTPUTS"] = str(outputs)
    folder = run_folders.new_run(outputs / key, datetime.now(UTC))
    events.send({"event": "begun", "tenant": key, "folder": str(folder)})
    failure = execute("09_portfolio", "*", folder)
    events.send(ended(key, records.latest(folder)["09_portfolio"].outcome if not failure else None, failure))
