"""`runbook verify`: prove that nothing in a run was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.targets import run_folder
from runbook_lib.cli.terminal import AsJson, print_json, say

if TYPE_CHECKING:
    from runbook_lib.evidence.archive.immutability import Immutability
    from runbook_lib.evidence.bagit import Fault
    from runbook_lib.evidence.trust import Trust


def verify(
    target: Annotated[
        str,
        typer.Argument(
            help="A run's folder, tenant/run, a tenant (its newest run), or the address of an archived run."
        ),
    ],
    signers: Annotated[
        Path | None, typer.Option(help="Whose signatures count; default: RUNBOOK_ALLOWED_SIGNERS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing in a sealed run was changed, removed, added or renamed; exit code 3 when something was."""
    from dataclasses import asdict

    from runbook_lib.evidence import trust

    by = trust.trust(signers=signers)
    if "://" in target:
        faults, number, proofs, kept = _archived(target, by)
    else:
        folder = run_folder(target)
        target, (faults, number, proofs, kept) = str(folder), _local(folder, by)
    if as_json:
        listed = [asdict(fault) for fault in faults]
        told = {"folder": target, "intact": not faults, "faults": listed, "proofs": proofs}
        print_json(told | {"seal_sha256": number, "immutability": asdict(kept) if kept else None})
    else:
        words = [f"✗ {fault.kind}: {fault.path} {fault.detail}" for fault in faults]
        whole = words or [f"✓ {target} is as it was sealed. Seal: {number}"]
        held = [f"Immutable: {kept.hold}. {kept.words}"] if kept else []
        say(*whole, *proofs, *held, error=False)
    raise typer.Exit(3 if faults else 0)


Checked = tuple[tuple["Fault", ...], str, tuple[str, ...], "Immutability | None"]
"""Faults, seal, what is proved, and what keeps the archive from being changed."""


def _local(folder: Path, by: Trust) -> Checked:
    from runbook_lib.evidence import verify as verifying
    from runbook_lib.runs import folder as run_folders

    faults = verifying.verify(folder, by)
    number = verifying.seal_hash(folder) if run_folders.is_sealed(folder) else ""
    return faults, number, verifying.proofs(folder, by), None


def _archived(url: str, by: Trust) -> Checked:
    from runbook_lib.evidence.archive import push as pushing

    return pushing.at(url, by)
