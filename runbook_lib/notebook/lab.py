"""`runbook open`: working copies of the notebooks in the run's folder, and JupyterLab on loopback to work in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from runbook_lib import settings
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.folder import STEPS
from runbook_lib.runs.lock import only_one
from runbook_lib.runs.presence import PRESENCE, presence, present

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LAB_SETTINGS = Path(__file__).with_name("lab_settings")
"""JupyterLab's own settings for an evening: no news from outside, the system's theme, saved often."""


def prepare(key: str, now: datetime) -> Path:
    """Return the tenant's open run, or a new one, with a working copy of every notebook; what is there stays as it is.

    Raises SettingsError for a bad tenant file, ArchiveError for a folder that cannot be written.
    """
    outputs = run_folders.home("outputs")
    settings.load(run_folders.home("parameters"), key, now)
    unsealed = [folder for folder in run_folders.runs(outputs, key) if not run_folders.is_sealed(folder)]
    folder = unsealed[-1] if unsealed else run_folders.new_run(outputs / key, now)
    for step in STEPS:
        copy = folder / "data" / f"{step}.ipynb"
        if step != "09_portfolio" and not copy.exists():
            run_folders.write_new(copy, _working_copy(NOTEBOOKS / copy.name, {"tenant": key, "run_id": folder.name}))
    run_folders.make(_checkpoints(folder))  # else JupyterLab takes a folder that runs share
    return folder


def _working_copy(exemplar: Path, parameters: Mapping[str, str]) -> bytes:
    """Return the notebook with a cell of parameters after its own, as papermill would put it."""
    notebook = nbformat.read(exemplar, as_version=4)
    own = next(number for number, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    source = "\n".join(f"{name} = {json.dumps(value)}" for name, value in parameters.items())
    cell = nbformat.v4.new_code_cell(source, id="injected-parameters", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(own + 1, cell)
    text: str = nbformat.writes(notebook)
    return f"{text}\n".encode()


def next_step(folder: Path) -> str:
    """Return the first step that has no record yet; the report when all have one."""
    done = records.latest(folder)
    return next((step for step in run_folders.JUDGED if step not in done), "08_report")


def command(folder: Path, *, browser: bool = True, port: int = 8888) -> list[str]:
    """Return what starts JupyterLab for the run: on loopback only, with a token, at the next step's notebook."""
    return [
        *(sys.executable, "-m", "jupyterlab"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.open_browser={browser}",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/data/{next_step(folder)}.ipynb",
        f"--LabApp.app_settings_dir={LAB_SETTINGS}",
        f"--FileCheckpoints.checkpoint_dir={_checkpoints(folder)}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _checkpoints(folder: Path) -> Path:
    """Return where JupyterLab keeps its copies of what was saved last: beside the runs, for they are no evidence."""
    return run_folders.home("outputs").resolve() / "_checkpoints" / folder.parent.name / folder.name


def environment() -> dict[str, str]:
    """Return this process's environment for JupyterLab, with the homes as full paths: kernels start elsewhere."""
    homes = {f"RUNBOOK_{name.upper()}": str(run_folders.home(name).resolve()) for name in ("parameters", "outputs")}
    return {**os.environ, **homes}


def work(
    key: str,
    *,
    browser: bool = True,
    port: int = 8888,
    take_over: bool = False,
    tell: Callable[[str], None],
) -> None:
    """Open the tenant's run in JupyterLab and stay until it is stopped.

    Raises UsageError when somebody else works in the run, ArchiveError when a batch does, and what `prepare` raises.
    """
    now = datetime.now(UTC)
    with _ctrl_c_left_to_jupyterlab(), ExitStack() as held:
        if not (take_over and _somebody_works_on(key)):
            held.enter_context(only_one(run_folders.home("outputs") / key))
        folder = prepare(key, now).resolve()
        held.enter_context(presence(folder, now, take_over=take_over))
        tell(f"{folder}: next is {STEPS[next_step(folder)]}. Stop JupyterLab with Ctrl+C twice.")
        subprocess.run(command(folder, browser=browser, port=port), env=environment(), check=False)
    for name in unsaved(folder):
        tell(f"{name} is recorded, but its saved notebook does not show it: save the notebook before sealing.")


@contextmanager
def _ctrl_c_left_to_jupyterlab() -> Iterator[None]:
    """Do nothing on Ctrl+C: JupyterLab hears it too, and asks whether it is meant; this process tidies up after it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _somebody_works_on(key: str) -> bool:
    """Tell whether a person, and no batch, is at work on the tenant."""
    return any(present(folder) for folder in run_folders.runs(run_folders.home("outputs"), key))


def unsaved(folder: Path) -> list[str]:
    """Return the records of people's work that no saved notebook of their step shows: somebody has to save it first."""
    found = []
    for record in records.latest(folder).values():
        copies = sorted((folder / "data").glob(f"{record.step}*.ipynb"))
        if record.operator["attended"] and copies and not any(_shows(copy, record.name) for copy in copies):
            found.append(record.name)
    return found


def _shows(copy: Path, name: str) -> bool:
    try:
        notebook = nbformat.read(copy, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        remedy = f"Move {copy.name} aside; runbook open puts a new working copy in its place."
        raise ArchiveError(f"{copy.name} is not a readable notebook ({error}).", remedy) from error
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return any(f"/data/{name}.json" in str(output) for output in outputs)


def check_closed(folder: Path) -> None:
    """Raise UsageError when somebody still works in the run, or a notebook does not show what was recorded."""
    if other := present(folder):
        raise UsageError(f"This run is open: {other}.", "Stop JupyterLab there first.")
    (folder / PRESENCE).unlink(missing_ok=True)  # left there by a process that is gone
    if missing := ", ".join(unsaved(folder)):
        raise UsageError(f"The saved notebook does not show the record of {missing}.", f"Save {missing} first.")
