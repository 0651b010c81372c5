"""What proves that a run is as it was sealed, and what speaks against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, chain, signature, timestamp
from runbook_lib.evidence.archive import receipts
from runbook_lib.evidence.bagit import INFO, MANIFEST, STAMP, TAG_MANIFEST, WITNESSES, Fault, Kind
from runbook_lib.evidence.trust import Trust, trust
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records


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
        raise _blocked(folder, error) from error


def verify(folder: Path, by: Trust | None = None) -> tuple[Fault, ...]:
    """Return every difference between the folder and what was sealed; nothing when all is as it was.

    Without `by`, the environment says whose signatures count. Raises ArchiveError when the folder or a file in it
    cannot be read. Whoever rewrites every hash as well is noticed by the signature, and in an unsigned run only by
    comparing `seal_hash` with the number in the change ticket.
    """
    if not folder.is_dir():
        raise ArchiveError(f"There is no folder {folder}.", "Name a folder outputs/TENANT/RUN.")
    if not run_folders.is_sealed(folder):
        return (Fault(Kind.UNSEALED, TAG_MANIFEST, "The run was never sealed, or its seal was taken away."),)
    try:
        return (*_faults(folder), *(one for one in _testimony(folder, by or trust()) if isinstance(one, Fault)))
    except OSError as error:
        raise _blocked(folder, error) from error


def proofs(folder: Path, by: Trust | None = None) -> tuple[str, ...]:
    """Return what signature, time stamp and chain of a sealed run prove, in sentences; raises as `verify` does."""
    if not run_folders.is_sealed(folder):
        return ()
    try:
        return tuple(one for one in _testimony(folder, by or trust()) if isinstance(one, str))
    except OSError as error:
        raise _blocked(folder, error) from error


def _testimony(folder: Path, by: Trust) -> Iterator[str | Fault]:
    noted = bagit.read_info(folder)
    yield from signature.testimony(folder, noted.get("Signing-Key", ""), by.signers)
    yield from timestamp.testimony(folder, noted.get("Time-Stamp-Authority", ""), by.authority_ca)
    yield from chain.testimony(folder)


def _faults(folder: Path) -> list[Fault]:
    """Return how the folder differs from what was sealed; what was removed after it was archived is one fault."""
    found = list(_seal_faults(folder))
    moved = [one for one in found if one.kind is Kind.DELETED and not receipts.KEPT.fullmatch(one.path)]
    where = receipts.removed(folder, seal_hash(folder)) if moved else ""
    if not where:
        return [*found, *_contradictions(folder)]
    words = f"{len(moved)} of its files were removed here once they were verified there: runbook verify {where}"
    rest = [one for one in found if one not in moved and one.kind is not Kind.OXUM]
    return [Fault(Kind.ARCHIVED, "data", words), *rest]


def _seal_faults(folder: Path) -> Iterator[Fault]:
    now = bagit.hashes(folder)
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


def _contradictions(folder: Path) -> Iterator[Fault]:
    """Yield what in `data/` cannot be read, and where records and the files they rest on contradict each other."""
    data = folder / "data"
    for path in sorted(data.glob("??_*")):
        if path.suffix == ".ipynb" and not _is_notebook(path):
            yield Fault(Kind.RECORD, f"data/{path.name}", "It is not a complete notebook.")
        if path.suffix == ".json" and not path.name.endswith(".raw.json"):
            yield from (Fault(Kind.RECORD, f"data/{path.name}", detail) for detail in _record_faults(path))


def _is_notebook(path: Path) -> bool:
    try:
        loaded = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(loaded, dict) and isinstance(loaded.get("cells"), list)


def _record_faults(path: Path) -> Iterator[str]:
    try:
        record = records.read(path)
    except ArchiveError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None  # we could not look
        if error.__cause__ is None:
            raise  # a newer runbook wrote it, which is no damage
        yield error.message
        return
    yield from (f"{words}." for words in records.faults(path.read_bytes()))
    if path.stem != record.name:
        yield f"Inside it is the record of {record.name}."
    raw = path.with_suffix(".raw.json")
    if record.raw_sha256 and (not raw.is_file() or bagit.sha256(raw) != record.raw_sha256):
        yield f"{raw.name} is not the answer it was judged from{'' if raw.is_file() else ': it is missing'}."
    yield from (f"Its table {name} is missing." for name in record.tables if not (path.parent / str(name)).is_file())


def _blocked(folder: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{error.filename or folder} cannot be read or written: {error.strerror or error}.",
        "Close the program that has it open, free space, or correct the permissions; then try again.",
    )
