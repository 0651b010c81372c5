"""A time stamp from an authority (RFC 3161): the seal existed at that time, whatever our own clock said.

https://www.rfc-editor.org/rfc/rfc3161. Asking needs nothing but HTTP; checking is left to `openssl ts`.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.bagit import STAMP, TAG_MANIFEST, Fault, Kind

SECONDS = 20
"""How long an authority may take to answer."""
LARGEST = 1 << 20
"""More bytes than this are no time stamp."""
QUERY = bytes.fromhex("3039020101" + "3031" + "300d06096086480165030402010500" + "0420")
"""TimeStampReq: version 1, then the imprint: SHA-256 and its 32 bytes."""
WITH_CERTIFICATE = bytes.fromhex("0101ff")
"""certReq true: whoever checks the answer later finds the authority's certificate in it."""
GRANTED = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...)\x30(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01]", re.S
)
"""How a TimeStampResp begins whose status is `granted`, or `grantedWithMods`."""


def ask(authority: str, content: bytes) -> bytes:
    """Return the authority's time stamp on `content`; raise ArchiveError when it gives none."""
    remedy = "The seal stands without it. RUNBOOK_TIMESTAMP_AUTHORITY names the authority."
    if urlsplit(authority).scheme not in ("http", "https"):
        raise ArchiveError(f"{authority!r} is not the address of a time stamp authority.", remedy)
    digest = hashlib.sha256(content).digest()
    question = urllib.request.Request(  # noqa: S310 - http or https, as looked at above
        authority, QUERY + digest + WITH_CERTIFICATE, {"Content-Type": "application/timestamp-query"}
    )
    try:
        with urllib.request.urlopen(question, timeout=SECONDS) as reply:  # noqa: S310
            answer: bytes = reply.read(LARGEST)
    except (OSError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise ArchiveError(f"The time stamp authority {authority} did not answer: {error}.", remedy) from error
    if not GRANTED.match(answer) or digest not in answer:
        raise ArchiveError(f"What {authority} answered is no time stamp on this seal.", remedy)
    return answer


def testimony(folder: Path, asked: str, certificate: Path | None) -> Iterator[str | Fault]:
    """Yield what the time stamp proves, or what is wrong with it.

    `asked` is the authority noted in bag-info.txt, "" when none was to be asked; `certificate` is the PEM file that
    vouches for the authority.
    """
    stamp = folder / STAMP
    if not stamp.exists():
        yield f"No time stamp: {asked} gave none at the sealing, or it was removed." if asked else "No time stamp."
        return
    if hashlib.sha256((folder / TAG_MANIFEST).read_bytes()).digest() not in stamp.read_bytes():
        yield Fault(Kind.TIME, STAMP, "It is not a time stamp on this tag manifest.")
        return
    if certificate is None:
        yield f"Time stamp{_when(stamp)}, not checked: name the authority's certificate in RUNBOOK_TIMESTAMP_CA."
        return
    checked = _openssl("-verify", "-in", stamp, "-data", folder / TAG_MANIFEST, "-CAfile", certificate)
    if checked.returncode:
        said = checked.stderr.decode(errors="replace").strip().splitlines()
        yield Fault(Kind.TIME, STAMP, f"openssl does not accept it: {said[0] if said else 'no reason was given'}.")
    else:
        yield f"Time stamp{_when(stamp)}, checked: {certificate.name} vouches for the authority."


def _when(stamp: Path) -> str:
    told = _openssl("-reply", "-in", stamp, "-text").stdout.decode(errors="replace")
    found = re.search(r"^Time stamp: (.+)$", told, re.MULTILINE)
    return f" of {found[1]}" if found else ""


def _openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["openssl", "ts", *arguments], capture_output=True, check=False)  # noqa: S607
    except OSError as error:
        remedy = "Install OpenSSL, or check the time stamp as VERIFY.txt says on a machine that has it."
        raise ArchiveError(f"openssl cannot be started: {error.strerror}.", remedy) from error
