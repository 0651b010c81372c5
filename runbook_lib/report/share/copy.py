"""A copy of a sealed run to give away: people's names and addresses replaced, tied to the original by its hashes.

Executed notebooks and raw answers are left out, because they hold everything as it came. What is left out and what was
changed stands in REDACTED.csv with the hash that the original's manifest gives; that manifest, its signature and its
time stamp lie in `original/`.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, verify
from runbook_lib.evidence.bagit import INFO, MANIFEST, WITNESSES
from runbook_lib.report import sections, story, ticket
from runbook_lib.report.share import redaction
from runbook_lib.report.share.redaction import People
from runbook_lib.report.story import Story

KEPT = re.compile(r"data/(\d\d_\w+(\.\d+)?\.json|batch\.json|report(\.\d+)?\.html|tables/.+\.csv)")
"""What may be given away once it is redacted."""
LIST, NOTE = "REDACTED.csv", "README.txt"


def write(folder: Path, to: Path) -> Path:
    """Write the copy of the sealed run in `folder` to the new folder `to`, and return that.

    Raises ArchiveError when the run is not sealed or not as it was sealed, or when `to` is there or cannot be written.
    """
    if faults := verify.verify(folder):
        words = " ".join(f"{one.kind}: {one.path}." for one in faults)
        raise ArchiveError(f"{folder} is not as it was sealed, so no copy is made. {words}", "Seal it, or restore it.")
    if to.exists():
        raise ArchiveError(f"{to} is there already.", "Delete or move that copy first.")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".") as place:  # all of the copy, or nothing
            copy = Path(place) / to.name
            _fill(folder, copy)
            copy.rename(to)
    except OSError as error:
        what = f"{error.filename or to} cannot be read or written: {error.strerror or error}."
        raise ArchiveError(what, "Free space or correct the permissions, then try again.") from error
    return to


def _fill(folder: Path, copy: Path) -> None:
    people = _people(story.read(folder))
    sealed, _ = bagit.read_manifest(folder / MANIFEST)
    lines = ["path,SHA-256 of the original,SHA-256 here,replaced"]
    for path, original in sealed.items():
        here, count = "left out", 0
        if KEPT.fullmatch(path):
            content, count = _redacted(folder / path, people)
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(content)
            here = bagit.sha256(copy / path)
        lines.append(f'"{path}",{original},{here},{count}')
    (copy / "original").mkdir()
    for name in (MANIFEST, INFO, *WITNESSES):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / "original" / name)
    (copy / LIST).write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    (copy / NOTE).write_text(README.format(run=folder.name, seal=verify.seal_hash(folder)), "utf-8", newline="\n")
    (copy / MANIFEST).write_text(bagit.manifest(bagit.hashes(copy)), "utf-8", newline="\n")


def _redacted(path: Path, people: People) -> tuple[bytes, int]:
    """Return a file without people, and how often one was replaced; ArchiveError when one is still named."""
    original, before = path.read_bytes(), people.count
    text = redaction.HOW[path.suffix](original.decode(), people)
    count = people.count - before
    if people.left_in(text):
        what = f"{path.name} would still name a person, so no copy is made."
        raise ArchiveError(what, "Give away the run itself, or only the tables that you have read; report this file.")
    return text.encode() if count else original, count


def _people(told: Story) -> People:
    """Return whom to replace: who planned, did, approved or verified, and every person in records and raw answers."""
    rooms = sections.rooms(told)
    kept = frozenset(rooms["email"].str.lower()) if "email" in rooms else frozenset[str]()
    names, accounts = set(_said(told)), set[str]()
    for one in told.looks:
        found = [json.loads((told.folder / "data" / f"{one.name}.json").read_bytes())]
        if one.raw_sha256:
            found.append(json.loads((told.folder / "data" / f"{one.name}.raw.json").read_bytes()))
        names.update(redaction.persons_in(found, kept))
        accounts.update(redaction.accounts_in(found))
    names = {name for name in names if name.strip() and not redaction.WHOLE.fullmatch(name)}
    return People(frozenset(names), frozenset(accounts), kept)


def _said(told: Story) -> Iterator[str]:
    people = ticket.people_of(told)
    yield from (name for done in ticket.PEOPLE for name in people[done])
    for one in told.looks:
        signed_in, own = one.operator["signed_in"] or {}, one.settings
        yield from (said.by for said in one.confirmations)
        yield from (answer.by for answer in one.answers)
        yield from (own.get("spaceiq_admin", ""), own["access_limit"]["approved_by"], one.operator["user"])
        yield from (own["change"].get(who, "") for who in ("approved_by", "planned_by"))
        yield from (waiver["approved_by"] for waiver in own.get("exceptions", ()))
        if signed_in.get("kind") == "person":
            yield signed_in["object_id"]


README = """\
This is a redacted copy of the run {run}, not the evidence itself.

People are called person-1, account-1 and so on; executed notebooks and raw answers are left out.

How it ties to the original:
- The seal of the original, the number in the change ticket, is {seal}:
  the SHA-256 of original/tagmanifest-sha256.txt. It lists manifest-sha256.txt (here original/manifest-sha256.txt)
  with its hash; that in turn lists every file of the original. A signature or time stamp lies beside them.
- REDACTED.csv has a line for every file of the original: its hash there, its hash here or "left out", and how often a
  name or an address was replaced. Where none was, both hashes are the same.
- Whoever holds the original can thus be asked for any file by its hash.

Nothing was lost on the way to you if this prints no FAILED: sha256sum -c manifest-sha256.txt
"""
