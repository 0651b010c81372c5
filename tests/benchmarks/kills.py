"""Kill a batch many times at random moments, let --resume go on, and look for anything lost, doubled or left behind.

    python -m tests.benchmarks.kills --kills 50 --seed 1

The victim is the driver or one tenant's process, by SIGKILL. Two of the tenants book their test room, so that kills
also hit bookings. RUNBOOK_PLAIN=1 does the same with a kernel process for each notebook.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.model import Json
from runbook_lib.sandbox import server
from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.exchange.series import visible
from runbook_lib.sandbox.spaceiq import api as service
from runbook_lib.sandbox.world.world import World
from runbook_lib.steps.sync import booking_test
from tests import nightly
from tests.steps.test_rooms_sandbox import allow_writing

STEPS = ("00_preflight", "07_sync", "08_report")
COMMAND = [sys.executable, "-m", "runbook_lib", "run", "--json"]
TENANTS = 3
MOST_KILLS = 8
"""Within one batch."""
BOOKING = """\
rooms: {{test_room: {room}, booking_test: true}}
"""
API = "spaceiq: {{source: graphql, company: {company}, endpoint: {url}/queries}}\n"


@dataclass
class Night:
    """Everything that happened: kills by victim and by where they hit, and what was found wrong after each batch."""

    world: World
    dice: random.Random
    place: Path
    keys: list[str]
    kills: int
    hit: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    bookings: int = 0
    batches: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return self.victims.total()


def bookings(world: World) -> list[str]:
    """Return all test bookings in the sandbox's calendars."""
    found = []
    for state in list(world.tenants.values()):
        for box in list(state.mailboxes.values()):
            found += [f"{event['subject']!r} of {box.smtp}" for event in visible(box)]
    return [words for words in found if booking_test.MARK in words]


def log(outputs: Path) -> list[Json]:
    """Return the lines of the newest batch's log, whole ones only."""
    names = sorted((outputs / "_batches").glob("*.jsonl"))
    lines = names[-1].read_text("utf-8").splitlines(keepends=True) if names else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def under_way(outputs: Path) -> Iterator[tuple[int, str]]:
    """Yield the process of each tenant that runs, and where it is."""
    at: dict[str, tuple[int, str]] = {}
    for line in [one for one in log(outputs) if "event" in one]:
        process = at.get(line["tenant"], (0, ""))[0]
        match line["event"]:
            case "begun":
                at[line["tenant"]] = (line["process"], "before its first step")
            case "at":
                at[line["tenant"]] = (process, line["step"])
            case "step":
                at[line["tenant"]] = (process, f"after {line['step']}")
            case "ended" | "tenant":
                at.pop(line["tenant"], None)
    yield from ((process, step) for process, step in at.values() if Path(f"/proc/{process}").exists())


def wait_for_a_moment(night: Night, driver: subprocess.Popen[bytes], outputs: Path, longest: float) -> None:
    """Wait until a tenant is under way, mostly, and then for a random time, more often a short one than a long one."""
    at_work = night.dice.random() < 0.9
    while at_work and driver.poll() is None and not list(under_way(outputs)):
        time.sleep(0.05)
    with suppress(subprocess.TimeoutExpired):
        driver.wait(timeout=night.dice.uniform(0, night.dice.choice((1, 5, longest))))


def kill_one(night: Night, driver: subprocess.Popen[bytes], outputs: Path) -> None:
    """Kill the driver or a tenant's process, and note where it hit."""
    tenants = list(under_way(outputs))
    night.bookings += any(step == "07_sync" for _, step in tenants) and bool(bookings(night.world))
    if tenants and night.dice.random() < 0.5:
        process, step = night.dice.choice(tenants)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        night.victims["tenant"] += 1
        night.hit[f"tenant {step}"] += 1
        return
    driver.kill()
    driver.wait()
    night.victims["driver"] += 1
    night.hit["driver, tenants under way" if tenants else "driver, none under way"] += 1
    patience = time.monotonic() + 10
    while time.monotonic() < patience and any(Path(f"/proc/{process}").exists() for process, _ in tenants):
        time.sleep(0.1)
    left = [str(process) for process, _ in tenants if Path(f"/proc/{process}").exists()]
    night.wrong += [f"process {process} outlived its driver" for process in left]


