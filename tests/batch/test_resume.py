"""A batch that is cut short goes on where it stood: nothing lost, nothing doubled, nothing truncated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from runbook_lib import settings
from runbook_lib.batch import plan as batch_plan
from runbook_lib.batch import pool, tenant
from runbook_lib.batch.pool import TenantResult
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import verify
from runbook_lib.model import Json, Status
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import lock
from runbook_lib.runs import record as records
from runbook_lib.sandbox import server
from tests import nightly

STEPS = ("00_preflight", "06_access", "08_report")
RUN = [sys.executable, "-m", "runbook_lib", "run"]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """Serve four tenants, and prepare their files."""
    root = tmp_path_factory.mktemp("night")
    with server.serving(root / ".sandbox", generated=4, rooms=3):
        yield root / "parameters", nightly.tenant_files(root / ".sandbox", root / "parameters")


@pytest.fixture
def keys(tenants: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name the tenants whose files are in place, with empty outputs."""
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tenants[0]))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tenants[1]


def driver(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def records_in(outputs: Path) -> int:
    return len([path for path in outputs.glob("gen-*/*/data/??_*.json") if not path.name.endswith(".raw.json")])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("after", [1, 5, 9])
def test_a_driver_that_is_killed_loses_and_doubles_nothing(keys: list[str], tmp_path: Path, after: int) -> None:
    outputs = tmp_path / "outputs"
    with driver("--all", "--steps", "00,06,08") as first:
        while records_in(outputs) < after and first.poll() is None:
            time.sleep(0.02)
        time.sleep(random.random() / 5)
        first.kill()
    with driver("--resume", "--json") as second:
        said, words = second.communicate()
    assert second.returncode == max(result["exit_code"] for result in json.loads(said)), words
    assert [one["tenant"] for one in json.loads(said)] == keys
    assert nightly.faults(outputs, keys, STEPS) == []


@pytest.mark.timeout(600)
def test_a_killed_tenant_is_named_and_taken_up_again(keys: list[str], tmp_path: Path) -> None:
    plan = batch_plan.plan(keys[:2], STEPS)
    events: list[Json] = []

    def kill(event: Json) -> None:
        events.append(event)
        if event["tenant"] == keys[0] and event.get("step") == "06_access" and event["event"] == "at":
            os.kill(next(one["process"] for one in events if one["tenant"] == keys[0]), signal.SIGKILL)

    killed, other = batch_plan.run(plan, jobs=2, on_event=kill)
    assert "ended unexpectedly in 06_access (exit code -9)" in killed.error
    assert other.error == ""
    again = batch_plan.run(batch_plan.interrupted(), jobs=2, on_event=events.append, resume=True)
    assert [one.error for one in again] == ["", ""]
    assert nightly.faults(tmp_path / "outputs", keys[:2], STEPS) == []
    began = [event["tenant"] for event in events if event["event"] == "begun"]
    assert sorted(began) == [keys[0], *keys[:2]]


@pytest.mark.timeout(600)
def test_a_run_that_a_wrong_setting_stopped_is_no_evidence_and_goes_on_once_it_is_right(
    keys: list[str], tmp_path: Path, tenants: tuple[Path, list[str]]
) -> None:
    path = tenants[0] / f"{keys[0]}.yaml"
    right = path.read_text()
    path.write_text(right.replace("verifier.pem", "gone.pem"))
    try:
        [stopped] = batch_plan.run(batch_plan.plan(keys[:1], STEPS), jobs=1, on_event=lambda _: None)
    finally:
        path.write_text(right)
    assert (stopped.exit_code, "gone.pem" in stopped.error) == (2, True)
    [folder] = run_folders.runs(tmp_path / "outputs", keys[0])
    assert not run_folders.is_sealed(folder)
    [again] = batch_plan.run(batch_plan.interrupted(), jobs=1, on_event=lambda _: None, resume=True)
    assert again.error == ""
    assert run_folders.runs(tmp_path / "outputs", keys[0]) == [folder]
    assert verify.verify(folder) == ()
    assert set(STEPS) <= set(records.latest(folder))
    assert records.latest(folder)["08_report"].look == 2, "the page tells what is true by now"


def stand_in(key: str, _steps: tuple[str, ...], _since: str, events: Connection) -> None:
    """Come out as the key says, in the place of a tenant's notebooks."""
    outcome = {"bad": Status.FAIL, "vague": Status.UNKNOWN, "open": Status.PENDING}.get(key, Status.PASS)
    events.send(tenant.ended(key, outcome, None))


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tenants come out as their keys say."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(pool, "run_tenant", stand_in)
    monkeypatch.setattr(pool, "file_is_sound", lambda _: True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("pilot", "held"), [("open", False), ("good", False), ("bad", True), ("vague", True), ("good,bad", True)]
)
def test_the_rest_runs_only_when_every_pilot_came_out_well(pilot: str, held: bool) -> None:
    keys = [*pilot.split(","), "later"]
    results = batch_plan.run(batch_plan.plan(keys, STEPS, pilot.split(",")), jobs=4, on_event=lambda _: None)
    assert [one.key for one in results] == keys
    assert results[-1].error.startswith("Held back: ") is held
    assert (results[-1].outcome is Status.PASS) is not held


@pytest.mark.parametrize(
    ("rings", "pilot", "order"),
    [
        ({"a": "2", "b": "pilot", "d": "1"}, (), ["b", "d", "a", "ce"]),
        ({"a": "'pilot'", "b": '"pilot"'}, ("e",), ["e", "ab", "cd"]),
        ({}, (), ["abcde"]),
        ({"a": "1  # ours", "b": "1"}, ("a",), ["a", "b", "cde"]),
    ],
)
def test_rings_go_in_order_pilots_first_and_those_without_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rings: dict[str, str], pilot: tuple[str, ...], order: list[str]
) -> None:
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path))
    for key, ring in rings.items():
        (tmp_path / f"{key}.yaml").write_text(f"name: {key}\nring: {ring}\nrooms:\n  ring: 9\n")
    assert ["".join(ring) for ring in batch_plan.plan([*"abcde"], STEPS, pilot).rings] == order


