"""One server for one state folder: a lock that the system takes back when the process dies."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _try(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class StateInUseError(Exception):
    """Another process serves from the same state folder."""


@contextmanager
def held(folder: Path, owner: str) -> Iterator[None]:
    """Hold the folder's lock; raises StateInUseError, which names the folder and its `owner`, when it is taken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("ab") as file:
        try:
            _try(file)
        except OSError:
            raise StateInUseError(
                f"{folder} is in use by {owner}; stop that server or choose another folder."
            ) from None
        yield


def is_held(folder: Path) -> bool:
    """Whether a server holds the folder's lock now."""
    if not (folder / "lock").exists():
        return False
    try:
        with held(folder, ""):
            return False
    except StateInUseError:
        return True
