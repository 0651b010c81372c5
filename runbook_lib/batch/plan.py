"""One batch from beginning to end, over crashes: pilots first, then the others, and a log from which it goes on.

The log (outputs/_batches/<UTC time>.jsonl, a JSON object a line) begins with the plan and goes on with every event. It
says what was meant to be done; what is done is read from the tenants' records alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from runbook_lib import settings
from runbook_lib.batch import pool
from runbook_lib.batch.pool import TenantResult
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records

Crew = Callable[..., list[TenantResult]]
"""What runs tenants: crew(keys, steps, on_event=...)."""
OVER = b'{"over": true}\n'
"""The last line in the log of a batch in which everybody came to an outcome."""
UNFIT = (1, 2, 3, 4)
"""The exit codes of a tenant that failed, is unknown or broke; `pending` waits for people, as a batch always does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch: its name, which tenants, which steps, and the rings in which the tenants go, one after the other."""

    name: str
    keys: tuple[str, ...]
    steps: tuple[str, ...]
    rings: tuple[tuple[str, ...], ...]

    @property
    def since(self) -> str:
        """Return when it began, as runs are named: no run with a lesser name belongs to it."""
        return self.name.partition("-")[0]


def plan(keys: Sequence[str], steps: Sequence[str], pilot: Sequence[str] = ()) -> Plan:
    """Return the plan of a batch that begins now; raises UsageError for a pilot who is not among the tenants.

    Pilots go first, then the ring `pilot` of the tenant files, then rings 1, 2 and so on, then whoever names no ring.
    """
    strangers = [key for key in pilot if key not in keys]
    if strangers:
        raise UsageError(f"The pilot {', '.join(strangers)} is not among the tenants.", "Name it as a tenant as well.")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    ranks = {key: (0, 0) if key in pilot else _rank(key) for key in keys}
    rings = (tuple(key for key in keys if ranks[key] == rank) for rank in sorted({*ranks.values()}))
    return Plan(name, tuple(keys), tuple(steps), tuple(rings))


def _rank(key: str) -> tuple[int, int]:
    """Return where a tenant's ring stands."""
    named = settings.ring(run_folders.home("parameters"), key)
    return (3, 0) if not named else (1, 0) if named == "pilot" else (2, int(named))


def interrupted() -> Plan:
    """Return the plan of the newest batch that did not come to its end, to go on with it, else of the newest.

    Raises UsageError when there was none.
    """
    logs = sorted(_logs().glob("*.jsonl"), reverse=True)
    if not logs:
        raise UsageError("There is no batch to resume.", "Begin one: runbook run --all")
    log = next((one for one in logs if not one.read_bytes().endswith(OVER)), logs[0])
    with log.open(encoding="utf-8") as file:
        first = file.readline()
    try:
        row = json.loads(first)["plan"]
        return Plan(row["name"], tuple(row["keys"]), tuple(row["steps"]), tuple(tuple(ring) for ring in row["rings"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{log.name} does not begin with a plan.", "Begin a new batch.") from error


def unfit(keys: Iterable[str]) -> list[str]:
    """Return those of `keys` whose newest run failed, is unknown, broke, was cut short, or is not there."""
    return [key for key in keys if not (found := finished(key)) or found.exit_code in UNFIT]


def finished(key: str, since: str = "") -> TenantResult | None:
    """Return what the records of the tenant's newest run tell, if that run is over and began at `since` or later."""
    folders = run_folders.runs(run_folders.home("outputs"), key)
    if not folders or folders[-1].name < since or not run_folders.is_sealed(folders[-1]):
        return None
    return told(key, folders[-1])


def told(key: str, folder: Path) -> TenantResult:
    """Return what the records of a run that is over tell."""
    found = records.latest(folder)
    log = folder / "data" / "batch.json"
    ran = json.loads(log.read_bytes())["steps"] if log.exists() else []
    return TenantResult(
        key,
        folder=folder,
        outcome=records.outcome(found),
        error=next((one["error"] for one in ran if one["outcome"] == "broke"), ""),
        steps={step: str(record.outcome) for step, record in found.items()},
    )


def run(
    plan: Plan, *, jobs: int | None, on_event: Callable[[Json], None], resume: bool = False, crew: Crew | None = None
) -> list[TenantResult]:
    """Run the plan ring by ring, each only if everybody before came out well; return results in the plan's order.

    With `resume`, tenants whose run is over are left alone, and a run that was cut short goes on where it stood. `crew`
    runs the tenants elsewhere than in `jobs` processes of this machine.
    """
    crew = crew or partial(pool.run, jobs=jobs, since=plan.since if resume else "")
    over = {key: finished(key, plan.since) for key in plan.keys} if resume else {}
    results = {key: result for key, result in over.items() if result}
    with _log(plan, on_event) as tell:
        for key in results:
            tell({"event": "tenant", "tenant": key, "outcome": results[key].outcome, "error": results[key].error})
        bad: list[str] = []
        for ring in plan.rings:
            left = [key for key in ring if key not in results]
            ran = [_held_back(key, bad) for key in left] if bad else crew(left, plan.steps, on_event=tell)
            results |= {one.key: one for one in ran}
            bad += [key for key in ring if results[key].exit_code in UNFIT]
    if all(one.outcome for one in results.values()):
        _end(plan)
    return [results[key] for key in plan.keys]


def _end(plan: Plan) -> None:
    """Note that everybody came to an outcome; a batch that held tenants back or lost one is one to resume."""
    with (_logs() / f"{plan.name}.jsonl").open("ab") as file:
        file.write(OVER)


def _held_back(key: str, bad: Sequence[str]) -> TenantResult:
    who = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    words = f"Held back: {who} in an earlier ring did not come out well. Correct that, then run --resume."
    return TenantResult(key, error=words)


def _logs() -> Path:
    return run_folders.home("outputs") / "_batches"


@contextmanager
def _log(plan: Plan, on_event: Callable[[Json], None]) -> Iterator[Callable[[Json], None]]:
    """Give what logs an event, then hands it on; a resumed batch goes on in its own log."""
    path = _logs() / f"{plan.name}.jsonl"
    try:
        run_folders.make(path.parent)
        opened = path.open("a", encoding="utf-8")
    except OSError as error:
        raise run_folders.unwritable(path, error) from error
    with opened as file:

        def tell(event: Json) -> None:
            file.write(json.dumps({"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", **event}) + "\n")
            file.flush()
            on_event(event)

        if not file.tell():
            file.write(json.dumps({"plan": asdict(plan)}) + "\n")
            file.flush()  # a batch that is killed before its first event can be resumed, too
        yield tell
