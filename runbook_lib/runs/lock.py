"""One process at a time in a folder, or at a file: the system lets a lock go when its process dies, however it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from runbook_lib.errors import ArchiveError
from runbook_lib.runs import folder as run_folders


class Held(ArchiveError):
    """Another process has the lock."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the tenant's folder for this process.

    Raises Held when another process works there, ArchiveError where nothing can be written or the share knows no locks.
    """
    try:
        run_folders.make(folder)
    except OSError as error:
        raise run_folders.unwritable(folder, error) from error
    with held(folder / ".lock", wait_seconds=0):
        yield


@contextmanager
def held(file: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold the lock `file` once it is free; raise Held when it is not in time, ArchiveError where locks are unknown."""
    lock = FileLock(file, timeout=wait_seconds, poll_interval=0.02, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        remedy = "Let it finish, or stop it; then run this tenant again."
        raise Held(f"Another process is working on {file.parent.name}.", remedy) from error
    except PermissionError as error:
        raise run_folders.unwritable(file, error) from error
    except (OSError, NotImplementedError) as error:
        remedy = "Set RUNBOOK_OUTPUTS to a local folder, or to a share that knows locks (NFS 4; SMB without nobrl)."
        raise ArchiveError(f"{file} cannot be locked: {error}.", remedy) from error
    try:
        yield
    finally:
        lock.release()
