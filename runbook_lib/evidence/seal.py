"""The sealed archive: a run's folder becomes a BagIt bag, and stock tools can prove that nothing in it changed since.

The payload in `data/` is never touched. The tag files are written beside it, the tag manifest last and in one piece: a
folder that has one is sealed, and one whose sealing was interrupted is not and can be sealed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib import vendors
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import bagit, chain, secrets, signature, timestamp
from runbook_lib.evidence.bagit import INFO, MANIFEST, SIGNATURE, STAMP, TAG_MANIFEST, WITNESSES
from runbook_lib.evidence.trust import Trust, trust
from runbook_lib.evidence.verify import Look, Verdict, blocked, contradictions, is_stamped, look, verdict, verify
from runbook_lib.evidence.verify_txt import REHEARSAL, instructions
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.record import Record

log = logging.getLogger(__name__)

ABANDONED = 60
"""A temporary file that nobody has written to for so many seconds was left by a step or a sealing that was killed."""


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
    if run_folders.is_sealed(folder):
        raise ArchiveError(f"{folder} is sealed already.", "A sealed run is closed; start a new run to look again.")
    try:
        _clear(folder, [path.name for path in folder.glob(".*.part")])  # beside data, only a sealing writes
        run_folders.sweep(folder, ABANDONED)
        _write_tags(folder, _examined(folder), clock(), by)
        _stamp(folder, by.authority)
    except OSError as error:
        raise blocked(folder, error) from error
    _protect(folder)
    return folder


def _stamp(folder: Path, authority: str) -> None:
    if not authority:
        return
    try:
        run_folders.write_new(folder / STAMP, timestamp.ask(authority, (folder / TAG_MANIFEST).read_bytes()))
    except ArchiveError as error:
        log.warning("No time stamp. %s", error)


def close(folder: Path, by: Trust, *, stamped: bool, clock: Callable[[], datetime]) -> Verdict:
    """Seal a run, or add to a sealed one the signature or time stamp that it lacks; return what it proves then.

    `stamped` insists on a time stamp. Raises as `seal`, `sign` and `stamp` do.
    """
    if stamped and not by.authority:
        raise UsageError("No time stamp authority is named.", "Set RUNBOOK_TIMESTAMP_AUTHORITY to its address.")
    if not run_folders.is_sealed(folder):
        seal(folder, clock=clock, by=by)
        if stamped and not is_stamped(folder):
            raise ArchiveError(f"{folder} is sealed, without a time stamp.", "Later: runbook seal TENANT --timestamp")
        return verdict(folder, by)
    unsigned = bool(by.key) and not (folder / SIGNATURE).exists()
    if not (unsigned or stamped):
        raise ArchiveError(f"{folder} is sealed already.", "A sealed run is closed; start a new run to look again.")
    if unsigned:
        sign(folder, by)
    if stamped:
        stamp(folder, by)
    return verdict(folder, by)


def sign(folder: Path, by: Trust) -> None:
    """Sign a sealed run that is not signed: its holder vouches for the seal from then on.

    Raises UsageError when no key is named, ArchiveError when the run is not as it was sealed, is signed, or the key
    refuses.
    """
    if by.key is None:
        raise UsageError("No signing key is named.", "Name it: --key FILE, or RUNBOOK_SIGNING_KEY.")
    if (folder / SIGNATURE).exists():
        raise ArchiveError(f"{folder} is signed.", "Nothing is left to do: a signature is never replaced.")
    key = by.key
    _witness(folder, SIGNATURE, replace(by, signers=None), lambda content: signature.sign(key, content))


def stamp(folder: Path, by: Trust | None = None) -> None:
    """Add a time stamp to a sealed run that has none: it proves that the seal existed then, not when it was made.

    Raises UsageError when no authority is named, ArchiveError when the run is not as it was sealed, has a time stamp,
    or the authority gives none.
    """
    by = by or trust()
    if not by.authority:
        raise UsageError("No time stamp authority is named.", "Set RUNBOOK_TIMESTAMP_AUTHORITY to its address.")
    if is_stamped(folder):
        raise ArchiveError(f"{folder} has a time stamp.", "Nothing is left to do: a time stamp is never replaced.")
    authority = by.authority
    _witness(folder, STAMP, by, lambda content: timestamp.ask(authority, content))


def _witness(folder: Path, name: str, by: Trust, made: Callable[[bytes], bytes]) -> None:
    """Write what vouches for a standing seal beside the tag manifest, which lists no such file."""
    if faults := verify(folder, by):
        words = " ".join(f"{one.kind}: {one.path}." for one in faults)
        raise ArchiveError(f"{folder} is not as it was sealed, so nothing vouches for it. {words}", "Restore it first.")
    try:
        run_folders.write_new(folder / name, made((folder / TAG_MANIFEST).read_bytes()))
    except OSError as error:
        raise blocked(folder, error) from error
    _protect(folder)


def _examined(folder: Path) -> Look:
    """Return what one look at the run gave, after making sure that all of it can be sealed."""
    seen = look(folder)
    if faults := list(contradictions(seen)):
        listed = " ".join(f"{fault.path}: {fault.detail}" for fault in faults)
        raise ArchiveError(f"{folder} is damaged. {listed}", "Restore the named files, or run their steps again.")
    found = list(seen.records.values())
    if not found:
        raise ArchiveError(f"{folder} has no records, so there is nothing to seal.", "Run a step first.")
    strangers = ", ".join(one.name for one in found if _owner(one) != _owner(found[0]))
    if strangers:
        what = f"{folder} mixes runs: {strangers} is not of the tenant and run of {found[0].name}."
        raise ArchiveError(what, "Move the strangers to where they belong.")
    if words := run_folders.misplaced(folder, found[0].identity):
        raise ArchiveError(f"{folder} is not sealed. {words}", "Put it back into its own place.")
    bagit.check_names(seen.hashes)
    _refuse_secrets(folder, found)
    return seen


def _refuse_secrets(folder: Path, found: list[Record]) -> None:
    hosts = {host for one in found for host in one.settings.get("activation_hosts", ())}
    leaked = secrets.leaks(folder, hosts.union(vendors.facts()["activation_hosts"]))
    if leaked:
        listed = " ".join(f"{one.path}, line {one.line}: it looks like {one.kind}." for one in leaked)
        remedy = "Make what leaked worthless (revoke it), delete the named files, and run their steps again."
        raise ArchiveError(f"{folder} holds secrets and is not sealed. {listed}", remedy)


def _owner(record: Record) -> tuple[str, str]:
    return record.tenant["tenant_id"], record.run


def _write_tags(folder: Path, seen: Look, now: datetime, by: Trust) -> None:
    """Write the files beside `data/`, all made and signed before the first is written, the tag manifest last."""
    record = next(iter(seen.records.values()))
    payload = {path: content for path, content in seen.hashes.items() if path.startswith("data/")}
    key = signature.fingerprint(by.key) if by.key else ""
    tags = {
        "bagit.txt": bagit.DECLARATION,
        INFO: _info(folder, record, now, key, by.authority),
        "VERIFY.txt": instructions(record, len(payload), key, by.authority),
        MANIFEST: bagit.manifest(payload),
    }
    others = {path: content for path, content in seen.hashes.items() if path not in {*payload, *WITNESSES}}
    listed = others | {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tags.items()}
    seal = bagit.manifest(dict(sorted(listed.items()))).encode()
    contents = {name: text.encode() for name, text in tags.items()}
    if by.key:
        contents[SIGNATURE] = signature.sign(by.key, seal)
    _clear(folder, (*tags, *WITNESSES))  # left there by a sealing that was killed
    try:
        for name, content in (contents | {TAG_MANIFEST: seal}).items():
            run_folders.write_new(folder / name, content)
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
        "Payload-Oxum": bagit.oxum(folder),
        "Source-Organization": tenant["name"],
        "Tenant-Id": tenant["tenant_id"],
        "Cloud": cloud["name"],
        "Signing-Key": key,
        "Time-Stamp-Authority": authority,
        **chain.labels(folder),
    }
    return bagit.info(labels)


def _protect(folder: Path) -> None:
    """Take away the permission to write, so that a notebook opened to be read is not saved over by accident."""
    for path in bagit.files(folder):
        with contextlib.suppress(OSError):  # not ours, or a share without permissions; the hashes stand all the same
            path.chmod(path.stat().st_mode & ~0o222)
