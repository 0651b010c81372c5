"""Tables as a notebook shows them: complete, narrow, inert."""

from __future__ import annotations

import re

import pytest

from runbook_lib.display import frames
from runbook_lib.display.frames import WIDE, Table, html, table

NAMES = [f"column {number}" for number in range(WIDE - 1)]


def words(frame: Table) -> str:
    return " ".join(re.sub(r"<(?!wbr)[^>]+>", " ", html(frame)).replace("<wbr>", "").split())


def wide(*by: str) -> Table:
    rows = [{**{name: f"{name} {line}" for name in NAMES}, "by": one} for line, one in enumerate(by)]
    return table("wide", rows, [*NAMES, "by"])


def test_what_a_wide_table_repeats_in_every_line_is_said_once() -> None:
    assert words(wide("dana", "dana", "dana")).count("dana") == 1
    assert "In every line: by: dana" in words(wide("dana", "dana"))
    assert words(wide("", "")).startswith("In every line: by: nothing")


@pytest.mark.parametrize("frame", [wide("dana", "sam"), wide("dana"), table("narrow", [{"by": "dana"}] * 2, ["by"])])
def test_other_tables_keep_every_column(frame: Table) -> None:
    assert "In every line" not in words(frame)
    assert html(frame).count("<td") == frame.size


def test_a_single_line_of_a_wide_table_stands_upright_and_inert() -> None:
    shown = html(wide("<b>dana</b>"))
    assert re.findall(r"<th[^>]*>([^<]*)</th>", shown) == [*NAMES, "by"]
    assert shown.count("<tr>") == len(NAMES) + 1
    assert "&lt;b&gt;dana&lt;/b&gt;" in shown


def test_without_lines_a_wide_table_shows_no_heads_and_another_does() -> None:
    assert words(wide("dana").head(0)) == "No line."
    assert words(table("narrow", [], ["by", "at"])) == "by at"


def test_columns_that_people_compare_line_by_line_always_stay() -> None:
    frame = wide("a", "b").rename(columns={NAMES[0]: "status"}).assign(status="✓ pass")
    assert words(frame).count("✓ pass") == 2


def test_the_table_itself_and_so_its_file_stays_whole() -> None:
    frame = wide("dana", "dana")
    html(frame)
    assert list(frame.columns) == [*NAMES, "by"]


def test_long_names_wrap_where_they_are_made_of_parts() -> None:
    frame = table("names", [{"permission": "Place.Read.All", "of": "dana@contoso.com"}], ["permission", "of"])
    assert "Place.<wbr>Read.<wbr>All" in html(frame)
    assert "dana@<wbr>contoso.<wbr>com" in html(frame)


def test_a_link_leads_where_it_says() -> None:
    frame = table("links", [{"where": "https://entra.microsoft.com/#view/x"}], ["where"])
    assert '<a href="https://entra.microsoft.com/#view/x"' in html(frame)


def test_what_tenants_wrote_is_escaped() -> None:
    for frame in (wide("<b>x</b>", "<b>x</b>"), wide("<b>x</b>", "y")):
        assert "<b>" not in html(frame)


def test_a_table_longer_than_a_page_says_how_many_lines_there_are() -> None:
    frame = table("long", [{"n": number} for number in range(frames.LONGEST + 7)], ["n"])
    assert f"The first {frames.LONGEST} of {frames.LONGEST + 7} lines" in words(frame)
    assert html(frame).count("<td") == frames.LONGEST
