"""Walks through Entra: how this cloud's own Outlook and Cronofy send a person off, and what he returns with."""

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.http import Ask
from runbook_lib.sandbox.world.activations import Walk
from runbook_lib.sandbox.world.sign_ins import Code
from runbook_lib.sandbox.world.state import App


def app(ask: Ask, key: str) -> App:
    """The registration of that key in apps.yaml."""
    return next(one for one in ask.world.apps.values() if one.key == key)


def send_to_entra(ask: Ask, client: App, path: str, state: str, **parameters: str) -> Response:
    """Send the browser to one of Entra's pages for an app; it comes back to the app's path on this host."""
    fields = {"client_id": client.id, "redirect_uri": client.web_uris[0], **parameters, "state": state}
    return to(ask, f"{path}?{urlencode(fields)}")


def to(ask: Ask, path: str) -> Response:
    """Send the browser to another page of this cloud, which it asks for with GET."""
    return RedirectResponse(f"{ask.base}{path}", 303, http.common_headers(ask) | {"Cache-Control": "no-store"})


def came_back(ask: Ask) -> Walk | None:
    """The walk that ends or goes on with this request; None for a stranger's."""
    return ask.world.activations.walks.get(ask.query.get("state", ""))


def redeem(ask: Ask, client: App) -> Code | None:
    """The sign-in behind the code that came back, which is spent by that; None without a code of this app."""
    code = ask.world.sign_ins.codes.get(ask.query.get("code", ""))
    if code is None or code.app_id != client.id:
        return None
    code.redeemed = True
    return code


def lost(ask: Ask) -> Response:
    """The page for a request that belongs to nothing this cloud began."""
    words = "This page goes on with something that was not begun here, or is over. Start again from the beginning."
    return pages.message(ask, "Start again", words, 400)
