"""What one run's records tell: every look, the steps that broke, and what is left to do.

Nothing is asked and nothing is judged here; a step without a record is told as not run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import steps
from runbook_lib.checks import CHECKS
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Json, Status, worst
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs import writes
from runbook_lib.runs.folder import JUDGED, STEPS
from runbook_lib.runs.record import Record
from runbook_lib.runs.writes import Write

if TYPE_CHECKING:
    from runbook_lib.notebook.run import Run

NOT_TRUE = {Status.FAIL: "Not so", Status.PENDING: "Not yet"}
"""What stands before the title of a check, which says how it should be."""


@dataclass(frozen=True)
class Story:
    """One run as its records tell it: every look in order, the steps that broke, and whether the run is sealed."""

    folder: Path
    tenant: Json
    cloud: Json
    looks: tuple[Record, ...]
    broken: tuple[Json, ...]
    sealed: bool
    unended: tuple[Write, ...] = ()
    """What this program began to change in the tenant, when nobody knows whether it was done."""

    @cached_property
    def newest(self) -> dict[str, Record]:
        """Return the newest look at each step."""
        return {record.step: record for record in self.looks}

    @property
    def judged(self) -> list[Record]:
        """Return the newest looks at the steps that make the outcome, in order."""
        return [record for step, record in self.newest.items() if step in JUDGED]

    @property
    def outcome(self) -> Status:
        """Return the worst of what was recorded and what is left to do: a run with steps missing does not pass."""
        return worst([records.outcome(self.newest), *(one.status for one in self.open)])

    @cached_property
    def open(self) -> tuple[Open, ...]:
        """Return what is left to do, worst first: findings, questions, closed gates, steps broken or not run."""
        found = [*_stopped(self), *(one for record in self.judged for one in _open_in(record))]
        return tuple(sorted(dict.fromkeys(found), key=lambda one: one.status.rank))


@dataclass(frozen=True, slots=True)
class Open:
    """One thing left to do; `need` reads the same for every tenant that needs the same."""

    status: Status
    step: str
    need: str
    about: str
    saw: str
    remedy: str
    link: str = ""


def read(run: Run | Path) -> Story:
    """Return the story of a run, or of a run's folder; raise ArchiveError for a damaged record.

    A folder without any record tells nothing (ArchiveError); a run that has begun tells at least whose it is.
    """
    folder = run if isinstance(run, Path) else run.folder
    looks = tuple(records.all_records(folder))
    if looks:
        tenant, cloud = looks[-1].tenant, looks[-1].cloud
    elif isinstance(run, Path):
        raise ArchiveError("The run has no records, so there is nothing to tell.", "Run a step first.")
    else:
        tenant = {name: getattr(run.tenant, name) for name in ("key", "name", "tenant_id", "domain")}
        cloud = {name: getattr(run.tenant.cloud, name) for name in ("name", "graph", "microsoft")}
    broken = tuple(_broken(folder / "data" / "batch.json"))
    return Story(folder, tenant, cloud, looks, broken, run_folders.is_sealed(folder), tuple(_unended(folder, looks)))


def _unended(folder: Path, looks: tuple[Record, ...]) -> Iterator[Write]:
    """Yield the writes that nobody knows the end of, and after which nobody has looked at their step again."""
    for one in writes.unsettled(folder):
        if not any(record.step == one.step and record.started > one.begun for record in looks):
            yield one


def _broken(path: Path) -> Iterator[Json]:
    if not path.exists():
        return
    try:
        yield from (one for one in json.loads(path.read_bytes())["steps"] if one["outcome"] == "broke")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path.name} cannot be read ({error}).", "Restore it from the archive.") from error


def title(step: str) -> str:
    """Return how people call the step."""
    return STEPS.get(step, step)


def question(check: str) -> str:
    """Return what a check asks; one that this version does not know keeps its id."""
    steps.load()
    return CHECKS[check].title if check in CHECKS else check


def _stopped(story: Story) -> Iterator[Open]:
    for one in story.broken:
        step, error = one["step"], one["error"]
        yield Open(Status.UNKNOWN, step, f"{title(step)} broke", "", error, "Correct that, then run it again.")
    for write in story.unended:
        need = "A change in the tenant was begun, and it is not known whether it was made"
        saw = f"{write.verb}: {write.target}, begun {write.begun:%Y-%m-%d %H:%M} UTC"
        yield Open(Status.UNKNOWN, write.step, need, write.subject or write.target, saw, f"Run {write.step}.ipynb.")
    for step in sorted(set(JUDGED) - story.newest.keys() - {one["step"] for one in story.broken}):
        need = f"{title(step)} has not run"
        yield Open(Status.PENDING, step, need, "", "there is no record of it", f"Run {step}.ipynb.")


def _open_in(record: Record) -> Iterator[Open]:
    step, pending = record.step, Status.PENDING
    if record.waiting:
        yield Open(pending, step, record.waiting, "", "the step has not begun", "Do that, then run the step.")
    elif not (record.findings or record.confirmations or record.answers):
        yield Open(
            record.outcome, step, f"{title(step)} recorded nothing", "", "nothing was judged", f"Run {step}.ipynb."
        )
    for one in record.findings:
        if one.status is Status.UNKNOWN:  # the need is what we lacked; what it would have answered comes second
            left = f"not answered: {question(one.check)}"
            yield Open(one.status, step, one.saw, one.subject, left, one.remedy, one.link)
        elif one.status in NOT_TRUE:
            need = f"{NOT_TRUE[one.status]}: {question(one.check)}"
            yield Open(one.status, step, need, one.subject, one.saw, one.remedy, one.link)
    for said in record.confirmations:
        if said.status is pending:
            remedy = f"Confirm it in {step}.ipynb, or under confirmations in the tenant file."
            yield Open(pending, step, f"To confirm: {said.statement}", "", "not confirmed yet", remedy)
    for asked in record.answers:
        if asked.status is pending:
            remedy = f"Answer it in {step}.ipynb."
            yield Open(pending, step, f"To answer: {asked.label}", "", "not answered yet", remedy)


def summary(story: Story) -> str:
    """Return in a sentence or two what is left to do, and how much of the run has a record."""
    left = Counter(one.status for one in story.open)
    words = {
        Status.FAIL: "not as documented",
        Status.UNKNOWN: "could not be looked at",
        Status.PENDING: "waiting for a person or for time",
    }
    parts = [f"{left[status]} {word}" for status, word in words.items() if left[status]]
    done = f"{len(story.judged)} of {len(JUDGED)} steps have a record."
    broke = f" {len(story.broken)} broke." if story.broken else ""
    return f"{', '.join(parts).capitalize() or 'Nothing is left to do'}. {done}{broke}"
