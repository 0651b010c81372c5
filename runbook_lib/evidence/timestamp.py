"""A time stamp from an authority (RFC 3161): the seal existed at that time, whatever our own clock said.

https://www.rfc-editor.org/rfc/rfc3161. The one home of rfc3161-client, which asks, reads and checks; VERIFY.txt says
how openssl does the same.
"""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.bagit import STAMP, TAG_MANIFEST, Fault, Kind

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

SECONDS = 20
"""How long an authority may take for its whole answer."""
LARGEST = 1 << 20
"""More bytes than this are no time stamp."""
SHA256 = "2.16.840.1.101.3.4.2.1"


def ask(authority: str, content: bytes) -> bytes:
    """Return the authority's time stamp on `content`; raise ArchiveError when it gives none."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    remedy = "The seal stands without it. RUNBOOK_TIMESTAMP_AUTHORITY names the authority."
    if urlsplit(authority).scheme not in ("http", "https"):
        raise ArchiveError(f"{authority!r} is not the address of a time stamp authority.", remedy)
    question = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
    try:
        answer = _answer(authority, question.as_bytes())
    except (OSError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise ArchiveError(f"The time stamp authority {authority} did not answer: {error}.", remedy) from error
    token = _read(answer)
    if token is None or not _is_on(token, content) or token.tst_info.nonce != question.nonce:
        raise ArchiveError(f"What {authority} answered is no time stamp on this seal.", remedy)
    return answer


def _answer(authority: str, question: bytes) -> bytes:
    """Return the bytes of the answer; TimeoutError when they have not all come in time, however they drip."""
    kind = {"Content-Type": "application/timestamp-query"}
    request = urllib.request.Request(authority, question, kind)  # noqa: S310 - http or https, as looked at before
    until = time.monotonic() + SECONDS
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310
        return b"".join(_pieces(reply, until))


def _pieces(reply: HTTPResponse, until: float) -> Iterator[bytes]:
    size = 0
    while piece := reply.read1(LARGEST):
        size += len(piece)
        if time.monotonic() > until or size > LARGEST:
            raise TimeoutError(f"its answer was not whole within {SECONDS} seconds or {LARGEST} bytes")
        yield piece


def _read(answer: bytes) -> TimeStampResponse | None:
    """Return the answer of an authority that granted a time stamp; None for anything else."""
    from rfc3161_client import PKIStatus, decode_timestamp_response

    try:
        found = decode_timestamp_response(answer)
        whole = found.as_bytes() == answer and found.tst_info is not None
        return found if whole and found.status == PKIStatus.GRANTED else None
    except ValueError:
        return None


def _is_on(token: TimeStampResponse, content: bytes) -> bool:
    imprint = token.tst_info.message_imprint
    known = imprint.hash_algorithm.dotted_string == SHA256
    return known and imprint.message == hashlib.sha256(content).digest()


def testimony(folder: Path, asked: str, certificate: Path | None) -> Iterator[str | Fault]:
    """Yield what the time stamp proves, or what is wrong with it.

    `asked` is the authority noted in bag-info.txt, "" when none was to be asked; `certificate` is the PEM file that
    vouches for the authority. The time is the one in the signed part.
    """
    stamp, content = folder / STAMP, (folder / TAG_MANIFEST).read_bytes()
    if not stamp.exists():
        yield f"No time stamp: {asked} gave none at the sealing, or it was removed." if asked else "No time stamp."
        return
    token = _read(stamp.read_bytes())
    if token is None or not _is_on(token, content):
        yield Fault(Kind.TIME, STAMP, "It is not a time stamp on this tag manifest.")
        return
    when = f"Time stamp of {token.tst_info.gen_time:%Y-%m-%d %H:%M:%S} UTC"
    if certificate is None:
        yield f"{when}, not checked: name the authority's certificate in RUNBOOK_TIMESTAMP_CA."
    elif words := _refused(token, content, certificate):
        yield Fault(Kind.TIME, STAMP, f"{certificate.name} does not vouch for it: {words}.")
    else:
        yield f"{when}, checked: {certificate.name} vouches for the authority."


def _refused(token: TimeStampResponse, content: bytes, certificate: Path) -> str:
    """Return why the certificates in a file do not vouch for a time stamp; "" when they do."""
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder

    try:
        roots = load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        remedy = "Name the PEM file of the authority's certificate in RUNBOOK_TIMESTAMP_CA."
        raise ArchiveError(f"{certificate} holds no certificate ({error}).", remedy) from error
    try:
        VerifierBuilder(roots=roots).build().verify_message(token, content)
    except (VerificationError, ValueError) as error:
        return str(error).rstrip(".")
    return ""
