"""Giving and taking permissions: application role assignments and delegated permission grants."""

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.directory import changes, rules, trail
from runbook_lib.sandbox.graph.directory.directory import find_row
from runbook_lib.sandbox.graph.directory.principals import given_by, held_by, principal
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found, route
from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.state import Json

PAGE = "https://learn.microsoft.com/graph/api/"
DEFAULT_ROLE = "00000000-0000-0000-0000-000000000000"
LONGEST_SCOPE = 3850


@route(
    "POST",
    "/servicePrincipals/{id}/appRoleAssignments",
    page=PAGE + "serviceprincipal-post-approleassignments",
    omits="users and groups as principals",
)
@route(
    "POST",
    "/servicePrincipals/{id}/appRoleAssignedTo",
    page=PAGE + "serviceprincipal-post-approleassignedto",
    omits="users and groups as principals",
)
def create_app_role_assignment(call: Call) -> Reply:
    """Give an application role of a resource to a service principal."""
    tenant, names = call.tenant, ("principalId", "resourceId", "appRoleId")
    body = changes.checked(call.body, "appRoleAssignment", names)
    changes.required(body, "appRoleAssignment", names)
    owner, tail = principal(call), call.path.rstrip("/").rpartition("/")[2]
    own = "principalId" if tail.lower() == "approleassignments" else "resourceId"
    if body[own].lower() != owner["id"]:
        raise bad_request(f"The {own} of the assignment does not match the service principal in the request URL.")
    client = find_row(call, tenant.service_principals, body["principalId"])
    resource = find_row(call, tenant.service_principals, body["resourceId"])
    row = new_assignment(call, client, resource, body["appRoleId"].lower())
    trail.assigned(call, row)
    context = (
        f"servicePrincipals('{owner['id']}')/{'appRoleAssignments' if own == 'principalId' else 'appRoleAssignedTo'}"
    )
    return changes.created(call, answers.entity(call, row, "appRoleAssignment", context, status=201), row)


def new_assignment(call: Call, client: Json, resource: Json, role: str) -> Json:
    """Enter an assignment. Raises GraphError 400 for a role that is held, or that the resource does not have."""
    if role not in {DEFAULT_ROLE, *(known["id"] for known in resource["appRoles"])}:
        raise bad_request("Permission being assigned was not found on application")
    if any(row["appRoleId"] == role and row["resourceId"] == resource["id"] for row in held_by(call, client)):
        raise bad_request("Permission being assigned already exists on the object")
    row = shape(
        "appRoleAssignment",
        id=ids.app_role_assignment_id(client["id"], resource["id"], role),
        appRoleId=role,
        createdDateTime=call.world.now().strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
        principalDisplayName=client["displayName"],
        principalId=client["id"],
        resourceDisplayName=resource["displayName"],
        resourceId=resource["id"],
    )
    call.tenant.app_role_assignments[row["id"]] = row
    return row


def _assignment(call: Call) -> Json:
    """The assignment of the path, which must hang on the path's service principal. Raises GraphError 404."""
    related = [*held_by(call, principal(call)), *given_by(call, principal(call))]
    for row in answers.visible(call, related):
        if row["id"] == call.params["assignment"]:
            return row
    raise not_found(call.params["assignment"])


@route(
    "GET",
    "/servicePrincipals/{id}/appRoleAssignments/{assignment}",
    permission="GET /servicePrincipals/{id}/appRoleAssignments",
    page=PAGE + "serviceprincipal-list-approleassignments",
)
@route(
    "GET",
    "/servicePrincipals/{id}/appRoleAssignedTo/{assignment}",
    permission="GET /servicePrincipals/{id}/appRoleAssignedTo",
    page=PAGE + "serviceprincipal-list-approleassignedto",
)
def get_app_role_assignment(call: Call) -> Reply:
    """One assignment."""
    return answers.entity(call, _assignment(call), "appRoleAssignment", "appRoleAssignments")


