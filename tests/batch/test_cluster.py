"""A batch on a real Dask cluster, over TLS: the records decide what is done, whatever becomes of workers and driver."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import distributed  # noqa: F401 - its settings must be there before a test changes them
import pytest
import trustme
import typer
import yaml

from runbook_lib.batch import plan as batch_plan
from runbook_lib.batch import pool
from runbook_lib.batch.cluster import driver as cluster
from runbook_lib.batch.cluster import task as cluster_task
from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import main
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.lock import only_one
from runbook_lib.sandbox import server
from tests import nightly
from tests.grid import Grid

CHECKOUT = Path(__file__).resolve().parents[2]
STEPS = ("00_preflight", "06_access")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make certificates of one CA, and name them as a machine's environment would."""
    place, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    made = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(place / "ca.pem")
    made.private_key_and_cert_chain_pem.write_to_path(place / "own.pem")
    return {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(place / "ca.pem"),
        **{
            f"DASK_DISTRIBUTED__COMM__TLS__{role}__{what}": str(place / "own.pem")
            for role in ("SCHEDULER", "WORKER", "CLIENT")
            for what in ("KEY", "CERT")
        },
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Grid]:
    """Serve four tenants, a scheduler and two workers."""
    grid = Grid(tmp_path_factory.mktemp("grid"))
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        stack.enter_context(server.serving(grid.place / ".sandbox", generated=4, rooms=2))
        for name, value in {**settings, **_homes(grid)}.items():
            patch.setenv(name, value)
        grid.keys = nightly.tenant_files(grid.place / ".sandbox", grid.place / "parameters")
        grid.start_scheduler("tls")
        for name in ("one", "two"):
            grid.start_worker(name)
        stack.callback(grid.end_all)
        yield grid


def _homes(grid: Grid) -> dict[str, str]:
    return {"RUNBOOK_PARAMETERS": str(grid.place / "parameters"), "RUNBOOK_OUTPUTS": str(grid.outputs)}


