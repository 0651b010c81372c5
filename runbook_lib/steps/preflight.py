"""Preflight: is everything ready for tonight, and what is there before the change?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runbook_lib import forms, vendors
from runbook_lib.checks import Facts, Rows, check
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.forms import Reading
from runbook_lib.model import NOT_ASKED, Raw, Status, Tenant
from runbook_lib.steps import connect, credentials, ews
from runbook_lib.steps.access import grants, limit
from runbook_lib.steps.sync import matching
from runbook_lib.steps.sync.matching import Space

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = (*connect.CALLS, *credentials.CALLS, *grants.CALLS, *limit.CALLS, "cronofy_apps", "licences", "consent_policy")
APPS_PAGE = "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/StartboardApplicationsMenuBlade/~/AppAppsPreview"
ANYBODY = "ManagePermissionGrantsForSelf.microsoft-user-default-legacy"
"""The policy under which every user may consent to any application for himself:
https://learn.microsoft.com/entra/identity/enterprise-apps/manage-app-consent-policies (2026-01-22)"""
SELF = "ManagePermissionGrantsForSelf."
JUDGED_POLICIES = {
    "microsoft-user-default-low": "only permissions that the tenant calls low, of verified publishers",
    "microsoft-user-default-recommended": "as Microsoft recommends at the time",
}
"""Microsoft's own policies that leave users something, and what: the same page."""
ENABLED = ("enabled", "warning")
"""States of a subscription in which its plans can be used; Suspended, LockedOut and Deleted cannot:
https://learn.microsoft.com/graph/api/resources/subscribedsku (read 2026-12-01)"""
PREMIUM_PLANS = ("AAD_PREMIUM", "AAD_PREMIUM_P2")
"""Service plans of Entra ID P1 and P2:
https://learn.microsoft.com/entra/identity/users/licensing-service-plan-reference (read 2026-11-22)"""


@dataclass(frozen=True, slots=True)
class Plan:
    """One service plan of a subscription."""

    __pydantic_config__ = forms.GRAPH
    service_plan_name: forms.Text
    provisioning_status: str | None = None


@dataclass(frozen=True, slots=True)
class Sku:
    """One subscription of the tenant: https://learn.microsoft.com/graph/api/resources/subscribedsku."""

    __pydantic_config__ = forms.GRAPH
    service_plans: tuple[Plan, ...]
    capability_status: str | None = None

    @property
    def premium(self) -> tuple[str, ...]:
        """Return the plans of Entra ID P1 and P2 in it that are not switched off."""
        plans = [one for one in self.service_plans if (one.provisioning_status or "").lower() != "disabled"]
        return tuple(name for one in plans if (name := one.service_plan_name.upper()) in PREMIUM_PLANS)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What users may do by default."""

    __pydantic_config__ = forms.GRAPH
    permission_grant_policies_assigned: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsentPolicy:
    """The tenant's authorization policy."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    default_user_role_permissions: Defaults

    @property
    def assigned(self) -> tuple[str, ...]:
        """Return the policies under which users may consent."""
        return self.default_user_role_permissions.permission_grant_policies_assigned


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who published an application, as Microsoft verified it."""

    __pydantic_config__ = forms.GRAPH
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class CronofyApp:
    """An enterprise application that calls itself Cronofy."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    display_name: forms.Text
    app_id: forms.Text
    account_enabled: bool
    app_owner_organization_id: str | None = None
    verified_publisher: Publisher | None = None
    app_role_assignment_required: bool | None = None


@dataclass(frozen=True, slots=True)
class UserConsent:
    """A delegated grant of such an application: for one user, or for everybody."""

    __pydantic_config__ = forms.GRAPH
    scope: str
    principal_id: str | None


@dataclass(frozen=True, slots=True)
class App:
    """One enterprise application that calls itself Cronofy; `users` of the tenant consented to it for themselves."""

    name: str
    app_id: str
    documented_as: str
    enabled: bool
    owner: str
    publisher: str
    assignment_required: bool
    users: int | None


@dataclass(frozen=True, slots=True)
class Before:
    """What stands in the tenant before the change."""

    raw: Raw
    apps: tuple[App, ...]
    premium: tuple[str, ...]
    consent_policies: tuple[str, ...]
    rooms: int
    spaces: tuple[Space, ...]
    """SpaceIQ's meeting rooms with their calendars: nobody documents whether the deletion of step 1 keeps them."""