@route(
    "DELETE",
    "/servicePrincipals/{id}/appRoleAssignments/{assignment}",
    page=PAGE + "serviceprincipal-delete-approleassignments",
)
@route(
    "DELETE",
    "/servicePrincipals/{id}/appRoleAssignedTo/{assignment}",
    page=PAGE + "serviceprincipal-delete-approleassignedto",
)
def delete_app_role_assignment(call: Call) -> Reply:
    """Take an application role back."""
    row = _assignment(call)
    del call.tenant.app_role_assignments[row["id"]]
    trail.assigned(call, row, removed=True)
    return Reply(204)


@route("GET", "/oauth2PermissionGrants", page=PAGE + "oauth2permissiongrant-list")
def list_grants(call: Call) -> Reply:
    """Delegated grants of the whole tenant."""
    rows = [*call.tenant.oauth2_permission_grants.values()]
    return answers.collection(call, rows, "oAuth2PermissionGrant", "oauth2PermissionGrants", rules.GRANTS)


@route("GET", "/oauth2PermissionGrants/{id}", page=PAGE + "oauth2permissiongrant-get")
def get_grant(call: Call) -> Reply:
    """One delegated grant."""
    row = find_row(call, call.tenant.oauth2_permission_grants, call.params["id"])
    return answers.entity(call, row, "oAuth2PermissionGrant", "oauth2PermissionGrants")


@route("POST", "/oauth2PermissionGrants", page=PAGE + "oauth2permissiongrant-post")
def create_grant(call: Call) -> Reply:
    """Grant delegated permissions for everybody or for one user."""
    tenant = call.tenant
    body = changes.checked(
        call.body, "oAuth2PermissionGrant", ("clientId", "consentType", "principalId", "resourceId", "scope")
    )
    changes.required(body, "oAuth2PermissionGrant", ("clientId", "consentType", "resourceId", "scope"))
    client = find_row(call, tenant.service_principals, body["clientId"])
    resource = find_row(call, tenant.service_principals, body["resourceId"])
    user = body.get("principalId")
    if body["consentType"] not in ("AllPrincipals", "Principal") or (body["consentType"] == "Principal") != bool(user):
        raise bad_request("Invalid value specified for property 'consentType' of resource 'OAuth2PermissionGrant'.")
    if user:
        find_row(call, tenant.users, user)
    _check_scope(body["scope"])
    row = shape("oAuth2PermissionGrant", id=ids.grant_id(client["id"], resource["id"], user), **body)
    if row["id"] in tenant.oauth2_permission_grants:
        raise GraphError(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
    tenant.oauth2_permission_grants[row["id"]] = row
    trail.granted(call, row)
    reply = answers.entity(call, row, "oAuth2PermissionGrant", "oauth2PermissionGrants", status=201)
    return changes.created(call, reply, row)


def _check_scope(scope: str) -> None:
    if len(scope) > LONGEST_SCOPE:
        raise bad_request("Invalid value specified for property 'scope' of resource 'OAuth2PermissionGrant'.")


@route("PATCH", "/oauth2PermissionGrants/{id}", page=PAGE + "oauth2permissiongrant-update")
def update_grant(call: Call) -> Reply:
    """Replace the whole scope text."""
    row = find_row(call, call.tenant.oauth2_permission_grants, call.params["id"])
    body = changes.checked(call.body, "oAuth2PermissionGrant", ("scope",))
    _check_scope(body.get("scope") or "")
    before = row["scope"]
    row |= body
    trail.granted(call, row, before=before)
    return Reply(204)


@route("DELETE", "/oauth2PermissionGrants/{id}", page=PAGE + "oauth2permissiongrant-delete")
def delete_grant(call: Call) -> Reply:
    """Take a delegated grant back."""
    row = find_row(call, call.tenant.oauth2_permission_grants, call.params["id"])
    del call.tenant.oauth2_permission_grants[row["id"]]
    trail.granted(call, row, removed=True)
    return Reply(204)
