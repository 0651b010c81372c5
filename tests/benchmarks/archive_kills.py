"""Kill sealings and pushes at random moments, repeat them, and look for anything lost, left behind or stuck.

    python -m tests.benchmarks.archive_kills --seals 20 --pushes 10 --seed 1

Each push goes to a folder, to Azure Blob by Azurite and to S3 by moto. Needs a system that forks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from runbook_lib.evidence import seal, verify
from runbook_lib.evidence.archive.push import at
from runbook_lib.evidence.trust import Trust
from tests import archives
from tests.archives import Archive, FolderArchive, push_to
from tests.fake_runs import NOW, complete, new_run, organization, request, two_steps

FORK = multiprocessing.get_context("fork")


@dataclass
class Toll:
    """How often what was killed before it was over, and what was wrong afterwards."""

    killed: Counter[str] = field(default_factory=Counter)
    over: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def kill_during(work: Callable[[], object], seconds: float) -> bool:
    """Do `work` in a child that is killed after so long, and tell whether it was not over yet."""
    child = FORK.Process(target=work)
    child.start()
    time.sleep(seconds)
    if child.pid and child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    return child.exitcode == -signal.SIGKILL


def lasts(work: Callable[[], object]) -> float:
    """Return how long `work` takes in a child of its own, undisturbed."""
    child = FORK.Process(target=work)
    begun = time.perf_counter()
    child.start()
    child.join()
    return time.perf_counter() - begun


def large(outputs: Path, days: int) -> Path:
    """Return a run of a few dozen files, not sealed."""
    folder = new_run(outputs, at=NOW + timedelta(days=days))
    complete(folder, raw=organization(), requests=tuple(map(request, range(50))))
    for number in range(20):
        (folder / f"data/picture-{number}.png").write_bytes(random.Random(number).randbytes(20_000))
    return folder


def kill_seals(place: Path, kills: int, dice: random.Random) -> Toll:
    """Kill a sealing again and again, and seal after each kill."""
    seal.seal(large(place / "warm", 0), clock=lambda: NOW)  # what a sealing loads, every child has from here
    first = large(place / "first", 0)
    toll, usual = Toll(), lasts(lambda: seal.seal(first, clock=lambda: NOW))
    for number in range(kills):
        run = large(place / f"{number}", number)
        cut = kill_during(lambda run=run: seal.seal(run, clock=lambda: NOW), dice.uniform(0, usual))  # type: ignore[misc]
        (toll.killed if cut else toll.over)["seal"] += 1
        if not (run / "tagmanifest-sha256.txt").exists():
            try:
                seal.seal(run, clock=lambda: NOW)
            except Exception as error:
                toll.wrong.append(f"sealing {number} is stuck: {error}")
                continue
        toll.wrong.extend(f"sealing {number}: {fault}" for fault in verify.verify(run))
        toll.wrong.extend(f"sealing {number} left {left}" for left in run.rglob("*.part"))
    return toll


def kill_pushes(place: Path, archive: Archive, kills: int, dice: random.Random, name: str) -> Toll:
    """Kill a push to an archive again and again, and push once more after each kill."""
    toll = Toll()
    runs = [seal.seal(large(place / name, number), clock=lambda: NOW) for number in range(kills + 2)]
    push_to(archive, runs[-2])
    usual = lasts(lambda: push_to(archive, runs[-1]))
    for number, run in enumerate(runs[:-2]):
        cut = kill_during(lambda run=run: push_to(archive, run), dice.uniform(0, usual))  # type: ignore[misc]
        (toll.killed if cut else toll.over)[name] += 1
        [again] = push_to(archive, run)
        if again.exit_code:
            toll.wrong.append(f"push {number} to {name} is stuck: {again.words}")
            continue
        found, _ = at(f"{archive.url.rstrip('/')}/{archives.name(run)}", Trust())
        toll.wrong.extend(f"push {number} to {name}: {fault}" for fault in found.faults)
    return toll


def everywhere(place: Path, kills: int, dice: random.Random) -> list[Toll]:
    """Kill pushes to each kind of archive."""
    with ExitStack() as stack:
        (place / "archive").mkdir()
        (place / "azurite").mkdir()
        connection = stack.enter_context(archives.running_azurite(place / "azurite"))
        moto = stack.enter_context(archives.running_moto())
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {**keys, "AWS_ENDPOINT_URL_S3": moto, "AZURE_STORAGE_CONNECTION_STRING": connection}
        places: dict[str, Archive] = {
            "folder": FolderArchive(place / "archive"),
            "azure": stack.enter_context(archives.new_container(connection)),
            "s3": stack.enter_context(archives.new_bucket()),
        }
        return [kill_pushes(place, archive, kills, dice, name) for name, archive in places.items()]


def main() -> None:
    """Print what was killed and what was wrong; exit with 1 when anything was."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seals", type=int, default=20)
    options.add_argument("--pushes", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["RUNBOOK_OUTPUTS"] = f"{place}/outputs"
        dice = random.Random(asked.seed)
        two_steps(Path(place) / "warm")
        tolls = [kill_seals(Path(place) / "seals", asked.seals, dice), *everywhere(Path(place), asked.pushes, dice)]
    killed, over = Counter[str](), Counter[str]()
    for toll in tolls:
        killed, over = killed + toll.killed, over + toll.over
    wrong = [words for toll in tolls for words in toll.wrong]
    sys.stdout.write(json.dumps({"killed": killed, "over before the kill": over, "wrong": wrong}, indent=1) + "\n")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
