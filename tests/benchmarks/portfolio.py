"""The page of all tenants and `runbook status` over an archive of many runs.

    python -m tests.benchmarks.portfolio --tenants 3000 --runs 10

The runs hold the records of one run against the sandbox: the last two of each tenant as copies with names of their own
that differ in a step, older ones as links. Notebooks, raw answers and tables are left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.batch import pool
from runbook_lib.report import page as report_page
from runbook_lib.runs import folder as run_folders
from runbook_lib.sandbox import server
from tests import nightly

STEM = "20261101T2100{:02}Z-{:04x}"


def original(root: Path) -> Path:
    """Run one tenant against the sandbox and return its run's folder."""
    os.environ["RUNBOOK_PARAMETERS"] = str(root / "parameters")
    os.environ["RUNBOOK_OUTPUTS"] = str(root / "one")
    with server.serving(root / ".sandbox", generated=1, rooms=10):
        keys = nightly.tenant_files(root / ".sandbox", root / "parameters")
        [result] = pool.run(keys, pool.TENANT_STEPS, jobs=1, on_event=lambda _: None)
    if result.folder is None:
        raise SystemExit(result.error)
    return result.folder


def archive(run: Path, outputs: Path, tenants: int, runs: int) -> int:
    """Write the archive and return the bytes of one run's records."""
    content = {path.name: path.read_bytes() for path in (run / "data").glob("??_*.json") if ".raw." not in path.name}
    own = run.parent.name.encode(), run.name.encode()
    for tenant in range(tenants):
        key = f"tenant-{tenant:04}"
        for number in range(runs):
            folder = outputs / key / STEM.format(number, tenant)
            (folder / "data").mkdir(parents=True)
            (folder / "tagmanifest-sha256.txt").touch()
            (folder / "data" / "report.html").touch()
            for name, whole in content.items():
                if number < runs - 2:
                    (folder / "data" / name).hardlink_to(run / "data" / name)
                    continue
                text = whole.replace(own[0], key.encode()).replace(own[1], folder.name.encode())
                if number == runs - 2 and name == "06_access.json":
                    text = text.replace(b'"outcome": "', b'"outcome": "pass", "before": "', 1)
                (folder / "data" / name).write_bytes(text)
    os.sync()  # what is measured shall not compete with what was written
    return sum(map(len, content.values()))


def be_page(outputs: Path) -> None:
    """Read all tenants, write the page, and print what that took."""
    began = time.perf_counter()
    everyone = report_page.portfolio(outputs, [], datetime.now(UTC))
    read = time.perf_counter() - began
    frame = report_page.tenants(everyone)
    folder = run_folders.new_run(outputs / "_portfolio", datetime.now(UTC))
    page = report_page.write_portfolio(folder, everyone)
    whole = time.perf_counter() - began
    cells = (
        f"page of {len(frame)} tenants, {page.stat().st_size / 2**20:.1f} MiB",
        f"{whole:.1f} s, of which {read:.1f} s reading",
        *spent(),
    )
    sys.stdout.write(f"| {' | '.join(cells)} |\n")


def spent() -> tuple[str, str]:
    """Return the CPU of this process and its children, and the most memory that all of them can have had at a time."""
    own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime
    return f"{cpu:.1f} s", f"{(own.ru_maxrss + (os.cpu_count() or 1) * theirs.ru_maxrss) / 1024:.0f} MiB"


def status(outputs: Path, *options: str) -> None:
    """Run the command and print what it took."""
    began = time.perf_counter()
    environment = {**os.environ, "RUNBOOK_OUTPUTS": str(outputs)}
    command = [sys.executable, "-m", "runbook_lib", "status", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as one:
        _, code, used = os.wait4(one.pid, 0)
        one.returncode = os.waitstatus_to_exitcode(code)
    took, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    words = " ".join(("runbook status", *options))
    sys.stdout.write(f"| `{words}` | {took:.1f} s | {cpu:.1f} s | {used.ru_maxrss / 1024:.0f} MiB |\n")


def main() -> None:
    """Read the command line, write the archive, and print a table in Markdown."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--tenants", type=int, default=3000)
    parse.add_argument("--runs", type=int, default=10)
    parse.add_argument("--be-page", type=Path, help=argparse.SUPPRESS)
    asked = parse.parse_args()
    if asked.be_page:
        be_page(asked.be_page)
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        size = archive(original(root), root / "outputs", asked.tenants, asked.runs)
        sys.stdout.write(
            f"{asked.tenants} tenants, {asked.runs} runs each, {size / 1024:.0f} KiB of records a run:\n\n"
        )
        sys.stdout.write("| what | time | CPU | memory |\n| --- | --- | --- | --- |\n")
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", __spec__.name, "--be-page", str(root / "outputs")], check=True)
        for options in ((), ("--changed",), ("--reason", "sign-ins licence"), ("tenant-0007",)):
            status(root / "outputs", *options)


if __name__ == "__main__":
    main()
