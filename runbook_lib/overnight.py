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
from pathlib import Path

from runbook_lib import batch, records
from runbook_lib.batch import TenantResult
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.model import Json

UNFIT = (1, 2, 3, 4)
"""The exit codes of a tenant that failed, is unknown or broke; `pending` waits for people, as a batch always does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch: its name, which tenants, which steps, who goes first."""

    name: str
    keys: tuple[str, ...]
    steps: tuple[str, ...]
    pilot: tuple[str, ...]

    @property
    def since(self) -> str:
        """Return when it began, as runs are named: no run with a lesser name belongs to it."""
        return self.name.partition("-")[0]


def plan(keys: Sequence[str], steps: Sequence[str], pilot: Sequence[str] = ()) -> Plan:
    """Return the plan of a batch that begins now; raises UsageError for a pilot who is not among the tenants."""
    strangers = [key for key in pilot if key not in keys]
    if strangers:
        raise UsageError(f"The pilot {', '.join(strangers)} is not among the tenants.", "Name it as a tenant as well.")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    return Plan(name, tuple(keys), tuple(steps), tuple(pilot))


def interrupted() -> Plan:
    """Return the plan of the newest batch, to go on with it; raises UsageError when there was none."""
    logs = sorted(_logs().glob("*.jsonl"))
    if not logs:
        raise UsageError("There is no batch to resume.", "Begin one: runbook run --all")
    with logs[-1].open(encoding="utf-8") as file:
        first = file.readline()
    try:
        row = json.loads(first)["plan"]
        return Plan(row["name"], tuple(row["keys"]), tuple(row["steps"]), tuple(row["pilot"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{logs[-1].name} does not begin with a plan.", "Begin a new batch.") from error


def unfit(keys: Iterable[str]) -> list[str]:
    """Return those of `keys` whose newest run failed, is unknown, broke, was cut short, or is not there."""
    return [key for key in keys if not (found := finished(key)) or found.exit_code in UNFIT]


def finished(key: str, since: str = "") -> TenantResult | None:
    """Return what the records of the tenant's newest run tell, if that run is over and began at `since` or later."""
    folders = records.runs(records.home("outputs"), key)
    if not folders or folders[-1].name < since or not records.is_sealed(folders[-1]):
        return None
    found = records.latest(folders[-1])
    log = folders[-1] / "data" / "batch.json"
    ran = json.loads(log.read_bytes())["steps"] if log.exists() else []
    return TenantResult(
        key,
        folder=folders[-1],
        outcome=records.outcome(found),
        error=next((one["error"] for one in ran if one["outcome"] == "broke"), ""),
        steps={step: str(record.outcome) for step, record in found.items()},
    )


def run(plan: Plan, *, jobs: int, on_event: Callable[[Json], None], resume: bool = False) -> list[TenantResult]:
    """Run the plan: pilots first, and the others only if every pilot came out well; return results in the plan's order.

    With `resume`, tenants whose run is over are left alone, and a run that was cut short goes on where it stood.
    """
    over = {key: finished(key, plan.since) for key in plan.keys} if resume else {}
    results = {key: result for key, result in over.items() if result}
    with _log(plan, on_event) as tell:
        for key in results:
            tell({"event": "tenant", "tenant": key, "outcome": results[key].outcome, "error": results[key].error})
        for ring in (plan.pilot, [key for key in plan.keys if key not in plan.pilot]):
            left = [key for key in ring if key not in results]
            bad = [key for key in plan.pilot if key in results and results[key].exit_code in UNFIT]
            if bad:
                ran = [_held_back(key, bad) for key in left]
            else:
                since = plan.since if resume else ""
                ran = batch.run(left, plan.steps, jobs=jobs, on_event=tell, since=since)
            results |= {one.key: one for one in ran}
    return [results[key] for key in plan.keys]


def _held_back(key: str, bad: Sequence[str]) -> TenantResult:
    words = f"Held back: the pilot {', '.join(bad)} did not come out well. Correct that, then run --resume."
    return TenantResult(key, error=words)


def _logs() -> Path:
    return records.home("outputs") / "_batches"


@contextmanager
def _log(plan: Plan, on_event: Callable[[Json], None]) -> Iterator[Callable[[Json], None]]:
    """Give what logs an event, then hands it on; a resumed batch goes on in its own log."""
    path = _logs() / f"{plan.name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a", encoding="utf-8")
    except OSError as error:
        raise records.unwritable(path, error) from error
    with opened as file:

        def tell(event: Json) -> None:
            file.write(json.dumps({"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", **event}) + "\n")
            file.flush()
            on_event(event)

        if not file.tell():
            file.write(json.dumps({"plan": asdict(plan)}) + "\n")
        yield tell
