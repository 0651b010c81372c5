"""Service principals and what hangs on them: application roles held and given, delegated grants."""

from dataclasses import replace

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.access import denied_by_directory
from runbook_lib.sandbox.graph.directory import changes, rules, trail
from runbook_lib.sandbox.graph.directory.directory import find_row
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found, route
from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.ids import object_id
from runbook_lib.sandbox.world.state import Json

PAGE = "https://learn.microsoft.com/graph/api/"
WRITABLE = frozenset(
    {
        *("accountEnabled", "alternativeNames", "appRoleAssignmentRequired", "description", "homepage", "loginUrl"),
        *("logoutUrl", "notes", "notificationEmailAddresses", "preferredSingleSignOnMode", "replyUrls", "tags"),
    }
)


def principal(call: Call) -> Json:
    """The service principal of the path, by object id or by (appId='...'). Raises GraphError 404."""
    if "appId" not in call.params:
        return find_row(call, call.tenant.service_principals, call.params["id"])
    wanted = call.params["appId"].lower()
    for row in answers.visible(call, call.tenant.service_principals.values()):
        if row["appId"] == wanted:
            return row
    raise not_found(call.params["appId"])


def held_by(call: Call, row: Json) -> list[Json]:
    """Application roles that a service principal holds on resources."""
    return [found for found in call.tenant.app_role_assignments.values() if found["principalId"] == row["id"]]


def given_by(call: Call, row: Json) -> list[Json]:
    """Application roles of a resource that others hold."""
    return [found for found in call.tenant.app_role_assignments.values() if found["resourceId"] == row["id"]]


def granted_to(call: Call, row: Json) -> list[Json]:
    """Delegated grants of a client."""
    return [found for found in call.tenant.oauth2_permission_grants.values() if found["clientId"] == row["id"]]


def expandable(call: Call) -> answers.Rules:
    """The rules for service principals, with what $expand reaches."""
    return replace(
        rules.SERVICE_PRINCIPALS,
        expansions={
            "appRoleAssignments": ("appRoleAssignment", lambda row: held_by(call, row)),
            "appRoleAssignedTo": ("appRoleAssignment", lambda row: given_by(call, row)),
            "oauth2PermissionGrants": ("oAuth2PermissionGrant", lambda row: granted_to(call, row)),
            "owners": ("directoryObject", lambda _: []),
        },
    )


@route("GET", "/servicePrincipals", page=PAGE + "serviceprincipal-list")
def list_service_principals(call: Call) -> Reply:
    """Service principals, a hundred a page."""
    rows = [*call.tenant.service_principals.values()]
    return answers.collection(call, rows, "servicePrincipal", "servicePrincipals", expandable(call))


@route("GET", "/servicePrincipals/$count", page=PAGE + "serviceprincipal-list")
def count_service_principals(call: Call) -> Reply:
    """The number of service principals as text."""
    rows = [*call.tenant.service_principals.values()]
    return answers.count_only(call, rows, "servicePrincipal", rules.SERVICE_PRINCIPALS)


@route("GET", "/servicePrincipals/{id}", "/servicePrincipals(appId='{appId}')", page=PAGE + "serviceprincipal-get")
def get_service_principal(call: Call) -> Reply:
    """One service principal by id or by application id."""
    return answers.entity(call, principal(call), "servicePrincipal", "servicePrincipals", rules=expandable(call))


@route(
    "POST",
    "/servicePrincipals",
    page=PAGE + "serviceprincipal-post-serviceprincipals",
    omits="properties other than appId and the writable ones",
)
def create_service_principal(call: Call) -> Reply:
    """Make the service principal of an application that the cloud knows."""
    tenant, body = call.tenant, changes.checked(call.body, "servicePrincipal", WRITABLE | {"appId"})
    app_id = str(body.get("appId", "")).lower()
    app = call.world.apps.get(app_id) or tenant.apps.get(app_id)
    if app is None or not (app.multi_tenant or app.home == tenant.id):
        message = f"The appId '{app_id}' of the service principal does not reference a valid application object."
        raise bad_request(message, code="Request_BadRequest")
    if any(row["appId"] == app_id for row in tenant.service_principals.values()):
        message = (
            "The service principal cannot be created, updated, or restored because the service principal name "
            f"{app_id} is already in use."
        )
        raise GraphError(409, "Request_MultipleObjectsWithSameKeyValue", message)
    row = shape("servicePrincipal", id=object_id(tenant.id, app.id), appDisplayName=app.name, displayName=app.name)
    row |= {"appOwnerOrganizationId": app.home, "servicePrincipalNames": [app.id], **body, "appId": app.id}
    tenant.service_principals[row["id"]] = row
    trail.principal_added(call, row, app)
    reply = answers.entity(call, row, "servicePrincipal", "servicePrincipals", status=201)
    return changes.created(call, reply, row)


@route(
    "PATCH",
    "/servicePrincipals/{id}",
    page=PAGE + "serviceprincipal-update",
    omits="credentials, roles and single sign-on settings",
)
@route("PATCH", "/servicePrincipals(appId='{appId}')", page=PAGE + "serviceprincipal-update")
def update_service_principal(call: Call) -> Reply:
    """Change the writable properties, accountEnabled among them."""
    row = principal(call)
    owned_only(call, row)
    body = changes.checked(call.body, "servicePrincipal", WRITABLE)
    trail.changed(call, row, {name: (row.get(name), value) for name, value in body.items()})
    row |= body
    return Reply(204)


def owned_only(call: Call, row: Json) -> None:
    """An app with Application.ReadWrite.OwnedBy alone may write only to itself. Raises GraphError 403."""
    wider = call.caller.permissions & {"Application.ReadWrite.All", "Directory.ReadWrite.All"}
    if call.caller.kind == "application" and not wider and row["appId"] != call.caller.app_id:
        raise denied_by_directory()


def _nested(call: Call, rows: list[Json], kind: str, tail: str, accepted: answers.Rules) -> Reply:
    return answers.collection(call, rows, kind, f"servicePrincipals('{principal(call)['id']}')/{tail}", accepted)


LISTS = {
    "appRoleAssignments": (held_by, "appRoleAssignment", rules.ASSIGNMENTS),
    "appRoleAssignedTo": (given_by, "appRoleAssignment", rules.ASSIGNMENTS),
    "oauth2PermissionGrants": (granted_to, "oAuth2PermissionGrant", rules.GRANTS),
}


def _list_related(call: Call) -> Reply:
    """What a service principal holds, gives, or was granted."""
    tail = next(name for name in LISTS if call.path.lower().rstrip("/").endswith(name.lower()))
    rows, kind, accepted = LISTS[tail]
    return _nested(call, rows(call, principal(call)), kind, tail, accepted)


for _tail in LISTS:
    for _key in ("/{id}", "(appId='{appId}')"):
        route(
            *("GET", f"/servicePrincipals{_key}/{_tail}"),
            permission=f"GET /servicePrincipals/{{id}}/{_tail}",
            page=PAGE + f"serviceprincipal-list-{_tail.lower()}",
        )(_list_related)


@route("GET", "/servicePrincipals/{id}/memberOf", page=PAGE + "serviceprincipal-list-memberof", omits="always empty")
@route("GET", "/servicePrincipals/{id}/owners", page=PAGE + "serviceprincipal-list-owners", omits="always empty")
def list_nothing(call: Call) -> Reply:
    """Groups and owners of a service principal: the sandbox has none."""
    principal(call)
    return answers.collection(call, [], "directoryObject", "directoryObjects", rules.MEMBERS)
