"""Whether a redirect URI is registered, with the rules for loopback addresses.

https://learn.microsoft.com/entra/identity-platform/reply-url
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1")


def registered(uris: Iterable[str], asked: str) -> bool:
    """True for an exact match, and for a loopback http URI that differs from a registered one in its port alone."""
    return any(uri == asked or _same_but_port(uri, asked) for uri in uris)


def _same_but_port(uri: str, asked: str) -> bool:
    ours, theirs = urlsplit(uri), urlsplit(asked)
    loopback = theirs.scheme == ours.scheme == "http" and ours.hostname in LOOPBACK
    place = [(address.hostname, address.path.rstrip("/"), address.query) for address in (ours, theirs)]
    return loopback and place[0] == place[1] and not theirs.fragment
