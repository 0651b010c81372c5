"""One tenant on a worker that shares no folder: its run is made in a folder of its own, sealed, and sent to an archive.

What is done is what the archive holds. Nothing stays on the worker but what could not be sent.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.errors import ArchiveError, RunbookError
from runbook_lib.evidence import bagit, trust
from runbook_lib.evidence.archive import archived, lease, push, receipts, store
from runbook_lib.evidence.archive.lease import Lease
from runbook_lib.evidence.archive.push import Wish
from runbook_lib.evidence.archive.store import Store
from runbook_lib.runs import folder as run_folders

PROBE = "_probe"
"""The lock that a driver holds while workers look whether they see it held."""
RESUME = "First: runbook run --resume with the same --scheduler and --archive; only if that fails,"
"""What comes before sending a run by hand whose lock is lost: another worker may be making one in its place."""
GoesOn = Callable[[], bool]


def look(url: str) -> str:
    """Return why this machine cannot send runs to the archive at `url`, whose probe the driver holds; "" if it can."""
    try:
        with store.opened(url) as place, _scratch(PROBE):
            place.names("_locks")
            if lock := place.lock(f"_locks/{PROBE}"):
                lock.release()
                return f"sees another place at {url} than this machine, or not the locks that it holds there"
    except RunbookError as error:
        return f"cannot use the archive. {error}"
    return ""


def work(key: str, url: str, since: str, is_wanted: GoesOn, run: Callable[[Path, GoesOn], bool]) -> None:
    """See to it that the archive at `url` holds a run of `key` that began at `since` or later.

    Unless there is one, `run` makes it in the outputs that it is given, for as long as its second argument says, and
    tells whether it came to an outcome. Raises RunbookError when it is not in the archive in the end though it did.
    """
    with store.opened(url) as place, lease.held(place, key, is_wanted) as held:
        runs = archived.sealed(place, key)
        if archived.is_done(runs, since):
            return
        with _scratch(key) as outputs:
            archived.bring(place, key, runs, outputs)
            over = run(outputs, lambda: is_wanted() and not held.lost)
            made = run_folders.runs(outputs, key)[-1:]
            if made and made[0].name >= since:
                _send(place, made[0], held, over)
        held.check()


class _Kept(ArchiveError):
    """A run is over, sealed or not, and is only on this worker."""


@contextmanager
def _scratch(key: str) -> Iterator[Path]:
    """Give outputs for one tenant, empty, and remove them afterwards, but for logs; all of it stays after _Kept."""
    home = run_folders.home("outputs")
    try:
        (home / "_work").mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=home / "_work"))
    except OSError as error:
        raise run_folders.unwritable(home, error) from error
    outputs, kept = folder / home.name, False
    try:
        yield outputs
    except _Kept:
        kept = True
        raise
    finally:
        if (logs := outputs / "_logs").is_dir():
            with suppress(OSError):  # what became of the run is told, whatever becomes of its logs and litter
                shutil.copytree(logs, home / "_logs", dirs_exist_ok=True)
        if not kept:
            with suppress(OSError):
                _remove(folder)


def _remove(folder: Path) -> None:
    for path in bagit.files(folder):
        path.chmod(0o600)  # Windows deletes no read-only file, and a sealed one is
    shutil.rmtree(folder)


def _send(place: Store, folder: Path, held: Lease, over: bool) -> None:
    """Push the run, or leave it when it was cut short; raise _Kept when it is over but not wholly there."""

    def kept(what: str, command: str) -> _Kept:
        first = RESUME if held.lost else "Correct that, then"
        return _Kept(f"{what} It is kept on {platform.node()}: {folder}.", f"{first} there: runbook {command}")

    if not run_folders.is_sealed(folder):
        if over:
            raise kept("The run is over but not sealed.", f"seal {folder}, then push it.")
        return
    missing, command = "The run is sealed, but not in the archive.", f"push {folder} --to {place.url}"
    try:
        wish = Wish(trust.trust())
        done = next(push.push(place, [folder], wish, clock=lambda: datetime.now(UTC), tell=held.check))
    except Exception as error:  # whatever it was, the run must not go with it, nor a secret in its words
        raise kept(f"{missing} {type(error).__name__}.", command) from error
    if done.exit_code:
        raise kept(f"{missing} {done.words}", command)
    shutil.rmtree(receipts.place(done.run), ignore_errors=True)  # the driver writes one
