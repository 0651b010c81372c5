"""One process at a time in a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbook_lib.errors import ArchiveError
from runbook_lib.runs import folder as run_folders

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def take(handle: int, *, wait: bool) -> None:
    """Lock the open file until it is closed; raise BlockingIOError when another one holds it and we do not wait."""
    if sys.platform == "win32":
        try:
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
    else:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the tenant's folder for this process; the system lets it go when the process dies, however it dies.

    Raises ArchiveError when another process works there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / ".lock").open("ab")
    except OSError as error:
        raise run_folders.unwritable(folder, error) from error
    try:
        with opened as file:
            take(file.fileno(), wait=False)
            yield
    except BlockingIOError as error:
        remedy = "Let it finish, or stop it; then run this tenant again."
        raise ArchiveError(f"Another process is working on {folder.name}.", remedy) from error
