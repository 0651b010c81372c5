"""Leftovers of Exchange Web Services (EWS), which end in Exchange Online on a day that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from runbook_lib import vendors
from runbook_lib.checks import Rows, check
from runbook_lib.clients import exchange
from runbook_lib.model import NOT_ASKED, Json, Raw, Status, Tenant

PAGE = "https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/deprecation-of-ews-exchange-online"
ACCESS = (
    "https://learn.microsoft.com/exchange/client-developer/exchange-web-services/"
    "how-to-control-access-to-ews-in-exchange"
)
ROLES = "https://admin.exchange.microsoft.com/#/adminRoles"
USERS = "https://entra.microsoft.com/#view/Microsoft_AAD_UsersAndTenants/UserManagementMenuBlade/~/AllUsers"
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What of EWS is still there: the organization's switches, the impersonation role, the named old accounts."""

    raw: Raw
    today: date
    accounts: tuple[str, ...]
    organization: Json

    @property
    def ends(self) -> date:
        """Return the day on which EWS ends for everybody."""
        day: date = vendors.facts()["exchange"]["ews_ends"]
        return day


def parse(raw: Raw, tenant: Tenant) -> Leftovers:
    """Name what the look `exchange` holds about EWS."""
    raw = {**raw, **exchange.sections(raw.get("exchange", NOT_ASKED))}
    today = max(look.asked_at for look in raw.values()).date()
    return Leftovers(raw, today, tenant.ews_accounts, next(iter(raw["exchange organization"].rows), {}))


@check(
    "ews-off",
    "EWS is switched off before Microsoft ends it",
    looks=("exchange organization",),
    remedy="Change nothing before step 7 proved the booking over Graph. Then move who else uses EWS (see the usage "
    "reports) and write the list anew without Cronofy, all others kept: each write replaces it, within 24 hours.",
    link=PAGE,
)
def ews_off(facts: Leftovers) -> Rows:
    """Read EwsEnabled and its list of applications: on lets those in, off nobody, unset is Microsoft's to set.

    Since October 2026 an empty list lets nobody in; the mailbox has a switch of its own besides.
    https://learn.microsoft.com/powershell/module/exchangepowershell/set-organizationconfig (2026-08-21);
    https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/deprecation-of-ews-exchange-online
    """
    left = (facts.ends - facts.today).days
    until = f"it ends on {facts.ends}, in {left} days" if left > 0 else f"it ended on {facts.ends}"
    enabled = facts.organization.get("EwsEnabled", "not answered")
    if left <= 0:
        yield "EwsEnabled", Status.PASS, until
    elif str(enabled).lower() == "false":
        yield "EwsEnabled", Status.PASS, "off for the whole organization: SpaceIQ has no way over EWS either"
    elif enabled is None:
        yield "EwsEnabled", Status.PENDING, f"not decided: Microsoft switches it off any day; {until}"
    elif str(enabled).lower() != "true":
        yield "EwsEnabled", Status.UNKNOWN, f"Exchange says {enabled}"
    else:
        yield "EwsEnabled", *_listed(facts.organization, until)


def _listed(organization: Json, until: str) -> tuple[Status, str]:
    """Say whom EWS lets in while it is on; what SpaceIQ may still stand on is no fault before the move is proved."""
    if "EwsAllowedAppIDs" not in organization:
        return Status.UNKNOWN, f"on; which applications it lets in was not answered; {until}"
    apps = set(GUID.findall(str(organization["EwsAllowedAppIDs"] or "").lower()))
    known = {app.lower(): name for app, name in vendors.facts()["cronofy"]["apps"].items()}
    cronofy = sorted(known[app] for app in apps if app in known)
    if not apps:
        return Status.FAIL, f"on, with an empty list: that lets nobody in since October 2026; {until}"
    if cronofy:
        others = len(apps) - len(cronofy)
        return (
            Status.PENDING,
            f"on, for {', '.join(cronofy)}, which need it until the move, and {others} others; {until}",
        )
    return Status.PENDING, f"on, for {len(apps)} listed applications, Cronofy's not among them; {until}"


