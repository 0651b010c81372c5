"""How many tenants are under way at a time: one more is begun whenever cores have nothing to do and memory is there.

Tenants mostly wait for answers, how long depends on the network, so no number fits: two a core fill the cores when
nothing waits, and sixteen a core are too few for nobody. https://man7.org/linux/man-pages/man5/proc_stat.5.html
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from runbook_lib.batch import process

FEWEST_PER_CORE, MOST_PER_CORE = 2, 16
MEGABYTES_PER_TENANT = 100
LOOK_SECONDS = 0.25
IDLE_SHARE = 0.05
"""So much of the cores' time must have been left over since the last look for another tenant to begin."""


def cpu_times() -> tuple[int, int]:
    """Return the idle time of all cores since the machine started and all of their time, in ticks."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def free_megabytes() -> int:
    """Return the memory that programs can have, what the file cache would give back included."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))


class Pace:
    """Tells when one more tenant may begin: up to `jobs`, or without that number as cores and memory allow."""

    def __init__(
        self,
        jobs: int | None,
        *,
        cores: int = os.cpu_count() or 1,
        clock: Callable[[], float] = time.monotonic,
        times: Callable[[], tuple[int, int]] = cpu_times,
        free: Callable[[], int] = free_megabytes,
    ) -> None:
        """Take the machine's numbers from outside, so that a test need not load it."""
        self._clock, self._times, self._free = clock, times, free
        alone = jobs or (None if process.forks() else cores)
        self._fewest, self._most = (alone, alone) if alone else (FEWEST_PER_CORE * cores, MOST_PER_CORE * cores)
        self._looked, self._before = clock(), (0, 0)

    def allows(self, running: int) -> bool:
        """Tell whether a tenant may begin beside `running` others."""
        if running >= self._most or running < self._fewest:
            return running < self._fewest
        return self._cores_are_idle() and self._free() > MEGABYTES_PER_TENANT

    def _cores_are_idle(self) -> bool:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return False
        times = self._times()
        idle, all_ = (new - old for new, old in zip(times, self._before, strict=True))
        self._looked, self._before = now, times
        return idle > IDLE_SHARE * all_
