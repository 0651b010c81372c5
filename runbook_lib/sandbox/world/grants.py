"""Reading a tenant's grants: what a client may do, what a person may consent to."""

from runbook_lib.sandbox.world.catalogue import Resource, directory_roles, resources
from runbook_lib.sandbox.world.state import Json, TenantState


def service_principal(tenant: TenantState, app_id: str) -> Json | None:
    """The service principal of an app id in the tenant, if there is one."""
    return next((row for row in tenant.service_principals.values() if row["appId"] == app_id), None)


def granted_roles(tenant: TenantState, client: Json, resource: Resource) -> list[str]:
    """Names of the application roles that the client holds on a resource now."""
    target = service_principal(tenant, resource.app_id)
    held = {
        row["appRoleId"]
        for row in tenant.app_role_assignments.values()
        if target and row["principalId"] == client["id"] and row["resourceId"] == target["id"]
    }
    return [name for name, role_id in resource.role_ids.items() if role_id in held]


def granted_scopes(tenant: TenantState, client: Json, resource: Resource, user_id: str | None) -> list[str]:
    """Delegated scopes that the client holds on a resource now: for everybody, and for this user."""
    target = service_principal(tenant, resource.app_id)
    scopes = [
        scope
        for row in tenant.oauth2_permission_grants.values()
        if target and row["clientId"] == client["id"] and row["resourceId"] == target["id"]
        if row["principalId"] is None or row["principalId"] == user_id
        for scope in row["scope"].split()
    ]
    return list(dict.fromkeys(scopes))


def role_names(tenant: TenantState, user_id: str) -> list[str]:
    """Display names of the directory roles that a user holds."""
    return [tenant.directory_roles[role]["displayName"] for role, who in tenant.role_members.items() if user_id in who]


def role_templates(tenant: TenantState, user_id: str) -> list[str]:
    """Template ids of the directory roles that a user holds, as the wids claim lists them."""
    return [
        tenant.directory_roles[role]["roleTemplateId"] for role, who in tenant.role_members.items() if user_id in who
    ]


def may_consent_for_all(tenant: TenantState, user_id: str, kind: str) -> bool:
    """Whether a role of the user may grant permissions of that kind (application, delegated) to an app for everyone.

    https://learn.microsoft.com/entra/identity/enterprise-apps/grant-admin-consent
    """
    roles = directory_roles()
    return any(kind in roles[name].get("consents_to", []) for name in role_names(tenant, user_id) if name in roles)


# Families that the Microsoft-managed policy takes out of user consent since 2025.
# https://learn.microsoft.com/entra/identity/enterprise-apps/manage-app-consent-policies
MANAGED_FAMILIES = ("Calendars.", "Contacts.", "Mail.", "MailboxSettings.", "Files.", "Sites.", "Chat.", "Channel")
LOW_RISK = {"User.Read", "openid", "profile", "email", "offline_access"}


def user_may_consent(tenant: TenantState, resource: Resource, scope: str) -> bool:
    """Whether the tenant's policy lets an ordinary user grant this scope for himself."""
    policy = tenant.policies["authorizationPolicy"]["defaultUserRolePermissions"]
    assigned = " ".join(policy["permissionGrantPoliciesAssigned"])
    if scope in resource.admin_scopes or "ManagePermissionGrantsForSelf" not in assigned:
        return False
    if "microsoft-user-default-low" in assigned:
        return scope in LOW_RISK
    return "microsoft-user-default-legacy" in assigned or not scope.startswith(MANAGED_FAMILIES)


def person(tenant: TenantState, name: str) -> Json | None:
    """The user of that sign-in name, address or object id, in any case."""
    wanted = name.lower()
    if wanted in tenant.users:
        return tenant.users[wanted]
    rows = tenant.users.values()
    return next(
        (row for row in rows if wanted in (row["userPrincipalName"].lower(), (row["mail"] or "").lower())), None
    )


def people(tenant: TenantState) -> list[Json]:
    """Everybody who can sign in: users that are not rooms' accounts."""
    rooms = {box.user_id for box in tenant.mailboxes.values() if box.kind != "user"}
    return [row for row in tenant.users.values() if row["id"] not in rooms]


def first_admin(tenant: TenantState) -> Json:
    """The Global Administrator who answers when nobody is named."""
    for role, members in tenant.role_members.items():
        if tenant.directory_roles[role]["displayName"] == "Global Administrator":
            return tenant.users[members[0]]
    return people(tenant)[0]


def resource(app_id: str) -> Resource:
    """A resource by its app id."""
    return resources()[app_id]
