"""Outlook on the web at /mail/, as far as a rehearsal needs it: the activation mails of whoever is signed in.

Reading mail signs the browser in, which is why an activation link must not be opened there.
"""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.flows.flow import COOKIE
from runbook_lib.sandbox.entra.http import Ask
from runbook_lib.sandbox.rehearsal import walking
from runbook_lib.sandbox.world.activations import Walk

LINK = "/enterprise_connect/oauth/authorize"
SCOPE = "service_account/resources/manage service_account/accounts/manage"


async def endpoint(request: Request) -> Response:
    """Answer any request under /mail."""
    ask = await http.read(request, request.state.world)
    if "state" in ask.query:
        return _signed_in(ask)
    account = ask.world.sign_ins.sessions.get(ask.cookies.get(COOKIE, ""), "")
    realm = ask.query.get("realm", "")
    home = ask.world.tenant(account.rpartition("@")[2])
    if not account or (realm and home is not ask.world.tenant(realm)):
        return _sign_in(ask, realm)
    return _inbox(ask, account)


def _sign_in(ask: Ask, realm: str) -> Response:
    """Send whoever is not signed in to Entra; `realm` names the tenant, and without it any account may come."""
    where = realm if ask.world.tenant(realm) else "organizations"
    parameters = {"response_type": "code", "scope": "openid profile"}
    path = f"/{quote(where)}/oauth2/v2.0/authorize"
    state = ask.world.activations.walk(Walk())
    return walking.send_to_entra(ask, walking.app(ask, "outlook-web"), path, state, **parameters)


def _signed_in(ask: Ask) -> Response:
    walk = walking.came_back(ask)
    if walk is None or walk.link:
        return walking.lost(ask)
    del ask.world.activations.walks[ask.query["state"]]
    if walking.redeem(ask, walking.app(ask, "outlook-web")) is None:
        return pages.message(ask, "You are not signed in", "Open the mailbox again to sign in.", 403)
    return walking.to(ask, "/mail/")


def _inbox(ask: Ask, account: str) -> Response:
    mails = [
        {"sent": http.entra_time(link.sent), "link": link_of(ask, token), "wrapped": wrapped(link_of(ask, token))}
        for token, link in ask.world.activations.inbox(account).items()
    ]
    return pages.page(ask, "mail.html", f"Inbox of {account}", mails=mails)


def link_of(ask: Ask, token: str) -> str:
    """An activation link in the form that Cronofy documents; which one SpaceIQ mails is not documented.

    https://docs.cronofy.com/developers/api/enterprise-connect/request-authorization
    """
    fields = {"response_type": "code", "client_id": "spaceiq", "scope": SCOPE, "state": token}
    return f"{ask.base}{LINK}?{urlencode(fields)}"


def wrapped(link: str) -> str:
    """The link as Safe Links would write it: https://learn.microsoft.com/defender-office-365/safe-links-about."""
    fields = {"url": link, "data": "05|02|", "reserved": "0"}
    return f"https://eur03.safelinks.protection.outlook.com/?{urlencode(fields)}"
