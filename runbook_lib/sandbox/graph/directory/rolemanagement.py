"""Directory roles as role management shows them, and Exchange's assignments on beta."""

from dataclasses import replace

from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.directory.directory import PAGE
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.odata.filter_nodes import Compare, Logic, Node, Path
from runbook_lib.sandbox.graph.odata.filter_parser import parse
from runbook_lib.sandbox.graph.odata.schema import find
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found, route
from runbook_lib.sandbox.world.catalogue import directory_roles
from runbook_lib.sandbox.world.state import Json

NARROWING = {"principalId", "roleDefinitionId"}


def definitions() -> list[Json]:
    """Every role that the sandbox knows, as a built-in definition whose id is its template's."""
    return [
        {
            "id": fact["template"],
            "description": fact["description"],
            "displayName": name,
            "isBuiltIn": True,
            "isEnabled": True,
            "resourceScopes": ["/"],
            "templateId": fact["template"],
            "version": "1",
            "rolePermissions": [],
        }
        for name, fact in directory_roles().items()
    ]


def definition(identity: str) -> Json | None:
    """The role definition of that id."""
    return next((row for row in definitions() if row["id"] == identity), None)


def narrowed(tree: Node) -> bool:
    """Whether a filter pins the principal or the role, on every branch."""
    match tree:
        case Compare("eq", Path(names=names), _):
            return names[0] in NARROWING
        case Logic("and", left, right):
            return narrowed(left) or narrowed(right)
        case Logic("or", left, right):
            return narrowed(left) and narrowed(right)
    return False


@route(
    "GET",
    "/roleManagement/directory/roleAssignments",
    page=PAGE + "rbacapplication-list-roleassignments",
    omits="assignments through groups",
)
def list_role_assignments(call: Call) -> Reply:
    """Direct, active assignments; a filter by principal or role is required (page of 2023-02)."""
    kind = find("unifiedRoleAssignment")
    if not call.query.get("$filter") or not narrowed(parse(call.query["$filter"], kind, call.version)):
        message = "A filter on principalId or roleDefinitionId is required to list role assignments."
        raise bad_request(message, code="Request_UnsupportedQuery")
    rows = [*call.tenant.role_assignments.values()]
    expansions = {
        "roleDefinition": ("unifiedRoleDefinition", lambda row: definition(row["roleDefinitionId"])),
        "principal": ("directoryObject", lambda row: _user(call, row["principalId"])),
    }
    accepted = replace(rules.ROLE_ASSIGNMENTS, expansions=expansions)
    return answers.collection(call, rows, "unifiedRoleAssignment", "roleManagement/directory/roleAssignments", accepted)


def _user(call: Call, identity: str) -> Json | None:
    user = call.tenant.users.get(identity)
    return {"@odata.type": "#microsoft.graph.user", **user} if user else None


@route(
    "GET",
    "/roleManagement/directory/roleDefinitions",
    page=PAGE + "rbacapplication-list-roledefinitions",
    omits="rolePermissions (empty), custom roles",
)
def list_role_definitions(call: Call) -> Reply:
    """Built-in roles."""
    context = "roleManagement/directory/roleDefinitions"
    return answers.collection(call, definitions(), "unifiedRoleDefinition", context, rules.ROLE_DEFINITIONS)


@route(
    "GET",
    "/roleManagement/directory/roleDefinitions/{id}",
    page=PAGE + "unifiedroledefinition-get",
    omits="rolePermissions (empty), custom roles",
)
def get_role_definition(call: Call) -> Reply:
    """One built-in role."""
    row = definition(call.params["id"].lower())
    if row is None:
        raise not_found(call.params["id"])
    return answers.entity(call, row, "unifiedRoleDefinition", "roleManagement/directory/roleDefinitions")


@route(
    "GET",
    "/roleManagement/directory/roleEligibilityScheduleInstances",
    page=PAGE + "rbacapplication-list-roleeligibilityscheduleinstances",
)
def list_eligibilities(call: Call) -> Reply:
    """Roles that a person could activate but does not hold now."""
    rows: list[Json] = call.tenant.policies.get("roleEligibilityScheduleInstances", [])
    context = "roleManagement/directory/roleEligibilityScheduleInstances"
    kind = "unifiedRoleEligibilityScheduleInstance"
    return answers.collection(call, rows, kind, context, rules.ROLE_ASSIGNMENTS)


@route(
    "GET",
    "/roleManagement/exchange/roleAssignments",
    page=PAGE + "unifiedrbacapplication-list-roleassignments?view=graph-rest-beta",
    versions=("beta",),
    omits="assignments to people",
)
def list_exchange_assignments(call: Call) -> Reply:
    """RBAC for Applications: which app may do what in Exchange, and within which scope."""
    rows: list[Json] = call.tenant.policies.get("exchangeRoleAssignments", [])
    context = "roleManagement/exchange/roleAssignments"
    return answers.collection(call, rows, "unifiedRoleAssignment", context, rules.ROLE_ASSIGNMENTS)


@route(
    "GET",
    "/roleManagement/exchange/customAppScopes",
    page=PAGE + "unifiedrbacapplication-list-customappscopes?view=graph-rest-beta",
    versions=("beta",),
)
def list_exchange_scopes(call: Call) -> Reply:
    """The scopes that those assignments name."""
    rows: list[Json] = call.tenant.policies.get("customAppScopes", [])
    return answers.collection(call, rows, "customAppScope", "roleManagement/exchange/customAppScopes", rules.WHOLE)
