"""Step 6: what Cronofy may do in this tenant, against exactly what is documented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from runbook_lib import forms
from runbook_lib.checks import Rows, check
from runbook_lib.model import Confirmation, Look, Raw, Status, Tenant
from runbook_lib.steps.access import audit_log, grants, limit
from runbook_lib.steps.access.grants import Line
from runbook_lib.steps.access.limit import PORTAL
from runbook_lib.steps.access.reach import CALENDARS, RBAC, Limit

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

NOT_TOLD = "Graph does not say whether it is enabled"
CALLS = (*grants.CALLS, "owners", *audit_log.CALLS, *limit.CALLS, "last_use")


@dataclass(frozen=True, slots=True)
class Access:
    """Cronofy's enterprise application, and the scope truth table."""

    raw: forms.Reading
    app_id: str
    by_rbac: bool
    """Calendars are to be opened by RBAC for Applications, so that Entra's own grant for them has to go."""
    apps: tuple[grants.Principal, ...]
    unseen: tuple[grants.Grant, ...]
    """What is held on resources that were not seen, so that nobody can tell what it is."""
    lines: tuple[Line, ...]


def read(graph: Graph, tenant: Tenant, said: Iterable[Confirmation] = ()) -> Raw:
    """Ask for the grants, who granted them, when Cronofy last signed in, and how far it reaches.

    `said` are the run's own confirmations; one of them may be about the limit.
    """
    raw = grants.read(graph, tenant)
    cronofy = forms.rows_of(raw["service_principal"], grants.Principal)
    missing = Look("owners", raw["service_principal"].asked_at, refusal=raw["service_principal"].refusal)
    owners = graph.look("owners", id=cronofy[0].id) if cronofy else missing
    audit = audit_log.read(graph, raw["service_principal"].asked_at)
    last_use = graph.look("last_use", app=tenant.cronofy_app)
    return {**raw, "owners": owners, "consent_audit": audit, "last_use": last_use, **limit.read(graph, tenant, said)}


def parse(raw: Raw, tenant: Tenant) -> tuple[Access, Limit]:
    """Name what the answers hold: what Cronofy may do, and where."""
    by_rbac = tenant.access_limit.mode == RBAC
    answers = forms.reading(raw)
    apps = answers.rows("service_principal", grants.Principal)
    unseen = tuple(one for one in grants.held(answers) if one.on_graph is None)
    found = Access(answers, tenant.cronofy_app, by_rbac, apps, unseen, grants.lines(answers))
    return found, limit.parse(raw, tenant)


@dataclass(frozen=True, slots=True)
class Activity:
    """When an application signed in last."""

    __pydantic_config__: ClassVar[Any] = {"alias_generator": {"at": "lastSignInDateTime"}.get}
    at: forms.Moment | None = None


@dataclass(frozen=True, slots=True)
class LastUse:
    """A row of the report about service principals' sign-ins."""

    __pydantic_config__ = forms.GRAPH
    last_sign_in_activity: Activity | None = None


@check(
    "cronofy-present",
    "Cronofy's enterprise application is in the tenant and enabled",
    looks=("service_principal",),
    remedy="Repeat steps 3 to 5; if the application is disabled, enable it in the Entra admin center.",
    link=PORTAL,
)
def cronofy_present(facts: Access) -> Rows:
    """Look at the service principal itself; before the consent of step 5 there is none."""
    if not facts.apps and not facts.raw.unreadable.get("service_principal"):
        yield facts.app_id, Status.PENDING, "not in the tenant yet: it comes with the consent of step 5"
    words = {True: (Status.PASS, "enabled"), False: (Status.FAIL, "disabled"), None: (Status.UNKNOWN, NOT_TOLD)}
    for app in facts.apps:
        yield app.display_name or facts.app_id, *words[app.account_enabled]


@check(
    "application-permissions-granted",
    "Every documented application permission is granted",
    looks=("service_principal", "app_role_assignments"),
    optional=("resource *",),
    remedy="Repeat steps 3 to 5 and accept both consent screens.",
    link=PORTAL,
)
def application_permissions_granted(facts: Access) -> Rows:
    """Compare the application roles with the documented set."""
    for line in facts.lines:
        if facts.by_rbac and line.name == CALENDARS and line.granted == "no":
            yield (
                line.name,
                Status.NOT_APPLICABLE,
                "not granted in Entra, because RBAC for Applications opens calendars",
            )
        elif line.required and line.kind == "application":
            yield line.name, *_granted(line, facts)


