"""What an archive holds of a tenant's runs, and bringing home of it what later runs, status and comparisons read."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.evidence import bagit
from runbook_lib.evidence.archive import receipts
from runbook_lib.evidence.archive.push import AT_ONCE, INSIDE, NotAsSealed
from runbook_lib.evidence.archive.store import Store
from runbook_lib.evidence.bagit import INFO, TAG_MANIFEST
from runbook_lib.runs import folder as run_folders

RECENT = 12
"""So many runs' records and tables are brought home: as far as a picture of the progress looks back (history.py)."""
READ = re.compile(rf"{receipts.KEPT.pattern}|data/06_access(\.\d+)?\.raw\.json")
"""What a later run reads of an earlier one: what `push --remove-local` keeps, and the grants for a step 7 alone."""
CHAIN = re.compile(rf"{re.escape(INFO)}|{re.escape(TAG_MANIFEST)}")
"""What the chain of seals reads of the runs before those."""

RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
"""How runs are named (records.new_run): only such names sort by time."""

Runs = Mapping[str, list[str]]
"""The paths of each sealed run's objects, by the run's name, oldest first."""


def sealed(store: Store, key: str) -> Runs:
    """Return the tenant's sealed runs: those with a tag manifest, which a push sends last.

    What people put beside them, such as a restored copy under a name of its own, is not one.
    Raises ArchiveError when the archive does not answer, or holds what leads out of a run's folder.
    """
    found = defaultdict[str, list[str]](list)
    for name in store.names(key):
        if not INSIDE.fullmatch(name):
            raise NotAsSealed(f"No sealed run has a file of the name {name!r}.", "Find out who put it there.")
        run, _, path = name.partition("/")
        found[run].append(path)
    return {run: found[run] for run in sorted(found) if RUN.fullmatch(run) and TAG_MANIFEST in found[run]}


def is_done(runs: Runs, since: str) -> bool:
    """Tell whether one of these runs began at `since` or later."""
    return bool(runs) and max(runs) >= since


def bring(
    store: Store,
    key: str,
    runs: Runs,
    outputs: Path,
    read: re.Pattern[str] = READ,
    note: Callable[[str, Path], object] = lambda *_: None,
) -> None:
    """Fetch into `outputs` what is `read` of the runs that are not there, each in one piece; `note` sees it before.

    Raises ArchiveError when the archive does not answer or the disk is full.
    """
    new = [run for run in runs if not (outputs / key / run).exists()]
    recent = list(runs)[-RECENT:]
    paths = [f"{run}/{path}" for run in new for path in runs[run] if (read if run in recent else CHAIN).fullmatch(path)]
    scratch = outputs / "_archive"
    try:
        for folder in (scratch, outputs / key):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=scratch) as place:

            def fetch(path: str) -> None:
                file = Path(place) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(store.read(f"{key}/{path}"))

            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(fetch, paths))
            for run in new:
                note(f"{key}/{run}", Path(place) / run)
                (Path(place) / run).rename(outputs / key / run)
    except OSError as error:
        raise run_folders.unwritable(outputs, error) from error


def bring_home(store: Store, key: str, since: str) -> Path | None:
    """Bring the tenant's runs to this machine's outputs, as `push --remove-local` would have left them.

    Returns the newest when it began at `since` or later.
    """
    runs, outputs = sealed(store, key), run_folders.home("outputs")

    def note(run: str, folder: Path) -> None:
        now = datetime.now(UTC)
        receipt = {
            "run": run,
            "seal_sha256": bagit.sha256(folder / TAG_MANIFEST),
            "archived_at": f"{store.url.rstrip('/')}/{run}",
            "endpoint": store.endpoint,
            "identity": store.identity,
            "at": now,
            "objects": len(runs[folder.name]),
            "sent": 0,
            "verified": "by whoever pushed it, before its tag manifest was sent; here its kept files were fetched",
            "immutability": asdict(store.immutability(f"{run}/{TAG_MANIFEST}")),
            "removed_here": True,
        }
        receipts.write(run, now, receipt)

    bring(store, key, runs, outputs, receipts.KEPT, note)
    return outputs / key / max(runs) if is_done(runs, since) else None
