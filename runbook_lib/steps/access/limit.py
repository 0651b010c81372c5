"""Step 6, the limit: may Cronofy reach the rooms, and nobody else?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import vendors
from runbook_lib.checks import Rows, check
from runbook_lib.clients import exchange
from runbook_lib.model import Confirmation, Look, Raw, Status, Tenant
from runbook_lib.steps.access.group import GROUPS
from runbook_lib.steps.access.reach import CALENDARS, NONE, POLICY, RBAC, UNLIMITED, Limit, Role, blast_radius, parse

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

__all__ = ["CALLS", "blast_radius", "parse", "read", "write_scripts"]

CALLS = ("rooms",)
MINUTE = "%Y-%m-%d %H:%M UTC"
NO_VERDICT = (Status.UNKNOWN, "Exchange gave no verdict on it")
PORTAL = "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/StartboardApplicationsMenuBlade/~/AppAppsPreview"
POLICY_PAGE = "https://learn.microsoft.com/exchange/permissions-exo/application-access-policies"


def read(graph: Graph, tenant: Tenant, said: Iterable[Confirmation] = ()) -> Raw:
    """Ask Graph for the rooms, take Exchange's answer from its file, and note who confirmed the limit and when.

    `said` are the run's own confirmations, beside those of the tenant file. `parse` wants `grants.read` as well.
    """
    words = [one for one in (*said, *tenant.confirmations.values()) if one.key == "access-limited" and one.confirmed]
    rows = tuple({"by": one.by, "at": one.at.isoformat()} for one in words if one.at)
    rooms = graph.look("rooms")
    return {"rooms": rooms, **exchange.read(tenant), "limit_confirmed": Look("access-limited", rooms.asked_at, rows)}


def write_scripts(raw: Raw, tenant: Tenant, folder: Path) -> list[str]:
    """Write the tenant's PowerShell scripts into `folder` and return their names; raise UsageError, ArchiveError.

    `raw` holds the rooms and Cronofy's service principal, as far as they are known yet.
    """
    rooms = [row["emailAddress"] for row in raw["rooms"].rows if row.get("emailAddress")]
    app = next(iter(raw["service_principal"].rows), {})
    return [path.name for path in exchange.save(tenant, folder, rooms, app.get("id", ""))]


@check(
    "limit-decided",
    "How far Cronofy may reach was decided and recorded",
    looks=(),
    remedy="Fill in access_limit in the tenant file: the mode, or for mode none the reason and who approved it.",
    link=POLICY_PAGE,
)
def limit_decided(facts: Limit) -> Rows:
    """Read the decision; Microsoft calls the policy legacy, Cronofy recommends it: both texts of 2026."""
    decided = facts.decided
    if decided.mode == POLICY:
        yield "access_limit", Status.PASS, "application access policy: Cronofy recommends it, Microsoft calls it legacy"
    elif decided.mode == RBAC and decided.cronofy_confirmed_rbac:
        yield "access_limit", Status.PASS, "RBAC for Applications, which Cronofy confirmed"
    elif decided.mode == RBAC:
        yield "access_limit", Status.PENDING, "RBAC for Applications, but nobody recorded that Cronofy supports it"
    elif decided.mode == NONE and decided.reason and decided.approved_by:
        saw = f"no limit: {decided.reason}; approved by {decided.approved_by}"
        yield "access_limit", Status.ACCEPTED, saw
    else:
        yield "access_limit", Status.FAIL, "no limit, without reason and approver" if decided.mode else "not decided"


@check(
    "policy-restricts",
    "A policy restricts Cronofy to the limiting group",
    looks=("exchange policies", "exchange group"),
    remedy="Run the exchange-limit script; remove policies that do something else with Remove-ApplicationAccessPolicy.",
    link=POLICY_PAGE,
)
def policy_restricts(facts: Limit) -> Rows:
    """Judge every policy of the application: a restriction to the group of the tenant file, and nothing beside it."""
    if facts.decided.mode != POLICY:
        yield "policy", Status.NOT_APPLICABLE, UNLIMITED if facts.decided.mode == NONE else "the limit is not a policy"
        return
    restricted = any(one.right == "RestrictAccess" and one.valid for one in facts.own_policies)
    for one in facts.own_policies:
        if not one.valid:
            yield one.group, Status.FAIL, "the policy is not valid, for instance because its group was deleted"
        elif one.right == "DenyAccess":
            rest = "denial beats restriction for its members" if restricted else "everybody outside the group is open"
            yield one.group, Status.FAIL, f"the policy denies this group: {rest}"
        elif one.right != "RestrictAccess":
            yield one.group, Status.UNKNOWN, f"the policy has an access right that nobody documents: {one.right}"
        elif not facts.group_id or not one.group_id:
            whose = "Exchange shows no id of the tenant file's group" if one.group_id else "the policy shows no group"
            yield one.group, Status.UNKNOWN, f"{whose}, so nobody can tell whether it is that one"
        elif one.group_id != facts.group_id:
            yield one.group, Status.FAIL, "the policy opens this group, which is not the tenant file's"
        else:
            yield one.group, Status.PASS, "restricted to the members of this group"
    if not facts.own_policies:
        names = {app.lower(): name for app, name in vendors.facts()["cronofy"]["apps"].items()}
        wrong = sorted({names.get(one.app_id, one.app_id) for one in facts.policies})
        yield "policy", Status.FAIL, "none for this application" + (f", only for {', '.join(wrong)}" if wrong else "")


@check(
    "rooms-inside",
    "Cronofy reaches every room",
    looks=("rooms", "exchange tests", "exchange authorizations"),
    remedy="Add the room to the limiting group, or take it off the rooms for SpaceIQ; then run exchange-read again.",
    link=GROUPS,
)
def rooms_inside(facts: Limit) -> Rows:
    """Name the rooms whose calendar Cronofy would be refused (HTTP 403)."""
    yield from _reached(facts, facts.rooms)


@check(
    "pilots-inside",
    "Cronofy reaches the people it is meant to reach",
    looks=("exchange tests", "exchange authorizations"),
    remedy="Add the mailbox to the limiting group, or take it off access_limit.pilots; then run exchange-read again.",
    link=GROUPS,
)
def pilots_inside(facts: Limit) -> Rows:
    """Most limits are for rooms alone; pilots are the people named besides."""
    yield from _reached(facts, facts.decided.pilots)
    if not facts.decided.pilots:
        yield "pilots", Status.NOT_APPLICABLE, "the tenant file names nobody whose calendar is to be reached"


def _reached(facts: Limit, mailboxes: Iterable[str]) -> Rows:
    refused = (Status.FAIL, "outside the limit: Graph will refuse Cronofy (403)")
    words = {True: (Status.PASS, "inside"), False: refused, None: NO_VERDICT}
    for mailbox in mailboxes:
        yield mailbox, *words[facts.reaches(mailbox.lower())]


@check(
    "outsiders-refused",
    "Cronofy is refused where it has no business",
    looks=("exchange tests", "exchange authorizations"),
    remedy="See which policy or role lets it in (policy-restricts, no-wider-grant), then run exchange-read again.",
    link=POLICY_PAGE,
)
def outsiders_refused(facts: Limit) -> Rows:
    """A limit is proved by somebody whom it keeps out."""
    if facts.decided.mode == NONE:
        yield "outsiders", Status.NOT_APPLICABLE, UNLIMITED
        return
    words = {True: (Status.FAIL, "Cronofy can open this mailbox"), False: (Status.PASS, "refused"), None: NO_VERDICT}
    for mailbox in facts.decided.outsiders:
        yield mailbox, *words[facts.reaches(mailbox.lower())]
    if not facts.decided.outsiders:
        yield "outsiders", Status.PENDING, "the tenant file names nobody to test with (access_limit.outsiders)"


@check(
    "no-wider-grant",
    "Nothing beside the limit opens more",
    looks=("service_principal", "app_role_assignments", "exchange authorizations"),
    optional=("resource *",),
    remedy="With RBAC, remove Calendars.ReadWrite in Entra once Cronofy agrees; with a policy, remove the RBAC role.",
    link=PORTAL,
)
def no_wider_grant(facts: Limit) -> Rows:
    """Grants of Entra and roles of RBAC add up, and a policy binds only the former; each role is judged as a grant."""
    if facts.decided.mode == RBAC and facts.calendars.granted == "yes":
        saw = "still granted in Entra for every mailbox: the RBAC scope has no effect"
        yield f"{CALENDARS} (Entra)", Status.FAIL, saw
    for role in facts.roles:
        yield f"{role.name} (RBAC, {role.scope or 'no scope'})", *_judged(role, facts.decided.mode)
    if facts.decided.mode == RBAC and not any(role.wanted for role in facts.roles):
        yield "RBAC", Status.FAIL, "no role gives Cronofy calendars"
    elif facts.decided.mode not in (POLICY, RBAC):
        yield CALENDARS, Status.NOT_APPLICABLE, UNLIMITED
    elif not facts.roles:
        yield "RBAC", Status.PASS, "no role of Exchange is assigned to Cronofy"


def _judged(role: Role, mode: str) -> tuple[Status, str]:
    """Judge one role of Exchange: only the documented one, scoped, and only where RBAC was decided on."""
    if not role.wanted:
        return Status.FAIL, f"nobody documents this role; it opens {role.scope or 'every mailbox'}"
    if mode == NONE:
        return Status.NOT_APPLICABLE, UNLIMITED
    if role.whole:
        return Status.FAIL, "not scoped: it opens every mailbox, whatever a policy says"
    if mode == RBAC:
        return Status.PASS, f"scoped to {role.scope}"
    return Status.FAIL, f"opens {role.scope} besides the policy, which does not bind it"


def _standing_since(facts: Limit) -> tuple[datetime, str]:
    """Return since when the limit stands at the latest, and who says so.

    Role assignments carry a date, policies none: then it is a person's word, or the first answer that shows it.
    """
    own = [row for row in facts.assignments if facts.decided.mode == RBAC and row.of_app.lower() == facts.app_id]
    stamps = [at for row in own if (at := row.when_changed or row.when_created)]
    if stamps:
        return max(stamps), "the role assignment's date"
    seen = [(facts.raw["exchange"].asked_at, "the Exchange answer")]
    if facts.confirmed:
        at, who = facts.confirmed
        seen.append((at, f"the word of {who}"))
    return min(seen)


def _in_place(facts: Limit) -> bool:
    return any(role.wanted for role in facts.roles) if facts.decided.mode == RBAC else bool(facts.own_policies)


@check(
    "limit-took-effect",
    "The limit has had time to take effect",
    looks=("exchange policies", "exchange assignments", "exchange authorizations"),
    remedy="Wait until then: the test already shows what Graph will do only later. Run step 6 again.",
    link=POLICY_PAGE,
)
def limit_took_effect(facts: Limit) -> Rows:
    """Tests bypass a cache that Graph obeys for up to two hours."""
    if facts.decided.mode not in (POLICY, RBAC) or not _in_place(facts):
        yield "limit", Status.NOT_APPLICABLE, UNLIMITED if facts.decided.mode == NONE else "no limit is in place"
        return
    since, source = _standing_since(facts)
    until = since + timedelta(hours=vendors.facts()["budgets_hours"]["access limit"])
    stands = f"in place by {since:{MINUTE}} ({source})"
    if facts.now < until:
        yield "limit", Status.PENDING, f"{stands}; works at the latest at {until:{MINUTE}}"
    else:
        yield "limit", Status.PASS, stands


@check(
    "limit-before-consent",
    "The limit stood before the consent",
    looks=("service_principal", "app_role_assignments", "exchange policies"),
    optional=("resource *",),
    remedy="Between consent and limit every calendar was open: ask Cronofy which accounts it synchronised.",
    link="https://docs.cronofy.com/calendar-admins/faqs/ews-migration",
)
def limit_before_consent(facts: Limit) -> Rows:
    """Compare the grant's date with the earliest proof of the policy, and with its group's date: none can be older.

    RBAC cannot be set up before the consent.
    """
    consented = facts.calendars.since
    if facts.decided.mode != POLICY or not facts.own_policies:
        yield "limit", Status.NOT_APPLICABLE, "no policy to compare with the consent"
        return
    if consented is None:
        yield "limit", Status.NOT_APPLICABLE, f"no consent to {CALENDARS} yet"
        return
    since, source = _standing_since(facts)
    made = facts.group and facts.group.when_created
    if since <= consented:
        saw = f"in place by {since:{MINUTE}} ({source}), consent {consented:{MINUTE}}"
        yield "limit", Status.PASS, saw
    elif made and made > consented:
        saw = f"consent {consented:{MINUTE}}, but even its group was made only {made:{MINUTE}}"
        yield "limit", Status.FAIL, saw
    else:
        saw = f"consent {consented:{MINUTE}}; nothing shows the policy before {since:{MINUTE}} ({source})"
        yield "limit", Status.UNKNOWN, saw
