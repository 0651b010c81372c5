"""Tables for notebooks, CSV files and workbooks. The one home of pandas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from csv import QUOTE_ALL
from io import BytesIO
from pathlib import Path

import pandas as pd

from runbook_lib.display.markup import https, linked, printable, shown
from runbook_lib.errors import ArchiveError

Table = pd.DataFrame
"""What notebooks show; `attrs["name"]` names its CSV file."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters that make a spreadsheet run a cell, wide ones too: https://owasp.org/www-community/attacks/CSV_Injection"""

BREAKS = re.compile(r"(?<=\w)([.@/_])(?=\w)")
"""Where long addresses and ids may go on in the next line."""

LEFT = "style='text-align:left;vertical-align:top;unicode-bidi:isolate'"
"""Of each cell; isolated, so that a name written from right to left turns round nothing beside it."""

WIDE = 9
"""From so many columns on, those that say the same in every line are said once, above the table."""

ALWAYS = {"permission", "required", "granted", "status", "started", "took"}
"""Columns that a person compares line by line."""

LONGEST = 500
"""Rows that a notebook shows; the CSV file has all of them."""

pd.set_option("display.max_colwidth", None)


def html(frame: Table) -> str:
    """Return the table as a notebook shows it: no row numbers, and no wider than the page, for words may wrap.

    Of a wide table, a single line stands upright; without lines, its heads alone would be too wide.
    """
    lines, said, wide = frame.head(LONGEST), "", len(frame.columns) >= WIDE
    if wide and frame.empty:
        return "<p>No line.</p>"
    if len(frame) > LONGEST:
        said = f"<p>The first {LONGEST} of {len(frame)} lines; the CSV file has all.</p>"
    if wide and len(frame) > 1:
        same = [name for name in frame.columns if name not in ALWAYS and frame[name].nunique(dropna=False) == 1]
        told = [f"{name}: {frame[name].astype(object).fillna('').iloc[0] or 'nothing'}" for name in same]
        lines = lines.drop(columns=same)
        said += f"<p>In every line: {shown('; '.join(told))}</p>" if told else ""
    upright = wide and len(frame) == 1
    return f"<div style='max-height:40em;overflow:auto'>{said}{_upright(lines) if upright else _lines(lines)}</div>"


def _lines(frame: Table) -> str:
    head = "".join(f"<th {LEFT}>{_cell(name)}</th>" for name in frame.columns)
    rows = (
        "".join(f"<td {LEFT}>{_cell(value)}</td>" for value in row) for row in frame.itertuples(index=False, name=None)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table class='dataframe'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _upright(frame: Table) -> str:
    (values,) = frame.itertuples(index=False, name=None)
    pairs = zip(frame.columns, values, strict=True)
    body = "".join(f"<tr><th {LEFT}>{_cell(name)}</th><td {LEFT}>{_cell(value)}</td></tr>" for name, value in pairs)
    return f"<table class='dataframe'><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    """Return a value as HTML: escaped whatever it is, a link when it is an address of https and nothing else."""
    text = "" if value is None or value is pd.NA or value != value else printable(str(value))
    return linked("<wbr>".join(map(shown, BREAKS.sub("\\1\0", text).split("\0"))), https(text))


def show_in_notebooks() -> None:
    """Have this kernel, if there is one, show tables as `html` says."""
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html)


def table(name: str, rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> Table:
    """Return a table called `name` with exactly these columns, also when there are no rows.

    What no file or page can hold is left out of its texts here, for a notebook keeps a table in plain letters as well.
    """
    clean = [{key: printable(one) if isinstance(one, str) else one for key, one in row.items()} for row in rows]
    frame = pd.DataFrame(clean, columns=list(columns))
    frame.attrs["name"] = name
    return frame


def find(frame: Table, words: str) -> Table:
    """Return the lines of `frame` in which every one of `words` occurs, in any column and any case."""
    lines = (" ".join(map(str, row)).lower() for row in frame.itertuples(index=False))
    return frame[[all(word in line for word in words.lower().split()) for line in lines]]


def csv(frame: Table) -> bytes:
    """Return the table as CSV for spreadsheets, each cell in quotation marks.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    safe = frame.map(_inert).rename(columns=_inert)
    return safe.to_csv(index=False, lineterminator="\r\n", quoting=QUOTE_ALL).encode("utf-8-sig")


def workbook(frames: Iterable[Table]) -> bytes:
    """Return an Excel workbook, a sheet for each table under its own name; what a spreadsheet would run is inert."""
    content = BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as book:
        for frame in frames:
            safe = frame.map(lambda cell: _inert(str(cell))).rename(columns=_inert)
            safe.to_excel(book, sheet_name=frame.attrs["name"], index=False, freeze_panes=(1, 0))
    return content.getvalue()


def read_csv(path: Path) -> Table:
    """Return an archived table as text, cell by cell as it was written; raise ArchiveError when it is damaged."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path.name} is not a readable table ({error}).", "Restore it from the archive.") from error
    frame.attrs["name"] = path.stem.rpartition(".")[2]
    return frame


def records_of(frame: Table) -> list[dict[str, str]]:
    """Return an archived table's rows, each as column -> text."""
    return [{str(name): str(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