@check(
    "delegated-permissions-granted",
    "Every documented delegated permission is granted for the whole tenant",
    looks=("service_principal", "delegated_grants"),
    optional=("resource *",),
    remedy="Repeat steps 3 to 5 and accept both consent screens.",
    link=PORTAL,
)
def delegated_permissions_granted(facts: Access) -> Rows:
    """Compare the delegated grants with the documented set."""
    for line in facts.lines:
        if line.required and line.kind == "delegated":
            yield line.name, *_granted(line, facts)


def _granted(line: Line, facts: Access) -> tuple[Status, str]:
    """Say whether a documented permission is granted; where Cronofy was never consented to, it is not wrong yet."""
    if line.status is Status.FAIL and not facts.apps:
        return Status.PENDING, "not granted yet: it comes with the consent of step 5"
    return line.status, f"granted: {line.granted}"


@check(
    "no-extra-permissions",
    "Cronofy holds nothing beyond what is documented",
    looks=("service_principal", "app_role_assignments", "delegated_grants"),
    optional=("resource *",),
    remedy="Ask Cronofy why it holds this; if nobody can say, remove it in the Entra admin center under Permissions.",
    link=PORTAL,
)
def no_extra_permissions(facts: Access) -> Rows:
    """List everything that no document asks for, on every resource; scopes of OpenID Connect open no data."""
    extras = [line for line in facts.lines if line.extra]
    for line in extras:
        more = ", which opens no data" if line.status is Status.NOT_APPLICABLE else ""
        yield line.subject, line.status, f"granted on {line.resource}: {line.granted}{more}"
    for grant in facts.unseen:
        if grant.subject not in {line.subject for line in extras}:
            saw = f"its resource {grant.resource_id} was not seen, so nobody can tell what it is"
            yield grant.subject, Status.UNKNOWN, saw
    if not facts.unseen and all(line.status is Status.NOT_APPLICABLE for line in extras):
        yield "all grants", Status.PASS, "nothing extra"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns Cronofy's service principal, and so may add a key to it."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    display_name: str | None = None
    user_principal_name: str | None = None


@check(
    "no-own-keys",
    "Nobody of the tenant holds a key to Cronofy's application, or may add one",
    looks=("service_principal", "owners"),
    optional=("consent_audit",),
    remedy="Ask who added it and why, then remove it under Enterprise applications: a key opens every calendar.",
    link=PORTAL,
)
def no_own_keys(facts: Access) -> Rows:
    """A secret on the tenant's copy of the application opens all that was consented to; owners may add one.

    https://learn.microsoft.com/graph/api/serviceprincipal-addpassword (read 2026-12-01). Cronofy's own keys are in its
    home tenant and not among these.
    """
    owners = facts.raw.rows("owners", Owner)
    for app in facts.apps:
        if app.key_credentials is None or app.password_credentials is None:
            yield "keys", Status.UNKNOWN, "Graph did not show which keys the application has"
        for kind, keys in (("certificate", app.key_credentials), ("secret", app.password_credentials)):
            for key in keys or ():
                told = audit_log.keys_added(facts.raw, app.id)
                yield f"{kind} {key.key_id or key}", Status.FAIL, f"{kind} {key}; {told}"
    for owner in owners:
        saw = "an owner, who may add a key at any time"
        yield f"owner {owner.user_principal_name or owner.display_name or owner.id}", Status.FAIL, saw
    if not facts.apps:
        yield "keys", Status.NOT_APPLICABLE, "the application is not in the tenant yet"
    elif not owners and all(app.key_credentials == app.password_credentials == () for app in facts.apps):
        yield "keys", Status.PASS, "no key was added to it, and nobody owns it"


@check(
    "cronofy-in-use",
    "Cronofy has signed in since it was granted access",
    looks=("service_principal", "app_role_assignments", "last_use"),
    optional=("resource *",),
    remedy="Wait for the first sync; if there is still no sign-in a day after the consent, repeat steps 3 to 5.",
    link=PORTAL,
)
def cronofy_in_use(facts: Access) -> Rows:
    """Compare the last sign-in of the service principal with the newest required grant."""
    since = max((line.since for line in facts.lines if line.required and line.since), default=None)
    rows = facts.raw.rows("last_use", LastUse)
    last = max((at for row in rows if (at := row.last_sign_in_activity and row.last_sign_in_activity.at)), default=None)
    if since is None:
        yield facts.app_id, Status.NOT_APPLICABLE, "nothing is granted to it"
    elif last and last >= since:
        yield facts.app_id, Status.PASS, f"last signed in on {last:%Y-%m-%d %H:%M} UTC"
    else:
        saw = f"last signed in on {last:%Y-%m-%d %H:%M} UTC, before the grant" if last else "no sign-in on record"
        yield facts.app_id, Status.PENDING, saw