@pytest.fixture
def grid(running: Grid, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """Be the driver's machine: with tenant files, new outputs that all share, and certificates."""
    running.outputs.unlink(missing_ok=True)
    running.outputs.symlink_to(tmp_path)
    for name, value in _homes(running).items():
        monkeypatch.setenv(name, value)
    with dask.config.set({name: settings[variable] for name, variable in cluster.SETTINGS.items()}):
        yield running


def through(
    grid: Grid, plan: batch_plan.Plan, tell: Callable[[Json], None] = lambda _: None, **options: Any
) -> list[TenantResult]:
    """Run the plan on the cluster."""
    crew = partial(cluster.run, address=grid.address, since=plan.since)
    return batch_plan.run(plan, jobs=0, on_event=tell, crew=crew, **options)


def test_a_cluster_comes_to_the_same_results_as_one_machine(grid: Grid) -> None:
    plan, events = batch_plan.plan(grid.keys[:3], STEPS), list[Json]()
    there = through(grid, plan, events.append)
    here = pool.run(plan.keys, STEPS, jobs=2, on_event=lambda _: None)
    told = [(one.key, one.outcome, one.error, one.steps, one.exit_code, _names(one)) for one in there]
    assert told == [(one.key, one.outcome, one.error, one.steps, one.exit_code, _names(one)) for one in here]
    assert [{name: value for name, value in line.items() if name != "at"} for line in logged(grid)] == events
    assert {event["event"] for event in events} == {"begun", "at", "step", "ended", "tenant"}
    assert {grid.at(event["worker"]) for event in events if "worker" in event} == {"one", "two"}
    assert [path.name for path in (grid.outputs / "_batches").iterdir()] == [f"{plan.name}.jsonl"]
    assert not [name for name in ("scheduler", "one", "two") if "PRIVATE" in grid.log(name)]


def _names(result: TenantResult) -> list[str]:
    assert result.folder
    return sorted(path.name for path in result.folder.rglob("*"))


def test_a_killed_worker_s_tenants_run_once_more_and_finished_ones_never(grid: Grid) -> None:
    plan, killed = batch_plan.plan(grid.keys, STEPS), list[str]()

    def kill(event: Json) -> None:
        if event["event"] == "at" and event["step"] == STEPS[1] and not killed:
            killed.append(grid.at(event["worker"]))
            grid.end(*killed)

    results = through(grid, plan, kill)
    assert [one.error for one in results] == [""] * 4
    assert nightly.faults(grid.outputs, grid.keys, STEPS) == []
    before = {path: path.stat().st_mtime_ns for path in grid.outputs.glob("gen-*/*/data/*")}
    again = through(grid, plan)
    assert [(one.folder, one.outcome, one.steps) for one in again] == [
        (one.folder, one.outcome, one.steps) for one in results
    ]
    assert {path: path.stat().st_mtime_ns for path in grid.outputs.glob("gen-*/*/data/*")} == before


def test_a_killed_driver_s_tenants_end_and_go_on_with_resume(grid: Grid, settings: dict[str, str]) -> None:
    keys, command = grid.keys[:2], [sys.executable, "-m", "runbook_lib", "run", "--scheduler", grid.address, "--json"]
    environment = {**os.environ, **settings}
    with subprocess.Popen(
        [*command, *keys, "--steps", "00,06"], env=environment, cwd=CHECKOUT, stderr=subprocess.DEVNULL
    ) as first:
        while not [one for one in logged(grid) if one["event"] == "at"]:
            assert first.poll() is None
            time.sleep(0.05)
        first.kill()
    for event in [one for one in logged(grid) if one["event"] == "begun"]:
        while Path(f"/proc/{event['process']}").exists():
            time.sleep(0.05)
    assert not all(run_folders.is_sealed(folder) for key in keys for folder in run_folders.runs(grid.outputs, key))
    assert [one.error for one in through(grid, batch_plan.interrupted(), resume=True)] == ["", ""]
    assert nightly.faults(grid.outputs, keys, STEPS) == []


def logged(grid: Grid) -> list[Json]:
    """Return the events of the newest batch's log so far."""
    newest = max(grid.outputs.glob("_batches/*.jsonl"), default=None)
    lines = newest.read_text().splitlines(keepends=True) if newest else []
    said = [json.loads(line) for line in lines if line.endswith("\n")]
    return [one for one in said if "event" in one]


def test_a_driver_that_is_interrupted_ends_its_tenants(grid: Grid) -> None:
    began = list[Json]()

    def stop(event: Json) -> None:
        if event["event"] == "begun":
            began.append(event)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        through(grid, batch_plan.plan(grid.keys[:1], STEPS), stop)
    while Path(f"/proc/{began[0]['process']}").exists():
        time.sleep(0.05)
    assert not run_folders.is_sealed(Path(began[0]["folder"]))


def test_a_tenant_that_takes_too_long_is_ended_on_its_worker(grid: Grid) -> None:
    plan = batch_plan.plan(grid.keys[:1], STEPS)
    (late,) = cluster.run(
        plan.keys, STEPS, address=grid.address, since=plan.since, on_event=lambda _: None, deadline_seconds=0.2
    )
    assert "took too long" in late.error
    assert late.exit_code == 1


def test_a_worker_that_is_not_fit_is_refused_before_any_tenant_runs(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_task, "edition", lambda: "9.9.9 (0123456789ab)")
    with pytest.raises(RunbookError) as raised:
        through(grid, batch_plan.plan([grid.keys[0], "nobody"], STEPS))
    assert raised.value.message.startswith("tls://127.0.0.1:")
    assert "has the runbook 0.1.0 (" in raised.value.message
    assert "this machine 9.9.9 (0123456789ab)" in raised.value.message
    assert "has no tenant file of nobody" in raised.value.message
    assert not list(grid.outputs.glob("gen-*"))


def test_a_batch_ends_in_words_when_its_scheduler_is_gone(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)

    def end(event: Json) -> None:
        if event["event"] == "begun":
            grid.end("scheduler")

    (lost,) = through(grid, batch_plan.plan(grid.keys[:1], STEPS), end)
    assert lost.error.startswith("The scheduler went away")
    with pytest.raises(RunbookError, match="does not answer"):
        through(grid, batch_plan.plan(grid.keys[:1], STEPS))


def test_a_batch_without_workers_ends_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoWorkers:
        def scheduler_info(self) -> Json:
            return {"workers": {}}

        def wait_for_workers(self, *_: object, **__: object) -> None:
            raise TimeoutError

    monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 0)
    with pytest.raises(RunbookError, match="has no workers"):
        cluster._check_workers(NoWorkers(), ["contoso"])
    waiting = {"task": "contoso"}
    (left,) = cluster._results(NoWorkers(), queue.SimpleQueue(), waiting, lambda _: None, lambda _: None)
    assert left.error.startswith("No worker is left.")
    assert "--resume with the same --scheduler" in left.error


