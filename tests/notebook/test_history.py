"""What earlier looks leave for step 7: the rooms as they were, their counts, and since when SpaceIQ is connected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from runbook_lib.display import frames
from runbook_lib.model import Confirmation, Look
from runbook_lib.notebook import earlier
from runbook_lib.notebook.run import Run
from runbook_lib.runs import record
from tests.fake_runs import NOW, add, new_run, passing
from tests.steps.facts import TENANT

LATER = NOW + timedelta(days=1)


def rooms(**states: str) -> frames.Table:
    rows = [
        {"room": name, "email": f"{name}@x", "state": state, "since": "2026-11-20 10:00 UTC", "first seen": ""}
        for name, state in states.items()
    ]
    return frames.table("rooms", rows, ["room", "email", "state", "since", "first seen"])


def counts(**states: int) -> frames.Table:
    rows: list[dict[str, Any]] = [{"state": state, "rooms": str(number)} for state, number in states.items()]
    rows.append({"state": "all rooms seen", "rooms": "2 of 2"})
    return frames.table("room_counts", rows, ["state", "rooms"])


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


def run(folder: Path, **tenant: Any) -> Run:
    known = replace(TENANT, **tenant)
    return Run("07_sync", known, folder, 2, LATER, False, record.latest(folder))


def test_a_first_look_finds_nothing_and_says_so(outputs: Path) -> None:
    found = earlier.earlier(run(new_run(outputs)))
    assert {name: look.rows for name, look in found.items()} == {
        "rooms before": (),
        "room counts before": (),
        "connected": (),
        "disconnected": (),
    }


def test_the_newest_look_counts_whichever_run_it_was_in(outputs: Path) -> None:
    old, now = new_run(outputs), new_run(outputs, at=LATER)
    add(old, "07_sync", passing(), frames=(rooms(a="pending"), counts(pending=1)))
    add(old, "07_sync", passing(), look=2, minutes=60, frames=(rooms(a="readable", b="pending"), counts(readable=1)))
    add(old, "06_access", passing(), frames=(rooms(z="pending"),))
    found = earlier.earlier(run(now))
    assert [(row["email"], row["state"], row["since"]) for row in found["rooms before"].rows] == [
        ("a@x", "readable", "2026-11-20 10:00 UTC"),
        ("b@x", "pending", "2026-11-20 10:00 UTC"),
    ]
    assert found["rooms before"].asked_at == NOW + timedelta(minutes=62)
    assert [row["counts"] for row in found["room counts before"].rows] == [{"pending": 1}, {"readable": 1}]


def test_the_grants_come_from_this_run_or_else_from_an_earlier_one(outputs: Path) -> None:
    old, now = new_run(outputs), new_run(outputs, at=LATER)
    raw = {name: Look(name, NOW) for name in ("service_principal", "resource 1", "exchange", "rooms")}
    add(old, "06_access", passing(), raw=raw)
    found = earlier.earlier(run(now))
    assert {"service_principal", "resource 1"} < found.keys()
    assert not {"exchange", "rooms"} & found.keys()


def test_the_connection_dates_from_the_newest_confirmed_consent(outputs: Path) -> None:
    folder = new_run(outputs)
    said = Confirmation("accepted-twice", "I accepted.", True, "Dana", NOW, "form")
    add(folder, "05_permissions", confirmations=(said, replace(said, at=LATER, confirmed=False)))
    early = replace(said, by="Sam", at=NOW - timedelta(days=3))
    found = earlier.earlier(run(folder, confirmations=MappingProxyType({"accepted-twice": early})))
    assert found["connected"].rows == ({"at": NOW.isoformat(), "by": "Dana"},)
