"""What this program wrote into a tenant: one line in `data/writes.jsonl` before each write, and one after it.

So a change and its record are one thing: whoever is killed between them leaves a line that was begun and never ended,
and the next look says so instead of not knowing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_lib.errors import ArchiveError, GraphError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders

FILE = "writes.jsonl"


@dataclass(slots=True)
class Write:
    """One write: what was to be done to which thing, known by its id; `result` is "" while it is not over.

    It is `unknown` when the service gave no answer, or one of its own trouble: it may have been done all the same.

    `answer` is what the service said of it, such as the id of an event that was made; whoever writes puts it there.
    """

    id: str
    step: str
    verb: str
    target: str
    subject: str
    begun: datetime
    ended: datetime | None = None
    result: str = ""
    answer: Json = field(default_factory=dict)


DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
NOT_ITS_FAULT = 500
"""From this HTTP status on the service is in trouble, and what it answers says nothing about what it did."""


@contextmanager
def writing(
    folder: Path,
    step: str,
    verb: str,
    target: str,
    subject: str = "",
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Write]:
    """Note in the run's `folder` that a write begins, let it happen, and note how it ended.

    `verb` says what is done (`revoke`, `book`), `target` is the id of what it is done to, `subject` its name. What
    the block puts into `answer` is kept. An error is noted, as a refusal where the service said no, and raised on.
    """
    write = Write(secrets.token_hex(8), step, verb, target, subject, clock())
    path = folder / "data" / FILE
    told = {"step": step, "verb": verb, "target": target, "subject": subject}
    append(path, {"id": write.id, "at": write.begun.isoformat(), "act": "begun", **told})
    try:
        yield write
    except Exception as error:
        said_no = isinstance(error, GraphError) and error.status < NOT_ITS_FAULT
        write.ended, write.result = clock(), REFUSED if said_no else UNKNOWN
        append(path, _ending(write) | {"words": str(error)})
        raise
    write.ended, write.result = clock(), DONE
    append(path, _ending(write))


def _ending(write: Write) -> Json:
    at = write.ended.isoformat() if write.ended else ""
    return {"id": write.id, "at": at, "act": write.result, "answer": write.answer}


def written(folder: Path) -> tuple[Write, ...]:
    """Return every write of the run, oldest first; one that was cut off has no `result`."""
    found: dict[str, Write] = {}
    for row in lines(folder / "data" / FILE):
        try:
            at = datetime.fromisoformat(row["at"])
            if row["act"] == "begun":
                found[row["id"]] = Write(row["id"], row["step"], row["verb"], row["target"], row["subject"], at)
            else:
                write = found[row["id"]]
                write.ended, write.result, write.answer = at, str(row["act"]), dict(row["answer"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveError(f"{FILE} has a line that is none of ours ({error}).", "Restore it.") from error
    return tuple(found.values())


def unsettled(folder: Path) -> tuple[Write, ...]:
    """Return the writes of which nobody knows whether they were done: cut off, or without a clear answer."""
    return tuple(one for one in written(folder) if one.result in ("", UNKNOWN))


def append(path: Path, row: Json) -> None:
    """Add one JSON line to a file, in one piece, on the disk before this returns; raise ArchiveError when it cannot.

    A line that a crash left half written is ended first, so that it spoils no other.
    """
    if run_folders.is_sealed(path.parents[1]):
        raise ArchiveError(f"{path.parents[1]} is sealed, so nothing is added to it.", "Begin a new run.")
    line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
    try:
        with path.open("ab") as file:
            file.write(line if _ends_well(path) else b"\n" + line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise run_folders.unwritable(path, error) from error


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def lines(path: Path) -> list[Any]:
    """Return the rows that `append` left in a file, without one that a crash cut off; none when there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}.", "Correct its permissions.") from error
    return [row for line in content.split(b"\n") if line for row in _row(line)]


def _row(line: bytes) -> list[Any]:
    try:
        return [json.loads(line)]
    except ValueError:
        return []
