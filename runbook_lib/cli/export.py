"""`runbook export`: a run's tables as one workbook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.targets import Target, run_folder
from runbook_lib.cli.terminal import console
from runbook_lib.errors import UsageError


def export(
    target: Target,
    to: Annotated[Path | None, typer.Option(help="The file; default: TENANT-RUN.xlsx in this folder.")] = None,
) -> None:
    """Write a run's tables into one Excel workbook, outside the run's folder."""
    from runbook_lib.report import page as report_page
    from runbook_lib.runs import folder as run_folders

    folder = run_folder(target).resolve()
    path = to or Path(f"{folder.parent.name}-{folder.name}.xlsx")
    if path.exists():
        raise UsageError(f"{path} is there already.", "Name another file with --to.")
    run_folders.write_new(path, report_page.workbook(report_page.read(folder)))
    console().print(f"Wrote {path}", markup=False, soft_wrap=True)
