"""What proves that a run is as it was sealed, and what speaks against it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runbook_lib import forms
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, chain, signature, timestamp
from runbook_lib.evidence.archive import receipts
from runbook_lib.evidence.bagit import INFO, MANIFEST, SIGNATURE, STAMP, TAG_MANIFEST, WITNESSES, Fault, Kind
from runbook_lib.evidence.trust import Trust, trust
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.record import Record


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at a run's folder says: every difference from what was sealed, and what is proved."""

    folder: Path
    seal: str = ""
    """The number for the change ticket; "" for what is not sealed."""
    faults: tuple[Fault, ...] = ()
    proofs: tuple[str, ...] = ()
    """What signature, time stamp and chain prove, in sentences."""

    @property
    def intact(self) -> bool:
        """Tell whether all is as it was sealed."""
        return not self.faults


def is_stamped(folder: Path) -> bool:
    """Tell whether there is a time stamp; `verify` says whether it is one on this seal."""
    return (folder / STAMP).exists()


def seal_hash(folder: Path) -> str:
    """Return the seal, the number for the change ticket: the SHA-256 of the tag manifest; ArchiveError if unsealed."""
    if not run_folders.is_sealed(folder):
        raise ArchiveError(f"{folder} is not sealed.", f"Seal it: runbook seal {folder}")
    try:
        return bagit.sha256(folder / TAG_MANIFEST)
    except OSError as error:
        raise blocked(folder, error) from error


def verify(folder: Path, by: Trust | None = None) -> tuple[Fault, ...]:
    """Return the faults of `verdict`, for those who need no proofs."""
    return verdict(folder, by).faults


def verdict(folder: Path, by: Trust | None = None, heads: chain.Heads | None = None) -> Verdict:
    """Look at a run's folder once, and say how it differs from what was sealed and what is proved.

    Without `by`, the environment says whose signatures count; `heads` are those of earlier runs that the same command
    has read. Raises ArchiveError when the folder or a file in it cannot be read. Whoever rewrites every hash as well
    is noticed by the signature, and in an unsigned run only by comparing the seal with the number in the change ticket.
    """
    if not folder.is_dir():
        raise ArchiveError(f"There is no folder {folder}.", "Name a folder outputs/TENANT/RUN.")
    if not run_folders.is_sealed(folder):
        words = "The run was never sealed, or its seal was taken away."
        return Verdict(folder, faults=(Fault(Kind.UNSEALED, TAG_MANIFEST, words),))
    if endless := tuple(_endless(folder)):
        return Verdict(folder, faults=endless)
    try:
        seen = look(folder)
        told = [*_testimony(folder, by or trust(), heads or chain.Heads())]
        faults = [*_faults(folder, seen), *_identity(folder, seen), *(one for one in told if isinstance(one, Fault))]
        return Verdict(folder, seen.hashes[TAG_MANIFEST], tuple(faults), tuple(o for o in told if isinstance(o, str)))
    except OSError as error:
        raise blocked(folder, error) from error


def _endless(folder: Path) -> Iterator[Fault]:
    """Yield a fault for each file beside `data/` that would be read as one of ours and is none that ends."""
    for name in (TAG_MANIFEST, MANIFEST, INFO, SIGNATURE, STAMP):
        path = folder / name
        if not bagit.is_regular(path) and (path.is_symlink() or path.exists()):
            yield Fault(Kind.IRREGULAR, name, "It is a link, a pipe or a device, and is not read.")