def one_batch(night: Night, outputs: Path, longest: float) -> None:
    """Run a batch to its end through kills: each of the first starts is killed once, as long as kills are left."""
    os.environ["RUNBOOK_OUTPUTS"] = str(outputs)
    options = ["--all", "--steps", ",".join(step[:2] for step in STEPS)]
    for start in range(MOST_KILLS + 3):
        spared = night.killed >= night.kills or start >= MOST_KILLS
        with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
            if not spared:
                wait_for_a_moment(night, driver, outputs, longest)
                if driver.poll() is None:
                    kill_one(night, driver, outputs)
            said, words = driver.communicate()
        options = ["--resume"] if list(outputs.glob("_batches/*.jsonl")) else options
        if driver.returncode > 0 and not said:
            night.wrong.append(words.decode())
        if said and not any(one["error"] for one in json.loads(said)):
            return
    night.wrong.append("a batch did not end")


def look(night: Night, outputs: Path) -> None:
    """Look at the finished archive, its logs and the calendars, once what was on its way has arrived there."""
    for state in night.world.tenants.values():
        for box in state.mailboxes.values():
            meetings.settle(state, box, night.world.now() + timedelta(minutes=1))
    night.wrong += nightly.faults(outputs, night.keys, STEPS)
    night.wrong += [f"{subject} is left in a calendar" for subject in bookings(night.world)]
    for path in (outputs / "_batches").glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            json.loads(line)


def prepare(night_place: Path, sandbox: server.Sandbox) -> list[str]:
    """Write the tenants' files: the first books in Outlook and in SpaceIQ, the second in Outlook only."""
    keys = nightly.tenant_files(night_place / ".sandbox", night_place / "parameters")
    for key in keys[:2]:
        state = sandbox.world.tenant(key)
        if state is None:
            raise SystemExit(f"The sandbox has no tenant {key}.")
        allow_writing(state)
        text = BOOKING.format(room=next(box.smtp for box in state.mailboxes.values() if box.kind == "room"))
        if key == keys[0]:
            os.environ[spaceiq.TOKEN] = service.token(sandbox.world, key)
            text += API.format(company=state.name, url=sandbox.url)
        with (night_place / "parameters" / f"{key}.yaml").open("a", encoding="utf-8") as file:
            file.write(text)
    return keys


def main() -> int:
    """Kill, resume, look, and print what happened; the exit code is 1 when anything is wrong."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--kills", type=int, default=50)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--longest", type=float, default=15, help="seconds until a kill, at most")
    asked = parse.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        with server.serving(root / ".sandbox", generated=TENANTS, rooms=3) as sandbox:
            keys = prepare(root, sandbox)
            os.environ["RUNBOOK_PARAMETERS"] = str(root / "parameters")
            night = Night(sandbox.world, random.Random(asked.seed), root, keys, asked.kills)
            while night.killed < asked.kills:
                night.batches += 1
                outputs = root / f"outputs{night.batches}"
                one_batch(night, outputs, asked.longest)
                look(night, outputs)
                sys.stderr.write(f"batch {night.batches}: {night.killed} kills so far, wrong: {night.wrong}\n")
    words = [f"{night.killed} kills in {night.batches} batches of {TENANTS} tenants, {dict(night.victims)}"]
    words += [f"{night.bookings} of them while a test booking stood in a calendar"]
    words += [f"  {count:3} {where}" for where, count in sorted(night.hit.items())]
    sys.stdout.write("\n".join([*words, *night.wrong, f"{len(night.wrong)} faults"]) + "\n")
    return 1 if night.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