def test_a_straggler_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.0, 0.0, 61.0, 61.0, 900.0])
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: next(now)))
    watch = cluster._Watch()
    for key in ("slow", "quick"):
        watch.hear({"event": "at", "tenant": key, "step": "07_sync"})
    watch.over(TenantResult("quick", seconds=2))
    assert list(watch.late()) == [{"event": "straggler", "tenant": "slow", "step": "07_sync", "seconds": 61.0}]
    assert list(watch.late()) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://10.1.2.3:8786", "in the clear"),
        ("tcp://scheduler.example:8786", "in the clear"),
        ("scheduler.example:8786", "in the clear"),
        ("ws://127.0.0.1:8786", "in the clear"),
        ("tls://scheduler.example:8786", "does not know its certificates"),
    ],
)
def test_an_address_that_others_could_listen_in_to_is_refused(address: str, words: str) -> None:
    with dask.config.set({"distributed.comm.tls": {}}), pytest.raises(UsageError, match=words) as raised:
        cluster.run(["contoso"], STEPS, address=address, since="", on_event=lambda _: None)
    assert "tls://host:8786" in raised.value.remedy or "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in raised.value.remedy


FIT = {"lacking": [], "may_have_children": True, "apart": "", "time": 100.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"edition": "0.0.9 (00)"}, ["has the runbook 0.0.9 (00)"]),
        ({"lacking": list("abcdefg")}, ["no tenant file of a, b, c, d, e and 2 more"]),
        ({"may_have_children": False}, ["DASK_DISTRIBUTED__WORKER__DAEMON=False"]),
        ({"apart": "does not see this machine's outputs"}, ["does not see this machine's outputs"]),
        ({"time": 170.0}, ["a clock that is 67 s off"]),
        ({"time": 92.0}, ["a clock that is 7 s off"]),
    ],
)
def test_what_makes_a_worker_unfit_is_said(change: Json, words: list[str]) -> None:
    found = list(cluster_task.unfit({"edition": cluster_task.edition(), **FIT, **change}, 99.0, 103.0))
    assert len(found) == len(words)
    assert all(word in one for word, one in zip(words, found, strict=True))


def test_a_worker_that_shares_no_outputs_or_no_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path))
    assert "must be one shared folder" in cluster_task.look("probe", [])["apart"]
    (tmp_path / "probe").mkdir()
    assert "not the locks" in cluster_task.look("probe", [])["apart"]
    with only_one(tmp_path / "probe"):
        assert cluster_task.look("probe", [])["apart"] == ""


def test_a_worker_that_joins_late_with_another_runbook_does_nothing() -> None:
    order = cluster_task.Order("topic", STEPS, "", "", "9.9.9 (0123456789ab)", 60)
    result = cluster_task.carry_out("contoso", order, lambda _: None, lambda: True)
    assert "the driver 9.9.9" in result.error
    assert result.folder is None


DOCUMENT = (CHECKOUT / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def test_what_the_document_says_to_run_exists() -> None:
    (job,) = (yaml.safe_load(one) for one in blocks("yaml"))
    job = job["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # or backoffLimitPerIndex is refused
    assert {one["name"] for one in container["volumeMounts"]} == {
        one["name"] for one in job["template"]["spec"]["volumes"]
    }
    (script,) = container["args"]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    (airflow,) = blocks("python")
    compile(airflow, "docs/cluster.md", "exec")
    pattern = re.findall(r"glob\(\"(0.*)\"\)", airflow)[0]
    notebooks = sorted((CHECKOUT / "notebooks").glob(pattern))
    assert [path.stem for path in notebooks] == list(pool.TENANT_STEPS)
    assert all('tenant: str = "contoso"' in cell for path in notebooks for cell in [path.read_text().replace("\\", "")])
    known = typer.main.get_command(main.app)
    said = re.findall(r"runbook (run|push|seal|[a-z]+)((?: --[a-z]+)*)", " ".join([script, airflow, *blocks("")]))
    for name, options in said:
        command = known.commands[name]  # type: ignore[attr-defined]
        assert set(options.split()) <= {option for parameter in command.params for option in parameter.opts}
    assert {name for name, _ in said} == {"run", "push", "seal"}
