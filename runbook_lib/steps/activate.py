"""Step 3: is the pasted activation link one that may be opened? Only its host is ever kept."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.model import Tenant


def host_of(tenant: Tenant) -> Callable[[str], str]:
    """Return what keeps the host of a pasted link, or raises UsageError saying why the link must not be opened."""

    def keep(link: str) -> str:
        try:
            parts = urlsplit(link.strip())
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise UsageError("This is not a link.", "Copy it from the mail with right click, Copy link.") from error
        if parts.scheme != "https" or not host:
            raise UsageError("This is not an https link.", "Copy it from the mail with right click, Copy link.")
        if parts.username is not None or port not in (None, 443) or host not in tenant.activation_hosts:
            known = ", ".join(tenant.activation_hosts)
            raise UsageError(
                f"The link points to {host!r}, which is none of: {known}.",
                "Do not open it. Ask Eptura which host their activation mail uses; if it is right, add it to "
                "activation_hosts in the tenant file.",
            )
        return host

    return keep
