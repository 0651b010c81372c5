"""Which run a command means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.errors import UsageError

Target = Annotated[str, typer.Argument(help="A run's folder, tenant/run, or a tenant (its newest run).")]


def run_folder(target: str) -> Path:
    """Return the run's folder for a path, `tenant/run`, or a tenant (its newest run)."""
    from runbook_lib.runs import folder

    outputs = folder.home("outputs")
    for path in (Path(target), outputs / target):
        if (path / "data").is_dir():
            return path
    newest = folder.runs(outputs, target)
    if newest:
        return newest[-1]
    raise UsageError(f"{target} is neither a run's folder nor a tenant with runs.", f"Runs are kept in {outputs}.")
