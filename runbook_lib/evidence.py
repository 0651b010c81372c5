"""The sealed archive: a run's folder becomes a BagIt bag, and stock tools can prove that nothing in it changed since.

The payload in `data/` is never touched. The tag files are written beside it, the tag manifest last and in one piece: a
folder that has one is sealed, and one whose sealing was interrupted is not and can be sealed again.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib import bag, records
from runbook_lib.bag import INFO, MANIFEST, TAG_MANIFEST, Fault, Kind
from runbook_lib.errors import ArchiveError
from runbook_lib.records import Record

REHEARSAL = "rehearsal, not audit evidence"
"""The stamp on everything that comes from a cloud that Microsoft does not run."""


def seal(folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Path:
    """Close the run in `folder` and return the folder; of `data/` nothing changes but the permission to write.

    Raises ArchiveError when there is nothing to seal, it is sealed already, something in it is damaged, or it cannot be
    written; the folder is then unsealed, complete, and can be sealed again.
    """
    if not (folder / "data").is_dir():
        raise ArchiveError(
            f"{folder} is not a run's folder: it has no data folder.", "Name a folder outputs/TENANT/RUN."
        )
    if records.is_sealed(folder):
        raise ArchiveError(f"{folder} is sealed already.", "A sealed run is closed; start a new run to look again.")
    try:
        _write_tags(folder, _examined(folder), clock())
    except OSError as error:
        raise _blocked(folder, error) from error
    _protect(folder)
    return folder


def seal_hash(folder: Path) -> str:
    """Return the seal, the number for the change ticket: the SHA-256 of the tag manifest; ArchiveError if unsealed."""
    if not records.is_sealed(folder):
        raise ArchiveError(f"{folder} is not sealed.", f"Seal it: runbook seal {folder}")
    try:
        return bag.sha256(folder / TAG_MANIFEST)
    except OSError as error:
        raise _blocked(folder, error) from error


def verify(folder: Path) -> tuple[Fault, ...]:
    """Return every difference between the folder and what was sealed; nothing when all is as it was.

    Raises ArchiveError when the folder or a file in it cannot be read. Whoever rewrites every hash as well is noticed
    only by comparing `seal_hash` with the number in the change ticket.
    """
    if not folder.is_dir():
        raise ArchiveError(f"There is no folder {folder}.", "Name a folder outputs/TENANT/RUN.")
    if not records.is_sealed(folder):
        return (Fault(Kind.UNSEALED, TAG_MANIFEST, "The run was never sealed, or its seal was taken away."),)
    try:
        return (*_seal_faults(folder), *_contradictions(folder))
    except OSError as error:
        raise _blocked(folder, error) from error


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
    return found[0]


def _owner(record: Record) -> tuple[str, str]:
    return record.tenant["tenant_id"], record.run


def _write_tags(folder: Path, record: Record, now: datetime) -> None:
    payload = bag.hashes(folder, "data")
    tags = {
        "bagit.txt": bag.DECLARATION,
        INFO: _info(folder, record, now),
        "VERIFY.txt": _instructions(record, len(payload)),
        MANIFEST: bag.manifest(payload),
    }
    for name, text in tags.items():
        (folder / name).unlink(missing_ok=True)  # left there by a sealing that was interrupted
        records.write_new(folder / name, text.encode())
    beside = {path: content for path, content in bag.hashes(folder).items() if path not in payload}
    records.write_new(folder / TAG_MANIFEST, bag.manifest(beside).encode())


def _info(folder: Path, record: Record, now: datetime) -> str:
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
    }
    return bag.info(labels)


def _protect(folder: Path) -> None:
    """Take away the permission to write, so that a notebook opened to be read is not saved over by accident."""
    for path in bag.files(folder):
        with contextlib.suppress(OSError):  # not ours, or a share without permissions; the hashes stand all the same
            path.chmod(path.stat().st_mode & ~0o222)


def _seal_faults(folder: Path) -> Iterator[Fault]:
    now = bag.hashes(folder)
    payload = {path: content for path, content in now.items() if path.startswith("data/")}
    beside = {path: content for path, content in now.items() if path not in payload and path != TAG_MANIFEST}
    for name, found in ((TAG_MANIFEST, beside), (MANIFEST, payload)):
        if name in now:  # a manifest that is gone was named by the tag manifest already
            sealed, damaged = bag.read_manifest(folder / name)
            yield from damaged
            yield from bag.differences(sealed, found)
    if INFO in now:
        noted = re.search(r"^Payload-Oxum: (.*)$", (folder / INFO).read_text("utf-8", "replace"), re.MULTILINE)
        was, oxum = noted[1] if noted else "nothing", bag.oxum(folder)
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
        yield error.message
        return
    if path.stem != record.name:
        yield f"Inside it is the record of {record.name}."
    raw = path.with_suffix(".raw.json")
    if record.raw_sha256 and (not raw.is_file() or bag.sha256(raw) != record.raw_sha256):
        yield f"{raw.name} is not the answer it was judged from{'' if raw.is_file() else ': it is missing'}."
    yield from (f"Its table {name} is missing." for name in record.tables if not (path.parent / str(name)).is_file())


def _blocked(folder: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{error.filename or folder} cannot be read or written: {error.strerror or error}.",
        "Free space, correct the permissions, or copy the folder elsewhere; then try again.",
    )


def _instructions(record: Record, files: int) -> str:
    tenant, cloud = record.tenant, record.cloud
    stamp = "" if cloud["microsoft"] else f"Cloud {cloud['name']}: {REHEARSAL}.\n"
    whose = " ".join(f"{tenant['name']} (tenant id {tenant['tenant_id']})".split())
    return VERIFY.format(run=f"{tenant['key']}/{record.run}", whose=whose, stamp=stamp, files=files)


VERIFY = """\
How to verify this folder
=========================

