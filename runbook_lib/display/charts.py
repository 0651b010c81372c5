"""Charts as SVG text for pages that open offline: readable without colour, on light and on dark, and aloud.

Every series has a pattern of its own besides its colour, every bar has its number, and title and desc say the same in
words. Colours are CSS variables of the page, with a value that works where the page defines none.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbook_lib.display.markup import printable, shown
from runbook_lib.display.times import duration
from runbook_lib.model import Status

WIDTH, ROW, LEFT, BAR = 1080, 26, 300, 620
"""Sizes in the picture's own units: whole width, height of a row, width of the labels, length of the longest bar."""

LABEL = 37
"""Letters of a label that fit in one line."""

COLOURS = ("#3a7d5d", "#2b6cb0", "#a86a00", "#6b4fa0", "#5f6b76", "#8c5a3c", "#b3261e")
"""Of series by their number: the good first, red last, since a series is no verdict."""
MARKS = (
    "",
    "M0 8L8 0",
    "M0 4H8",
    "M4 0V8",
    "M0 0L8 8M0 8L8 0",
    "M2 4H6M4 2V6",
    "M0 0L8 8",
)
"""What a series' pattern draws on its colour in a tile of 8 by 8; as many as COLOURS, repeated beside others."""

GREEN, BLUE, AMBER, PURPLE, GREY, _, RED = COLOURS
COLOUR_OF = {
    Status.PASS: GREEN,
    Status.FAIL: RED,
    Status.UNKNOWN: AMBER,
    Status.PENDING: BLUE,
    Status.ACCEPTED: PURPLE,
}


@dataclass(frozen=True, slots=True)
class Span:
    """One bar of a timeline: what happened from when to when, and what came of it."""

    label: str
    start: datetime
    end: datetime
    status: Status


def stacked_bars(
    name: str,
    title: str,
    rows: Mapping[str, Mapping[str, int]],
    series: Sequence[str],
    limit: int = 30,
    by_size: bool = True,
) -> str:
    """Return one bar for each of `rows`, made of its counts by series; `name` is unique on the page.

    The longest is first, or with `by_size` false the first of `rows`. A series keeps its colour and pattern whether or
    not others occur. Rows after the first `limit` are added up in one bar that says how many they are.
    """
    ranked = sorted(rows.items(), key=lambda row: (-sum(row[1].values()), row[0])) if by_size else [*rows.items()]
    ordered = _limited(ranked, limit)
    totals: Counter[str] = sum((Counter(counts) for _, counts in ordered), Counter())
    numbers = {each: number for number, each in enumerate(series) if totals[each]}
    unit = BAR / max((sum(counts.values()) for _, counts in ordered), default=1)
    legend, top = _legend(name, totals, numbers)
    bars = [_bar(name, row, numbers, unit, top + place * ROW) for place, row in enumerate(ordered)]
    words = "; ".join(f"{label}: {_counted(counts)}" for label, counts in ordered)
    return _svg(name, title, words, top + len(ordered) * ROW, [_patterns(name, numbers.values()), *legend, *bars])


def timeline(name: str, title: str, spans: Sequence[Span]) -> str:
    """Return one row for each of `spans` on a common axis in UTC; `name` is unique on the page."""
    if not spans:
        return ""
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    scale = BAR / max((last - first).total_seconds(), 1)
    rows = [_axis(first, last, len(spans) * ROW)]
    for number, span in enumerate(spans):
        x = LEFT + (span.start - first).total_seconds() * scale
        rows.append(_span(span, x, max((span.end - span.start).total_seconds() * scale, 4), ROW + number * ROW))
    words = "; ".join(f"{span.label}: {span.status}, {span.start:%Y-%m-%d %H:%M} UTC" for span in spans)
    return _svg(name, title, words, (len(spans) + 1) * ROW, rows)


def _limited(rows: Sequence[tuple[str, Mapping[str, int]]], limit: int) -> list[tuple[str, Mapping[str, int]]]:
    shown, rest = list(rows[:limit]), rows[limit:]
    if rest:
        shown.append((f"{len(rest)} more", sum((Counter(counts) for _, counts in rest), Counter())))
    return shown


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {each}" for each, count in counts.items())


def _legend(name: str, totals: Mapping[str, int], series: Mapping[str, int]) -> tuple[list[str], int]:
    """Return the legend's entries, and where the bars below it begin."""
    entries, x, y = [], 0.0, 4
    for each, number in series.items():
        text = f"{each} ({totals[each]})"
        width = 40 + len(text) * 7.4
        if x and x + width > WIDTH:
            x, y = 0.0, y + ROW
        entries.append(_box(name, number, x, y, 16) + _text(x + 24, y + 13, text))
        x += width
    return entries, y + ROW + 8


