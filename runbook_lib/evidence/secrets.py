"""No secret is sealed into the archive: every byte of a run's folder is looked through, and what was encoded too.

The forms of Entra's tokens, codes and caches are our own patterns; those of other services are detect-secrets' own. A
finding names file, line and kind, and never shows the secret.
"""

from __future__ import annotations

import base64
import binascii
import re
import zipfile
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote_to_bytes

from runbook_lib.display import scrub
from runbook_lib.evidence import bagit

Patterns = Mapping[str, re.Pattern[bytes]]
"""By what a secret is, how it looks."""

# each begins with letters of its own where it can, and looks back for what stands before: that is ten times faster
OURS = {
    "an access or ID token": rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "a refresh token, authorization code or device code of Entra": rb"\.A(?<=\d\.A)[\w-]{60,}",
    "a client secret of Entra": rb"Q~(?<=[\w~.-]{3}\dQ~)[\w~.-]{31,37}(?![\w~.-])",
    "the value of a token, code or secret": (
        rb"\b(?:access_token|refresh_token|id_token|client_secret|client_assertion|device_code|code_verifier)"
        rb"\\*[\"']?\s{0,4}[:=]\s{0,4}\\*[\"']?[\w.~+/-]{12,}"
    ),
    "a code in an address": rb"[?&](?:code|token|sig)=[\w.~%+/-]{20,}",
    "an Authorization header": rb"Bearer (?<=\bBearer )[\w.~+/-]{20,}",
    "a token cache": rb"\\*\"(?:extended_expires_on|credential_type)\\*\"\s{0,4}:",
    "a session cookie of Entra": rb"ESTSAUTH(?<=\bESTSAUTH)\w*=[\w.-]{20,}",
}
HINTS = {
    "the value of a token, code or secret": (
        b"access_token refresh_token id_token client_secret client_assertion device_code code_verifier"
    ),
    "a code in an address": b"code= token= sig=",
    "a token cache": b"extended_expires_on credential_type",
    "AWS Access Key (2)": b"aws",
    "Slack Token (1)": b"xox",
    "Slack Token (2)": b"hooks.slack.com",
    "Stripe Access Key (1)": b"k_live_",
}
"""Words in small letters of which each secret of a kind has one: to look for words first is many times faster."""
BORROWED = (
    "aws azure_storage_key basic_auth github_token gitlab_token npm openai private_key pypi_token sendgrid slack stripe"
)
"""The modules of detect-secrets whose patterns cannot meet a GUID, a hash or a picture by chance."""
GIVEN = "a secret that this program was given"
DEEPEST = 3
"""How often something may be encoded in something encoded."""
BASE64 = b"".join(b"x" if chr(byte).isascii() and re.match(r"[\w+/-]", chr(byte)) else b" " for byte in range(256))
"""Makes every letter of base64 an x, and everything else a blank."""
LONG = b"x" * 32
PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a secret stands, and what it is; not the secret itself."""

    path: str
    line: int
    kind: str


def leaks(folder: Path, links: Iterable[str], known: Iterable[str] | None = None) -> list[Leak]:
    """Return every secret in the files below `folder`.

    `links` are the hosts whose links carry a secret in their query; `known` are values that must not be there, by
    default what the environment's own secrets are.
    """
    hosts = b"|".join(re.escape(host.encode()) for host in links)
    link = rb"https?://(?:" + hosts + rb")[^\s\"'<>?\\]*\?[^\s\"'<>]{4,}"
    patterns = dict(known_forms())
    if hosts:
        patterns["an activation link with its query"] = re.compile(link)
    values = tuple(scrub.given() if known is None else known)
    return [
        Leak(path.relative_to(folder).as_posix(), line, kind)
        for path in sorted(bagit.files(folder))
        if path.is_file()
        for line, kind in dict.fromkeys(_in_file(path.read_bytes(), patterns, values))
    ]


def _in_file(content: bytes, patterns: Patterns, known: Collection[str]) -> Iterator[tuple[int, str]]:
    if content.startswith(b"PK") and zipfile.is_zipfile(BytesIO(content)):  # a workbook
        with zipfile.ZipFile(BytesIO(content)) as parts:
            for name in parts.namelist():
                yield from _in_file(parts.read(name), patterns, known)
    if scrub.holds(content, known):
        lines = [number for number, line in enumerate(content.split(b"\n"), 1) if scrub.holds(line, known)]
        yield from ((number, GIVEN) for number in lines or [1])
    for at, kind in _in_bytes(content, patterns, 0):
        yield content.count(b"\n", 0, at) + 1, kind
    if b"\0" in content:  # text of two bytes a letter
        yield from _in_file(content.replace(b"\0", b""), patterns, ())


def _in_bytes(content: bytes, patterns: Patterns, depth: int) -> Iterator[tuple[int, str]]:
    """Yield place and kind of each secret in `content`; of one that is encoded, the place where the code begins."""
    small = content.lower()
    for kind, pattern in patterns.items():
        if kind not in HINTS or any(word in small for word in HINTS[kind].split()):
            yield from ((found.start(), kind) for found in pattern.finditer(content))
    if depth < DEEPEST:
        for coded, decode in ((_base64, _unbase64), (_percent, unquote_to_bytes)):
            runs = list(coded(content))
            plain = [decode(run) + b"\n" for _, run in runs]
            starts = list(accumulate(map(len, plain), initial=0))
            inner = _in_bytes(b"".join(plain), patterns, depth + 1) if runs else ()
            yield from ((runs[bisect_right(starts, at) - 1][0], kind) for at, kind in inner)


def _base64(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield place and letters of each long run of base64's letters, an order faster than an expression would."""
    marked, end = content.translate(BASE64) + b" ", 0
    while (start := marked.find(LONG, end)) >= 0:
        end = marked.index(b" ", start)
        yield start, content[start:end]


def _percent(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield place and content of each line that has something percent-encoded in it."""
    end = 0
    while found := PERCENT.search(content, end):
        start, end = content.rfind(b"\n", 0, found.start()) + 1, content.find(b"\n", found.end())
        end = end if end >= 0 else len(content)
        yield start, content[start:end]


def _unbase64(run: bytes) -> bytes:
    whole = run.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(whole[: len(whole) // 4 * 4])
    except binascii.Error:
        return b""


@cache
def known_forms() -> Patterns:
    """Return how every secret looks whose form is known, ours and detect-secrets'; the first call takes its time."""
    return {kind: re.compile(pattern) for kind, pattern in OURS.items()} | _borrowed()


def _borrowed() -> dict[str, re.Pattern[bytes]]:
    """Return detect-secrets' patterns, for bytes; loaded only when a run is sealed."""
    from detect_secrets.plugins.base import RegexBasedDetector

    found = {}
    for name in BORROWED.split():
        module = import_module(f"detect_secrets.plugins.{name}")
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, RegexBasedDetector) and kind.__module__ == module.__name__:
                alternatives: Iterable[re.Pattern[str]] = kind.denylist  # type: ignore[assignment]
                for number, one in enumerate(alternatives):
                    flags = one.flags & ~re.UNICODE
                    found[f"{kind.secret_type} ({number + 1})"] = re.compile(one.pattern.encode(), flags)
    return found
