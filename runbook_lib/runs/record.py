"""The run's folder and the records in it: created, read back, never overwritten."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from runbook_lib.errors import ArchiveError
from runbook_lib.model import Answer, Confirmation, Finding, Json, Look, Raw, Status, worst
from runbook_lib.runs import audit, record_schema
from runbook_lib.runs.folder import JUDGED, look_name, to_json, write_new

SCHEMA = 2
"""The version of the record's shape, record.schema.json; raised whenever a field comes, goes or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one step of one run did, saw and concluded; one JSON file."""

    schema: int
    step: str
    look: int
    run: str
    tenant: Json
    cloud: Json
    outcome: Status
    started: datetime
    finished: datetime
    operator: Json
    findings: tuple[Finding, ...]
    confirmations: tuple[Confirmation, ...]
    answers: tuple[Answer, ...]
    looks: tuple[Json, ...]
    requests: tuple[Json, ...]
    tables: tuple[str, ...]
    raw_sha256: str
    settings: Json
    override: str
    versions: Json
    how_to: Json
    waiting: str = ""

    @property
    def name(self) -> str:
        """Return the file name without ending: `06_access`, or `06_access.2` for the second look."""
        return look_name(self.step, self.look)


def all_records(folder: Path) -> list[Record]:
    """Return every record of the run in the order of steps and looks; raise ArchiveError on a damaged one."""
    found = [read(path) for path in (folder / "data").glob("??_*.json") if not path.name.endswith(".raw.json")]
    return sorted(found, key=lambda record: (record.step, record.look))


def latest(folder: Path) -> dict[str, Record]:
    """Return the newest record of each step."""
    return {record.step: record for record in all_records(folder)}


def outcomes(folder: Path) -> dict[str, Status]:
    """Return the outcome of the newest look at each step, from the first lines of its record alone."""
    looks: dict[str, tuple[int, Path]] = {}
    for path in (folder / "data").glob("??_*.json"):
        step, _, look = path.name.removesuffix(".json").partition(".")
        if not path.name.endswith(".raw.json"):
            looks[step] = max(looks.get(step, (0, path)), (int(look or 1), path))
    return {step: _outcome(path) for step, (_, path) in sorted(looks.items())}


def _outcome(path: Path) -> Status:
    """Return the outcome in a record that was written here: one blank stands before its own keys, more before inner."""
    with path.open("rb") as file:
        found = re.search(rb'^ "outcome": "(.+?)"', file.read(4096), re.MULTILINE)
    said = found[1].decode(errors="replace") if found else ""
    return Status(said) if said in {*Status} else read(path).outcome


def outcome(records: Mapping[str, Record]) -> Status:
    """Return the tenant's outcome: the worst of steps 0 to 7, `unknown` when there is none."""
    return worst(records[step].outcome for step in JUDGED if step in records)


def outage(records: Mapping[str, Record]) -> tuple[datetime, datetime | None] | None:
    """Return when SpaceIQ's room booking went down and when it was proved to work again (None: it still is down).

    It begins with the confirmed deletion of step 1 and ends with the confirmed booking test of step 7.
    """
    said = {one.key: one.at for record in records.values() for one in record.confirmations if one.confirmed}
    began = said.get("disconnected")
    return (began, said.get("booking-tested")) if began else None


def outage_words(earlier: Mapping[str, Record], now: datetime) -> str:
    """Return how long SpaceIQ's room booking has been down, or was; empty before step 1."""
    found = outage(earlier)
    if found is None:
        return ""
    began, ended = found
    hours, seconds = divmod(((ended or now) - began).total_seconds(), 3600)
    lasted = f"{hours:.0f} h {seconds // 60:.0f} min"
    return f"{lasted}, from {began:%Y-%m-%d %H:%M} UTC" + ("" if ended else ": room booking is still down")


def read(path: Path) -> Record:
    """Return the record in `path`, of this version or an older one; raise ArchiveError when it is no record of ours."""
    try:
        return _record(path.read_bytes(), path.name)
    except (OSError, ValueError, TypeError, KeyError) as error:
        remedy = "Restore it from the archive, or move the run's folder aside and start a new run."
        raise ArchiveError(f"{path.name} is not a complete record ({error}).", remedy) from error


@lru_cache(maxsize=64)  # every step reads the records of all steps before it
def _record(content: bytes, name: str) -> Record:
    row = json.loads(content)
    if row["schema"] > SCHEMA:
        what = f"{name} has version {row['schema']} of the record; this runbook knows {SCHEMA}."
        raise ArchiveError(what, "Read it with the newer runbook that wrote it.")
    if lacking := ", ".join(record_schema.lacking(row, frozenset(Record.__dataclass_fields__))):
        raise KeyError(f"it lacks {lacking}")
    row["outcome"] = Status(row["outcome"])
    row["started"] = datetime.fromisoformat(row["started"])
    row["finished"] = datetime.fromisoformat(row["finished"])
    row["findings"] = tuple(Finding(**{**one, "status": Status(one["status"])}) for one in row["findings"])
    row["confirmations"] = tuple(_dated(Confirmation, one) for one in row["confirmations"])
    row["answers"] = tuple(_dated(Answer, one) for one in row["answers"])
    for name in ("looks", "requests", "tables"):
        row[name] = tuple(row[name])
    return Record(**{name: row[name] for name in Record.__dataclass_fields__ if name in row})


def _dated(kind: type[Any], row: Json) -> Any:
    return kind(**{**row, "at": datetime.fromisoformat(row["at"]) if row["at"] else None})


def write(folder: Path, record: Record) -> Path:
    """Write `record` into the run's folder and return its path."""
    path = folder / "data" / f"{record.name}.json"
    evidence = f"{record.name}.raw.json" if record.raw_sha256 else ""
    derived = {
        "controls": audit.controls(record.findings, record.looks, evidence),
        "people": audit.people([record.settings["change"]], [record.operator], record.confirmations),
    }
    write_new(path, to_json(asdict(record) | derived))
    return path


def raw_json(raw: Raw) -> bytes:
    """Return the raw answers as they are archived."""
    return to_json({name: {one.name: getattr(look, one.name) for one in fields(look)} for name, look in raw.items()})


def read_raw(path: Path) -> dict[str, Look]:
    """Return the raw answers archived in `path`, to be judged again."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Look(**{**row, "asked_at": datetime.fromisoformat(row["asked_at"]), "rows": tuple(row["rows"])})
            for name, row in stored.items()
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArchiveError(
            f"{path.name} does not hold raw answers ({error}).", "Restore it from the archive."
        ) from error
