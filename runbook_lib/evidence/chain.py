"""The runs of a tenant as a chain: each sealed run notes the seal of the one sealed before it, so that a gap shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runbook_lib.evidence import bagit
from runbook_lib.evidence.bagit import INFO, TAG_MANIFEST, Fault, Kind
from runbook_lib.runs import folder as run_folders

RUN, SEAL = "Previous-Run", "Previous-Seal"
"""The labels in bag-info.txt: the folder's name of the run sealed before, and its seal."""


@dataclass(frozen=True, slots=True)
class Head:
    """What of a sealed run its chain needs: two small files."""

    labels: dict[str, str]
    seal: str
    whole: bool
    """Whether bag-info.txt, which leads further back, is the sealed one."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads that one command has read: each is read once, however many runs are looked at."""

    read: dict[Path, Head | None] = field(default_factory=dict)

    def of(self, folder: Path) -> Head | None:
        """Return the head of the run in `folder`; None when it is not sealed, or what is there is no file."""
        if folder not in self.read:
            self.read[folder] = _head(folder)
        return self.read[folder]


def _head(folder: Path) -> Head | None:
    info, seal = folder / INFO, folder / TAG_MANIFEST
    if not (bagit.is_regular(seal) and bagit.is_regular(info)):
        return None
    noted, sealed = info.read_bytes(), seal.read_bytes()
    listed, _ = bagit.entries(sealed, TAG_MANIFEST)
    whole = listed.get(INFO) == hashlib.sha256(noted).hexdigest()
    return Head(bagit.labels(noted), hashlib.sha256(sealed).hexdigest(), whole)


def labels(folder: Path) -> dict[str, str]:
    """Return what bag-info.txt notes about the run of this tenant that was sealed last; nothing for the first."""
    here = folder.resolve()
    others = [one for one in run_folders.runs(here.parents[1], here.parent.name) if one != here]
    sealed = {one: head for one in others if (head := _head(one)) and _is_at_home(one, head)}
    if not sealed:
        return {}
    last = max(sealed, key=lambda one: (sealed[one].labels.get("Bagging-Time", ""), one.name))
    return {RUN: last.name, SEAL: sealed[last].seal}


def testimony(folder: Path, heads: Heads) -> Iterator[str | Fault]:
    """Yield what the chain behind `folder` proves, and every link that is missing or not what it was."""
    here, length = folder.resolve(), 0
    head = heads.of(here)
    at_home, seen = head is not None and _is_at_home(here, head), {here.name}
    while head and (name := head.labels.get(RUN, "")):
        before = here.parent / Path(name).name
        if not at_home:
            yield f"The run before it is {name}; this is a copy of one run, so the chain was not followed."
            return
        earlier = heads.of(before)
        if earlier is None:
            lost = "is not sealed any more" if before.is_dir() else "is missing"
            yield Fault(Kind.CHAIN, name, f"The run sealed before {here.name} {lost}.")
            return
        if name in seen or not earlier.whole or earlier.seal != head.labels.get(SEAL, ""):
            yield Fault(Kind.CHAIN, name, f"It is not the run as it was when {here.name} was sealed after it.")
            return
        here, head, length = before, earlier, length + 1
        seen.add(name)
    yield (
        f"Runs of this tenant sealed before it: {length}, none missing." if length else "It is the first of its chain."
    )


def _is_at_home(folder: Path, head: Head) -> bool:
    """Tell whether the folder lies among its tenant's runs under its own name, or was taken out of the archive."""
    return head.labels.get("External-Identifier", "") == f"{folder.parent.name}/{folder.name}"
