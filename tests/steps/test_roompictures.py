"""Step 7 in pictures: every number is in it, no two states look alike, and nothing is drawn of nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from runbook_lib import forms
from runbook_lib.display import frames
from runbook_lib.model import Look, Status
from runbook_lib.report import page as report_page
from runbook_lib.steps import tables
from runbook_lib.steps.sync import pictures
from runbook_lib.steps.sync.join import Room, RoomFacts
from runbook_lib.steps.sync.states import RoomState
from tests.fake_runs import NOW, add, new_run, passing


def facts(*states: RoomState, **more: Look) -> RoomFacts:
    rooms = tuple(
        Room(f"R{at}", f"r{at}@x", "HQ", "", 4, state, Status.PASS, "so", NOW, NOW, "", "", "", "", "", None)
        for at, state in enumerate(states)
    )
    raw = {"free_busy": Look("free_busy", NOW), **{name.replace("_", " "): look for name, look in more.items()}}
    return RoomFacts(forms.reading({**raw, "free_busy": Look("free_busy", NOW)}), rooms)


def test_rooms_are_counted_by_building_and_state() -> None:
    svg = pictures.rooms(facts(RoomState.PROVED, RoomState.PROVED, RoomState.HIDDEN)).svg
    assert "HQ: 2 synced and proved, 1 hidden" in svg
    assert pictures.rooms(facts()).svg == ""


def test_no_two_states_look_alike_without_colour_and_with() -> None:
    svg = pictures.rooms(facts(*RoomState)).svg
    tiles = re.findall(r"<pattern .*?</pattern>", svg)
    looks = {re.sub(r'id="[^"]*"', "", tile) for tile in tiles}
    assert len(tiles) == len(looks) == len(RoomState)


def test_progress_is_in_the_order_of_time_and_ends_with_this_look() -> None:
    before = NOW - timedelta(hours=1)
    rows = ({"at": before.isoformat(), "counts": {"pending": 1, "an old state": 5}},)
    svg = pictures.progress(facts(RoomState.PROVED, room_counts_before=Look("", NOW, rows))).svg
    assert svg.index("2026-11-22 17:00 UTC: 1 pending, 5 an old state") < svg.index("18:00 UTC: 1 synced and proved")
    assert pictures.progress(facts(RoomState.PROVED)).svg == ""


LEG = {"status": "pass", "saw": "so", "seconds": None}


def test_legs_keep_their_order_and_round_up() -> None:
    rows = (LEG | {"leg": "first", "seconds": 0.2}, LEG | {"leg": "second", "seconds": 61.0}, LEG | {"leg": "untimed"})
    svg = pictures.latency(facts(booking=Look("booking", NOW, rows))).svg
    assert "first: 1 seconds; second: 61 seconds" in svg
    assert "untimed" not in svg
    assert pictures.latency(facts()).svg == ""


def test_a_notebook_gets_the_picture_or_the_word_that_there_is_none() -> None:
    assert list(pictures.Picture("<svg/>")._repr_mimebundle_()) == ["image/svg+xml"]
    assert list(pictures.Picture("")._repr_mimebundle_()) == ["text/plain"]


def test_the_report_shows_progress_and_latency_of_the_run(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    for look, count in ((1, "3"), (2, "7")):
        counts = frames.table("room_counts", [{"state": "pending", "rooms": count}], ["state", "rooms"])
        legs = frames.table("booking", [{"leg": "the room answers", "seconds": 4.5}], ["leg", "seconds"])
        add(
            folder,
            "07_sync",
            passing(),
            look=look,
            minutes=look,
            frames=(counts, legs, tables.rooms(facts(*RoomState))),
        )
    page = report_page.write(folder, report_page.read(folder)).read_text(encoding="utf-8")
    assert "3 pending" in page
    assert "7 pending" in page
    assert "the room answers: 5 seconds" in page
