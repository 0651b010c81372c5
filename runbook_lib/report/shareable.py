"""A copy of a sealed run to give away: people's names and addresses replaced, tied to the original by its hashes.

Executed notebooks and raw answers are left out, because they hold everything as it came. What is left out and what was
changed stands in REDACTED.csv with the hash that the original's manifest gives; that manifest, its signature and its
time stamp lie in `original/`.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, verify
from runbook_lib.evidence.bagit import INFO, MANIFEST, WITNESSES
from runbook_lib.report import sections, story, ticket
from runbook_lib.report.story import Story

KEPT = re.compile(r"data/(\d\d_\w+(\.\d+)?\.json|batch\.json|report(\.\d+)?\.html|tables/.+\.csv)")
"""What may be given away once it is redacted."""
ADDRESS = re.compile(r"(?:[\w.%+'-]|&#39;)+@((?:[\w-]+\.)+[A-Za-z]{2,})")
"""An account; on a page, an apostrophe is written in another way."""
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
    told = story.read(folder)
    sealed, _ = bagit.read_manifest(folder / MANIFEST)
    replace = _replacer(told)
    lines = ["path,SHA-256 of the original,SHA-256 here,replaced"]
    for path, original in sealed.items():
        here, count = "left out", 0
        if KEPT.fullmatch(path):
            text, count = replace((folder / path).read_bytes().decode())
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(text.encode())
            here = bagit.sha256(copy / path)
        lines.append(f'"{path}",{original},{here},{count}')
    (copy / "original").mkdir()
    for name in (MANIFEST, INFO, *WITNESSES):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / "original" / name)
    (copy / LIST).write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    (copy / NOTE).write_text(README.format(run=folder.name, seal=verify.seal_hash(folder)), "utf-8", newline="\n")
    (copy / MANIFEST).write_text(bagit.manifest(bagit.hashes(copy)), "utf-8", newline="\n")


def _replacer(told: Story) -> Callable[[str], tuple[str, int]]:
    """Return what replaces people in a text and counts how often; the same person has the same number everywhere."""
    rooms = sections.rooms(told)
    kept = set(rooms["email"].str.lower()) if "email" in rooms else set[str]()
    names = {name: f"person-{number}" for number, name in enumerate(sorted(_names(told, kept)), 1)}
    forms = {
        form: alias for name, alias in names.items() for form in (name, html.escape(name).replace("&#x27;", "&#39;"))
    }
    longest = sorted(map(re.escape, forms), key=len, reverse=True)
    known = re.compile(rf"(?<![\w@.-])(?:{'|'.join(longest)})(?![\w@-])") if longest else None
    accounts: dict[str, str] = {}

    def account(found: re.Match[str]) -> str:
        address = html.unescape(found[0]).lower()
        if address in kept:
            return found[0]
        return accounts.setdefault(address, f"account-{len(accounts) + 1}@{found[1]}")

    def replace(text: str) -> tuple[str, int]:
        before = [one[0] for one in ADDRESS.finditer(text) if one[0].lower() not in kept]
        text = ADDRESS.sub(account, text)
        text, count = known.subn(lambda found: forms[found[0]], text) if known else (text, 0)
        return text, len(before) + count

    return replace


def _names(told: Story, rooms: set[str]) -> set[str]:
    """Return the names of people: who planned, did, approved or verified, and every person in the raw answers."""
    people = ticket.people_of(told)
    found = {name for done in ticket.PEOPLE for name in people[done]}
    for one in told.looks:
        signed_in, own = one.operator["signed_in"] or {}, one.settings
        found |= {said.by for said in one.confirmations} | {said.by for said in one.answers}
        found |= {own.get("spaceiq_admin", ""), own["access_limit"]["approved_by"]}
        found |= {waiver["approved_by"] for waiver in own.get("exceptions", ())}
        found |= {signed_in["object_id"]} if signed_in.get("kind") == "person" else set()
        if one.raw_sha256:
            found |= set(_persons(json.loads((told.folder / "data" / f"{one.name}.raw.json").read_bytes()), rooms))
    return {name for name in found if name.strip() and not ADDRESS.fullmatch(name)}


def _persons(value: Any, rooms: set[str]) -> Iterator[str]:
    """Yield the display names that stand beside an account's name; rooms have accounts, too."""
    if isinstance(value, dict):
        account, name = value.get("userPrincipalName"), value.get("displayName")
        if isinstance(account, str) and isinstance(name, str) and account.lower() not in rooms:
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _persons(one, rooms)


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