Run {run} of {whose}.
{stamp}
Nothing has to be installed. Open a terminal in this folder (the one that holds this file).

1. Is it the folder that was sealed?
   The seal is the SHA-256 of the file tagmanifest-sha256.txt. Compare it with the number in the change ticket:

     Linux      sha256sum tagmanifest-sha256.txt
     macOS      shasum -a 256 tagmanifest-sha256.txt
     Windows    certutil -hashfile tagmanifest-sha256.txt SHA256

2. Are the manifest and the files beside it unchanged?

     Linux      sha256sum -c tagmanifest-sha256.txt
     macOS      shasum -a 256 -c tagmanifest-sha256.txt

3. Is every file in data unchanged, and none missing?

     Linux      sha256sum -c manifest-sha256.txt
     macOS      shasum -a 256 -c manifest-sha256.txt

   Windows, steps 2 and 3 in PowerShell; it prints what differs, and nothing when all is well:

     foreach ($list in 'tagmanifest-sha256.txt', 'manifest-sha256.txt') {{
       Get-Content -Encoding UTF8 $list | ForEach-Object {{
         $hash, $path = $_ -split '  ', 2
         if ((Get-FileHash -Algorithm SHA256 -LiteralPath $path).Hash -ne $hash) {{ "DIFFERS  $path" }}
       }}
     }}

4. Was nothing added?
   The folder data holds {files} files, those below included: count them (find data -type f | wc -l).

All of it at once, with more words about what differs:

     runbook verify FOLDER         the program that made this folder; prints the seal as well
     bagit.py --validate FOLDER    the Library of Congress's tool (pip install bagit); the folder is a BagIt 1.0 bag,
                                   RFC 8493

What this proves, and what it does not
--------------------------------------
The folder is hashed, not signed. Steps 2 to 4 alone prove only that nothing was changed by accident, or by somebody who
did not calculate the hashes again. That nothing at all was changed since the sealing is proved by step 1, and only if
the seal was kept where whoever holds this folder could not change it: the change ticket, a mail, a printed page. Who
made the folder is not proved by it.
"""
