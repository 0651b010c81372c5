"""What a rehearsal's pages remember: activation links, which their mails carry, and people on their way through Entra.

How long a link lives and whether it works twice is not documented. Here it lives a day (the tenant's mode
`activation_link_seconds`) and works once, so that the strict case can be rehearsed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbook_lib.sandbox.world.sign_ins import opaque, remember
from runbook_lib.sandbox.world.state import TenantState

DAY = 24 * 60 * 60


@dataclass
class Link:
    """An activation link: the tenant whose SpaceIQ sent it, the address it went to, and when; `spent` by its use."""

    key: str
    to: str
    sent: datetime
    spent: bool = False


@dataclass
class Walk:
    """A person whom a page of this cloud sent to Entra, and where to: with an activation link, or to a mailbox."""

    link: str = ""
    account: str = ""


@dataclass
class Activations:
    """Links by their token and walks by their OAuth state, which nobody else can know."""

    links: dict[str, Link] = field(default_factory=dict)
    walks: dict[str, Walk] = field(default_factory=dict)

    def send(self, link: Link) -> str:
        """Send the mail with a new link and answer the link's token."""
        return remember(self.links, opaque("a."), link)

    def walk(self, walk: Walk) -> str:
        """Let somebody set out and answer the state that brings him back."""
        return remember(self.walks, opaque("w."), walk)

    def inbox(self, address: str) -> dict[str, Link]:
        """The links that were mailed to an address, newest first."""
        return {token: link for token, link in reversed(self.links.items()) if link.to == address}

    def forget(self, key: str) -> None:
        """Drop the links of a tenant, and whoever is on his way with one."""
        self.links = {token: link for token, link in self.links.items() if link.key != key}
        self.walks = {state: walk for state, walk in self.walks.items() if not walk.link or walk.link in self.links}

    def refusal(self, token: str, tenant: TenantState | None, now: datetime) -> str:
        """Why a link cannot be used, in words; nothing when it can."""
        link = self.links.get(token)
        if link is None or tenant is None:
            return "It is not complete, or nobody sent it."
        if link.spent:
            return "It was used already, and works only once."
        newest = next(one for one, other in reversed(self.links.items()) if other.key == link.key)
        if tenant.integration.state != "waiting" or token != newest:
            return "The integration that it belonged to was deleted, or activated again with a newer mail."
        life = timedelta(seconds=tenant.modes.get("activation_link_seconds", DAY))
        return "" if now < link.sent + life else "It has expired."
