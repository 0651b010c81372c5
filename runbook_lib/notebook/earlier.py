"""What the tenant's earlier looks left behind for step 7: the rooms as they were, and when SpaceIQ was connected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.display import frames
from runbook_lib.model import Json, Look, Raw
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.record import Record

if TYPE_CHECKING:
    from runbook_lib.notebook.run import Run

REVIEWED = ("service_principal", "app_role_assignments", "delegated_grants", "resource ")
"""The answers of step 6 that say how far Cronofy's grants reach; names may go on behind the last."""
LONGEST_STORY = 12
"""How many earlier looks a picture of the progress can show."""


def earlier(run: Run) -> Raw:
    """Return what step 7 compares with: rooms and counts of earlier looks, deletion and consent, step 6's grants."""
    looks = list(_looks(run))
    return {
        "rooms before": _rooms(run, looks[-1:]),
        "room counts before": _counts(run, looks[-LONGEST_STORY:]),
        "connected": Look("connected", run.started, tuple(_said(run, "accepted-twice"))[-1:]),
        "disconnected": Look("disconnected", run.started, tuple(_said(run, "disconnected"))[-1:]),
        **_reviewed(run),
    }


def _looks(run: Run) -> Iterator[tuple[Path, Record]]:
    """Yield every look of this tenant that left a table of rooms, oldest first."""
    for folder in run_folders.runs(run.folder.parent.parent, run.tenant.key):
        for record in records.all_records(folder):
            if record.step == run.step and any(path.endswith(".rooms.csv") for path in record.tables):
                yield folder, record


def _table(folder: Path, record: Record, name: str) -> list[Json]:
    paths = [path for path in record.tables if path.endswith(f".{name}.csv")]
    return [row for path in paths for row in frames.records_of(frames.read_csv(folder / "data" / path))]


def _rooms(run: Run, newest: list[tuple[Path, Record]]) -> Look:
    kept = ("email", "room", "state", "since", "first seen")
    rows = [{name: row.get(name, "") for name in kept} for one in newest for row in _table(*one, "rooms")]
    return Look("rooms before", newest[0][1].finished if newest else run.started, tuple(rows))


def _counts(run: Run, looks: list[tuple[Path, Record]]) -> Look:
    rows = [
        {"at": record.finished.isoformat(), "counts": {row["state"]: int(row["rooms"]) for row in table}}
        for folder, record in looks
        if (table := [row for row in _table(folder, record, "room_counts") if row["rooms"].isdecimal()])
    ]
    return Look("room counts before", run.started, tuple(rows))


def _said(run: Run, key: str) -> Iterator[Json]:
    """Yield who confirmed something and when, the newest last: after it, what was looked at before counts no more."""
    said = [one for record in run.records.values() for one in record.confirmations]
    known = [one for one in (*run.tenant.confirmations.values(), *said) if one.key == key and one.confirmed]
    times: list[tuple[datetime, str]] = sorted((one.at, one.by) for one in known if one.at)
    yield from ({"at": at.isoformat(), "by": by} for at, by in times)


def _reviewed(run: Run) -> Raw:
    """Return the grants of the newest step 6, of an earlier run where this one goes on with step 7 alone."""
    for folder in reversed(run_folders.runs(run.folder.parent.parent, run.tenant.key)):
        record = records.latest(folder).get("06_access")
        if record is not None and record.raw_sha256:
            found = records.read_raw(folder / "data" / f"{record.name}.raw.json")
            return {name: look for name, look in found.items() if name.startswith(REVIEWED)}
    return {}
