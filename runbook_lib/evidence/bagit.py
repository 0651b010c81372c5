"""BagIt 1.0, as far as we use it: hashes of a folder, manifests, and how a folder differs from its manifest.

RFC 8493, https://www.rfc-editor.org/rfc/rfc8493.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runbook_lib.errors import ArchiveError

DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
SIGNATURE = f"{TAG_MANIFEST}.sig"
STAMP = f"{TAG_MANIFEST}.tsr"
WITNESSES = (TAG_MANIFEST, SIGNATURE, STAMP)
"""What no manifest can list: the tag manifest, and what vouches for it."""

Hashes = Mapping[str, str]
"""SHA-256 in hex by path from the bag's folder, with forward slashes; empty for what is no regular file."""


class Kind(StrEnum):
    """How a sealed folder differs from what was sealed."""

    UNSEALED = "not sealed"
    MANIFEST = "manifest changed"
    INFO = "bag-info changed"
    CHANGED = "changed"
    DELETED = "deleted"
    RENAMED = "renamed"
    ADDED = "added"
    OXUM = "payload-oxum mismatch"
    RECORD = "record inconsistent"
    SIGNATURE = "signature"
    TIME = "time stamp"
    CHAIN = "chain of runs"
    IDENTITY = "another run"
    IRREGULAR = "no regular file"
    ARCHIVED = "moved to an archive"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a folder is not what was sealed: its kind, the file, and a sentence."""

    kind: Kind
    path: str
    detail: str


def files(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder`, and every link to a folder as if it were one; links are not followed."""
    for place, folders, names in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in (*names, *links))


def _raise(error: OSError) -> None:
    raise error


def hashes(folder: Path, under: str = "") -> dict[str, str]:
    """Return the hashes of all files below `folder/under`, sorted by path."""
    found = {path.relative_to(folder).as_posix(): content_hash(path) for path in files(folder / under)}
    return dict(sorted(found.items()))


def is_regular(path: Path) -> bool:
    """Tell whether there is a file of its own, which ends: no link, pipe, socket or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file of its own, read piece by piece; "" for what is none."""
    return sha256(path) if is_regular(path) else ""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def oxum(folder: Path) -> str:
    """Return the payload's size as BagIt counts it: bytes.files."""
    sizes = [path.lstat().st_size for path in files(folder / "data")]
    return f"{sum(sizes)}.{len(sizes)}"


def check_names(listed: Hashes) -> None:
    """Raise ArchiveError for a file that stock tools could not check.

    RFC 8493 wants CR, LF and % encoded, sha256sum knows no encoding, and bagit decodes two of the three. Only a name
    that every tool reads alike proves anything, and whoever put the file there can rename it.
    """
    for path, content in listed.items():
        if whose := litter(path):
            raise ArchiveError(f"{path} is no part of the run: {whose} left it there.", "Delete it, then seal again.")
        if not content:
            raise ArchiveError(f"{path} is not a regular file.", "Put a copy in its place: links are not archived.")
        if path.endswith(".part"):
            raise ArchiveError(f"{path} is half written.", "Let the running step finish; if none runs, delete it.")
        if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff%\\]", path) or path != path.strip():
            raise ArchiveError(f"Tools disagree about the file name {path!r}.", "Give the file a plain name.")


LITTER = {
    ".DS_Store": "macOS's Finder",
    "Thumbs.db": "Windows's Explorer",
    "ehthumbs.db": "Windows's Explorer",
    "desktop.ini": "Windows's Explorer",
    ".directory": "KDE's file manager",
}
"""Files that a file manager writes into each folder that it shows."""


def litter(path: str) -> str:
    """Return which program leaves such a file wherever it looks; "" for a file that somebody meant to be there."""
    name = path.rpartition("/")[2]
    return LITTER.get(name, "macOS's Finder" if name.startswith("._") else "")


def manifest(listed: Hashes) -> str:
    """Return the lines that `sha256sum -c` and bagit read."""
    return "".join(f"{content}  {path}\n" for path, content in listed.items())


def read_manifest(path: Path) -> tuple[dict[str, str], list[Fault]]:
    """Return the hashes a manifest lists, and a fault for every line that is none."""
    return entries(path.read_bytes(), path.name)


def entries(content: bytes, name: str) -> tuple[dict[str, str], list[Fault]]:
    """Return what the bytes of the manifest of this name list, as `read_manifest` does."""
    found: dict[str, str] = {}
    damaged = []
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        entry = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if entry and entry[2] not in found:
            found[entry[2]] = entry[1]
        elif line:
            detail = f"Line {number} is not one hash and one path of its own: {line[:80]!r}."
            damaged.append(Fault(Kind.MANIFEST, name, detail))
    return found, damaged


def info(labels: Mapping[str, str]) -> str:
    """Return bag-info.txt, one line a label: a line break inside a value would begin a label of its own choosing."""
    return "".join(f"{label}: {' '.join(value.split())}\n" for label, value in labels.items() if value)


def read_info(folder: Path) -> dict[str, str]:
    """Return the labels of the folder's bag-info.txt; none when there is none."""
    path = folder / INFO
    return labels(path.read_bytes()) if path.is_file() else {}


def labels(content: bytes) -> dict[str, str]:
    """Return the labels in the bytes of a bag-info.txt."""
    lines = content.decode("utf-8", "replace").splitlines()
    return {label: value for label, _, value in (line.partition(": ") for line in lines)}


def differences(sealed: Hashes, now: Hashes) -> Iterator[Fault]:
    """Yield what changed between two looks at the same files; a file gone and back under another name is renamed.

    Some file systems write ü as u and two dots: names are the same when Unicode says so (NFC).
    """
    spelled = {unicodedata.normalize("NFC", path): path for path in now if path not in sealed}
    own = {path: spelled.get(unicodedata.normalize("NFC", path), path) for path in sealed if path not in now}
    found = {path: now[own.get(path, path)] for path in sealed if own.get(path, path) in now}
    taken = {own.get(path, path) for path in found}
    added = {path: content for path, content in sorted(now.items()) if path not in taken}
    for path, content in sorted(sealed.items()):
        if path not in found:
            yield _gone(path, content, added)
        elif found[path] != content:
            kind = {MANIFEST: Kind.MANIFEST, INFO: Kind.INFO}.get(path, Kind.CHANGED)
            detail = f"Its bytes are not the sealed ones: SHA-256 {found[path] or 'none'}, was {content}."
            yield Fault(kind, path, detail)
    for path in added:
        whose = litter(path)
        left = f" {whose} left it there: delete it." if whose else ""
        yield Fault(Kind.ADDED, path, f"It was not there when the folder was sealed.{left}")


def _gone(path: str, content: str, added: dict[str, str]) -> Fault:
    twin = next((other for other, its in added.items() if its == content), "")
    if not twin:
        return Fault(Kind.DELETED, path, "It was sealed and is not there any more.")
    del added[twin]
    return Fault(Kind.RENAMED, path, f"It is called {twin} now; its bytes are the sealed ones.")
