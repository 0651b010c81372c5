"""Fresh processes for what Python computes; they end with the one that wanted them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType

MOST_HELPERS = 16
"""More gain little, and Windows waits for no more than 61 at once."""


@contextmanager
def without_main() -> Iterator[None]:
    """Keep multiprocessing from importing the driver's script into every tenant's process: nothing there is needed."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def helpers() -> Iterator[Executor]:
    """Give fresh processes, one a core, for what Python computes; they end with this one, however that ends."""
    cores, context = min(os.cpu_count() or 1, MOST_HELPERS), multiprocessing.get_context("spawn")
    with without_main(), ProcessPoolExecutor(cores, context, end_with_parent) as executor:
        yield executor


def end_with_parent() -> None:
    """Let this process end at once when its parent's does, however that ended, and by nothing else.

    Ctrl+C is the parent's business: a driver ends its tenants itself, and --resume takes them up again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
