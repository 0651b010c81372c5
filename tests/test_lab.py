"""Working copies, who works in a run, and what a seal waits for."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from runbook_lib import lab, records
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.records import STEPS
from tests import fake_runs

NOW = datetime(2026, 11, 22, 21, 5, tzinfo=UTC)
CHECKOUT = Path(lab.__file__).resolve().parent.parent


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
    (folder / lab.PRESENCE).write_text(json.dumps(other))
    with pytest.raises(UsageError, match="dana on elsewhere since 2026-11-22 21:00 UTC"), lab.presence(folder, NOW):
        pass
    with lab.presence(folder, NOW, take_over=True):
        found = lab.present(folder)
        assert found is not None
        assert (found.host, found.process) == (socket.gethostname(), os.getpid())
    assert lab.present(folder) is None


def test_whoever_was_taken_over_leaves_the_other_s_name_alone(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    with lab.presence(folder, NOW):
        (folder / lab.PRESENCE).write_text('{"user": "x", "host": "y", "process": 1, "since": "z"}')
    assert (folder / lab.PRESENCE).exists()


def test_a_process_that_is_gone_keeps_nobody_out(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    mine = {"user": "dana", "host": socket.gethostname(), "process": gone.pid, "since": ""}
    (folder / lab.PRESENCE).write_text(json.dumps(mine))
    with lab.presence(folder, NOW):
        pass


def test_a_damaged_presence_is_told_and_not_overridden(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    (folder / lab.PRESENCE).write_text("{")
    with pytest.raises(ArchiveError, match="cannot be read"), lab.presence(folder, NOW):
        pass


def test_jupyterlab_listens_on_loopback_and_opens_the_next_step(home: Path) -> None:
    folder = lab.prepare("contoso", NOW)
    options = lab.command(folder)
    assert "--ServerApp.ip=127.0.0.1" in options
    assert "--LabApp.default_url=/lab/tree/data/00_preflight.ipynb" in options
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
        record = fake_runs.add(home / "elsewhere", "01_disconnect")
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
    with lab.presence(folder, NOW), pytest.raises(UsageError, match="This run is open"):
        lab.check_closed(folder)
    lab.check_closed(folder)
    assert not (folder / lab.PRESENCE).exists()
