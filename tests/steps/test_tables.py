"""Tables: complete, escaped, and inert in a spreadsheet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.checks import CHECKS
from runbook_lib.display import frames
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Finding, Look, Status
from runbook_lib.steps import tables
from runbook_lib.steps.sync import checks as sync  # noqa: F401 - the checks register themselves
from runbook_lib.steps.sync.checks import Room, RoomFacts, RoomState

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
CHECK = next(iter(CHECKS))


def room(name: str, state: RoomState = RoomState.READABLE, capacity: int | None = None) -> Room:
    place = (name, f"{name}@x", "HQ", "1", capacity)
    return Room(*place, state, Status.PASS, "because", NOW, NOW, "complete", "readable", "", "", "", None)


def test_findings_come_worst_first_and_the_to_do_list_holds_only_what_needs_somebody() -> None:
    found = [Finding(CHECK, str(status), status, "saw", "do it") for status in reversed(Status)]
    assert list(tables.findings(found)["about"]) == [str(status) for status in Status]
    assert sorted(tables.to_do(found)["about"]) == ["fail", "pending", "unknown"]


def test_an_empty_table_still_has_its_columns() -> None:
    assert list(tables.to_do([]).columns) == ["status", "about", "saw", "what to do", "where"]


def test_counts_say_n_of_m_and_why_not() -> None:
    raw = {
        "rooms": Look("rooms", NOW, ({},), 250, False),
        "grants": Look("grants", NOW, refusal="Directory.Read.All is missing"),
    }
    frame = tables.counts(raw)
    assert list(frame["rows"]) == ["1 of 250", "0 of 0"]
    assert list(frame["complete"]) == ["no", "no: could not look"]
    assert list(frame["reason"]) == ["", "Directory.Read.All is missing"]


def test_the_room_table_holds_every_room_and_its_counts_add_up() -> None:
    rooms = (room("a", capacity=4), room("b", RoomState.NO_MAILBOX))
    facts = RoomFacts({"rooms": Look("rooms", NOW, ({"emailAddress": "a@x"}, {"emailAddress": "b@x"}), 2)}, rooms)
    frame = tables.rooms(facts)
    assert list(frame["state"]) == ["readable", "no mailbox"]
    assert frame["capacity"].isna().tolist() == [False, True]
    counts = tables.room_counts(facts)
    assert dict(zip(counts["state"], counts["rooms"], strict=True)) == {
        "readable": "1",
        "no mailbox": "1",
        "all rooms seen": "2 of 2",
    }


def test_rooms_that_only_one_source_knows_or_that_have_no_address_are_counted_apart() -> None:
    listed = Look("rooms", NOW, ({"emailAddress": "a@x"}, {"displayName": "no address"}), 2)
    counts = tables.room_counts(RoomFacts({"rooms": listed}, (room("a"), room("hidden", RoomState.HIDDEN))))
    assert list(counts["rooms"]) == ["1", "1", "2 of 2", "1 more", "1 of those seen"]


def test_a_number_that_nobody_knows_is_nothing_and_no_error() -> None:
    assert "capacity: nothing" in frames.html(tables.rooms(RoomFacts({}, (room("a"), room("b")))))
    some = frames.html(tables.rooms(RoomFacts({}, (room("a", capacity=8), room("b")))))
    assert ">8<" in some
    assert "NA" not in some


def test_what_a_tenant_controls_is_escaped_in_html() -> None:
    frame = tables.rooms(RoomFacts({}, (room("<script>alert(1)</script>"),)))
    for html in (frame.to_html(), frames.html(frame)):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html.replace("<wbr>", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("https://evil")'])
def test_a_text_that_a_spreadsheet_would_run_is_made_inert(tmp_path: Path, name: str) -> None:
    relative = frames.write_csv(tmp_path, "07_sync", tables.rooms(RoomFacts({}, (room(name, capacity=-3),))))
    assert relative == "tables/07_sync.rooms.csv"
    frame = frames.read_csv(tmp_path / relative)
    assert frame["room"][0] == f"'{name}"
    assert frame["capacity"][0] == "-3"


def test_a_table_comes_back_complete_and_cell_by_cell(tmp_path: Path) -> None:
    rooms = tuple(room(f'Räum, "{number}"\n') for number in range(250))
    frames.write_csv(tmp_path, "07_sync", tables.rooms(RoomFacts({}, rooms)))
    frame = frames.read_csv(tmp_path / "tables/07_sync.rooms.csv")
    assert frame.attrs["name"] == "rooms"
    assert list(frame["room"]) == [one.room for one in rooms]
    assert set(frame["capacity"]) == {""}


def test_a_table_is_never_overwritten_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    frame = tables.room_counts(RoomFacts({"rooms": Look("rooms", NOW)}, ()))
    frames.write_csv(tmp_path, "07_sync", frame)
    with pytest.raises(ArchiveError, match="never overwritten"):
        frames.write_csv(tmp_path, "07_sync", frame)
    with pytest.raises(ArchiveError, match="not a readable table"):
        frames.read_csv(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("words", "found"),
    [("", ["Adams", "Baker"]), ("ADAMS", ["Adams"]), ("bak pass", ["Baker"]), ("adams baker", []), ("nobody", [])],
)
def test_a_table_can_be_searched_by_words_in_any_column(words: str, found: list[str]) -> None:
    rows: list[dict[str, object]] = [
        {"room": "Adams", "s": "✗ fail", "seats": None},
        {"room": "Baker", "s": "✓ pass", "seats": 4},
    ]
    frame = frames.table("rooms", rows, ["room", "s", "seats", "never"])
    assert list(frames.find(frame, words)["room"]) == found


def test_an_empty_table_can_be_searched_too() -> None:
    assert len(frames.find(frames.table("rooms", [], ["room"]), "x")) == 0
