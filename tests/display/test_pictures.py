"""The pictures can be read without colour, aloud, and with any name in them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from runbook_lib.display.charts import COLOURS, MARKS, Span, stacked_bars, timeline
from runbook_lib.display.times import duration
from runbook_lib.model import Status
from tests.fake_runs import NOW

SVG = "{http://www.w3.org/2000/svg}"
ROWS = {"Main": {"readable": 40, "no mailbox": 2}, "Annex": {"cannot tell": 1, "readable": 7}}
STATES = ["readable", "not in the cloud", "no mailbox", "cannot tell"]
SPANS = [
    Span("Preflight", NOW, NOW + timedelta(seconds=90), Status.PASS),
    Span("Step 7", NOW + timedelta(hours=2), NOW + timedelta(hours=2), Status.FAIL),
]


def texts(svg: str, tag: str = "text") -> list[str]:
    """Return the words of all elements of a kind; not well-formed XML is an error."""
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}{tag}")]


def test_every_number_of_a_bar_is_written_and_said_aloud() -> None:
    svg = stacked_bars("rooms", "Rooms by building", ROWS, STATES)
    shown = Counter(texts(svg))
    for words in ("Main", "Annex", "40", "42", "7", "8", "readable (47)", "no mailbox (2)", "cannot tell (1)"):
        assert shown[words] == 1, words
    assert "not in the cloud (0)" not in shown
    assert texts(svg, "desc") == ["Main: 40 readable, 2 no mailbox; Annex: 1 cannot tell, 7 readable"]
    assert "Main: 2 no mailbox" in texts(svg, "title")


def test_bars_are_as_long_as_their_numbers() -> None:
    svg = ElementTree.fromstring(stacked_bars("rooms", "Rooms", ROWS, STATES))
    widths = {
        title.text: float(box.attrib["width"])
        for box in svg.iter(f"{SVG}rect")
        if (title := box.find(f"{SVG}title")) is not None
    }
    one = widths["Main: 40 readable"] / 40
    assert widths == pytest.approx(
        {
            "Main: 40 readable": 40 * one,
            "Main: 2 no mailbox": 2 * one,
            "Annex: 7 readable": 7 * one,
            "Annex: 1 cannot tell": one,
        },
        abs=0.1,
    )


def test_series_differ_without_colour_and_keep_their_look_from_picture_to_picture() -> None:
    assert len(set(MARKS)) == len(MARKS) == len(COLOURS)
    both = stacked_bars("rooms", "Rooms", ROWS, STATES)
    alone = stacked_bars("rooms", "Rooms", {"Main": {"no mailbox": 1}}, STATES)
    assert 'id="rooms-2"' in both
    assert 'id="rooms-2"' in alone
    assert 'id="rooms-0"' not in alone


def test_more_rows_than_fit_are_added_up_and_not_dropped() -> None:
    rows = {f"Building {number}": {"readable": 100 - number} for number in range(40)}
    svg = stacked_bars("rooms", "Rooms", rows, STATES, limit=10)
    assert "30 more" in texts(svg)
    assert str(sum(100 - number for number in range(10, 40))) in texts(svg)
    assert f"readable ({sum(100 - number for number in range(40))})" in texts(svg)


def test_a_timeline_names_status_and_length_of_every_span() -> None:
    shown = texts(timeline("steps", "Steps", SPANS))
    assert {"Preflight", "✓ pass, 1 min 30 s", "Step 7", "✗ fail, 0 s", "UTC", "18:00", "20:00"} <= set(shown)
    assert texts(timeline("steps", "Steps", SPANS), "desc") == [
        "Preflight: pass, 2026-11-22 18:00 UTC; Step 7: fail, 2026-11-22 20:00 UTC"
    ]


def test_a_step_that_took_no_time_can_still_be_seen() -> None:
    [svg] = [ElementTree.fromstring(timeline("steps", "Steps", SPANS[1:]))]
    assert [float(box.attrib["width"]) >= 4 for box in svg.iter(f"{SVG}rect")] == [True]


def test_nothing_to_show_is_no_picture() -> None:
    assert timeline("steps", "Steps", []) == ""


def test_a_name_cannot_break_out_of_a_picture() -> None:
    evil = "</svg><script>alert(1)</script>"
    for svg in (
        stacked_bars("rooms", evil, {evil: {evil: 3}}, [evil]),
        timeline("steps", evil, [Span(evil, NOW, NOW, Status.PASS)]),
    ):
        root = ElementTree.fromstring(svg)
        assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
            "svg", "title", "desc", "defs", "pattern", "rect", "path", "text",
        }  # fmt: skip
        assert any(evil in "".join(one.itertext()) for one in root.iter(f"{SVG}title"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (86400, "1 d"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words
