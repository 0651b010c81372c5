"""Which mailbox a URL means, whether it exists in the cloud, and whether this caller may open it."""

import re
from collections.abc import Callable
from uuid import UUID

from runbook_lib.sandbox.exchange.series import find
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.routes import Call, Reply, route
from runbook_lib.sandbox.world.state import Mailbox, TenantState

RESOURCES = ("room", "equipment")


def opened(call: Call) -> Mailbox:
    """The mailbox that the request's URL names, if it can be reached and the caller may open it.

    Raises GraphError: 404 for an address that is nobody's, a user without a mailbox or one that is kept on-premises,
    403 when the tenant's access policy or the mailbox's owner keeps the caller out.
    """
    key = call.params.get("id") or call.caller.user_id
    if key is None:
        raise GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    box = find(call.tenant, key)
    if box is None and key.lower() not in call.tenant.users:
        raise GraphError(404, "ErrorInvalidUser", f"The requested user '{_as_told(key, call.tenant)}' is invalid.")
    if box is None or box.state == "missing":
        raise GraphError(404, "ResourceNotFound", "Resource could not be discovered.")
    if box.state == "on-premises":
        message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        raise GraphError(404, "MailboxNotEnabledForRESTAPI", message)
    _admit(call, box)
    return box


def _as_told(key: str, tenant: TenantState) -> str:
    """An unknown object id comes back with the tenant's id behind it (recorded 2020), a name as it is."""
    try:
        return f"{UUID(key)}@{tenant.id}"
    except ValueError:
        return key


def _admit(call: Call, box: Mailbox) -> None:
    """Refuse a caller whom the mailbox is closed to.

    An application access policy binds the applications it names (mode `access_policy`, keys of apps.yaml; none means
    all). A signed-in user finds another one's calendar closed unless it was shared, and the sandbox shares none: 403 at
    a person's mailbox, 404 at a room's (both recorded in 2026).
    """
    if call.caller.kind == "delegated" and call.caller.user_id != box.user_id:
        if box.kind in RESOURCES:
            raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    if call.caller.kind == "application" and box.state == "policy-blocked" and _bound(call):
        rule = "[RAOP] : Blocked by tenant configured AppOnly AccessPolicy settings."
        raise GraphError(403, "ErrorAccessDenied", f"Access to OData is disabled: {rule}")


def _bound(call: Call) -> bool:
    app, named = call.tenant.apps.get(call.caller.app_id), call.tenant.modes.get("access_policy")
    return named is None or (app is not None and app.key in named)


def context(call: Call, tail: str) -> str:
    """What follows `$metadata#` in answers about a mailbox: its user as the URL names it, then `tail`."""
    user = (call.params.get("id") or str(call.caller.user_id)).replace("@", "%40").replace("'", "''")
    return f"users('{user}')/{tail}"


def mailbox_route(
    method: str, *tails: str, like: str = "", page: str, omits: str = ""
) -> Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]]:
    """Enter a function for every tail below /users/{id} and /me; permission as for `like`, else the first tail."""
    permission = re.sub(r"{\w+}", "{id}", like or tails[0])

    def enter(function: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        for root, key in (("/users/{id}", "/users/{id}"), ("/me", "/me")):
            for tail in tails:
                route(
                    method,
                    root + tail,
                    permission=f"{method} {key}{permission}",
                    page=f"https://learn.microsoft.com/graph/api/{page}",
                    omits=omits,
                    family="exchange",
                )(function)
        return function

    return enter