@check(
    "ews-rules-spare-graph",
    "No rule about EWS programs stands in Graph's way",
    looks=("exchange organization",),
    remedy="Ask Cronofy which user agent it sends and let it in; or clear EwsApplicationAccessPolicy.",
    link=ACCESS,
)
def ews_rules_spare_graph(facts: Leftovers) -> Rows:
    """Lists by user agent bind REST and Graph as well; which user agent Cronofy sends is not documented."""
    rule = facts.organization.get("EwsApplicationAccessPolicy", "not answered")
    if rule in (None, "", "null"):
        yield "EwsApplicationAccessPolicy", Status.PASS, "no list of programs is enforced"
        return
    name = {"EnforceAllowList": "EwsAllowList", "EnforceBlockList": "EwsBlockList"}.get(str(rule), "")
    listed = f"; {name}: {facts.organization.get(name)}" if name else ""
    yield "EwsApplicationAccessPolicy", Status.UNKNOWN, f"{rule}{listed}: it may hold for Cronofy's Graph traffic too"


@check(
    "no-impersonation",
    "Nobody may impersonate mailboxes over EWS any more",
    looks=("exchange impersonation", "exchange impersonators"),
    remedy="Remove the assignment in the Exchange admin center under Roles, once nothing uses the account.",
    link=ROLES,
)
def no_impersonation(facts: Leftovers) -> Rows:
    """ApplicationImpersonation was taken out of Exchange Online in 2025; an assignment that is left is a find."""
    found = [
        one for one in facts.raw["exchange impersonators"].rows if str(one.get("Enabled", True)).lower() != "false"
    ]
    for one in found:
        who = one.get("EffectiveUserName") or one.get("RoleAssigneeName")
        saw = f"ApplicationImpersonation by way of {one.get('RoleAssigneeName')} ({one.get('RoleAssigneeType')})"
        yield str(who), Status.FAIL, saw
    for one in facts.raw["exchange impersonation"].rows:
        if one["role_exists"] and not found:
            yield "ApplicationImpersonation", Status.PASS, "the role is there, and nobody holds it"
        elif not one["role_exists"] and one["roles_seen"]:
            yield "ApplicationImpersonation", Status.PASS, "the role is gone"
        elif not one["role_exists"]:
            yield "ApplicationImpersonation", Status.UNKNOWN, "Exchange showed no roles at all"


@check(
    "ews-accounts-retired",
    "The service accounts of the old EWS integration are switched off",
    looks=("exchange accounts",),
    remedy="Block its sign-in in the Entra admin center once SpaceIQ works over Graph, then take its licence away.",
    link=USERS,
)
def ews_accounts_retired(facts: Leftovers) -> Rows:
    """Look at the accounts that the tenant file names; whether there are others nobody can tell from here."""
    rows = {row["account"].lower(): row for row in facts.raw["exchange accounts"].rows}
    for account in facts.accounts:
        row = rows.get(account.lower(), {"error": "the answer does not speak of it; run the script again"})
        disabled = str(row.get("AccountDisabled")).lower()
        if row.get("error"):
            yield account, Status.UNKNOWN, str(row["error"])
        elif not row["found"]:
            yield account, Status.PASS, "there is no such account any more"
        elif disabled == "true":
            yield account, Status.PASS, "its sign-in is blocked"
        elif disabled == "false":
            switch = {"true": ", and EWS is on for its mailbox"}.get(str(row.get("EwsEnabled")).lower(), "")
            yield account, Status.FAIL, f"it can still sign in{switch}"
        else:
            yield account, Status.UNKNOWN, "Exchange does not say whether its sign-in is blocked"
    if not facts.accounts:
        yield "ews_accounts", Status.NOT_APPLICABLE, "the tenant file names none"