@pytest.mark.usefixtures("quick")
def test_a_ring_waits_for_all_rings_before_it_and_goes_on_once_they_are_corrected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = batch_plan.Plan("20261122T190000Z-1a2b", ("good", "bad", "third"), STEPS, (("good",), ("bad",), ("third",)))
    first = batch_plan.run(plan, jobs=4, on_event=lambda _: None)
    assert [one.outcome for one in first] == [Status.PASS, Status.FAIL, None]
    assert first[-1].error.startswith("Held back: bad in an earlier ring")
    batch_plan.run(
        replace(plan, name="20261122T200000Z-1a2b", rings=(("bad",),), keys=("bad",)), jobs=1, on_event=lambda _: None
    )
    assert batch_plan.interrupted() == plan  # not the newer one, in which nobody was held back
    well = {key: TenantResult(key, outcome=Status.PASS) for key in ("good", "bad")}
    monkeypatch.setattr(batch_plan, "finished", lambda key, _: well.get(key))
    again = batch_plan.run(plan, jobs=4, on_event=lambda _: None, resume=True)
    assert [one.outcome for one in again] == [Status.PASS] * 3


@pytest.mark.usefixtures("quick")
def test_the_log_begins_with_the_plan_and_has_every_event(tmp_path: Path) -> None:
    plan = batch_plan.plan(["good", "bad"], STEPS)
    batch_plan.run(plan, jobs=2, on_event=lambda _: None)
    (log,) = (tmp_path / "outputs" / "_batches").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["plan"]["keys"] == ["good", "bad"]
    assert lines.pop() == {"over": True}
    assert {(line["event"], line["tenant"]) for line in lines[1:]} == {
        (event, key) for event in ("ended", "tenant") for key in ("good", "bad")
    }
    with log.open("a") as file:
        file.write('{"event": "cut sho')
    assert batch_plan.interrupted() == plan


def test_without_a_batch_there_is_nothing_to_resume(keys: list[str]) -> None:
    with pytest.raises(UsageError):
        batch_plan.interrupted()
    with pytest.raises(UsageError):
        batch_plan.plan(keys, STEPS, ["nobody"])


def test_two_processes_cannot_work_on_one_tenant(tmp_path: Path) -> None:
    hold = f"""
import sys, time
from pathlib import Path
from runbook_lib.runs import lock
from runbook_lib.runs import record as records
with lock.only_one(Path({str(tmp_path / "contoso")!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with (
            pytest.raises(ArchiveError, match="Another process is working on contoso"),
            lock.only_one(tmp_path / "contoso"),
        ):
            pass
        other.kill()
    with lock.only_one(tmp_path / "contoso"):
        assert (tmp_path / "contoso").is_dir()


def test_only_what_did_not_come_out_well_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {"good": Status.PASS, "open": Status.PENDING, "bad": Status.FAIL, "vague": Status.UNKNOWN}
    known = {key: TenantResult(key, outcome=outcome) for key, outcome in outcomes.items()}
    known["broke"] = TenantResult("broke", outcome=Status.PASS, error="07_sync: KeyError")
    monkeypatch.setattr(batch_plan, "finished", known.get)
    assert batch_plan.unfit([*known, "never ran"]) == ["bad", "vague", "broke", "never ran"]


def test_an_unfinished_run_is_swept_before_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    folder = tmp_path / "contoso" / "20261122T190000Z-1a2b"
    (folder / "data" / "tables").mkdir(parents=True)
    (folder / ".executing-x").mkdir()
    (folder / ".executing-x" / "half.ipynb").write_text("{")
    (folder / "data" / ".y.part").write_text("half")
    assert tenant.unfinished("contoso", "") is None
    assert tenant.unfinished("contoso", "20261122T190001Z") is None
    assert (folder / "data" / ".y.part").exists()
    assert tenant.unfinished("contoso", "20261122T190000Z") == folder
    assert sorted(path.name for path in folder.rglob("*")) == ["data", "tables"]
    (folder / "tagmanifest-sha256.txt").touch()
    assert tenant.unfinished("contoso", "20261122T190000Z") is None
    assert run_folders.runs(tmp_path, "contoso") == [folder]


@pytest.mark.parametrize(
    ("ring", "right"), [("pilot", True), (1, True), (9, True), (0, False), (10, False), ("1", False)]
)
def test_a_tenant_file_names_the_ring_pilot_or_a_number_from_one_to_nine(ring: object, right: bool) -> None:
    tenant_file = json.loads(settings.SCHEMA.read_text("utf-8"))
    assert settings.validator({**tenant_file, "$ref": "#/$defs/tenant/properties/ring"}).is_valid(ring) is right
