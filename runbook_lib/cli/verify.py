"""`runbook verify`: prove that nothing in a run was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.targets import run_folder
from runbook_lib.cli.terminal import AsJson, print_json, say

if TYPE_CHECKING:
    from runbook_lib.evidence.archive.immutability import Immutability
    from runbook_lib.evidence.trust import Trust
    from runbook_lib.evidence.verify import Verdict


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
    found, kept = _archived(target, by) if "://" in target else (_local(run_folder(target), by), None)
    place = target if "://" in target else str(found.folder)
    if as_json:
        listed = [asdict(fault) for fault in found.faults]
        told = {"folder": place, "intact": found.intact, "faults": listed, "proofs": found.proofs}
        print_json(told | {"seal_sha256": found.seal, "immutability": asdict(kept) if kept else None})
    else:
        words = [f"✗ {fault.kind}: {fault.path} {fault.detail}" for fault in found.faults]
        whole = words or [f"✓ {place} is as it was sealed. Seal: {found.seal}"]
        held = [f"Immutable: {kept.hold}. {kept.words}"] if kept else []
        say(*whole, *found.proofs, *held, error=False)
    raise typer.Exit(0 if found.intact else 3)


def _local(folder: Path, by: Trust) -> Verdict:
    from runbook_lib.evidence import verify as verifying

    return verifying.verdict(folder, by)


def _archived(url: str, by: Trust) -> tuple[Verdict, Immutability]:
    from runbook_lib.evidence.archive import push as pushing

    return pushing.at(url, by)
