"""What a service says is scrubbed before it becomes a record, a log or an output: our own secrets, in whatever form.

We know our secrets, so nothing has to look like one. A text is squeezed to its letters and digits in lower case, which
undoes capitals, dots and blanks put between, and is decoded layer by layer; in each layer every secret is looked for as
it is, backwards, and as hex, numbers, rot13, base32 or base64 show it in the middle of something longer.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from html import unescape
from urllib.parse import unquote_to_bytes

MASK = "[left out]"
"""What stands in place of a secret."""
VARIABLES = ("_TOKEN", "_PASSWORD", "_SECRET")
"""How the environment's variables of this runbook end that hold one."""
SHORTEST = 8
"""Letters of a secret; a shorter one occurs by chance. One with fewer of a to z and digits is looked for as it is."""
DEEPEST = 6
"""How often something may be encoded in something encoded."""
RUN = 16
"""Letters of a code, from which on it is decoded."""

KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789"
DROPPED = bytes(one for one in range(256) if one not in KEPT and not 0x41 <= one <= 0x5A)
LOWER = bytes(one + 32 if 0x41 <= one <= 0x5A else one for one in range(256))
CODE = bytes(120 if re.match(rb"[A-Za-z0-9+/_-]", bytes([one])) else 32 for one in range(256))
"""Makes every letter of base64 an x, and everything else a blank."""
HEX = re.compile(rb"[0-9A-Fa-f]{%d,}" % (2 * SHORTEST))
ESCAPE = re.compile(
    r"\\+u\{?([0-9A-Fa-f]{4})\}?|\\+x([0-9A-Fa-f]{2})|=([0-9A-F]{2})|&#(\d{1,7});?|&#[xX]([0-9A-Fa-f]{1,6});?"
)


def given(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the secrets that this program was given: as they stand there, and as they are used, without blanks."""
    own = [environment[name] for name in environment if name.startswith("RUNBOOK_") and name.endswith(VARIABLES)]
    found = (*own, *(one.strip() for one in own), *environment.get("RUNBOOK_NOTIFY", "").split())  # addresses with keys
    return [one for one in dict.fromkeys(found) if one.strip()]


def holds(content: bytes, secrets: Collection[str]) -> bool:
    """Tell whether any of `secrets` stands in `content`, in whatever form."""
    forms = {form for one in secrets for form in _forms(one)}
    exact = {one.encode() for one in secrets if len(one.encode()) >= SHORTEST and not _forms(one)}
    return bool(forms or exact) and any(
        any(form in squeezed for form in forms) or any(one in layer for one in exact)
        for layer in _layers(content)
        for squeezed in (_squeezed(layer),)
    )


def text(words: str, secrets: Iterable[str]) -> str:
    """Return `words` without the secrets: only they are masked where they stand plainly, else nothing is kept."""
    secrets = tuple(secrets)
    if not holds(words.encode("utf-8", "surrogatepass"), secrets):
        return words
    plain = words
    for one in sorted(secrets, key=len, reverse=True):
        plain = plain.replace(one, MASK) if len(one) >= SHORTEST else plain
    return MASK if holds(plain.encode("utf-8", "surrogatepass"), secrets) else plain


def answer(content: bytes, secrets: Iterable[str]) -> bytes:
    """Return the body of an answer without the secrets; it stays JSON if it was, and nothing changes without any."""
    secrets = tuple(secrets)
    if not holds(content, secrets):
        return content
    try:
        cleaned = json.dumps(_value(json.loads(content), secrets)).encode()
    except (ValueError, RecursionError):
        return json.dumps(MASK).encode()
    return json.dumps(MASK).encode() if holds(cleaned, secrets) else cleaned


def _value(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, str):
        return text(value, secrets)
    if isinstance(value, list):
        return [_value(one, secrets) for one in value]
    if isinstance(value, dict):
        return {text(key, secrets): _value(one, secrets) for key, one in value.items()}
    return value


@lru_cache(maxsize=64)
def _forms(secret: str) -> frozenset[bytes]:
    """Return how `secret` looks once squeezed: as it is, backwards, and inside a code wherever it begins there."""
    plain = secret.encode()
    if len(_squeezed(plain)) < SHORTEST:
        return frozenset()
    shapes = [plain, codecs.encode(secret, "rot13").encode(), plain.hex().encode()]
    shapes.append("".join(map(str, plain)).encode())
    for code, every in ((base64.b64encode, 3), (base64.b32encode, 5)):
        width = 8 / {3: 6, 5: 5}[every]
        for before in range(every):
            whole = code(b"\0" * before + plain).rstrip(b"=")
            first, last = -(-before * width // 1), (before + len(plain)) * width // 1
            shapes.append(whole[int(first) : int(last)])  # the letters that only the secret decides
    squeezed = {_squeezed(one) for one in shapes}
    return frozenset(one[::way] for one in squeezed for way in (1, -1) if len(one) >= SHORTEST)


def _squeezed(content: bytes) -> bytes:
    return content.translate(LOWER, DROPPED)


def _layers(content: bytes) -> Iterator[bytes]:
    """Yield `content` and what is encoded in it, in it again, and so on."""
    layers, seen = [content], {content}
    for _ in range(DEEPEST):
        yield from layers
        found = {inner for layer in layers for decode in DECODERS for inner in decode(layer) if inner}
        layers = [one for one in found if one not in seen]
        seen.update(layers)
    yield from layers


def _escapes(content: bytes) -> Iterator[bytes]:
    r"""Decode \u0041, \x41, =41, %41, &#65; and &amp;, each wherever it stands."""
    if b"%" in content:
        yield unquote_to_bytes(content)
    if b"\\" in content or b"&" in content or b"=" in content:
        words = content.decode("utf-8", "replace")
        plain = ESCAPE.sub(_letter, words)
        for gone in (r"\\+[bfnrt]?", r"\\+"):  # a letter after it may be the sign for a new line, or the secret's own
            yield re.sub(gone, "", unescape(plain)).encode("utf-8", "replace")


def _letter(found: re.Match[str]) -> str:
    in_hex = next((found[group] for group in (1, 2, 3, 5) if found[group]), "")
    number = int(in_hex, 16) if in_hex else int(found[4])
    return chr(number) if number < 0x110000 else found[0]


def _unbase64(content: bytes) -> Iterator[bytes]:
    """Decode each long run of base64's letters; finding them so is an order faster than by an expression."""
    marked, end, parts = content.translate(CODE) + b" ", 0, []
    while (start := marked.find(b"x" * RUN, end)) >= 0:
        end = marked.index(b" ", start)
        run = content[start:end].translate(bytes.maketrans(b"-_", b"+/"))
        run = run[:-1] if len(run) % 4 == 1 else run
        with suppress(binascii.Error):
            parts.append(base64.b64decode(run + b"=" * (-len(run) % 4)))
    yield b"\n".join(parts)


def _unhex(content: bytes) -> Iterator[bytes]:
    yield b"\n".join(bytes.fromhex(run[: len(run) // 2 * 2].decode()) for run in HEX.findall(content))


DECODERS: tuple[Callable[[bytes], Iterator[bytes]], ...] = (_escapes, _unbase64, _unhex)
