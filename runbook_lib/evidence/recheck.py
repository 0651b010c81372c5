"""Judge the archived raw answers again, offline, and say where the conclusion differs from what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from runbook_lib import settings
from runbook_lib.checks import judged
from runbook_lib.model import Finding, Status
from runbook_lib.runs import record as records
from runbook_lib.runs.record import Record


@dataclass(frozen=True, slots=True)
class Difference:
    """One finding that this version of the checks makes otherwise; an empty side means that it did not make it."""

    record: str
    check: str
    subject: str
    recorded: str
    now: str


def recheck(folder: Path) -> tuple[Difference, ...]:
    """Return every difference between the records of a run and what its raw answers come to now.

    Nothing is asked of any cloud. Raises ArchiveError when a record or its raw answers are damaged.
    """
    found = records.all_records(folder)
    return tuple(difference for record in found if record.raw_sha256 for difference in _differences(folder, record))


def again(folder: Path, record: Record) -> tuple[Finding, ...]:
    """Return the findings that the raw answers of `record` lead to now."""
    tenant = settings.revive(record.settings)
    raw = records.read_raw(folder / "data" / f"{record.name}.raw.json")
    facts = _module(record.step).parse(raw, tenant)
    return judged(facts if isinstance(facts, tuple) else (facts,), tenant, record.started)


def _module(step: str) -> Any:
    """Return the module that parses a step's answers: the step itself, or the checks of one with a folder."""
    found = import_module(f"runbook_lib.steps.{step.partition('_')[2]}")
    return import_module(f"{found.__name__}.checks") if hasattr(found, "__path__") else found


def _differences(folder: Path, record: Record) -> list[Difference]:
    then, now = _by_subject(record.findings), _by_subject(again(folder, record))
    changed = [key for key in dict.fromkeys([*then, *now]) if then.get(key) != now.get(key)]
    return [Difference(record.name, *key, _told(then.get(key)), _told(now.get(key))) for key in changed]


def _by_subject(findings: tuple[Finding, ...]) -> dict[tuple[str, str], list[tuple[Status, str]]]:
    found: dict[tuple[str, str], list[tuple[Status, str]]] = {}
    for one in findings:
        found.setdefault((one.check, one.subject), []).append((one.status, one.saw))
    return found


def _told(found: list[tuple[Status, str]] | None) -> str:
    return "; ".join(f"{status}: {saw}" for status, saw in found or ())
