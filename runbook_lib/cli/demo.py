"""The commands that need the sandbox cloud: `runbook demo` and `runbook sandbox`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from runbook_lib.cli.terminal import AsJson, Jobs, print_results, progress, say
from runbook_lib.errors import RunbookError
from runbook_lib.model import Json
from runbook_lib.runs import folder as run_folders

if TYPE_CHECKING:
    from runbook_lib.batch.pool import TenantResult

STATE = Path(__file__).resolve().parents[2] / ".sandbox"
NARROW = ("documented", "permission", "kind", "required", "granted", "extra", "status")
SHOWN = (
    ("adatum", "06_access.scopes", NARROW),
    ("fabrikam", "06_access.scopes", NARROW),
    ("northwind", "07_sync.room_counts", ()),
)
"""What the demo shows on the terminal: tenant, table, and those of its columns that fit (none named: all)."""


def demo(jobs: Jobs = None, as_json: AsJson = False) -> None:
    """Serve the sandbox cloud, run every notebook for its tenants, seal, and show what came out.

    The exit code is 0 when each tenant came out as its scenario foretells, else 1.
    """
    from runbook_lib.batch import pool
    from runbook_lib.sandbox.server import StateInUseError

    try:
        with progress(len(tenants()), len(pool.TENANT_STEPS)) as show:
            done = run(STATE, jobs=jobs, on_event=show)
    except StateInUseError as error:
        raise RunbookError(str(error), "Stop that sandbox, or use it: runbook run contoso") from error
    print_results(list(done.results), as_json)
    if not as_json:
        _print_demo(done)
    raise typer.Exit(1 if done.surprises else 0)


def _print_demo(done: Demo) -> None:
    from runbook_lib.display import frames

    folders = {result.key: result.folder for result in done.results if result.folder}
    for key, name, columns in SHOWN:
        path = folders[key] / "data" / "tables" / f"{name}.csv" if key in folders else Path()
        if path.is_file():
            frame = frames.read_csv(path)
            shown = frame[list(columns) or frame.columns].to_string(index=False)
            say(f"\n{key}: {done.foretold[key]['shows']}", shown, error=False)
    say(
        "\nThis was a rehearsal on the sandbox cloud, not audit evidence. Pages to open in a browser:",
        *(f"  {key}: {folder / 'data' / 'report.html'}" for key, folder in folders.items()),
        f"  all tenants: {done.portfolio}",
        *(f"✗ {key} did not come out as foretold ({done.foretold[key]['outcome']})." for key in done.surprises),
        error=False,
    )


FORETOLD = Path(__file__).resolve().parents[1] / "sandbox" / "demo.yaml"


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo came to: each tenant's result, what its scenario foretells, and the page about all of them."""

    results: tuple[TenantResult, ...]
    foretold: dict[str, Json]
    portfolio: Path

    @property
    def surprises(self) -> list[str]:
        """Return the tenants that did not come out as foretold."""
        return [one.key for one in self.results if one.error or one.outcome != self.foretold[one.key]["outcome"]]


def tenants() -> dict[str, Json]:
    """Return the demo's tenants, each with the outcome that its scenario foretells and what it shows."""
    import yaml

    loaded: dict[str, Json] = yaml.safe_load(FORETOLD.read_text(encoding="utf-8"))
    return loaded


def run(state: Path, *, jobs: int | None, on_event: Callable[[Json], None]) -> Demo:
    """Serve the sandbox from `state`, run every notebook for its tenants, and return what came out."""
    from runbook_lib.batch import pool
    from runbook_lib.sandbox import server

    foretold = tenants()
    with server.serving(state, port=0):
        results = pool.run(list(foretold), pool.TENANT_STEPS, jobs=jobs, on_event=on_event)
    return Demo(tuple(results), foretold, portfolio(foretold))


def portfolio(keys: Iterable[str]) -> Path:
    """Return the page of all tenants, of whose tenant files it knows only these; what has a run in outputs it shows.

    A tenant file that the demo does not run, such as that of a real tenant, would stand there as not run yet.
    """
    from runbook_lib.batch import pool

    parameters, before = run_folders.home("parameters"), os.environ.get("RUNBOOK_PARAMETERS")
    with tempfile.TemporaryDirectory() as place:
        for path in (parameters / f"{key}.yaml" for key in keys):
            if path.is_file():
                shutil.copy(path, place)
        os.environ["RUNBOOK_PARAMETERS"] = place  # the notebook runs in a process of its own, which inherits this
        try:
            return pool.portfolio(run_folders.home("outputs"))
        finally:
            if before is None:
                del os.environ["RUNBOOK_PARAMETERS"]
            else:
                os.environ["RUNBOOK_PARAMETERS"] = before