def read(graph: Graph, tenant: Tenant) -> Raw:
    """Ask for everything that steps 2, 4 and 6 rest on, every Cronofy application, licences, policy, and the rooms."""
    parts = [one.read(graph, tenant) for one in (connect, credentials, grants, limit)]
    raw = {name: look for part in parts for name, look in part.items()}
    raw |= {name: graph.look(name) for name in ("cronofy_apps", "licences", "consent_policy")}
    now = datetime.now(UTC)
    raw |= spaceiq.read(tenant, now, now + timedelta(days=1), graph.log)
    others = [row.id for row in forms.rows_of(raw["cronofy_apps"], CronofyApp)]
    return raw | {f"delegated_grants {one}": graph.look("delegated_grants", id=one) for one in others}


def parse(raw: Raw, tenant: Tenant) -> tuple[Facts, ...]:
    """Name what the answers hold, for the checks of steps 2, 4 and 6, for leftovers of EWS, and for our own."""
    answers = forms.reading(raw)
    skus = answers.rows("licences", Sku)
    usable = [sku for sku in skus if sku.capability_status is None or sku.capability_status.lower() in ENABLED]
    policies = answers.rows("consent_policy", ConsentPolicy)
    before = Before(
        answers,
        tuple(_apps(answers, tenant)),
        tuple(sorted({plan for sku in usable for plan in sku.premium})),
        tuple(name for one in policies for name in one.assigned),
        len(raw["rooms"].rows),
        matching.spaces(answers.rows("spaces", matching.Row)),
    )
    others = (one.parse(raw, tenant) for one in (connect, credentials, limit, ews))
    return (*others, before)


def _apps(answers: Reading, tenant: Tenant) -> Iterator[App]:
    documented = {tenant.cronofy_app: "the application of the tenant file", **vendors.facts()["cronofy"]["apps"]}
    for row in answers.rows("cronofy_apps", CronofyApp):
        own = answers.look(f"delegated_grants {row.id}")
        grants_of = answers.rows(f"delegated_grants {row.id}", UserConsent)
        unseen = own.refusal or answers.unreadable.get(f"delegated_grants {row.id}")
        yield App(
            row.display_name,
            row.app_id,
            documented.get(row.app_id.lower(), ""),
            row.account_enabled,
            row.app_owner_organization_id or "",
            (row.verified_publisher and row.verified_publisher.display_name) or "",
            bool(row.app_role_assignment_required),
            None if unseen else len(_own_consents(grants_of)),
        )


def _own_consents(found: Iterable[UserConsent]) -> set[str]:
    """Return the users whose own consent holds more than everybody's: an unticked box in step 5 leaves no such one."""
    scopes: dict[str | None, set[str]] = defaultdict(set)
    for row in found:
        scopes[row.principal_id].update(row.scope.split())
    everybody = scopes.pop(None, set())
    return {user for user, own in scopes.items() if user and own - everybody}


@check(
    "cronofy-apps-known",
    "Every application that calls itself Cronofy is one that Cronofy documents",
    looks=("cronofy_apps",),
    remedy="Find out who added this application before the change; it is not the one this runbook reconnects.",
    link=APPS_PAGE,
)
def cronofy_apps_known(facts: Before) -> Rows:
    """Compare application ids, because a name proves nothing; the same name under two ids is one impostor."""
    names = Counter(app.name for app in facts.apps)
    for app in facts.apps:
        saw = f"application id {app.app_id}, publisher {app.publisher or 'not verified'}"
        if app.documented_as:
            yield app.name, Status.PASS, saw
        else:
            twin = "; another application has the same name" if names[app.name] > 1 else ""
            yield app.name, Status.FAIL, f"{saw}: not one of Cronofy's{twin}"
    if not facts.apps:
        yield "Cronofy", Status.PASS, "no application of this name yet: a first connection"


@check(
    "cronofy-apps-enabled",
    "No Cronofy application is switched off",
    looks=("cronofy_apps",),
    remedy="Ask why it was switched off; the consent of step 5 fails with AADSTS7000112 until it is enabled.",
    link=APPS_PAGE,
)
def cronofy_apps_enabled(facts: Before) -> Rows:
    """Look at every application that Cronofy documents."""
    for app in (app for app in facts.apps if app.documented_as):
        yield app.name, Status.PASS if app.enabled else Status.FAIL, "enabled" if app.enabled else "disabled"
    if not any(app.documented_as for app in facts.apps):
        yield "Cronofy", Status.NOT_APPLICABLE, "none is in the tenant yet"


