"""Locks on files that the system lets go when a process ends, however it ends."""

from __future__ import annotations

import sys

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
