"""The commands that close runs and keep them: `runbook seal`, `runbook verify` and `runbook push`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.targets import Target, run_folder
from runbook_lib.cli.terminal import AsJson, console, print_json, say
from runbook_lib.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    pass


def seal(
    target: Target,
    key: Annotated[Path | None, typer.Option(help="Sign with this SSH key; default: RUNBOOK_SIGNING_KEY.")] = None,
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
    from runbook_lib.report import shareable
    from runbook_lib.runs import folder as run_folders

    folder, by = run_folder(target).resolve(), trust.trust(key=key)
    if timestamp and not by.authority:
        raise UsageError("No time stamp authority is named.", "Set RUNBOOK_TIMESTAMP_AUTHORITY to its address.")
    if timestamp and run_folders.is_sealed(folder):
        sealing.stamp(folder, by)
    elif not (share and run_folders.is_sealed(folder)):
        lab.check_closed(folder)
        with console(stderr=True).status("Sealing: every file is searched for secrets"):
            sealing.seal(folder, clock=lambda: datetime.now(UTC), by=by)
        if timestamp and not verify.is_stamped(folder):
            raise ArchiveError(
                f"{folder} is sealed, without a time stamp.", f"Later: runbook seal {target} --timestamp"
            )
    number, proofs = verify.seal_hash(folder), verify.proofs(folder, by)
    place = run_folders.home("outputs") / "_shareable" / folder.parent.name / folder.name
    copy = str(shareable.write(folder, place)) if share else ""
    if as_json:
        print_json({"folder": str(folder), "seal_sha256": number, "proofs": proofs, "shareable": copy})
    else:
        words = (f"Sealed {folder}", f"SHA-256 of the seal, for the change ticket: {number}", *proofs)
        words = (*words, f"Copy without names: {copy}") if copy else words
        say(*words, error=False)
