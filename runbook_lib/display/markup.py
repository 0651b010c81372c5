"""Foreign words as HTML: escaped whatever they are, and a link only where a click can do no harm.

Everything here that shows what a tenant, a service or a person wrote goes through these few functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

LINK = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]*)?")
"""What becomes a link: an address of https and nothing else, in the characters that an address may have (RFC 3986)."""
NOTEBOOK = re.compile(r"[0-9]{2}_[a-z]+(?:\.[0-9]+)?\.ipynb")
"""A notebook beside the one that is open, the only other thing that is linked to."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no cell of a workbook may hold."""


def printable(text: str) -> str:
    """Return `text` without what no page, file or sheet can hold: control characters and lone halves of a letter."""
    return UNPRINTABLE.sub("", text).encode("utf-8", "replace").decode()


def shown(text: object) -> str:
    """Return `text` as HTML that shows exactly it, between tags and in a quoted attribute."""
    return escape(printable(str(text)))


def https(address: str, hosts: Iterable[str] | None = None) -> str:
    """Return the address if a click on it can do no harm, else nothing: https alone, and one of `hosts` if given."""
    if not LINK.fullmatch(address):
        return ""
    try:
        parts = urlsplit(address)
        known = hosts is None or parts.netloc.lower() in {host.lower() for host in hosts}
    except ValueError:
        return ""
    return address if known and parts.netloc.strip(".") else ""


def linked(words: str, target: str) -> str:
    """Return `words`, ready as HTML, as a link to `target` if that is an address of https or a notebook of ours."""
    if NOTEBOOK.fullmatch(target):
        return f'<a href="{target}">{words}</a>'
    address = https(target)
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{words}</a>' if address else words