@check(
    "no-personal-consents",
    "Nobody's own older consent to Cronofy is left over",
    looks=("cronofy_apps", "delegated_grants"),
    optional=("delegated_grants *",),
    remedy="Ask those users whether they still connect their own calendar; if not, remove the consent in Entra.",
    link=APPS_PAGE,
)
def no_personal_consents(facts: Before) -> Rows:
    """Count the users who consented for themselves, for each application."""
    for app in facts.apps:
        if app.users is None:
            yield app.name, Status.UNKNOWN, "who consented could not be read"
        else:
            saw = f"{app.users} user(s) consented for themselves"
            yield app.name, Status.PENDING if app.users else Status.PASS, saw
    if not facts.apps:
        yield "Cronofy", Status.NOT_APPLICABLE, "none is in the tenant yet"


@check(
    "consent-restricted",
    "Not everybody may consent to any application",
    looks=("consent_policy",),
    remedy="Not needed for tonight; but with this setting any user can let an impostor in. Restrict user consent.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ConsentPoliciesMenuBlade/~/UserSettings",
)
def consent_restricted(facts: Before) -> Rows:
    """Look for the old default that let every user consent to everything; what another policy allows nobody looked at.

    Only policies for oneself are about users; others are for groups and chats.
    """
    own = [name for name in facts.consent_policies if name.lower().startswith(SELF.lower())]
    for name in own:
        short = name[len(SELF) :].lower()
        if name.lower() == ANYBODY.lower():
            yield name, Status.PENDING, "every user may consent to any application for himself"
        elif short in JUDGED_POLICIES:
            yield name, Status.PASS, JUDGED_POLICIES[short]
        else:
            yield name, Status.UNKNOWN, "a policy of the tenant's own: what it allows was not looked at"
    if not own:
        yield "user consent", Status.PASS, "users may not consent at all"


@check(
    "log-retention-known",
    "How long the tenant keeps the records of tonight is known",
    looks=("licences",),
    remedy="Check the tenant's licences.",
)
def log_retention_known(facts: Before) -> Rows:
    """Derive the retention of the audit log from the licence."""
    days = vendors.facts()["audit_retention_days"]
    if facts.premium:
        saw = f"{', '.join(facts.premium)}: {days['premium']} days, and sign-in logs can be read"
    else:
        saw = f"Entra ID Free: {days['free']} days, and no sign-in logs; finish steps 5 and 6 within that time"
    yield "audit log", Status.PASS, saw


@check(
    "pairs-noted",
    "SpaceIQ's pairs of space and calendar are noted before the deletion",
    looks=(),
    remedy="Correct what it says; or note the pairs by hand, with screenshots of the floor map.",
    link="https://knowledge.eptura.com/SpaceIQ/Admins/Floor_Map/001Manage_Floor_Map_Spaces/001Floor_Map_Spaces_Overview",
)
def pairs_noted(facts: Before) -> Rows:
    """Count the pairs, if SpaceIQ could be looked at."""
    look = facts.raw.get("spaces", NOT_ASKED)
    if look is NOT_ASKED:
        yield "SpaceIQ", Status.NOT_APPLICABLE, "not looked at: the tenant file names no source; note the pairs by hand"
    elif look.refusal or not look.complete:
        yield "SpaceIQ", Status.UNKNOWN, look.refusal or f"saw only {look.population} spaces"
    else:
        paired = sum(bool(one.email or one.calendar) for one in facts.spaces)
        yield "SpaceIQ", Status.PASS, f"{paired} of {look.population.split()[-1]} spaces have a calendar"


@check(
    "rooms-listed",
    "The rooms can be listed, as the inventory before the change",
    looks=("rooms",),
    remedy="If the tenant has rooms, wait up to 48 hours for the places directory, or check who may read it.",
    link="https://admin.exchange.microsoft.com/#/resources",
)
def rooms_listed(facts: Before) -> Rows:
    """Count the rooms; no visible room is not the same as no room."""
    if facts.rooms:
        yield "rooms", Status.PASS, f"{facts.rooms} rooms before the change"
    else:
        yield "rooms", Status.UNKNOWN, "no room is visible; hidden rooms never are"
