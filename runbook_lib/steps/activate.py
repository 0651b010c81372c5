"""Step 3: is the pasted activation link one that may be opened? Only its host is ever kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import parse_qs, unquote, urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.model import Tenant

NO_LINK = "Copy it from the mail with right click, Copy link."


def host_of(tenant: Tenant) -> Callable[[str], str]:
    """Return what keeps the host of a pasted link, or raises UsageError saying why the link must not be opened."""

    def keep(link: str) -> str:
        host = _host(unwrapped(link), tenant.activation_hosts)
        if host not in tenant.activation_hosts:
            known = ", ".join(tenant.activation_hosts)
            raise UsageError(
                f"The link points to {host!r}, which is none of: {known}.",
                "Do not open it. Ask Eptura which host their activation mail uses; if it is right, add it to "
                "activation_hosts in the tenant file.",
            )
        return host

    return keep


def unwrapped(link: str) -> str:
    """Return the link inside the wrappers that mail protection puts around it; any other link as it is.

    Safe Links: https://learn.microsoft.com/defender-office-365/safe-links-about; URL Defense v2 and v3:
    https://help.proofpoint.com (both read 2026-11-22). Nothing is asked of the network, and a tracker that hides its
    target in a code stays as it is: its host is then refused like any other that is not on the list.
    """
    link = link.strip()
    for _ in range(3):  # one protection may wrap another
        try:
            parts = urlsplit(link)
            host = (parts.hostname or "").lower()
        except ValueError:
            return link
        query = parse_qs(parts.query)
        third = re.fullmatch(r"/v3/__(.+?)__;.*", parts.path + (f"?{parts.query}" if parts.query else ""))
        if host.endswith(".safelinks.protection.outlook.com") and query.get("url"):
            link = query["url"][0]
        elif host == "urldefense.com" and third:
            link = third[1]
        elif host == "urldefense.proofpoint.com" and query.get("u"):
            link = unquote(query["u"][0].replace("-", "%").replace("_", "/"))
        else:
            return link
    return link


def _host(link: str, known: Collection[str]) -> str:
    """Return the host of an https link, with its port only where `known` names both.

    Raises UsageError for an account in the link, another port, or what is no link.
    """
    try:
        parts = urlsplit(link)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise UsageError("This is not a link.", NO_LINK) from error
    if parts.scheme != "https" or not host:
        raise UsageError("This is not an https link.", NO_LINK)
    if parts.username is None and f"{host}:{port}" in known:
        return f"{host}:{port}"
    if parts.username is not None or port not in (None, 443):
        raise UsageError(f"The link to {host!r} hides an account or a port.", "Do not open it; show it to Eptura.")
    return host
