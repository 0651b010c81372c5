"""A night of many tenants: what each costs, how much memory is needed, and that neither grows with their number.

    python -m tests.benchmarks.night --tenants 10 100
    python -m tests.benchmarks.night --tenants 3000                 # some thirty-five minutes
    python -m tests.benchmarks.night --tenants 10 100 1000 3000 --driver   # tenants that do nothing: the batch alone

Each number of tenants has a sandbox cloud of its own, in a process beside the batch and on the same cores. Linux only.
Memory is what all processes of the batch have for themselves and their share of the rest (PSS), looked at every second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.batch import pool
from runbook_lib.runs import folder
from tests.benchmarks import idle, tenants

HERE = "tests.benchmarks.night"


@dataclass
class Night:
    """What one batch took."""

    tenants: int
    seconds: float
    cpu: float
    cloud: float
    megabytes: float
    most: int
    """Processes under way at a time."""


def run(root: Path, number: int, rooms: int, latency: float, driver: bool) -> Night:
    """Run all notebooks of so many tenants, or of each only its process, and return what that took."""
    os.environ["RUNBOOK_PARAMETERS"] = str(root / "parameters")
    with tenants.cloud(root / ".sandbox", number, rooms, latency) as keys:
        command = [sys.executable, "-m", "runbook_lib", "run", "--all"]
        watch = _Watch()
        if driver:
            measured = tenants.measure(keys, [[sys.executable, "-m", HERE, "--be-driver"]], 0)
        else:
            measured = tenants.measure(keys, [command])
        watch.stop()
    return Night(number, measured.seconds, measured.cpu, measured.cloud, watch.megabytes, watch.most)


class _Watch:
    """Looks every second at the memory of this process's grandchildren: the batch and its tenants."""

    def __init__(self) -> None:
        self.megabytes, self.most = 0.0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            sizes = list(_sizes())
            self.megabytes, self.most = max(self.megabytes, sum(sizes) / 1024), max(self.most, len(sizes) - 3)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def _sizes() -> Iterator[int]:
    """Yield the kilobytes of every process below this one but the cloud's."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it ended meanwhile
            continue
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    for pid in ours - {os.getpid(), int(os.environ[tenants.CLOUD])}:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        yield sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def be_driver() -> None:
    """Run a batch whose tenants do nothing, and write what `measure` looks for."""
    pool.run_tenant = idle.do_nothing  # type: ignore[assignment, attr-defined, unused-ignore]
    keys = [path.stem for path in sorted(folder.home("parameters").glob("gen-*.yaml"))]
    done = pool.run(keys, pool.TENANT_STEPS, jobs=None, on_event=lambda _: None)
    if bad := [one for one in done if one.error]:
        raise SystemExit(str(bad[0]))


def main() -> None:
    """Read the command line, run the nights and print a table in Markdown."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--tenants", type=int, nargs="+", default=[10, 100])
    parse.add_argument("--rooms", type=int, default=10)
    parse.add_argument("--latency", type=float, default=0, help="milliseconds a Graph call waits")
    parse.add_argument("--driver", action="store_true", help="tenants that do nothing: what the batch itself costs")
    parse.add_argument("--be-driver", action="store_true", help=argparse.SUPPRESS)
    asked = parse.parse_args()
    if asked.be_driver:
        be_driver()
        return
    heads = ("tenants", "minutes", "tenants a minute", "CPU s a tenant", "of the sandbox", "memory, MB", "at a time")
    sys.stdout.write(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|\n")
    for number in asked.tenants:
        with tempfile.TemporaryDirectory() as place:
            one = run(Path(place), number, asked.rooms, asked.latency, asked.driver)
        costs = f"{one.cpu / number:.2f} | {one.cloud / number:.2f} | {one.megabytes:.0f} | {one.most}"
        sys.stdout.write(f"| {number} | {one.seconds / 60:.1f} | {60 * number / one.seconds:.1f} | {costs} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    tenants.become_subreaper()
    main()