def _testimony(folder: Path, by: Trust, heads: chain.Heads) -> Iterator[str | Fault]:
    noted = bagit.read_info(folder)
    yield from signature.testimony(folder, noted.get("Signing-Key", ""), by.signers)
    yield from timestamp.testimony(folder, noted.get("Time-Stamp-Authority", ""), by.authority_ca)
    yield from chain.testimony(folder, heads)


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading of every file gave: its hash, and for notebooks and records what is wrong inside."""

    hashes: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    inside: list[Fault] = field(default_factory=list)


OURS = re.compile(r"data/\d\d_\w+(\.\d+)?\.(ipynb|json)")


def look(folder: Path) -> Look:
    """Read every file below `folder` once; raises OSError, and ArchiveError for a record of a newer runbook."""
    seen = Look()
    for path in sorted(bagit.files(folder), key=lambda one: one.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if OURS.fullmatch(name) and bagit.is_regular(path):
            content = path.read_bytes()
            seen.hashes[name] = hashlib.sha256(content).hexdigest()
            seen.inside.extend(Fault(Kind.RECORD, name, detail) for detail in _inside(name, content, seen))
        else:
            seen.hashes[name] = bagit.content_hash(path)
    return seen


def _inside(name: str, content: bytes, seen: Look) -> Iterator[str]:
    """Yield what is wrong inside a notebook or a record; keep the record."""
    if name.endswith(".ipynb"):
        if not _is_notebook(content):
            yield "It is not a complete notebook."
        return
    try:
        record = seen.records[name] = records.parse(content, Path(name).name)
    except ValueError as error:
        yield f"It is not a complete record ({'; '.join(forms.in_words(error))})."
        return
    yield from (f"{words}." for words in records.faults(content))
    if Path(name).stem != record.name:
        yield f"Inside it is the record of {record.name}."


def _is_notebook(content: bytes) -> bool:
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(loaded, dict) and isinstance(loaded.get("cells"), list)


def _faults(folder: Path, seen: Look) -> list[Fault]:
    """Return how the folder differs from what was sealed; what was removed after it was archived is one fault."""
    found = list(_seal_faults(folder, seen.hashes))
    moved = [one for one in found if one.kind is Kind.DELETED and not receipts.KEPT.fullmatch(one.path)]
    where = receipts.removed(folder, seen.hashes[TAG_MANIFEST]) if moved else ""
    if not where:
        return [*found, *contradictions(seen)]
    words = f"{len(moved)} of its files were removed here once they were verified there: runbook verify {where}"
    rest = [one for one in found if one not in moved and one.kind is not Kind.OXUM]
    return [Fault(Kind.ARCHIVED, "data", words), *rest]


def _seal_faults(folder: Path, now: dict[str, str]) -> Iterator[Fault]:
    payload = {path: content for path, content in now.items() if path.startswith("data/")}
    beside = {path: content for path, content in now.items() if path not in {*payload, *WITNESSES}}
    for name, found in ((TAG_MANIFEST, beside), (MANIFEST, payload)):
        if name in now:  # a manifest that is gone was named by the tag manifest already
            sealed, damaged = bagit.read_manifest(folder / name)
            yield from damaged
            yield from bagit.differences(sealed, found)
    if INFO in now:
        was, oxum = bagit.read_info(folder).get("Payload-Oxum", "nothing"), bagit.oxum(folder)
        if was != oxum:
            yield Fault(Kind.OXUM, INFO, f"data holds {oxum} (bytes.files); {was} was noted.")


def contradictions(seen: Look) -> Iterator[Fault]:
    """Yield what in `data/` cannot be read, and where records and the files they rest on contradict each other."""
    yield from seen.inside
    for name, record in seen.records.items():
        raw = f"{name.removesuffix('.json')}.raw.json"
        if record.raw_sha256 and seen.hashes.get(raw) != record.raw_sha256:
            lost = "" if raw in seen.hashes else ": it is missing"
            words = f"{raw.removeprefix('data/')} is not the answer it was judged from{lost}."
            yield Fault(Kind.RECORD, name, words)
        for table in record.tables:
            if f"data/{table}" not in seen.hashes:
                yield Fault(Kind.RECORD, name, f"Its table {table} is missing.")


def _identity(folder: Path, seen: Look) -> Iterator[Fault]:
    """Yield where bag-info.txt, the records and the place of the folder do not name the same run."""
    noted = bagit.read_info(folder)
    run, tenant = noted.get("External-Identifier", ""), noted.get("Tenant-Id", "")
    if words := run_folders.misplaced(folder, run):
        yield Fault(Kind.IDENTITY, INFO, words)
    for name, record in seen.records.items():
        if record.identity != run or record.tenant["tenant_id"] != tenant:
            whose = f"{record.identity} of {record.tenant['tenant_id']}"
            yield Fault(Kind.IDENTITY, name, f"It is a record of {whose}; the bag is {run or 'of nobody'} of {tenant}.")


def blocked(folder: Path, error: OSError) -> ArchiveError:
    """Return in words that a file cannot be read or written."""
    return ArchiveError(
        f"{error.filename or folder} cannot be read or written: {error.strerror or error}.",
        "Close the program that has it open, free space, or correct the permissions; then try again.",
    )