def _bar(name: str, row: tuple[str, Mapping[str, int]], series: Mapping[str, int], unit: float, y: int) -> str:
    label, counts = row
    parts = [_text(LEFT - 10, y + 13, label, anchor="end")]
    x = float(LEFT)
    for each in sorted(counts, key=series.__getitem__):
        width = counts[each] * unit
        parts.append(_box(name, series[each], x, y, width, f"{label}: {counts[each]} {each}"))
        if width > 8 * len(str(counts[each])) + 8:
            parts.append(_text(x + width / 2, y + 13, str(counts[each]), anchor="middle", halo=True))
        x += width
    parts.append(_text(x + 8, y + 13, str(sum(counts.values()))))
    return "".join(parts)


def _span(span: Span, x: float, width: float, y: int) -> str:
    after = x + width + 8
    words = f"{span.status.symbol} {span.status}, {duration(span.end - span.start)}"
    at, anchor = (after, "start") if after + len(words) * 7 < WIDTH else (x - 8, "end")
    fill = f"fill:var(--{span.status.name.lower()},{COLOUR_OF.get(span.status, GREY)})"
    return (
        f"{_text(LEFT - 10, y + 13, span.label, anchor='end')}"
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" rx="2" style="{fill}"/>'
        f"{_text(at, y + 13, words, anchor=anchor, halo=True)}"
    )


def _axis(first: datetime, last: datetime, height: int) -> str:
    pattern = (
        "%H:%M:%S"
        if last - first < timedelta(minutes=20)
        else "%H:%M"
        if first.date() == last.date()
        else "%d %b %H:%M"
    )
    marks = [_text(LEFT - 60, 13, "UTC", anchor="end")]
    for part in range(5):
        x = LEFT + BAR * part / 4
        marks.append(f'<path d="M{x:.1f} 20V{height + 22}" style="stroke:currentColor;opacity:.18"/>')
        marks.append(_text(x, 13, f"{first + (last - first) * part / 4:{pattern}}", anchor="middle"))
    return "".join(marks)


def _patterns(name: str, numbers: Iterable[int]) -> str:
    tiles = (
        f'<pattern id="{name}-{number}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect width="8" height="8" style="fill:{COLOURS[number % len(COLOURS)]}"/>'
        f'<path d="{_mark(number)}" style="stroke:#fff;stroke-opacity:.55;stroke-width:1.4"/></pattern>'
        for number in numbers
    )
    return f"<defs>{''.join(tiles)}</defs>"


def _mark(number: int) -> str:
    """Return the mark of a series: with a colour that repeats comes another one, so that no two look the same."""
    return MARKS[(number + number // len(COLOURS)) % len(MARKS)]


def _box(name: str, number: int, x: float, y: float, width: float, words: str = "") -> str:
    title = f"<title>{shown(words)}</title>" if words else ""
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="url(#{name}-{number})">{title}</rect>'


def _text(x: float, y: float, words: str, anchor: str = "start", halo: bool = False) -> str:
    """Return a text; a label longer than the room it has goes on in a second line, and what is over is in its title."""
    words = printable(words)
    around = "paint-order:stroke;stroke:var(--paper,#fff);stroke-width:4px;fill:var(--ink,#1b1f24)"
    style = around if halo else "fill:currentColor"
    lines = [words] if anchor != "end" or len(words) <= LABEL else textwrap.wrap(words, LABEL + 6)
    if len(lines) == 1 and lines[0] == words:
        return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" style="{style}">{shown(words)}</text>'
    first, second = (*lines, "", "")[:2]
    second += "…" if len(lines) > 2 else ""
    return (
        f'<text y="{y - 5}" text-anchor="{anchor}" style="{style};font-size:11px">'
        f'<tspan x="{x:.1f}">{shown(first)}</tspan>'
        f'<tspan x="{x:.1f}" dy="11">{shown(second)}</tspan><title>{shown(words)}</title></text>'
    )


def _svg(name: str, title: str, words: str, height: int, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'aria-labelledby="{name}-title {name}-words" style="max-width:100%;height:auto;font:13px system-ui,sans-serif"'
        f'><title id="{name}-title">{shown(title)}</title><desc id="{name}-words">{shown(words)}</desc>'
        f"{''.join(parts)}</svg>"
    )
