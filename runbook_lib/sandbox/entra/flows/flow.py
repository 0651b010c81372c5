"""The two questions that every interactive sign-in asks: who are you, and do you consent."""

from dataclasses import dataclass

from starlette.responses import Response

from runbook_lib.sandbox.entra.flows import pages
from runbook_lib.sandbox.entra.http import Ask, EntraError, check_enabled
from runbook_lib.sandbox.entra.scopes import Wanted
from runbook_lib.sandbox.entra.users import check_user, missing_scopes, refuse_missing_consent
from runbook_lib.sandbox.world.consent import record_consent
from runbook_lib.sandbox.world.grants import (
    first_admin,
    may_consent_for_all,
    person,
    service_principal,
    user_may_consent,
)
from runbook_lib.sandbox.world.logs.sign_in_records import user_sign_in
from runbook_lib.sandbox.world.sign_ins import Pending, opaque, remember
from runbook_lib.sandbox.world.state import App, Json, TenantState

COOKIE = "ESTSAUTHPERSISTENT"


@dataclass
class Page(Exception):
    """A page must be shown before the flow can go on: not an error, but it ends the same way."""

    response: Response


@dataclass
class Visit:
    """One pass through an interactive flow: the request, what is known so far, and the key it waits under."""

    ask: Ask
    app: App
    pending: Pending
    ctx: str = ""

    @property
    def prompt(self) -> str:
        """The prompt parameter of the original request."""
        return self.pending.parameters.get("prompt", "")

    @property
    def auto(self) -> bool:
        """Whether nobody is there to click, so that the sandbox answers itself; on a walk somebody is."""
        return self.ask.world.approval.auto and not self.ask.walking

    def keep(self) -> str:
        """Remember the visit for the next page."""
        self.ctx = self.ctx or opaque("ctx.")
        return remember(self.ask.world.sign_ins.pending, self.ctx, self.pending)


def who(visit: Visit, tenant: TenantState | None) -> tuple[TenantState, Json]:
    """The person and his tenant; raises Page for the account picker, EntraError for somebody who may not."""
    if visit.pending.answer == "cancel":
        raise EntraError("access_denied", 65004, "User declined to consent to access the app.")
    name = visit.pending.account or _known_account(visit, tenant)
    if not name:
        hint = visit.pending.parameters.get("login_hint", "")
        raise Page(pages.pick_account(visit.ask, visit.app, visit.keep(), tenant, hint))
    try:
        found, user = _person(visit, tenant, name)
        _check_assignment(visit.app, found, user)
    except EntraError as error:
        if visit.auto or visit.prompt == "none":
            raise
        visit.pending.account = ""
        page = pages.pick_account(visit.ask, visit.app, visit.keep(), tenant, "", error=str(error))
        raise Page(page) from None
    if not visit.auto:
        visit.pending.account = name
    return found, user


def _known_account(visit: Visit, tenant: TenantState | None) -> str:
    """Who it must be without asking: the hint or the chosen account in automatic mode, or the browser's session."""
    approval, hint = visit.ask.world.approval, visit.pending.parameters.get("login_hint", "")
    signed_in = visit.ask.world.sign_ins.sessions.get(visit.ask.cookies.get(COOKIE, ""), "")
    if visit.auto:
        if visit.prompt == "none" and not (hint or signed_in):
            raise _nobody()
        where = tenant or visit.ask.world.tenant(visit.ask.world.keys()[0])
        return hint or approval.account or (first_admin(where)["userPrincipalName"] if where else "")
    usable = signed_in and visit.prompt not in ("login", "select_account") and hint.lower() in ("", signed_in)
    if visit.prompt == "none" and not usable:
        raise _nobody()
    return signed_in if usable else ""


def _nobody() -> EntraError:
    message = (
        "Session information is not sufficient for single-sign-on. A silent sign-in request was sent but no user is "
        "signed in."
    )
    return EntraError("login_required", 50058, message)


