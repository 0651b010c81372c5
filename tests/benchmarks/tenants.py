"""Tenants a minute: the papermill command in a loop, papermill in one process, our command, and the floor.

    python -m tests.benchmarks.tenants

The ways take turns in each round, so that whatever else the machine does hits them alike. Linux only. CPU is that of
all processes of a way; the sandbox cloud, which runs beside them on the same cores, has a column of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.batch import pool, tenant
from runbook_lib.errors import GateClosed
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record
from runbook_lib.sandbox import server
from tests import nightly

HERE = "tests.benchmarks.tenants"
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: orphans of a way become ours, and so does their CPU time
CLOUD = "BENCHMARK_CLOUD"  # the process id of the sandbox, in the environment
NOTEBOOKS = len(pool.TENANT_STEPS)


@dataclass(frozen=True)
class Measure:
    """One way in one round: how many tenants it took through all notebooks, how long, and with how much CPU."""

    tenants: int
    seconds: float
    cpu: float
    cloud: float
    """CPU seconds of the sandbox cloud meanwhile."""

    @property
    def per_minute(self) -> float:
        return 60 * self.tenants / self.seconds

    @property
    def cpu_per_notebook(self) -> float:
        return 1000 * self.cpu / self.tenants / NOTEBOOKS

    @property
    def cloud_per_notebook(self) -> float:
        return 1000 * self.cloud / self.tenants / NOTEBOOKS


def become_subreaper() -> None:
    """Become the parent of what our children leave behind, so that its time is counted."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1)


def measure(keys: Sequence[str], commands: Sequence[Sequence[str]], recorded: int = NOTEBOOKS) -> Measure:
    """Run the commands one after the other, and make sure that every tenant has so many records."""
    outputs = Path(tempfile.mkdtemp(dir=Path(os.environ["RUNBOOK_PARAMETERS"]).parent))
    os.environ["RUNBOOK_OUTPUTS"] = str(outputs)
    began, cpu, before = time.monotonic(), 0.0, cloud_cpu()
    for command in commands:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as one:
            _, status, used = os.wait4(one.pid, 0)
            one.returncode = os.waitstatus_to_exitcode(status)
        cpu += used.ru_utime + used.ru_stime + _orphans(one.pid)
    measured = Measure(len(keys), time.monotonic() - began, cpu, cloud_cpu() - before)
    runs = {key: run_folders.runs(outputs, key)[-1:] for key in keys}
    if lost := [key for key in keys if sum(len(record.outcomes(folder)) for folder in runs[key]) < recorded]:
        raise SystemExit(f"{commands[-1][:5]} lost records of {lost}")
    return measured


