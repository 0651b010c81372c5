"""Where runs lie: folders, names of files, and files that are never overwritten."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from datetime import datetime
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


def look_name(step: str, look: int) -> str:
    """Return the stem that all files of this look at `step` share."""
    return step if look == 1 else f"{step}.{look}"


def new_run(tenant_folder: Path, now: datetime) -> Path:
    """Create and return an empty run folder `<UTC time>-<suffix>/` with its `data/`."""
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    folder = tenant_folder / name
    try:
        (folder / "data").mkdir(parents=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def runs(outputs: Path, key: str) -> list[Path]:
    """Return the run folders of tenant `key`, oldest first."""
    folder = outputs / key
    return sorted(path for path in folder.iterdir() if (path / "data").is_dir()) if folder.is_dir() else []


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


def write_new(path: Path, content: bytes) -> None:
    """Create `path` with `content` in one piece, or raise ArchiveError and leave nothing behind.

    The bytes go to a temporary file first and are linked into place, so that a crash never leaves half a file and an
    existing file is never replaced.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
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
