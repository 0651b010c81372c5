"""The run's folder and the records in it: created, read back, never overwritten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from runbook_lib import forms
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Answer, Confirmation, Finding, Json, Look, Raw, Status, worst
from runbook_lib.runs import audit, parts
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.folder import JUDGED, look_name, to_json, write_new

SCHEMA = 2
"""The version of the record's shape, record.schema.json; raised whenever a field comes, goes or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one step of one run did, saw and concluded; one JSON file."""

    __pydantic_config__: ClassVar[Any] = {"use_attribute_docstrings": True}
    schema: Annotated[int, parts.AtLeast(1)]
    """Version of this shape."""
    step: Annotated[str, parts.Like(r"^\d\d_[a-z]+$")]
    look: Annotated[int, parts.AtLeast(1)]
    """1 for the first look at the step in this run."""
    run: Annotated[str, parts.Like(".")]
    """Name of the run's folder."""
    tenant: parts.Tenant
    cloud: parts.Cloud
    outcome: Status
    started: parts.UTC
    finished: parts.UTC
    operator: parts.OperatorRow
    findings: tuple[Finding, ...]
    confirmations: tuple[Confirmation, ...]
    answers: tuple[Answer, ...]
    looks: tuple[parts.LookRow, ...]
    requests: tuple[parts.RequestRow, ...]
    tables: tuple[str, ...]
    """Files below data/."""
    raw_sha256: parts.SHA256
    """SHA-256 of NN_step.raw.json, the answers as they came; empty when nothing was asked."""
    settings: parts.SettingsRow
    override: str
    """Why a closed gate was opened."""
    versions: parts.VersionsRow
    how_to: parts.HowToRow
    waiting: str = ""
    """What kept the gate closed."""

    @property
    def name(self) -> str:
        """Return the file name without ending: `06_access`, or `06_access.2` for the second look."""
        return look_name(self.step, self.look)

    @property
    def identity(self) -> str:
        """Return which run it is of, `tenant/run`."""
        return f"{self.tenant['key']}/{self.run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed(Record):
    """A record as its file holds it, with what follows from it, so that nobody needs this program to see that."""

    controls: tuple[parts.ControlRow, ...] | None = None
    """One row for each check that was judged; version 1 has none."""
    people: parts.PeopleRow | None = None


def all_records(folder: Path) -> list[Record]:
    """Return every record of the run in the order of steps and looks; raise ArchiveError on a damaged one.

    Raises NotItsOwn when one is of another run, or of another tenant, than the folder it lies in.
    """
    found = [read(path) for path in (folder / "data").glob("??_*.json") if not path.name.endswith(".raw.json")]
    _demand_place(folder, {record.identity for record in found})
    return sorted(found, key=lambda record: (record.step, record.look))


def latest(folder: Path) -> dict[str, Record]:
    """Return the newest record of each step."""
    return {record.step: record for record in all_records(folder)}


class NotItsOwn(ArchiveError):
    """What lies in a run's folder is of another run."""

    exit_code = 3


def _demand_place(folder: Path, identities: Iterable[str]) -> None:
    for words in filter(None, (run_folders.misplaced(folder, one) for one in identities)):
        raise NotItsOwn(f"{folder.name} is not what its name says. {words}", "Put every run back into its own place.")


def outcomes(folder: Path) -> dict[str, Status]:
    """Return the outcome of the newest look at each step, from the first lines of its record alone.

    Raises NotItsOwn as `all_records` does.
    """
    looks: dict[str, tuple[int, Path]] = {}
    for path in (folder / "data").glob("??_*.json"):
        step, _, look = path.name.removesuffix(".json").partition(".")
        if not path.name.endswith(".raw.json"):
            looks[step] = max(looks.get(step, (0, path)), (int(look or 1), path))
    heads = {step: _head(path) for step, (_, path) in sorted(looks.items())}
    _demand_place(folder, {identity for identity, _ in heads.values()})
    return {step: outcome for step, (_, outcome) in heads.items()}


_HEAD = re.compile(rb'^ "run": "(.+?)".*?^  "key": "(.+?)".*?^ "outcome": "(.+?)"', re.MULTILINE | re.DOTALL)
"""Whose record it is and its outcome, as they are written here: one blank before its own keys, more before inner."""


