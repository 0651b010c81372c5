"""Tables: complete, escaped, and inert in a spreadsheet."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runbook_lib import forms
from runbook_lib.checks import CHECKS
from runbook_lib.display import frames
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Finding, Look, Status
from runbook_lib.steps import tables
from runbook_lib.steps.sync import checks as sync  # noqa: F401 - the checks register themselves
from runbook_lib.steps.sync.answers import Place
from runbook_lib.steps.sync.checks import Room, RoomFacts, RoomState
from tests.fake_runs import write_table

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


def read(rooms: Look) -> forms.Reading:
    answers = forms.reading({"rooms": rooms})
    answers.rows("rooms", Place)
    return answers


def test_the_room_table_holds_every_room_and_its_counts_add_up() -> None:
    rooms = (room("a", capacity=4), room("b", RoomState.NO_MAILBOX))
    facts = RoomFacts(
        read(Look("rooms", NOW, ({"emailAddress": "a@x.example"}, {"emailAddress": "b@x.example"}), 2)), rooms
    )
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
    listed = Look("rooms", NOW, ({"emailAddress": "a@x.example"}, {"displayName": "no address"}), 2)
    counts = tables.room_counts(RoomFacts(read(listed), (room("a"), room("hidden", RoomState.HIDDEN))))
    assert list(counts["rooms"]) == ["1", "1", "2 of 2", "1 more", "1 of those seen"]


def test_a_number_that_nobody_knows_is_nothing_and_no_error() -> None:
    assert "capacity: nothing" in frames.html(tables.rooms(RoomFacts(forms.reading({}), (room("a"), room("b")))))
    some = frames.html(tables.rooms(RoomFacts(forms.reading({}), (room("a", capacity=8), room("b")))))
    assert ">8<" in some
    assert "NA" not in some


def test_what_a_tenant_controls_is_escaped_in_html() -> None:
    frame = tables.rooms(RoomFacts(forms.reading({}), (room("<script>alert(1)</script>"),)))
    html = frames.html(frame)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html.replace("<wbr>", "")


HOSTILE = (
    'https://r.example/"><img src=x onerror=alert(1)>',
    "https://r.example/'onmouseover='alert(1)",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//https://r.example/",
    "data:text/html,<script>alert(1)</script>",
    "https://r.example/\u202egnp.exe",
    "https://r.example\\@evil.example/",
    "<a href=javascript:alert(1)>x</a>",
    "<svg/onload=alert(1)>",
    "&lt;script&gt;",
    "</td></table><script>alert(1)</script>",
    "a\ud800b",
    "x" * 10_000,
    "\x00\x1b[2J",
)


@pytest.mark.parametrize("columns", [2, frames.WIDE], ids=["lines", "upright"])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_a_tenant_makes_an_element_or_an_attribute(name: str, columns: int) -> None:
    heads = [name, *map(str, range(columns - 1))]
    html = frames.html(frames.table("rooms", [dict.fromkeys(heads, name)], heads))
    html.encode()
    allowed = {"div", "table", "thead", "tbody", "tr", "th", "td", "wbr", "p"}
    found = Elements(html).found
    assert {tag for tag, _ in found} <= allowed
    assert {key for _, keys in found for key in keys} <= {"style", "class"}


class Elements(HTMLParser):
    """What a browser would make of some HTML: every element with the names of its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(key for key, _ in attrs)))


def test_an_address_of_https_and_nothing_else_is_a_link() -> None:
    address = "https://entra.microsoft.com/#view/App/objectId~/x?a=1&b=%7E"
    html = frames.html(frames.table("to_do", [{"where": address}, {"where": f"see {address}"}], ["where"]))
    assert html.count("<a ") == 1
    assert f'<a href="{address.replace("&", "&amp;")}" target="_blank" rel="noopener noreferrer">' in html


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\n=1",
        " =1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        '=HYPERLINK("https://evil")',
    ],
)
def test_a_text_that_a_spreadsheet_would_run_is_made_inert(tmp_path: Path, name: str) -> None:
    relative = write_table(tmp_path, "07_sync", tables.rooms(RoomFacts(forms.reading({}), (room(name, capacity=-3),))))
    assert relative == "tables/07_sync.rooms.csv"
    frame = frames.read_csv(tmp_path / relative)
    assert frame["room"][0] == f"'{name}"
    assert frame["capacity"][0] == "-3"


def test_every_cell_stands_in_quotation_marks_so_that_no_separator_makes_two_of_it() -> None:
    frame = frames.table("rooms", [{"room": "a;=1+1", "s": "b"}], ["room", "s"])
    assert frames.csv(frame).decode("utf-8-sig") == '"room","s"\r\n"a;=1+1","b"\r\n'


def test_a_table_comes_back_complete_and_cell_by_cell(tmp_path: Path) -> None:
    rooms = tuple(room(f'Räum, "{number}"\n') for number in range(250))
    write_table(tmp_path, "07_sync", tables.rooms(RoomFacts(forms.reading({}), rooms)))
    frame = frames.read_csv(tmp_path / "tables/07_sync.rooms.csv")
    assert frame.attrs["name"] == "rooms"
    assert list(frame["room"]) == [one.room for one in rooms]
    assert set(frame["capacity"]) == {""}


def test_a_table_is_never_overwritten_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    frame = tables.room_counts(RoomFacts(read(Look("rooms", NOW)), ()))
    write_table(tmp_path, "07_sync", frame)
    with pytest.raises(ArchiveError, match="never overwritten"):
        write_table(tmp_path, "07_sync", frame)
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
