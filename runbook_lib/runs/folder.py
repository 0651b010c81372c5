"""Where runs lie: folders, names of files, and files that are never overwritten."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

from runbook_lib.errors import ArchiveError

STEPS = {
    "00_preflight": "Preflight",
    "01_disconnect": "Step 1. Disconnect the existing integration",
    "02_connect": "Step 2. Connect to Graph in SpaceIQ",
    "03_activate": "Step 3. Activate from the e-mail",
    "04_credentials": "Step 4. Enter the administrator's credentials",
    "05_permissions": "Step 5. Accept the permissions",
    "06_access": "Step 6. Review Cronofy's access",
    "07_sync": "Step 7. Synchronisation and test",
    "08_report": "The tenant's report",
    "09_portfolio": "All tenants",
}


JUDGED = tuple(STEPS)[:8]
"""The steps whose outcomes make the tenant's outcome."""


def home(name: str) -> Path:
    """Return the `parameters` or `outputs` folder: RUNBOOK_PARAMETERS / RUNBOOK_OUTPUTS, else the checkout's."""
    override = os.environ.get(f"RUNBOOK_{name.upper()}")
    return Path(override) if override else Path(__file__).resolve().parents[2] / name


def make(folder: Path, *, new: bool = False) -> None:
    """Make a folder, and those above it that lack, readable for its user alone: tenants' names and errors stand in it.

    Below a folder that its group may write, which is how a team shares one, it is for that group. Raises
    FileExistsError for one that must be `new`, OSError where it cannot be made.
    """
    if not folder.parent.is_dir():
        make(folder.parent)
    shared = folder.parent.stat().st_mode & stat.S_IWGRP
    folder.mkdir(0o770 if shared else 0o700, exist_ok=not new)


def look_name(step: str, look: int) -> str:
    """Return the stem that all files of this look at `step` share."""
    return step if look == 1 else f"{step}.{look}"


def new_run(tenant_folder: Path, now: datetime) -> Path:
    """Create and return an empty run folder `<UTC time>-<suffix>/` with its `data/`."""
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    folder = tenant_folder / name
    try:
        make(folder / "data", new=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
"""How the name of a run's folder looks: the UTC time at which it began, and a suffix. We make it, and nobody else."""


def runs(outputs: Path, key: str) -> list[Path]:
    """Return the run folders of tenant `key`, oldest first: those with a name that we make, and no others."""
    folder = outputs / key
    named = sorted(path for path in folder.iterdir() if RUN.fullmatch(path.name)) if folder.is_dir() else []
    return [path for path in named if (path / "data").is_dir()]


def strangers(outputs: Path, key: str, now: datetime) -> tuple[str, ...]:
    """Return in words what lies among a tenant's runs and is none, such as a copy, and what is dated in the future."""
    folder = outputs / key
    there = sorted(path for path in folder.iterdir() if path.name[:1] not in "._") if folder.is_dir() else []
    copies = [
        f"{key}/{path.name} looks like a copy of a run: it is not counted. Move it out of outputs."
        for path in there
        if not RUN.fullmatch(path.name) and (path / "data").is_dir()
    ]
    soon = f"{now + timedelta(days=1):%Y%m%dT%H%M%SZ}"
    early = [
        f"{key}/{path.name} is dated in the future, and counts as the newest until then: a clock was wrong."
        for path in there
        if RUN.fullmatch(path.name) and path.name > soon
    ]
    return (*copies, *early)


def misplaced(folder: Path, identity: str) -> str:
    """Return in words that a folder is not the run `tenant/run` that it says it is; "" when nothing speaks against it.

    A folder with a name that we make must be that run; whose it is can be told only in outputs, from where it lies.
    """
    here = folder.absolute()
    name = f"{here.parent.name}/{here.name}"
    if name == identity:
        return ""
    other = RUN.fullmatch(here.name) and here.name != identity.rpartition("/")[2]
    if other or here.parents[1].resolve() == home("outputs").resolve():
        return f"It is the run {identity or 'of nobody'}, in the place of {name}."
    return ""


def content(path: Path) -> bytes:
    """Return a file's bytes; OSError for what would never end or never begin, such as a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.read_bytes()


def is_sealed(folder: Path) -> bool:
    """Tell whether the run was closed: its tag manifest is the last file that sealing writes."""
    return (folder / "tagmanifest-sha256.txt").exists()


def next_look(folder: Path, step: str) -> int:
    """Return the number the next record of `step` will have: past every file that an earlier look left."""
    names = [path.name for place in ("data", "data/tables") for path in (folder / place).glob(f"{step}.*")]
    looks = [name.removeprefix(f"{step}.").partition(".")[0] for name in names if not name.endswith(".ipynb")]
    return 1 + max((int(look) if look.isdigit() else 1 for look in looks), default=0)


def to_json(value: object) -> bytes:
    """Return readable JSON with a final newline, a key or a row of a list on each line; times as ISO 8601.

    Half a pair of letters, which UTF-8 cannot write, stays what it was in JSON's own escape.
    """
    return ("".join(_laid_out(value, "\n ")) + "\n").encode("utf-8", "backslashreplace")


def _laid_out(value: object, margin: str) -> Iterator[str]:
    """Yield objects key by key and lists row by row; a row is one line, which json encodes many times faster."""
    if isinstance(value, dict) and value:
        for mark, (key, inner) in zip(chain("{", repeat(",")), value.items(), strict=False):
            yield f"{mark}{margin}{_ENCODE(str(key))}: "
            yield from _laid_out(inner, margin + " ")
        yield f"{margin[:-1]}}}"
    elif isinstance(value, list | tuple) and value:
        yield f"[{margin}" + f",{margin}".join(map(_ENCODE, value)) + f"{margin[:-1]}]"
    else:
        yield _ENCODE(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODE = json.JSONEncoder(ensure_ascii=False, default=_plain).encode


def write_new(path: Path, content: bytes, beside: Path | None = None) -> None:
    """Create `path` with `content` in one piece, or raise ArchiveError and leave nothing behind.

    The bytes go to a temporary file first, in the folder `beside` or in that of `path`, and are linked into place, so
    that a crash never leaves half a file and an existing file is never replaced.
    """
    place = beside or path.parent
    try:
        for folder in (path.parent, place):
            folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _place(Path(temporary), path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError as error:
        remedy = "Someone else is working in this run; agree who goes on, then run the step again."
        raise ArchiveError(f"{path.name} exists already and is never overwritten.", remedy) from error
    except OSError as error:
        raise unwritable(path, error) from error


PART = re.compile(r"\.[a-z0-9_]{8}\.part")
"""How the temporary files are called that `write_new` makes, and that only a kill leaves behind."""


def sweep(folder: Path, seconds: float) -> None:
    """Delete the temporary files below `folder` that nobody has written to for so long."""
    for path in folder.rglob(".*.part"):
        with contextlib.suppress(FileNotFoundError):  # whoever made it has just placed it
            if PART.fullmatch(path.name) and time.time() - path.lstat().st_mtime >= seconds:
                path.unlink()


def _place(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links (some network shares): exclusive creation is the next best
        with path.open("xb") as file:
            file.write(temporary.read_bytes())


def unwritable(path: Path, error: OSError) -> ArchiveError:
    """Return in words that `path` cannot be written, and why."""
    why = error.strerror or str(error)
    return ArchiveError(
        f"{path} cannot be written: {why}.",
        "Free space or correct the folder's permissions, or set RUNBOOK_OUTPUTS to a folder of your own.",
    )
