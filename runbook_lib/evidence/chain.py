"""The runs of a tenant as a chain: each sealed run notes the seal of the one sealed before it, so that a gap shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runbook_lib.evidence import bagit
from runbook_lib.evidence.bagit import INFO, TAG_MANIFEST, Fault, Kind
from runbook_lib.runs import folder as run_folders

RUN, SEAL = "Previous-Run", "Previous-Seal"
"""The labels in bag-info.txt: the folder's name of the run sealed before, and its seal."""


def labels(folder: Path) -> dict[str, str]:
    """Return what bag-info.txt notes about the run of this tenant that was sealed last; nothing for the first."""
    here = folder.resolve()
    sealed = [one for one in here.parent.iterdir() if one != here and run_folders.is_sealed(one)]
    if not sealed:
        return {}
    last = max(sealed, key=lambda one: (bagit.read_info(one).get("Bagging-Time", ""), one.name))
    return {RUN: last.name, SEAL: bagit.sha256(last / TAG_MANIFEST)}


def testimony(folder: Path) -> Iterator[str | Fault]:
    """Yield what the chain behind `folder` proves, and every link that is missing or not what it was."""
    here, length = folder.resolve(), 0
    archived, seen = _archived(here), {here.name}
    while name := bagit.read_info(here).get(RUN, ""):
        before = here.parent / Path(name).name
        if not archived:
            yield f"The run before it is {name}; this is a copy of one run, so the chain was not followed."
            return
        if not run_folders.is_sealed(before):
            lost = "is not sealed any more" if before.is_dir() else "is missing"
            yield Fault(Kind.CHAIN, name, f"The run sealed before {here.name} {lost}.")
            return
        if name in seen or _altered(before, bagit.read_info(here).get(SEAL, "")):
            yield Fault(Kind.CHAIN, name, f"It is not the run as it was when {here.name} was sealed after it.")
            return
        here, length = before, length + 1
        seen.add(name)
    yield (
        f"Runs of this tenant sealed before it: {length}, none missing." if length else "It is the first of its chain."
    )


def _archived(folder: Path) -> bool:
    """Tell whether the folder lies among its tenant's runs, or was taken out of the archive by itself."""
    return bagit.read_info(folder).get("External-Identifier", "") == f"{folder.parent.name}/{folder.name}"


def _altered(run: Path, seal: str) -> bool:
    """Tell whether the seal of `run` is another, or the bag-info that leads further back is not the sealed one."""
    listed, _ = bagit.read_manifest(run / TAG_MANIFEST)
    return bagit.sha256(run / TAG_MANIFEST) != seal or listed.get(INFO) != bagit.hashes(run).get(INFO)
