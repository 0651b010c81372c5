"""SpaceIQ's meeting rooms from an export. No format is documented: the tenant file says what its columns are called."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib import forms, vendors
from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Look, SpaceSource

NEEDED = ("space", "email")
DELIMITERS = ",;\t|"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
AGAIN = "Export the meeting rooms from SpaceIQ again, and name its columns under spaceiq.columns in the tenant file."
QUOTES = "Probably a quotation mark was opened there and never closed: correct that line, or export again."


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the file: in which line it begins, and its cells."""

    number: int
    cells: list[str]


def read(source: SpaceSource) -> Look:
    """Return the export's spaces, as of the day the file was written; or in `refusal` the one thing wrong with it."""
    path = source.export
    if path is None or not path.is_file():
        words = f"there is no export {path.name if path else ''}"
        return Look("spaces", datetime.now(UTC), refusal=words, remedy=AGAIN)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    columns = {**vendors.facts()["spaceiq"]["columns"], **source.columns}
    try:
        rows = _rows(path, columns, wanted=tuple(dict.fromkeys((*NEEDED, *source.columns))))
    except UsageError as error:
        return Look("spaces", written, refusal=error.message, remedy=error.remedy)
    return Look("spaces", written, tuple(rows), total=len(rows))


def _rows(path: Path, columns: Mapping[str, str], wanted: tuple[str, ...]) -> list[Json]:
    text, first, delimiter = _dialect(_text(path), {_plain(columns[name]) for name in wanted})
    header, *lines = [*_lines(path, text, first, delimiter)] or [Line(first, [])]
    names = [_plain(name) for name in header.cells]
    absent = [columns[name] for name in wanted if _plain(columns[name]) not in names]
    if absent:
        has = ", ".join(name.strip() for name in header.cells) or "nothing"
        raise UsageError(f"{path.name} has no column {' and no column '.join(absent)}; it has: {has}.", AGAIN)
    at = {ours: names.index(_plain(theirs)) for ours, theirs in columns.items() if _plain(theirs) in names}
    for name, number in Counter(names).items():
        if number > 1 and name in {names[place] for place in at.values()}:
            places = " and ".join(str(place) for place, one in enumerate(names, 1) if one == name)
            what = f"{path.name} has the column {name} {number} times, as its columns {places}: which one counts?"
            raise UsageError(what, f"Rename or remove the others. {AGAIN}")
    return [_row(path, line, at, len(names), delimiter) for line in lines if any(cell.strip() for cell in line.cells)]


def _dialect(text: str, wanted: set[str]) -> tuple[str, int, str]:
    """Return the text from its header on, the line it begins in, and what parts its cells.

    Excel may say that in a first line of its own, `sep=;`; else it is what finds most of the columns that we need.
    """
    said, _, rest = text.partition("\n")
    if found := re.fullmatch(r'"?sep=(.)"?[,;\t|]*\s*', said, re.IGNORECASE):
        return rest, 2, found[1]
    header = [next(csv.reader([said], delimiter=each), []) for each in DELIMITERS]
    fits = [(len(wanted & {_plain(name) for name in cells}), len(cells)) for cells in header]
    return text, 1, DELIMITERS[fits.index(max(fits))]


def _lines(path: Path, text: str, first: int, delimiter: str) -> Iterator[Line]:
    """Yield the rows of the file; raise UsageError at the line where it stops being a table."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = first
    try:
        for cells in reader:
            yield Line(number, cells)
            number = first + reader.line_num
    except csv.Error as error:
        what = f"{path.name} cannot be read as a table from row {number} on ({error})."
        raise UsageError(what, f"{QUOTES} {AGAIN}") from error


def _plain(name: str) -> str:
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    return " ".join(visible.split()).casefold()


def _row(path: Path, line: Line, at: Mapping[str, int], width: int, delimiter: str) -> Json:
    if len(line.cells) != width:
        what = f"{path.name} has {len(line.cells)} cells in row {line.number}, but {width} columns."
        raise UsageError(what, AGAIN)
    used = {*at.values()}
    for place, cell in enumerate(line.cells):
        if len(cell.strip().splitlines()) > 1 and (place in used or delimiter in cell):
            raise UsageError(f"{path.name} has a cell in row {line.number} that goes on over several lines.", QUOTES)
    row = {name: line.cells[place].strip() for name, place in at.items()}
    calendar = row.pop("email")
    email = forms.address_or_nothing(calendar)
    return {"id": f"row {line.number}", "name": row.pop("space"), "calendar": calendar, "email": email, **row}


def _text(path: Path) -> str:
    """Return the file's text: by its byte order mark, else as UTF-8, else as Excel on Windows writes it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}.", "Correct its permissions.") from error
    marked = next((name for mark, name in BOMS.items() if content.startswith(mark)), "")
    for encoding in [marked] if marked else ["utf-8", "cp1252"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise UsageError(f"{path.name} is not text in UTF-8, UTF-16 or Windows-1252.", f"Save it as CSV UTF-8. {AGAIN}")
