"""Who works in a run, and whose it is: a person's, or a batch's."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records

PRESENCE = ".open.json"
"""The file in the run's folder that says who works in it."""


def operator_name() -> str:
    """Return the name of the account that runs this program on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no login name in some containers and services
        return "unknown"


@dataclass(frozen=True, slots=True)
class Presence:
    """Who works in a run, on which machine, in which process, since when."""

    user: str
    host: str
    process: int
    since: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.user} on {self.host} since {self.since}"


def present(folder: Path) -> Presence | None:
    """Return who has the run open; nobody when he was on this machine and his process is gone."""
    try:
        found = Presence(**json.loads((folder / PRESENCE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        remedy = "If nobody works in this run, delete that file."
        raise ArchiveError(f"{folder / PRESENCE} cannot be read ({error}).", remedy) from error
    return None if found.host == socket.gethostname() and not _runs(found.process) else found


def _runs(process: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 would end the process
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {process}", "/NH"],  # noqa: S607  a part of Windows
            capture_output=True,
            text=True,
            check=False,
        )
        return str(process) in listed.stdout
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def presence(folder: Path, now: datetime, *, take_over: bool = False) -> Iterator[None]:
    """Say in the run's folder who works in it; raise UsageError when somebody else does and is not to be taken over."""
    path = folder / PRESENCE
    other = present(folder)
    if other and not take_over:
        remedy = "Agree who goes on. Once the other one has stopped, or to go on all the same: add --take-over."
        raise UsageError(f"This run is open already: {other}.", remedy)
    path.unlink(missing_ok=True)
    me = Presence(operator_name(), socket.gethostname(), os.getpid(), f"{now:%Y-%m-%d %H:%M} UTC")
    mine = run_folders.to_json(asdict(me))
    run_folders.write_new(path, mine)
    try:
        yield
    finally:
        if path.exists() and path.read_bytes() == mine:  # whoever took over has written his own
            path.unlink()


def is_a_person_s(folder: Path) -> bool:
    """Tell whether a person works or worked in this run: a batch leaves it alone.

    He has it open, or there are notebooks to be worked in, or a record that he made.
    """
    known = records.latest(folder)
    copies = {step for step in run_folders.JUDGED if (folder / "data" / f"{step}.ipynb").exists()}
    made = any(record.operator["attended"] for record in known.values())
    return made or bool(copies - known.keys()) or (folder / PRESENCE).exists()
