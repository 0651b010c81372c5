"""A run on one screen: what was measured, what rests on a word, what nobody saw; and each step, to unfold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.display.times import duration, utc
from runbook_lib.model import Finding, Status
from runbook_lib.report import sections
from runbook_lib.report.story import Story, question, title
from runbook_lib.runs import audit
from runbook_lib.runs.folder import JUDGED
from runbook_lib.runs.record import Record

FINE = (Status.PASS, Status.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the things to know first: how many there are, what they are, and which section says more."""

    title: str
    section: str
    lines: tuple[str, ...]

    @property
    def first(self) -> tuple[str, ...]:
        """Return as many as fit beside the others."""
        return self.lines[:4]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how it came out, by whom and when, what is not as it should be, what is, and the files of each look."""

    title: str
    status: Status
    line: str
    open: tuple[tuple[str, Finding], ...] = ()
    passed: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    files: tuple[tuple[str, tuple[str, ...]], ...] = ()


def tiles(story: Story) -> list[Tile]:
    """Return what was measured, what somebody said, and what nobody saw; each question is in one of them at most."""
    gaps = sections.unseen(story)
    unseen = [f"{row['step']}: {row['why']}" for row in gaps.to_dict("records")]
    return [
        Tile("Proved by measurement", "checks", tuple(proved(story))),
        Tile("Rests on a person's word", "said", tuple(dict.fromkeys(_words(story.judged)))),
        Tile("Not looked at", "unseen", tuple(unseen)),
    ]


def proved(story: Story) -> Iterator[str]:
    """Yield each question that passed on answers which came in full; the tenant file alone proves nothing."""
    for record in story.judged:
        for row in audit.controls(record.findings, record.looks, ""):
            whole = row["population"] and all(one["complete"] for one in row["population"])
            if whole and row["result"] is Status.PASS:
                yield question(row["control"])


def _words(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        yield from (f"{one.statement} ({one.by or 'nobody named'})" for one in record.confirmations if one.confirmed)
        yield from (f"{one.label}: {one.value} ({one.by or one.source})" for one in record.answers if one.value)


def steps(story: Story) -> list[Step]:
    """Return every step in order, those without a record too."""
    return [_step(story, step) for step in JUDGED]


def _step(story: Story, step: str) -> Step:
    broke = " ".join(one["error"] for one in story.broken if one["step"] == step)
    record = story.newest.get(step)
    if record is None:
        return Step(
            title(step), Status.UNKNOWN if broke else Status.PENDING, f"It broke: {broke}" if broke else "not run"
        )
    looks = [one for one in story.looks if one.step == step]
    passed = dict.fromkeys(question(one.check) for one in record.findings if one.status in FINE)
    lacking = tuple((question(one.check), one) for one in record.findings if one.status not in FINE)
    failed = {asked for asked, _ in lacking}
    who = f"{record.operator['user']}, {utc(record.started)}, {duration(record.finished - record.started)}"
    line = ". ".join(filter(None, (who, record.waiting, broke)))
    return Step(
        title(step),
        record.outcome,
        line,
        tuple(sorted(lacking, key=lambda one: one[1].status.rank)),
        tuple(one for one in passed if one not in failed),
        tuple(_words([record])),
        tuple((sections.titled(one), tuple(_files(story.folder / "data", one))) for one in reversed(looks)),
    )


def _files(data: Path, record: Record) -> Iterator[str]:
    """Yield what a look left, from the page's own folder on: its executed notebook, record, answers and tables."""
    names = (*(f"{record.name}{end}" for end in (".ipynb", ".json", ".raw.json")), *record.tables)
    yield from (name for name in names if (data / name).is_file())
