"""SpaceIQ's meeting rooms from an export. No format is documented: the tenant file says what its columns are called."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib import vendors
from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Look, SpaceSource

NEEDED = ("space", "email")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
AGAIN = "Export the meeting rooms from SpaceIQ again, and name its columns under spaceiq.columns in the tenant file."


def read(source: SpaceSource) -> Look:
    """Return the export's spaces, as of the day the file was written; or in `refusal` the one thing wrong with it."""
    path = source.export
    if path is None or not path.is_file():
        words = f"there is no export {path.name if path else ''}"
        return Look("spaces", datetime.now(UTC), refusal=words, remedy=AGAIN)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    columns = {**vendors.facts()["spaceiq"]["columns"], **source.columns}
    try:
        rows = _rows(path, columns, wanted=(*NEEDED, *source.columns))
    except UsageError as error:
        return Look("spaces", written, refusal=error.message, remedy=error.remedy)
    return Look("spaces", written, tuple(rows), total=len(rows))


def _rows(path: Path, columns: Mapping[str, str], wanted: tuple[str, ...]) -> list[Json]:
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    names = [_plain(name) for name in table[0]] if table else []
    absent = [columns[name] for name in dict.fromkeys(wanted) if _plain(columns[name]) not in names]
    if absent:
        has = ", ".join(name.strip() for name in table[0]) if table else "nothing"
        raise UsageError(f"{path.name} has no column {' and no column '.join(absent)}; it has: {has}.", AGAIN)
    at = {ours: names.index(_plain(theirs)) for ours, theirs in columns.items() if _plain(theirs) in names}
    return [_row(path, number, cells, at, len(names)) for number, cells in enumerate(table[1:], 2) if any(cells)]


def _plain(name: str) -> str:
    return name.strip().lower()


def _row(path: Path, number: int, cells: list[str], at: Mapping[str, int], width: int) -> Json:
    if len(cells) != width:
        raise UsageError(f"{path.name} has {len(cells)} cells in row {number}, but {width} columns.", AGAIN)
    row = {name: cells[place].strip() for name, place in at.items()}
    return {"id": f"row {number}", "name": row.pop("space"), "calendar": row["email"], **row}


def _text(path: Path) -> str:
    """Return the file's text: by its byte order mark, else as UTF-8, else as Excel on Windows writes it."""
    content = path.read_bytes()
    marked = next((name for mark, name in BOMS.items() if content.startswith(mark)), "")
    for encoding in [marked] if marked else ["utf-8", "cp1252"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UsageError(f"{path.name} is not text in UTF-8, UTF-16 or Windows-1252.", f"Save it as CSV UTF-8. {AGAIN}")