def _head(path: Path) -> tuple[str, Status]:
    """Return whose record it is and its outcome, from the first lines of one that was written here, or else of all."""
    with path.open("rb") as file:
        found = _HEAD.search(file.read(4096))
    run, key, said = (part.decode(errors="replace") for part in found.groups()) if found else ("", "", "")
    if said in {*Status}:
        return f"{key}/{run}", Status(said)
    record = read(path)
    return record.identity, record.outcome


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
        return parse(run_folders.content(path), path.name)
    except (OSError, ValueError) as error:
        remedy = "Restore it from the archive, or move the run's folder aside and start a new run."
        words = "; ".join(forms.in_words(error)) if isinstance(error, ValueError) else str(error)
        raise ArchiveError(f"{path.name} is not a complete record ({words}).", remedy) from error


@lru_cache(maxsize=64)  # every step reads the records of all steps before it
def parse(content: bytes, name: str) -> Record:
    """Return the record in these bytes; ValueError when they are none, ArchiveError when a newer runbook wrote it."""
    if (found := _NEWER.search(content[:4096])) and int(found[1]) > SCHEMA:
        what = f"{name} has version {int(found[1])} of the record; this runbook knows {SCHEMA}."
        raise ArchiveError(what, "Read it with the newer runbook that wrote it.")
    return forms.adapter(Record).validate_json(content, strict=True)


_NEWER = re.compile(rb'"schema": ?(\d{1,9})\b')
"""The version stands among the first keys of every record."""


def faults(content: bytes) -> tuple[str, ...]:
    """Return in words each place where a record's file is not as record.schema.json says."""
    try:
        filed = forms.adapter(Filed).validate_json(content, strict=True)
    except ValueError as error:
        return tuple(forms.in_words(error))
    absent = [name for name in ("controls", "people") if getattr(filed, name) is None]
    return tuple(f"it lacks {name}" for name in absent) if filed.schema > 1 else ()


@cache
def json_schema() -> Json:
    """Return what every record's JSON must be, as JSON Schema; record.schema.json is this, for those without Python."""
    made = forms.adapter(Filed).json_schema(ref_template="#/$defs/{model}")
    made["properties"]["schema"]["maximum"] = SCHEMA
    later = {"required": ["waiting", "controls", "people"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:spaceiq-calendar-runbook:record",
        **made,
        "title": "Record of one look at one step of a run: NN_step.json",
        "description": "Version 1 has no controls and people; every version stays readable.",
        "if": {"properties": {"schema": {"const": 1}}},
        "else": later,
    }


def write(folder: Path, record: Record) -> Path:
    """Write `record` into the run's folder and return its path; what nobody could read again is not written."""
    path = folder / "data" / f"{record.name}.json"
    evidence = f"{record.name}.raw.json" if record.raw_sha256 else ""
    filed = Filed(
        **{one.name: getattr(record, one.name) for one in fields(record)},
        controls=tuple(audit.controls(record.findings, record.looks, evidence)),
        people=audit.people([record.settings["change"]], [record.operator], record.confirmations),
    )
    content = to_bytes(filed)
    if off := "; ".join(faults(content)):
        raise ArchiveError(
            f"The record {record.name} is not written: {off}.", "This is a fault of the runbook: tell it."
        )
    write_new(path, content)
    return path


def to_bytes(filed: Filed) -> bytes:
    """Return a record's JSON; a letter that UTF-8 cannot write, half of a pair, becomes a question mark."""
    kind = forms.adapter(Filed)
    try:
        return kind.dump_json(filed, indent=1, warnings=False) + b"\n"
    except ValueError:  # pydantic's PydanticSerializationError is one
        plain = json.dumps(kind.dump_python(filed, mode="json", warnings=False), ensure_ascii=False, indent=1)
        return plain.encode("utf-8", "replace") + b"\n"


def raw_json(raw: Raw) -> bytes:
    """Return the raw answers as they are archived."""
    return to_json({name: {one.name: getattr(look, one.name) for one in fields(look)} for name, look in raw.items()})


def read_raw(path: Path) -> dict[str, Look]:
    """Return the raw answers archived in `path`, to be judged again."""
    try:
        stored = json.loads(run_folders.content(path))
        return {
            name: Look(**{**row, "asked_at": datetime.fromisoformat(row["asked_at"]), "rows": tuple(row["rows"])})
            for name, row in stored.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            f"{path.name} does not hold raw answers ({error}).", "Restore it from the archive."
        ) from error
