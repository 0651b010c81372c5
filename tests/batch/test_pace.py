"""How many tenants are under way: more while cores are idle, never more than memory carries."""

from __future__ import annotations

import pytest

from runbook_lib.batch import pace
from runbook_lib.batch.pace import Pace


class Machine:
    """Two cores, of whose time a share is left over, and a clock that moves by half a second a look."""

    def __init__(self, idle: float, free: int) -> None:
        self.now, self.idle, self.free = 0.0, idle, free

    def clock(self) -> float:
        self.now += 0.5
        return self.now

    def times(self) -> tuple[int, int]:
        return int(200 * self.now * self.idle), int(200 * self.now)


def under_way(machine: Machine, jobs: int | None = None, looks: int = 100) -> int:
    """Return how many tenants are running after so many looks, when none ends."""
    own = Pace(jobs, cores=2, clock=machine.clock, times=machine.times, free=lambda: machine.free)
    running = 0
    for _ in range(looks):
        running += own.allows(running)
    return running


@pytest.mark.parametrize(
    ("idle", "free", "jobs", "most"),
    [
        (0.0, 9999, None, 4),  # nothing waits: two a core
        (0.05, 9999, None, 4),
        (0.5, 9999, None, 32),  # all wait: as many as ever
        (0.5, 100, None, 4),  # memory is gone
        (0.0, 9999, 7, 7),  # who says a number gets it
        (0.5, 100, 1, 1),
    ],
)
def test_tenants_begin_while_cores_are_idle_and_memory_is_there(
    idle: float, free: int, jobs: int | None, most: int
) -> None:
    assert under_way(Machine(idle, free), jobs) == most


def test_one_tenant_begins_at_a_look_so_that_the_next_look_sees_what_it_costs() -> None:
    machine = Machine(1.0, 9999)
    own = Pace(None, cores=2, clock=lambda: machine.now, times=machine.times, free=lambda: 9999)
    machine.now = 10.0
    assert own.allows(4)
    machine.now += pace.LOOK_SECONDS / 2
    assert not own.allows(5)
    machine.now += pace.LOOK_SECONDS
    assert own.allows(5)


def test_where_processes_cannot_be_forked_each_core_has_one_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_PLAIN", "1")
    assert under_way(Machine(1.0, 9999)) == 2


def test_the_machine_s_own_numbers_are_read() -> None:
    idle, all_ = pace.cpu_times()
    assert 0 < idle < all_
    assert pace.free_megabytes() > 10
