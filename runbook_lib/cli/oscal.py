"""`runbook oscal`: a run as OSCAL documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.targets import Target, run_folder
from runbook_lib.cli.terminal import AsJson, print_json, say


def oscal(
    target: Target,
    out: Annotated[
        Path | None, typer.Option(help="The new folder; default: the run's folder with -oscal behind.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as OSCAL documents: assessment results, their plan, the catalog of checks and its mapping.

    What nobody looked at is not satisfied. docs/controls.md says how to read them.
    """
    from runbook_lib.report import story
    from runbook_lib.report.oscal import results as documents

    folder = run_folder(target).resolve()
    to = out.resolve() if out else folder.with_name(f"{folder.name}-oscal")
    written = documents.write(story.read(folder), to)
    if as_json:
        print_json({"run": str(folder), "documents": [str(path) for path in written]})
    else:
        say(*(f"Wrote {path}" for path in written), error=False)