def _person(visit: Visit, tenant: TenantState | None, name: str) -> tuple[TenantState, Json]:
    """The named user in his tenant; a user of another tenant is AADSTS50020."""
    home = visit.ask.world.tenant(name.rpartition("@")[2]) if "@" in name else None
    found = tenant or home
    if found is None:
        raise EntraError("invalid_grant", 50034, "The user account {EmailHidden} does not exist in any directory.")
    user = person(found, name)
    if user is None and home is not None and home is not found:
        message = (
            f"User account '{{EmailHidden}}' from identity provider 'https://sts.windows.net/{home.id}/' does not "
            f"exist in tenant '{found.name}' and cannot access the application '{visit.app.id}'({visit.app.name}) in "
            "that tenant. The account needs to be added as an external user in the tenant first. Sign out and sign in "
            "again with a different Azure Active Directory user account."
        )
        raise EntraError("access_denied", 50020, message)
    return found, check_user(found, user["id"] if user else "")


def _check_assignment(app: App, tenant: TenantState, user: Json) -> None:
    """Refuse a disabled app, and a user who is not assigned to an app that demands it (AADSTS50105)."""
    check_enabled(app, tenant.service_principals.values())
    client = service_principal(tenant, app.id)
    if client is None or not client["appRoleAssignmentRequired"]:
        return
    rows = tenant.app_role_assignments.values()
    if not any(row["principalId"] == user["id"] and row["resourceId"] == client["id"] for row in rows):
        message = (
            f"Your administrator has configured the application {app.name} ('{app.id}') to block users unless they "
            "are specifically granted ('assigned') access to the application."
        )
        raise EntraError("interaction_required", 50105, message)


def consent(visit: Visit, tenant: TenantState, user: Json, wanted: Wanted) -> None:
    """Make sure that the app is consented; raises Page to ask, EntraError when it is refused or impossible."""
    missing = missing_scopes(tenant, visit.app, wanted, user["id"])
    if not missing and (visit.prompt != "consent" or visit.auto or visit.pending.answer == "accept"):
        return
    if visit.prompt == "none":
        error = refuse_missing_consent(visit.app)
        error.error = "interaction_required"
        raise error
    admin = may_consent_for_all(tenant, user["id"], "delegated")
    if not admin and not all(user_may_consent(tenant, wanted.resource, name) for name in missing):
        raise _admin_needed(visit, tenant, user)
    answer = visit.ask.world.approval.answer if visit.auto else visit.pending.answer
    if not answer:
        listed = pages.permissions(wanted.resource, missing or list(wanted.names), [])
        args = (visit.ask, visit.app, visit.keep(), tenant, user, listed)
        raise Page(pages.consent(*args, offer_all=admin))
    if answer != "accept":
        raise EntraError("access_denied", 65004, "User declined to consent to access the app.")
    scopes = [*wanted.openid, *(name for name in missing if name not in wanted.openid)]
    everybody = admin and visit.pending.on_behalf
    permissions = {wanted.resource.app_id: {"scopes": scopes}}
    record_consent(tenant, visit.app, permissions, when=visit.ask.world.now(), user=user, for_all=everybody)


def _admin_needed(visit: Visit, tenant: TenantState, user: Json) -> Exception:
    """AADSTS90094, or 90095 where the tenant lets people file a request; a page where somebody looks."""
    code = 90095 if tenant.policies["adminConsentRequestPolicy"]["isEnabled"] else 90094
    if visit.auto:
        message = (
            f"{visit.app.name} needs permission to access resources in your organization that only an admin can "
            "grant. Please ask an admin to grant permission to this app before you can use it."
        )
        return EntraError("access_denied", code, message)
    return Page(pages.approval_needed(visit.ask, visit.app, visit.keep(), user, code))


def note_sign_in(visit: Visit, tenant: TenantState, user: Json, client_app: str) -> None:
    """Write the sign-in into the tenant's log."""
    client = service_principal(tenant, visit.app.id)
    record = user_sign_in(tenant, client, user, visit.ask.world.now(), client_app)
    tenant.sign_ins.append(record | {"appId": visit.app.id, "appDisplayName": visit.app.name})
