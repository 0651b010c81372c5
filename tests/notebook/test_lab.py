"""Working copies, who works in a run, and what a seal waits for."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
import requests

from runbook_lib.batch import tenant
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.notebook import lab
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import lock, presence
from runbook_lib.runs import record as records
from runbook_lib.runs.folder import STEPS
from tests import fake_runs

NOW = datetime(2026, 11, 22, 21, 5, tzinfo=UTC)
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(CHECKOUT / "parameters", tmp_path / "parameters")
    text = (tmp_path / "parameters" / "contoso.yaml").read_text(encoding="utf-8")
    (tmp_path / "parameters" / "contoso.yaml").write_text(text.replace("../.sandbox/cloud.yaml", "global"), "utf-8")
    for name in ("parameters", "outputs"):
        monkeypatch.setenv(f"RUNBOOK_{name.upper()}", str(tmp_path / name))
    return tmp_path


def test_a_run_gets_a_copy_of_every_notebook_of_a_tenant_with_its_parameters(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    assert sorted(path.stem for path in (folder / "data").glob("*.ipynb")) == [*STEPS][:-1]
    for path in (folder / "data").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        (cell,) = [one for one in notebook.cells if "injected-parameters" in one.metadata.get("tags", ())]
        told: dict[str, str] = {}
        exec(cell.source, told)
        assert (told["tenant"], told["run_id"]) == ("contoso", folder.name)


def test_opening_again_goes_on_with_the_run_and_touches_nothing_in_it(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    (folder / "data" / "06_access.ipynb").write_text("worked on")
    (folder / "data" / "07_sync.ipynb").unlink()
    assert lab.prepare("contoso", NOW) == folder
    assert (folder / "data" / "06_access.ipynb").read_text() == "worked on"
    assert (folder / "data" / "07_sync.ipynb").exists()


def test_a_sealed_run_is_not_opened_again(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    (folder / "tagmanifest-sha256.txt").touch()
    assert lab.prepare("contoso", NOW) != folder


def test_the_exemplars_are_never_written_to(home: Path) -> None:
    before = {path: path.read_bytes() for path in lab.NOTEBOOKS.glob("*.ipynb")}
    lab.prepare("contoso", NOW)
    assert {path: path.read_bytes() for path in lab.NOTEBOOKS.glob("*.ipynb")} == before


def test_a_second_person_hears_who_works_there_and_may_take_over(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    other = {"user": "dana", "host": "elsewhere", "process": 1, "since": "2026-11-22 21:00 UTC"}
    (folder / presence.PRESENCE).write_text(json.dumps(other))
    with (
        pytest.raises(UsageError, match="dana on elsewhere since 2026-11-22 21:00 UTC"),
        presence.presence(folder, NOW),
    ):
        pass
    with presence.presence(folder, NOW, take_over=True):
        found = presence.present(folder)
        assert found is not None
        assert (found.host, found.process) == (socket.gethostname(), os.getpid())
    assert presence.present(folder) is None


def test_whoever_was_taken_over_leaves_the_other_s_name_alone(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    with presence.presence(folder, NOW):
        (folder / presence.PRESENCE).write_text('{"user": "x", "host": "y", "process": 1, "since": "z"}')
    assert (folder / presence.PRESENCE).exists()


def test_a_process_that_is_gone_keeps_nobody_out(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    mine = {"user": "dana", "host": socket.gethostname(), "process": gone.pid, "since": ""}
    (folder / presence.PRESENCE).write_text(json.dumps(mine))
    with presence.presence(folder, NOW):
        pass


def test_a_damaged_presence_is_told_and_not_overridden(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    (folder / presence.PRESENCE).write_text("{")
    with pytest.raises(ArchiveError, match="cannot be read"), presence.presence(folder, NOW):
        pass


def test_jupyterlab_listens_on_loopback_and_opens_the_next_step(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    options = lab.command(folder)
    assert "--ServerApp.ip=127.0.0.1" in options
    assert "--LabApp.default_url=/lab/tree/data/00_preflight.ipynb" in options
    (checkpoints,) = [one.partition("=")[2] for one in options if "checkpoint_dir" in one]
    assert not Path(checkpoints).is_relative_to(folder), "what JupyterLab keeps for itself is not sealed"
    assert Path(checkpoints).is_dir()
    assert not any("token" in one or "password" in one for one in options), "JupyterLab makes a token of its own"
    assert set(json.loads((lab.LAB_SETTINGS / "overrides.json").read_text(encoding="utf-8")))


@pytest.fixture
def recorded(home: Path) -> Callable[[bool, str], Path]:
    """Return what makes a run with a record of step 1, done by a person or not, and a notebook with this output."""

    def make(attended: bool, shown: str) -> Path:
        folder = lab.prepare("contoso", NOW)
        path = folder / "data" / "01_disconnect.ipynb"
        notebook = nbformat.read(path, as_version=4)
        output = nbformat.v4.new_output("display_data", {"text/plain": shown})
        notebook.cells[-1].outputs = [output]
        nbformat.write(notebook, path)
        record = fake_runs.add(home / "elsewhere/contoso" / folder.name, "01_disconnect")
        operator = {**record.operator, "attended": attended}
        records.write(folder, replace(record, run=folder.name, operator=operator))
        return folder

    return make


@pytest.mark.parametrize(
    ("attended", "shown", "unsaved"),
    [
        (True, "", ["01_disconnect"]),
        (True, "recorded in: contoso/x/data/01_disconnect.json", []),
        (True, "recorded in: contoso/x/data/01_disconnect.2.json", ["01_disconnect"]),
        (False, "", []),
    ],
)
def test_a_person_s_notebook_has_to_show_the_record_before_the_run_is_sealed(
    recorded: Callable[[bool, str], Path], attended: bool, shown: str, unsaved: list[str]
) -> None:
    folder = recorded(attended, shown)
    assert lab.unsaved(folder) == unsaved
    assert lab.next_step(folder) == "00_preflight"
    if unsaved:
        with pytest.raises(UsageError, match="Save 01_disconnect first"):
            lab.check_closed(folder)
    else:
        lab.check_closed(folder)


def test_a_run_is_not_sealed_while_somebody_works_in_it(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    with presence.presence(folder, NOW), pytest.raises(UsageError, match="This run is open"):
        lab.check_closed(folder)
    lab.check_closed(folder)
    assert not (folder / presence.PRESENCE).exists()


def test_a_damaged_notebook_is_told_with_what_to_do(recorded: Callable[[bool, str], Path]) -> None:
    folder = recorded(True, "")
    (folder / "data" / "01_disconnect.ipynb").write_text("{")
    with pytest.raises(ArchiveError, match="not a readable notebook"):
        lab.check_closed(folder)


def test_a_batch_leaves_a_person_s_run_alone(recorded: Callable[[bool, str], Path]) -> None:
    folder = recorded(True, "")
    assert tenant.unfinished("contoso", folder.name) is None
    for path in (folder / "data").glob("*.ipynb"):
        path.unlink()
    assert tenant.unfinished("contoso", folder.name) is None, "the record says that a person made it"


def test_a_batch_goes_on_with_its_own_run_unless_somebody_has_it_open(home: Path) -> None:
    folder = run_folders.new_run(home / "outputs" / "contoso", NOW)
    record = fake_runs.add(home / "elsewhere/contoso" / folder.name, "00_preflight")
    records.write(folder, replace(record, operator={**record.operator, "attended": False}))
    (folder / "data" / "00_preflight.ipynb").write_text("{}")
    assert tenant.unfinished("contoso", folder.name) == folder
    with presence.presence(folder, NOW):
        assert tenant.unfinished("contoso", folder.name) is None
    lab.prepare("contoso", NOW)
    assert tenant.unfinished("contoso", folder.name) is None, "there are notebooks to be worked in now"


def test_what_a_batch_works_on_is_not_opened(home: Path) -> None:
    with lock.only_one(home / "outputs" / "contoso"):
        with pytest.raises(ArchiveError, match="Another process is working on contoso"):
            lab.work("contoso", browser=False, tell=print)
        with pytest.raises(ArchiveError, match="Another process"):
            lab.work("contoso", browser=False, take_over=True, tell=print)
    assert run_folders.runs(home / "outputs", "contoso") == []


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C reaches a group of processes otherwise there")
def test_ctrl_c_twice_ends_an_evening_and_nobody_is_left_in_the_run(home: Path) -> None:
    (home / "jupyter").mkdir()
    (home / "jupyter" / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    own = {f"JUPYTER_{name}_DIR": str(home / "jupyter") for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **own, "JUPYTER_TOKEN": "t0ken"}
    command = [sys.executable, "-m", "runbook_lib", "open", "contoso", "--no-browser", "--port", "0"]
    with (home / "log").open("w+") as log:
        evening = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = told_address(home / "log", evening)
            with requests.get(f"{address}/api/contents/data?token=t0ken", timeout=30) as answer:
                assert "00_preflight.ipynb" in [one["name"] for one in answer.json()["content"]]
            with requests.get(f"{address}/api/contents/data", timeout=30) as refused:
                assert refused.status_code == 403
            (folder,) = run_folders.runs(home / "outputs", "contoso")
            assert presence.present(folder) is not None
            for _ in range(2):
                os.killpg(evening.pid, signal.SIGINT)
                time.sleep(0.5)
            assert evening.wait(60) in (0, -signal.SIGINT)  # the second one may meet it on its way out
        finally:
            evening.kill()
    assert not (folder / presence.PRESENCE).exists()
    lab.check_closed(folder)


def told_address(log: Path, evening: subprocess.Popen[bytes]) -> str:
    """Wait until JupyterLab says where it is, on loopback."""
    for _ in range(600):
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        assert evening.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
