"""`runbook open`: working copies of the notebooks in the run's folder, and JupyterLab on loopback to work in them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from runbook_lib import records, run, settings
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.records import STEPS

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LAB_SETTINGS = Path(__file__).with_name("lab_settings")
"""JupyterLab's own settings for an evening: no news from outside, the system's theme, saved often."""
PRESENCE = ".open.json"
"""The file in the run's folder that says who works in it."""


def prepare(key: str, now: datetime) -> Path:
    """Return the tenant's open run, or a new one, with a working copy of every notebook; what is there stays as it is.

    Raises SettingsError for a bad tenant file, ArchiveError for a folder that cannot be written.
    """
    outputs = records.home("outputs")
    settings.load(records.home("parameters"), key, now)
    unsealed = [folder for folder in records.runs(outputs, key) if not records.is_sealed(folder)]
    folder = unsealed[-1] if unsealed else records.new_run(outputs / key, now)
    for step in STEPS:
        copy = folder / "data" / f"{step}.ipynb"
        if step != "09_portfolio" and not copy.exists():
            records.write_new(copy, _working_copy(NOTEBOOKS / copy.name, {"tenant": key, "run_id": folder.name}))
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
    return next((step for step in records.JUDGED if step not in done), "08_report")


@dataclass(frozen=True, slots=True)
class Presence:
    """Who works in a run, on which machine, in which process, since when."""

    user: str
    host: str
    process: int
    since: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.user} on {self.host} since {self.since}"


def present(folder: Path) -> Presence | None:
    """Return who has the run open; nobody when he was on this machine and his process is gone."""
    try:
        found = Presence(**json.loads((folder / PRESENCE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        remedy = "If nobody works in this run, delete that file."
        raise ArchiveError(f"{folder / PRESENCE} cannot be read ({error}).", remedy) from error
    return None if found.host == socket.gethostname() and not _runs(found.process) else found


def _runs(process: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 would end the process
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {process}", "/NH"],  # noqa: S607  a part of Windows
            capture_output=True,
            text=True,
            check=False,
        )
        return str(process) in listed.stdout
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def presence(folder: Path, now: datetime, *, take_over: bool = False) -> Iterator[None]:
    """Say in the run's folder who works in it; raise UsageError when somebody else does and is not to be taken over."""
    path = folder / PRESENCE
    other = present(folder)
    if other and not take_over:
        remedy = "Agree who goes on. Once the other one has stopped, or to go on all the same: add --take-over."
        raise UsageError(f"This run is open already: {other}.", remedy)
    path.unlink(missing_ok=True)
    me = Presence(run.operator_name(), socket.gethostname(), os.getpid(), f"{now:%Y-%m-%d %H:%M} UTC")
    mine = records.to_json(asdict(me))
    records.write_new(path, mine)
    try:
        yield
    finally:
        if path.exists() and path.read_bytes() == mine:  # whoever took over has written his own
            path.unlink()


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
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def environment() -> dict[str, str]:
    """Return this process's environment for JupyterLab, with the homes as full paths: kernels start elsewhere."""
    homes = {f"RUNBOOK_{name.upper()}": str(records.home(name).resolve()) for name in ("parameters", "outputs")}
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

    Raises UsageError when somebody else works in the run, and what `prepare` raises.
    """
    now = datetime.now(UTC)
    folder = prepare(key, now).resolve()
    with presence(folder, now, take_over=take_over):
        tell(f"{folder}: next is {STEPS[next_step(folder)]}. Stop JupyterLab with Ctrl+C twice.")
        with subprocess.Popen(command(folder, browser=browser, port=port), env=environment()) as lab:
            while lab.poll() is None:
                try:
                    lab.wait()
                except KeyboardInterrupt:  # JupyterLab hears it too, and asks whether it is meant
                    continue
    for name in unsaved(folder):
        tell(f"{name} is recorded, but its saved notebook does not show it: save the notebook before sealing.")


def unsaved(folder: Path) -> list[str]:
    """Return the records of people's work that no saved notebook of their step shows: somebody has to save it first."""
    found = []
    for record in records.latest(folder).values():
        copies = sorted((folder / "data").glob(f"{record.step}*.ipynb"))
        if record.operator["attended"] and copies and not any(_shows(copy, record.name) for copy in copies):
            found.append(record.name)
    return found


def _shows(copy: Path, name: str) -> bool:
    notebook = nbformat.read(copy, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return any(f"/data/{name}.json" in str(output) for output in outputs)


def check_closed(folder: Path) -> None:
    """Raise UsageError when somebody still works in the run, or a notebook does not show what was recorded."""
    if other := present(folder):
        raise UsageError(f"This run is open: {other}.", "Stop JupyterLab there first.")
    (folder / PRESENCE).unlink(missing_ok=True)  # left there by a process that is gone
    if missing := ", ".join(unsaved(folder)):
        raise UsageError(f"The saved notebook does not show the record of {missing}.", f"Save {missing} first.")
