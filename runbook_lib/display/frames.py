"""Tables for notebooks, CSV files and workbooks. The one home of pandas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from io import BytesIO
from pathlib import Path

import pandas as pd

from runbook_lib.errors import ArchiveError
from runbook_lib.runs import folder

Table = pd.DataFrame
"""What notebooks show; `attrs["name"]` names its CSV file."""


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet run a cell: https://owasp.org/www-community/attacks/CSV_Injection"""


UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no cell of a workbook may hold."""


WIDE = 9
"""From so many columns on, those that say the same in every line are said once, above the table."""


ALWAYS = {"permission", "required", "granted", "status", "started", "took"}
"""Columns that a person compares line by line."""


LONGEST = 500
"""Rows that a notebook shows; the CSV file has all of them."""


def html(frame: Table) -> str:
    """Return the table as a notebook shows it: no row numbers, and no wider than the page, for words may wrap.

    Of a wide table, a single line stands upright; without lines, its heads alone would be too wide.
    """
    shown, said, wide = frame.head(LONGEST), "", len(frame.columns) >= WIDE
    if wide and frame.empty:
        return "<p>No line.</p>"
    if len(frame) > LONGEST:
        said = f"<p>The first {LONGEST} of {len(frame)} lines; the CSV file has all.</p>"
    if wide and len(frame) > 1:
        same = [name for name in frame.columns if name not in ALWAYS and frame[name].nunique(dropna=False) == 1]
        told = [f"{name}: {frame[name].astype(object).fillna('').iloc[0] or 'nothing'}" for name in same]
        shown = shown.drop(columns=same)
        said += f"<p>In every line: {escape('; '.join(told))}</p>" if told else ""
    # na_rep leaves whole numbers that nobody knows as <NA>
    numbers = [name for name, kind in shown.dtypes.items() if kind.name == "Int64"]
    if numbers:
        shown = shown.assign(
            **{str(name): shown[name].astype(object).where(shown[name].notna(), "") for name in numbers}
        )
    upright = wide and len(frame) == 1
    shown = shown.T if upright else shown
    body = shown.to_html(index=upright, header=not upright, border=0, render_links=True, justify="left", na_rep="")
    body = re.sub(">([^<]+)<", lambda text: ">" + re.sub(r"(?<=\w)([.@/_])(?=\w)", r"\1<wbr>", text[1]) + "<", body)
    for tag in ("th", "td"):
        body = body.replace(f"<{tag}>", f"<{tag} style='text-align:left;vertical-align:top'>")
    return f"<div style='max-height:40em;overflow:auto'>{said}{body}</div>"


def show_in_notebooks() -> None:
    """Have this kernel, if there is one, show tables as `html` says."""
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html)


def table(name: str, rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> Table:
    """Return a table called `name` with exactly these columns, also when there are no rows."""
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame.attrs["name"] = name
    return frame


def find(frame: Table, words: str) -> Table:
    """Return the lines of `frame` in which every one of `words` occurs, in any column and any case."""
    lines = (" ".join(map(str, row)).lower() for row in frame.itertuples(index=False))
    return frame[[all(word in line for word in words.lower().split()) for line in lines]]


def write_csv(data: Path, stem: str, frame: Table) -> str:
    """Write `frame` to data/tables/<stem>.<name>.csv and return that path relative to `data`.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    relative = f"tables/{stem}.{frame.attrs['name']}.csv"
    safe = frame.map(_inert).rename(columns=_inert)
    folder.write_new(data / relative, safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"))
    return relative


def workbook(frames: Iterable[Table]) -> bytes:
    """Return an Excel workbook, a sheet for each table under its own name; what a spreadsheet would run is inert."""
    content = BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as book:
        for frame in frames:
            safe = frame.map(lambda cell: _inert(UNPRINTABLE.sub("", str(cell)))).rename(columns=_inert)
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
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
