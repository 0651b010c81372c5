"""What is kept here about runs that were pushed to an archive: one receipt a push, outside the sealed folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit
from runbook_lib.runs import folder as run_folders

KEPT = re.compile(r"(?!data/).*|data/(\d\d_\w+(\.\d+)?\.json|batch\.json|[\w.]+\.jsonl|tables/.+)")
"""What stays of a run whose files were removed here: what status, comparisons and the chain of runs read."""
NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def name(folder: Path) -> str:
    """Return `tenant/run` as the sealed bag-info.txt says, whatever the folder is called now, or raise ArchiveError."""
    found = bagit.read_info(folder).get("External-Identifier", "")
    if not NAME.fullmatch(found):
        raise ArchiveError(
            f"{folder} does not say whose run it is.", "Its bag-info.txt has no usable External-Identifier."
        )
    return found


def place(run: str) -> Path:
    """Return the folder of the receipts of `tenant/run`."""
    return run_folders.home("outputs") / "_archive" / run


def is_at_home(folder: Path, run: str) -> bool:
    """Tell whether `folder` is where `tenant/run` was made, and no copy of it."""
    return folder.resolve() == (run_folders.home("outputs") / run).resolve()


def write(run: str, now: datetime, receipt: Mapping[str, Any]) -> Path:
    """Write a receipt, named for its time, and return its path."""
    path = place(run) / f"{now:%Y%m%dT%H%M%S.%fZ}.json"
    run_folders.write_new(path, run_folders.to_json(receipt))
    return path


def removed(folder: Path, seal: str) -> str:
    """Return the address where the run with this seal was verified before its files were removed here, or ""."""
    run = f"{folder.resolve().parent.name}/{folder.resolve().name}"
    if not is_at_home(folder, run):
        return ""
    for path in sorted(place(run).glob("*.json"), reverse=True):
        try:
            receipt = json.loads(path.read_bytes())
            if receipt["removed_here"] and receipt["seal_sha256"] == seal:
                return str(receipt["archived_at"])
        except (ValueError, TypeError, KeyError) as error:
            raise ArchiveError(f"{path} is no receipt ({error}).", "Restore it, or move it away.") from error
    return ""


def remove(folder: Path, sealed: bagit.Hashes) -> int:
    """Delete of the run in `folder` what need not stay, and return how many files that were; raises OSError.

    A file that is not (any more) what was `sealed`, such as one that JupyterLab saved just now, stays.
    """
    named = {folder / path: content for path, content in sealed.items() if not KEPT.fullmatch(path)}
    gone = [path for path, content in named.items() if path.is_file() and bagit.sha256(path) == content]
    for path in gone:
        path.chmod(path.stat().st_mode | 0o200)  # Windows deletes no read-only file
        path.unlink()
    return len(gone)