def cloud_cpu() -> float:
    """Return the CPU seconds that the sandbox cloud has used so far."""
    fields = Path(f"/proc/{os.environ[CLOUD]}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _orphans(group: int) -> float:
    cpu = 0.0
    while True:
        try:
            used = os.wait4(-group, 0)[2]
        except ChildProcessError:
            return cpu
        cpu += used.ru_utime + used.ru_stime


def by_command(keys: Sequence[str]) -> Measure:
    """The loop over the papermill command that anybody would write."""
    out = str(Path(os.environ["RUNBOOK_PARAMETERS"]).parent / "loop.ipynb")
    notebooks = [str(tenant.NOTEBOOKS / f"{step}.ipynb") for step in pool.TENANT_STEPS]
    papermill = [sys.executable, "-m", "papermill"]
    return measure(keys, [[*papermill, book, out, "-p", "tenant", key] for key in keys for book in notebooks])


def by_one_process(keys: Sequence[str]) -> Measure:
    """papermill.execute_notebook, one notebook after the other, in one process."""
    return measure(keys, [[sys.executable, "-m", HERE, "--one-process", *keys]])


def by_runbook(keys: Sequence[str]) -> Measure:
    """Our own command, its start included."""
    return measure(keys, [[sys.executable, "-m", "runbook_lib", "run", *keys]])


def by_floor(keys: Sequence[str]) -> Measure:
    """The same calls of the library as plain Python in warm processes, a core each, and the notebooks written."""
    cores = os.cpu_count() or 1
    return measure(keys, [[sys.executable, "-m", HERE, "--floor", str(cores), *keys]])


WAYS: dict[str, tuple[Callable[[Sequence[str]], Measure], int, int]] = {
    "papermill command in a loop": (by_command, 1, 9),
    "papermill in one process": (by_one_process, 1, 1),
    "runbook run": (by_runbook, 0, 9),
    "floor: plain Python": (by_floor, 0, 9),
}
"""How many tenants a way gets in a round, 0 for all of them; and in how many rounds it takes part."""


def one_process(keys: Sequence[str]) -> None:
    """Be the process of `by_one_process`."""
    import papermill

    out = Path(os.environ["RUNBOOK_OUTPUTS"]) / "one.ipynb"
    for key in keys:
        for step in pool.TENANT_STEPS:
            source = tenant.NOTEBOOKS / f"{step}.ipynb"
            with suppress(papermill.exceptions.PapermillExecutionError):  # a closed gate
                papermill.execute_notebook(source, out, parameters={"tenant": key}, progress_bar=False)


def floor(cores: int, keys: Sequence[str]) -> None:
    """Be the processes of `by_floor`."""
    from runbook_lib.batch import preload

    preload.load()
    children = []
    for core in range(cores):
        if not (child := os.fork()):
            os.environ["RUNBOOK_UNATTENDED"] = "1"
            for key in keys[core::cores]:
                _plain(key)
            os._exit(0)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit(1)


def _plain(key: str) -> None:
    import ast
    import asyncio
    import inspect

    import nbformat

    for step in pool.TENANT_STEPS:
        book = nbformat.read(tenant.NOTEBOOKS / f"{step}.ipynb", as_version=4)
        names: dict[str, object] = {}
        for cell in book.cells:
            if cell.cell_type == "code":
                code = compile(cell.source, step, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                try:
                    done = eval(code, names)
                except GateClosed:
                    break
                if inspect.iscoroutine(done):
                    asyncio.run(done)
            if cell.id == "parameters":
                names["tenant"] = key
        nbformat.write(book, Path(os.environ["RUNBOOK_OUTPUTS"]) / f"floor-{os.getpid()}.ipynb")


@contextmanager
def cloud(root: Path, tenants: int, rooms: int, latency_ms: float) -> Iterator[list[str]]:
    """Serve generated tenants from a process of its own and give their keys."""
    ready, theirs = os.pipe()
    if not (child := os.fork()):
        os.setsid()

        def tell(_: object) -> None:
            os.write(theirs, b".")

        server.run_forever(root, port=0, generated=tenants, rooms=rooms, latency_ms=latency_ms, on_ready=tell)
        os._exit(0)
    os.close(theirs)
    os.read(ready, 1)
    os.environ[CLOUD] = str(child)
    try:
        yield nightly.tenant_files(root, root.parent / "parameters")
    finally:
        os.kill(child, 15)
        os.waitpid(child, 0)


def main() -> None:
    """Measure and print a table in Markdown."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, nargs="+", default=[2, 1], help="for each latency")
    parse.add_argument("--tenants", type=int, default=60, help="for our own command and the floor")
    parse.add_argument("--rooms", type=int, default=10)
    parse.add_argument("--latency", type=float, nargs="+", default=[0, 80], help="milliseconds a Graph call waits")
    parse.add_argument("--one-process", nargs="+", help=argparse.SUPPRESS)
    parse.add_argument("--floor", nargs="+", help=argparse.SUPPRESS)
    asked = parse.parse_args()
    if asked.one_process:
        one_process(asked.one_process)
    elif asked.floor:
        floor(int(asked.floor[0]), asked.floor[1:])
    else:
        for latency, rounds in zip(asked.latency, asked.rounds, strict=True):
            sys.stdout.write(
                f"\nEach call waits {latency:.0f} ms, {rounds} rounds:\n\n{compare(asked, latency, rounds)}\n"
            )
            sys.stdout.flush()


def compare(asked: argparse.Namespace, latency: float, rounds: int) -> str:
    """Let the ways take turns, and return what came out as a table in Markdown."""
    become_subreaper()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["RUNBOOK_PARAMETERS"] = str(root / "parameters")
        with cloud(root / ".sandbox", asked.tenants, asked.rooms, latency) as keys:
            found: dict[str, list[Measure]] = {}
            for number in range(rounds):
                for name, (way, tenants, most) in WAYS.items():
                    if number < most and (not latency or way in (by_command, by_runbook)):
                        found.setdefault(name, []).append(way(keys[:tenants] if tenants else keys))
                        sys.stderr.write(f"{name} {found[name][-1]}\n")
    return _table(found)


def _table(found: dict[str, list[Measure]]) -> str:
    heads = ("way", "tenants", "tenants a minute", "ratio", "CPU ms a notebook", "ratio", "of the sandbox, ms")
    table = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    measures = ("per_minute", "cpu_per_notebook", "cloud_per_notebook")
    rows = {
        way: [statistics.median(getattr(one, name) for one in all_) for name in measures] for way, all_ in found.items()
    }
    slowest, dearest, _ = next(iter(rows.values()))
    for name, (rate, cpu, served) in rows.items():
        ratios = f"{rate:.1f} | {rate / slowest:.1f} | {cpu:.0f} | {dearest / cpu:.1f}"
        table.append(f"| {name} | {found[name][0].tenants} | {ratios} | {served:.0f} |")
    return "\n".join(table)


if __name__ == "__main__":
    main()
