"""Cronofy's part of the activation, at /enterprise_connect: from the link to Entra twice, and what came of it.

The first screen signs the admin in and tells the tenant, the second one asks for the application permissions there:
https://docs.cronofy.com/calendar-admins/enterprise-connect-office365-graph/ and
https://learn.microsoft.com/entra/identity-platform/v2-admin-consent. Words on the pages are ours.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.http import Ask
from runbook_lib.sandbox.rehearsal import walking
from runbook_lib.sandbox.world import spaceiq_connection
from runbook_lib.sandbox.world.activations import Link, Walk
from runbook_lib.sandbox.world.state import TenantState

DEFAULT = "https://graph.microsoft.com/.default"
DONE, FAILED = "Your calendar is connected", "Your calendar is not connected"


async def endpoint(request: Request) -> Response:
    """Answer any request under /enterprise_connect."""
    ask = await http.read(request, request.state.world)
    page = PAGES.get(ask.path)
    return page(ask) if page else _say(ask, "Not found", f"Nothing answers {ask.path}.", status=404)


def _say(ask: Ask, title: str, words: str, details: Sequence[tuple[str, str]] = (), status: int = 200) -> Response:
    """A page with one thing to say, and what Entra answered."""
    return pages.page(ask, "ending.html", title, words=words, details=details, status=status)


def _refused(ask: Ask, token: str) -> Response | None:
    """The page about a link that cannot be used, or nothing."""
    activations = ask.world.activations
    link = activations.links.get(token)
    why = activations.refusal(token, ask.world.tenant(link.key) if link else None, ask.world.now())
    advice = "In SpaceIQ, delete the integration and activate it again: that sends a new mail."
    return _say(ask, "This link cannot be used", f"{why} {advice}", status=410) if why else None


def choose(ask: Ask) -> Response:
    """The link's page: which calendar service?"""
    token = ask.query.get("state", "")
    return _refused(ask, token) or pages.page(ask, "service.html", "Select your calendar service", token=token)


def another(ask: Ask) -> Response:
    """Any service but Office 365."""
    return _say(ask, "Another service", "This rehearsal has Office 365 only. Go back and choose that one.")


def begin(ask: Ask) -> Response:
    """Office 365 was chosen: sign in at Entra, in whichever tenant the account belongs to."""
    token = ask.query.get("state", "")
    refused = _refused(ask, token)
    if refused:
        return refused
    parameters = {"response_type": "code", "scope": "openid email"}
    state = ask.world.activations.walk(Walk(token))
    path = "/organizations/oauth2/v2.0/authorize"
    return walking.send_to_entra(ask, walking.app(ask, spaceiq_connection.CRONOFY), path, state, **parameters)


def callback(ask: Ask) -> Response:
    """Back from Entra: with an error, signed in, or with the tenant's consent."""
    walk = walking.came_back(ask)
    link = ask.world.activations.links.get(walk.link) if walk else None
    tenant = ask.world.tenant(link.key) if link else None
    if walk is None or link is None or tenant is None:
        return walking.lost(ask)
    if "error" in ask.query:
        del ask.world.activations.walks[ask.query["state"]]
        return _failed(ask, link)
    return _consented(ask, walk, tenant) if "admin_consent" in ask.query else _signed_in(ask, walk, link)


def _signed_in(ask: Ask, walk: Walk, link: Link) -> Response:
    """The account is known, and by it the tenant: ask that tenant for the application permissions."""
    client = walking.app(ask, spaceiq_connection.CRONOFY)
    refused = _refused(ask, walk.link)
    code = None if refused else walking.redeem(ask, client)
    found = ask.world.tenant(code.tenant_id) if code else None
    if code is None or found is None:
        return refused or walking.lost(ask)
    link.spent = True
    walk.account = found.users[code.user_id]["userPrincipalName"]
    return walking.send_to_entra(ask, client, f"/{found.id}/v2.0/adminconsent", ask.query["state"], scope=DEFAULT)


def _consented(ask: Ask, walk: Walk, tenant: TenantState) -> Response:
    """The tenant has consented: SpaceIQ's integration is connected to it."""
    found = ask.world.tenant(ask.query.get("tenant", ""))
    if found is None or not walk.account or not spaceiq_connection.roles(found):
        return walking.lost(ask)
    del ask.world.activations.walks[ask.query["state"]]
    spaceiq_connection.connect(tenant, found, walk.account, ask.world.now())
    return _say(ask, DONE, "SpaceIQ begins to synchronise the rooms. This window can be closed.")


def _failed(ask: Ask, link: Link) -> Response:
    """Entra sent an error back; what the first screen granted before stays granted."""
    advice = "The link is spent: a new one is needed." if link.spent else "The link can be opened again."
    details = [(name, ask.query[name]) for name in ("error", "error_description") if name in ask.query]
    return _say(ask, FAILED, advice, details)


PAGES = {
    "/enterprise_connect/oauth/authorize": choose,
    "/enterprise_connect/other": another,
    "/enterprise_connect/office365": begin,
    "/enterprise_connect/office365/callback": callback,
}
