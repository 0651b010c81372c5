"""One process at a time on a tenant, where no folder is shared: a lock in the archive, held on to by a thread.

A lock is a name in `_locks/` beside the tenants. In Azure a holder that dies or loses the network has it no longer
after a minute; it must then do nothing more, which is what `lost` tells. In a folder the system frees the lock of a
process that dies, and the server of a share that of a machine it does not hear of; nobody tells that machine, so for it
the lock is never lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.archive.store import Lock, Store

PATIENCE_SECONDS = 120
"""So long a tenant waits for its lock: a dead holder's is free after a minute in Azure, on a share after 90 seconds."""
RENEW_SECONDS = 15
SURE_SECONDS = 50
"""So long a lock is ours since we last began to renew it: ten seconds less than Azure waits."""
LOOK_SECONDS = 1.0


class Lease:
    """What this process holds, and whether it still does."""

    def __init__(self, lock: Lock, where: str, asked: float) -> None:
        """Begin to hold the lock, which was asked for at `asked` by the monotonic clock; errors call it `where`."""
        self._lock, self._where = lock, where
        self._renewed, self._gone, self._over = asked, False, threading.Event()

    @property
    def lost(self) -> bool:
        """Tell whether somebody else may hold it by now."""
        return self._gone or time.monotonic() - self._renewed > SURE_SECONDS

    def check(self, _: object = None) -> None:
        """Raise ArchiveError when it is lost."""
        if self.lost:
            what = f"The lock {self._where} was lost: for a minute this machine or the network stood still."
            raise ArchiveError(what, "Then: runbook run --resume with the same --scheduler and --archive.")

    def keep(self) -> None:
        """Renew it until it is lost or `end` is called."""
        while not self._gone and not self._over.wait(RENEW_SECONDS):
            began = time.monotonic()
            with suppress(ArchiveError):  # no answer is no loss yet: `lost` counts the seconds
                self._gone = self.lost or not self._lock.renew()
                self._renewed = began

    def end(self) -> None:
        """Let it go; one that cannot be reached lapses by itself."""
        self._over.set()
        with suppress(ArchiveError):
            self._lock.release()


@contextmanager
def held(store: Store, name: str, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Lease]:
    """Hold the lock `name` of the archive, once it is free.

    Raises ArchiveError when another process keeps it for PATIENCE_SECONDS, or when nobody wants it any more.
    """
    where = f"{store.url.rstrip('/')}/_locks/{name}"
    asked = time.monotonic()
    until = asked + PATIENCE_SECONDS
    while not (lock := store.lock(f"_locks/{name}")):
        if time.monotonic() > until or not is_wanted():
            what = f"Another process is working on {name}: it holds {where}."
            raise ArchiveError(what, "Let it finish, or stop it; then run this tenant again.")
        time.sleep(LOOK_SECONDS)
        asked = time.monotonic()  # not later: the service counts from its grant, and its answer may be long on the way
    lease = Lease(lock, where, asked)
    thread = threading.Thread(target=lease.keep, name=f"lease of {name}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease.end()
        thread.join()
