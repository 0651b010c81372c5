"""Consent: what accepting a permission request leaves behind in a tenant. Scenarios and the live pages share it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import resources, shape
from runbook_lib.sandbox.world.grants import may_consent_for_all, service_principal
from runbook_lib.sandbox.world.logs import audit_records
from runbook_lib.sandbox.world.logs.audit_records import Actor
from runbook_lib.sandbox.world.state import App, Json, TenantState
from runbook_lib.sandbox.world.times import graph_time

Permissions = Mapping[str, Mapping[str, Iterable[str]]]  # resource app id -> {"roles": [...], "scopes": [...]}


@dataclass
class _Consent:
    """One consent on its way: where, who and when, and the delegated grants as they were and as they are."""

    tenant: TenantState
    actor: Actor
    before: list[Json] = field(default_factory=list)
    after: list[Json] = field(default_factory=list)

    def log(self, record: Json) -> None:
        """Put a record before the others: the log is newest first."""
        self.tenant.directory_audits.insert(0, record)

    def keep(self, rows: dict[str, Json], row: Json) -> None:
        """Add a new object, which reads see once it has replicated (mode `replication_seconds`)."""
        seconds = self.tenant.modes.get("replication_seconds", 0)
        if seconds:
            row["_visible_at"] = (self.actor.when + timedelta(seconds=seconds)).isoformat()
        rows[row["id"]] = row


def record_consent(
    tenant: TenantState,
    app: App,
    permissions: Permissions,
    *,
    when: datetime,
    user: Json | None = None,
    by_app: Json | None = None,
    for_all: bool = True,
) -> Json:
    """Grant permissions to an app and write the audit log; answers the app's service principal.

    Delegated scopes go to everybody, or to the user alone when `for_all` is false. `by_app` is the service principal
    that acted instead of a person: a grant by program, which writes no "Consent to application".
    """
    correlation = ids.object_id(tenant.id, "consent", app.id, str(len(tenant.directory_audits)))
    consent = _Consent(tenant, Actor(when, user, by_app, correlation))
    client = _service_principal(consent, app)
    for app_id, wanted in permissions.items():
        resource = tenant.service_principals[ids.object_id(tenant.id, app_id)]
        principal = None if for_all or user is None else user["id"]
        _grant_scopes(consent, client, resource, wanted.get("scopes", ()), principal)
        _grant_roles(consent, client, resource, wanted.get("roles", ()))
    if user is not None:
        admin = may_consent_for_all(tenant, user["id"], "delegated")
        grants = (consent.after, consent.before)
        consent.log(audit_records.consented(consent.actor, client, *grants, admin=admin, for_all=for_all))
    return client


def _service_principal(consent: _Consent, app: App) -> Json:
    """The app's service principal in the tenant, made when there is none yet."""
    known = service_principal(consent.tenant, app.id)
    if known is not None:
        return known
    made = shape(
        "servicePrincipal",
        id=ids.object_id(consent.tenant.id, app.id),
        appId=app.id,
        appDisplayName=app.name,
        displayName=app.name,
        appOwnerOrganizationId=app.home,
        replyUrls=list(app.redirect_uris),
        servicePrincipalNames=[app.id],
        signInAudience="AzureADMultipleOrgs" if app.multi_tenant else "AzureADMyOrg",
        tags=["WindowsAzureActiveDirectoryIntegratedApp"],
    )
    consent.keep(consent.tenant.service_principals, made)
    consent.log(audit_records.service_principal_added(consent.actor, made, app))
    return made


def _grant_roles(consent: _Consent, client: Json, resource: Json, roles: Iterable[str]) -> None:
    """Assign application roles by name; KeyError for one that the resource does not publish."""
    published = {role["value"]: role for role in resources()[resource["appId"]].app_roles}
    for name in roles:
        role = published[name]
        identity = ids.app_role_assignment_id(client["id"], resource["id"], role["id"])
        if identity in consent.tenant.app_role_assignments:
            continue
        assignment = shape(
            "appRoleAssignment",
            id=identity,
            appRoleId=role["id"],
            createdDateTime=graph_time(consent.actor.when),
            principalDisplayName=client["displayName"],
            principalId=client["id"],
            resourceDisplayName=resource["displayName"],
            resourceId=resource["id"],
        )
        consent.keep(consent.tenant.app_role_assignments, assignment)
        consent.log(audit_records.app_role_assigned(consent.actor, client, resource, role))


def _grant_scopes(
    consent: _Consent, client: Json, resource: Json, scopes: Iterable[str], principal: str | None
) -> None:
    """Add delegated scopes to the grant of everybody, or of one user."""
    grants = consent.tenant.oauth2_permission_grants
    identity = ids.grant_id(client["id"], resource["id"], principal)
    old = grants.get(identity)
    held = old["scope"].split() if old else []
    merged = [*held, *(name for name in scopes if name not in held)]
    if merged == held:
        return
    grant = shape(
        "oAuth2PermissionGrant",
        id=identity,
        clientId=client["id"],
        consentType="Principal" if principal else "AllPrincipals",
        principalId=principal,
        resourceId=resource["id"],
        scope=" ".join(merged),
    )
    if old is None:
        consent.keep(grants, grant)
    else:
        grants[identity] = grant
        consent.before.append(old)
    consent.after.append(grant)
    before = old["scope"] if old else None
    consent.log(audit_records.scopes_granted(consent.actor, client, resource, grant, before))
