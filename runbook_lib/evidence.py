"""The sealed archive: a run's folder becomes a BagIt bag, and stock tools can prove that nothing in it changed since.

The payload in `data/` is never touched. The tag files are written beside it, the tag manifest last and in one piece: a
folder that has one is sealed, and one whose sealing was interrupted is not and can be sealed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib import bag, chain, integration, leaks, receipts, records, recordschema, signature, timestamp
from runbook_lib.bag import INFO, MANIFEST, SIGNATURE, STAMP, TAG_MANIFEST, WITNESSES, Fault, Kind
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.instructions import REHEARSAL, instructions
from runbook_lib.records import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trust:
    """Who vouches for a seal: the SSH key that signs, whose signatures count, the time stamp authority and its CA."""

    key: Path | None = None
    signers: Path | None = None
    authority: str = ""
    authority_ca: Path | None = None


def trust(key: Path | None = None, signers: Path | None = None) -> Trust:
    """Return what the environment says, RUNBOOK_SIGNING_KEY and its like, unless it is said here."""
    return Trust(
        key or _named("RUNBOOK_SIGNING_KEY"),
        signers or _named("RUNBOOK_ALLOWED_SIGNERS"),
        os.environ.get("RUNBOOK_TIMESTAMP_AUTHORITY", ""),
        _named("RUNBOOK_TIMESTAMP_CA"),
    )


def _named(variable: str) -> Path | None:
    return Path(value).expanduser() if (value := os.environ.get(variable)) else None


def seal(folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), by: Trust | None = None) -> Path:
    """Close the run in `folder` and return the folder; of `data/` nothing changes but the permission to write.

    Without `by`, the environment says who signs. When a time stamp authority gives no time stamp, a warning is logged.
    Raises ArchiveError when there is nothing to seal, it is sealed already, something in it is damaged, the key
    refuses, or it cannot be written; the folder is then unsealed, complete, and can be sealed again.
    """
    by = by or trust()
    if not (folder / "data").is_dir():
        raise ArchiveError(
            f"{folder} is not a run's folder: it has no data folder.", "Name a folder outputs/TENANT/RUN."
        )
    if records.is_sealed(folder):
        raise ArchiveError(f"{folder} is sealed already.", "A sealed run is closed; start a new run to look again.")
    try:
        _write_tags(folder, _examined(folder), clock(), by)
        _stamp(folder, by.authority)
    except OSError as error:
        raise _blocked(folder, error) from error
    _protect(folder)
    return folder


def _stamp(folder: Path, authority: str) -> None:
    if not authority:
        return
    try:
        records.write_new(folder / STAMP, timestamp.ask(authority, (folder / TAG_MANIFEST).read_bytes()))
    except ArchiveError as error:
        log.warning("No time stamp. %s", error)


def stamp(folder: Path, by: Trust | None = None) -> None:
    """Add a time stamp to a sealed run that has none: it proves that the seal existed then, not when it was made.

    It lies beside the tag manifest, which lists nothing that vouches for it. Raises UsageError when no authority is
    named, ArchiveError when the run is not as it was sealed, has a time stamp, or the authority gives none.
    """
    by = by or trust()
    if not by.authority:
        raise UsageError("No time stamp authority is named.", "Set RUNBOOK_TIMESTAMP_AUTHORITY to its address.")
    if faults := verify(folder, by):
        words = " ".join(f"{one.kind}: {one.path}." for one in faults)
        raise ArchiveError(f"{folder} is not as it was sealed, so it gets no time stamp. {words}", "Restore it first.")
    if is_stamped(folder):
        raise ArchiveError(f"{folder} has a time stamp.", "Nothing is left to do: a time stamp is never replaced.")
    try:
        records.write_new(folder / STAMP, timestamp.ask(by.authority, (folder / TAG_MANIFEST).read_bytes()))
    except OSError as error:
        raise _blocked(folder, error) from error
    _protect(folder)


def is_stamped(folder: Path) -> bool:
    """Tell whether there is a time stamp; `verify` says whether it is one on this seal."""
    return (folder / STAMP).exists()


def seal_hash(folder: Path) -> str:
    """Return the seal, the number for the change ticket: the SHA-256 of the tag manifest; ArchiveError if unsealed."""
    if not records.is_sealed(folder):
        raise ArchiveError(f"{folder} is not sealed.", f"Seal it: runbook seal {folder}")
    try:
        return bag.sha256(folder / TAG_MANIFEST)
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
    if not records.is_sealed(folder):
        return (Fault(Kind.UNSEALED, TAG_MANIFEST, "The run was never sealed, or its seal was taken away."),)
    try:
        return (*_faults(folder), *(one for one in _testimony(folder, by or trust()) if isinstance(one, Fault)))
    except OSError as error:
        raise _blocked(folder, error) from error


def proofs(folder: Path, by: Trust | None = None) -> tuple[str, ...]:
    """Return what signature, time stamp and chain of a sealed run prove, in sentences; raises as `verify` does."""
    if not records.is_sealed(folder):
        return ()
    try:
        return tuple(one for one in _testimony(folder, by or trust()) if isinstance(one, str))
    except OSError as error:
        raise _blocked(folder, error) from error


def _testimony(folder: Path, by: Trust) -> Iterator[str | Fault]:
    noted = bag.read_info(folder)
    yield from signature.testimony(folder, noted.get("Signing-Key", ""), by.signers)
    yield from timestamp.testimony(folder, noted.get("Time-Stamp-Authority", ""), by.authority_ca)
    yield from chain.testimony(folder)


def _examined(folder: Path) -> Record:
    """Return one record, which stands for the run, after making sure that all of it can be sealed."""
    faults = list(_contradictions(folder))
    if faults:
        listed = " ".join(f"{fault.path}: {fault.detail}" for fault in faults)
        raise ArchiveError(f"{folder} is damaged. {listed}", "Restore the named files, or run their steps again.")
    found = records.all_records(folder)
    if not found:
        raise ArchiveError(f"{folder} has no records, so there is nothing to seal.", "Run a step first.")
    owner = _owner(found[0])
    strangers = ", ".join(one.name for one in found if _owner(one) != owner)
    if strangers:
        what = f"{folder} mixes runs: {strangers} is not of the tenant and run of {found[0].name}."
        raise ArchiveError(what, "Move the strangers to where they belong.")
    bag.check_names(bag.hashes(folder))
    _refuse_secrets(folder, found)
    return found[0]


def _refuse_secrets(folder: Path, found: list[Record]) -> None:
    hosts = {host for one in found for host in one.settings.get("activation_hosts", ())}
    leaked = leaks.leaks(folder, hosts.union(integration.facts()["activation_hosts"]))
    if leaked:
        listed = " ".join(f"{one.path}, line {one.line}: it looks like {one.kind}." for one in leaked)
        remedy = "Make what leaked worthless (revoke it), delete the named files, and run their steps again."
        raise ArchiveError(f"{folder} holds secrets and is not sealed. {listed}", remedy)


def _owner(record: Record) -> tuple[str, str]:
    return record.tenant["tenant_id"], record.run


def _write_tags(folder: Path, record: Record, now: datetime, by: Trust) -> None:
    """Write the files beside `data/`, all made and signed before the first is written, the tag manifest last."""
    payload = bag.hashes(folder, "data")
    key = signature.fingerprint(by.key) if by.key else ""
    tags = {
        "bagit.txt": bag.DECLARATION,
        INFO: _info(folder, record, now, key, by.authority),
        "VERIFY.txt": instructions(record, len(payload), key, by.authority),
        MANIFEST: bag.manifest(payload),
    }
    others = {path: content for path, content in bag.hashes(folder).items() if path not in {*payload, *WITNESSES}}
    listed = others | {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tags.items()}
    seal = bag.manifest(dict(sorted(listed.items()))).encode()
    contents = {name: text.encode() for name, text in tags.items()}
    if by.key:
        contents[SIGNATURE] = signature.sign(by.key, seal)
    _clear(folder, (*tags, *WITNESSES))  # left there by a sealing that was killed
    try:
        for name, content in (contents | {TAG_MANIFEST: seal}).items():
            records.write_new(folder / name, content)
    except ArchiveError:
        _clear(folder, contents)
        raise


def _clear(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _info(folder: Path, record: Record, now: datetime, key: str, authority: str) -> str:
    tenant, cloud = record.tenant, record.cloud
    labels = {
        "Bag-Software-Agent": f"spaceiq-calendar-runbook {record.versions['spaceiq-calendar-runbook']}",
        "Bagging-Date": f"{now:%Y-%m-%d}",
        "Bagging-Time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "External-Identifier": f"{tenant['key']}/{record.run}",
        "Internal-Sender-Description": "" if cloud["microsoft"] else REHEARSAL,
        "Payload-Oxum": bag.oxum(folder),
        "Source-Organization": tenant["name"],
        "Tenant-Id": tenant["tenant_id"],
        "Cloud": cloud["name"],
        "Signing-Key": key,
        "Time-Stamp-Authority": authority,
        **chain.labels(folder),
    }
    return bag.info(labels)


def _protect(folder: Path) -> None:
    """Take away the permission to write, so that a notebook opened to be read is not saved over by accident."""
    for path in bag.files(folder):
        with contextlib.suppress(OSError):  # not ours, or a share without permissions; the hashes stand all the same
            path.chmod(path.stat().st_mode & ~0o222)


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
    now = bag.hashes(folder)
    payload = {path: content for path, content in now.items() if path.startswith("data/")}
    beside = {path: content for path, content in now.items() if path not in {*payload, *WITNESSES}}
    for name, found in ((TAG_MANIFEST, beside), (MANIFEST, payload)):
        if name in now:  # a manifest that is gone was named by the tag manifest already
            sealed, damaged = bag.read_manifest(folder / name)
            yield from damaged
            yield from bag.differences(sealed, found)
    if INFO in now:
        was, oxum = bag.read_info(folder).get("Payload-Oxum", "nothing"), bag.oxum(folder)
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
    for place in recordschema.off_schema(json.loads(path.read_bytes())):
        yield f"{place[2:]} is not as record.schema.json says."
    if path.stem != record.name:
        yield f"Inside it is the record of {record.name}."
    raw = path.with_suffix(".raw.json")
    if record.raw_sha256 and (not raw.is_file() or bag.sha256(raw) != record.raw_sha256):
        yield f"{raw.name} is not the answer it was judged from{'' if raw.is_file() else ': it is missing'}."
    yield from (f"Its table {name} is missing." for name in record.tables if not (path.parent / str(name)).is_file())


def _blocked(folder: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{error.filename or folder} cannot be read or written: {error.strerror or error}.",
        "Close the program that has it open, free space, or correct the permissions; then try again.",
    )
