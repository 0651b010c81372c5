"""The commands that close runs and keep them: `runbook seal`, `runbook verify` and `runbook push`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.targets import Target, run_folder
from runbook_lib.cli.terminal import AsJson, console, print_json, say

if TYPE_CHECKING:
    pass


def seal(
    target: Target,
    key: Annotated[
        Path | None, typer.Option(help="Sign with this SSH key, a sealed run as well; default: RUNBOOK_SIGNING_KEY.")
    ] = None,
    timestamp: Annotated[
        bool, typer.Option("--timestamp", help="Insist on a time stamp; a sealed run without one gets it now.")
    ] = False,
    share: Annotated[
        bool, typer.Option("--shareable", help="Write a copy without people's names, of a sealed run as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Close a run: list every file with its SHA-256, so that any later change shows."""
    from runbook_lib.evidence import seal as sealing
    from runbook_lib.evidence import trust, verify
    from runbook_lib.notebook import lab
    from runbook_lib.report.share import copy as shareable
    from runbook_lib.runs import folder as run_folders

    folder, by = run_folder(target).resolve(), trust.trust(key=key)
    is_sealed = run_folders.is_sealed(folder)
    if share and is_sealed and not (key or timestamp):
        found = verify.verdict(folder, by)
    else:
        if not is_sealed:
            lab.check_closed(folder)
        with console(stderr=True).status("Sealing: every file is searched for secrets"):
            found = sealing.close(folder, by, stamped=timestamp, clock=lambda: datetime.now(UTC))
    place = run_folders.home("outputs") / "_shareable" / folder.parent.name / folder.name
    given = str(shareable.write(folder, place)) if share else ""
    if as_json:
        print_json({"folder": str(folder), "seal_sha256": found.seal, "proofs": found.proofs, "shareable": given})
    else:
        words = (f"Sealed {folder}", f"SHA-256 of the seal, for the change ticket: {found.seal}", *found.proofs)
        words = (*words, f"Copy without names: {given}") if given else words
        say(*words, error=False)
