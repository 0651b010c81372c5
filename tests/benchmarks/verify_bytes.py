"""Count the bytes that `verify` reads of the newest of many runs, and `verify` of them all as `push --all` does it.

    python -m tests.benchmarks.verify_bytes --runs 30 --kilobytes 1000

A file that is opened counts as read whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from runbook_lib.evidence import chain, seal, verify
from runbook_lib.evidence.bagit import INFO, TAG_MANIFEST
from tests.fake_runs import NOW, new_run, organization, passing
from tests.fake_runs import add as add_step

COUNTED: list[tuple[Path, list[int]]] = []


def _hear(event: str, given: tuple[object, ...]) -> None:
    if event == "open" and COUNTED and isinstance(given[0], str | os.PathLike):
        path = Path(os.fspath(given[0]))
        for below, sizes in COUNTED:
            if path.is_relative_to(below) and path.is_file():
                sizes.append(path.stat().st_size)


def bytes_read(below: Path, work: Callable[[], object]) -> int:
    """Return the size of all files below a folder that `work` opens, each as often as it is opened."""
    sizes: list[int] = []
    COUNTED.append((below, sizes))
    try:
        work()
    finally:
        COUNTED.clear()
    return sum(sizes)


def sealed_runs(outputs: Path, runs: int, kilobytes: int) -> list[Path]:
    """Return so many sealed runs of a tenant, each of this size."""
    made = []
    for number in range(runs):
        at = NOW + timedelta(days=number)
        folder = new_run(outputs, at=at)
        add_step(folder, "06_access", passing(), raw=organization())
        pad = random.Random(number).randbytes(kilobytes * 500).hex()
        (folder / "data/07_sync.ipynb").write_text(json.dumps({"cells": [], "pad": pad}), encoding="utf-8")
        made.append(seal.seal(folder, clock=lambda at=at: at))  # type: ignore[misc]
    return made


def measured(outputs: Path, runs: int, kilobytes: int) -> dict[str, float]:
    """Return what was read, against what there is."""
    folders = sealed_runs(outputs, runs, kilobytes)
    own = sum(path.stat().st_size for path in folders[-1].rglob("*") if path.is_file())
    heads = sum((folder / name).stat().st_size for folder in folders[:-1] for name in (INFO, TAG_MANIFEST))
    newest = bytes_read(outputs, lambda: verify.verdict(folders[-1]))
    known = chain.Heads()
    every = bytes_read(outputs, lambda: [verify.verdict(folder, heads=known) for folder in folders])
    return {
        "bytes of the newest run": own,
        "bytes of the other heads": heads,
        "read to verify the newest": newest,
        "times its own bytes, heads apart": round((newest - heads) / own, 3),
        "read to verify all, times all bytes": round(every / (own * runs), 3),
    }


sys.addaudithook(_hear)

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=30)
    options.add_argument("--kilobytes", type=int, default=1000)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(measured(Path(place), asked.runs, asked.kilobytes), indent=1) + "\n")
