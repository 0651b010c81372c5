"""Users, groups and directory roles."""

from dataclasses import replace

from runbook_lib.sandbox.graph.access import SELF_ONLY, denied_by_directory
from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, not_found, route
from runbook_lib.sandbox.world.state import Json

PAGE = "https://learn.microsoft.com/graph/api/"
READS_ROLES = frozenset(
    {
        "RoleManagement.Read.Directory",
        "RoleManagement.ReadWrite.Directory",
        "RoleManagement.Read.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    }
)
READS_GROUPS = frozenset(
    {"Group.Read.All", "Group.ReadWrite.All", "GroupMember.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"}
)


def find_user(call: Call, key: str) -> Json:
    """The user with that id or sign-in name. Raises GraphError 404."""
    wanted = key.lower()
    for user in answers.visible(call, call.tenant.users.values()):
        if wanted in (user["id"], user["userPrincipalName"].lower()):
            return user
    raise not_found(key)


def find_row(call: Call, rows: dict[str, Json], key: str) -> Json:
    """The object of that id in a collection. Raises GraphError 404 when it is not there or has not replicated."""
    row = rows.get(key) or rows.get(key.lower())
    if row is None or not answers.visible(call, [row]):
        raise not_found(key)
    return row


def person(call: Call) -> Json:
    """The user that the path means: {id}, or the caller for /me.

    Raises GraphError 403 when the token reads only its own user and another one is meant.
    """
    if "id" not in call.params:
        return find_user(call, str(call.caller.user_id))
    user = find_user(call, call.params["id"])
    own = call.caller.kind == "delegated" and call.caller.permissions.isdisjoint(_wider(call))
    if own and user["id"] != call.caller.user_id:
        raise denied_by_directory()
    return user


def _wider(call: Call) -> frozenset[str]:
    """The caller's directory permissions that reach beyond himself."""
    families = ("User.", "Directory.", "Group", "RoleManagement.")
    return frozenset(name for name in call.caller.permissions - SELF_ONLY if name.startswith(families))


@route("GET", "/users", page=PAGE + "user-list", omits="signInActivity, $expand")
def list_users(call: Call) -> Reply:
    """Users, room accounts among them, a hundred a page."""
    return answers.collection(call, [*call.tenant.users.values()], "user", "users", rules.USERS)


@route("GET", "/users/$count", page=PAGE + "user-list")
def count_users(call: Call) -> Reply:
    """The number of users as text."""
    return answers.count_only(call, [*call.tenant.users.values()], "user", rules.USERS)


@route("GET", "/users/{id}", page=PAGE + "user-get", omits="narrowing to basic properties")
@route("GET", "/me", page=PAGE + "user-get")
def get_user(call: Call) -> Reply:
    """One user by id or sign-in name, or the caller."""
    expansions = {name: ("directoryObject", _memberships(call)) for name in ("memberOf", "transitiveMemberOf")}
    return answers.entity(call, person(call), "user", "users", rules=replace(rules.USERS, expansions=expansions))


def _memberships(call: Call) -> answers.Expansion:
    return lambda user: memberships(call, user["id"])


def memberships(call: Call, principal: str) -> list[Json]:
    """Groups and roles of a principal, each with its type; of kinds that the caller may not read only the id."""
    tenant, held = call.tenant, call.caller.permissions
    roles = [tenant.directory_roles[role] for role, members in tenant.role_members.items() if principal in members]
    groups = [group for group in tenant.groups.values() if principal in group.get("_members", [])]
    return [
        *(_typed(row, "directoryRole", bool(held & READS_ROLES)) for row in roles),
        *(_typed(row, "group", bool(held & READS_GROUPS)) for row in groups),
    ]


def _typed(row: Json, kind: str, readable: bool) -> Json:
    return {"@odata.type": f"#microsoft.graph.{kind}", **(row if readable else {"id": row["id"]})}


@route("GET", "/users/{id}/memberOf", "/me/memberOf", page=PAGE + "user-list-memberof")
@route(
    "GET",
    "/users/{id}/transitiveMemberOf",
    "/me/transitiveMemberOf",
    page=PAGE + "user-list-transitivememberof",
    omits="groups in groups",
)
def list_memberships(call: Call) -> Reply:
    """Groups and directory roles of a user."""
    rows = memberships(call, person(call)["id"])
    return answers.collection(call, rows, "directoryObject", "directoryObjects", rules.MEMBERS)


def _cast(call: Call, kind: str, context: str, accepted: answers.Rules) -> Reply:
    rows = [row for row in memberships(call, person(call)["id"]) if row["@odata.type"].endswith(f".{kind}")]
    plain = [{name: value for name, value in row.items() if name != "@odata.type"} for row in rows]
    return answers.collection(call, plain, kind, context, accepted)


@route(
    "GET",
    "/users/{id}/memberOf/graph.directoryRole",
    "/me/memberOf/graph.directoryRole",
    page=PAGE + "user-list-memberof",
)
@route(
    "GET",
    "/users/{id}/transitiveMemberOf/graph.directoryRole",
    "/me/transitiveMemberOf/graph.directoryRole",
    page=PAGE + "user-list-transitivememberof",
)
def list_roles_of(call: Call) -> Reply:
    """Directory roles of a user; this collection never pages."""
    return _cast(call, "directoryRole", "directoryRoles", rules.ROLES)


@route("GET", "/users/{id}/memberOf/graph.group", "/me/memberOf/graph.group", page=PAGE + "user-list-memberof")
@route(
    "GET",
    "/users/{id}/transitiveMemberOf/graph.group",
    "/me/transitiveMemberOf/graph.group",
    page=PAGE + "user-list-transitivememberof",
)
def list_groups_of(call: Call) -> Reply:
    """Groups of a user."""
    return _cast(call, "group", "groups", rules.GROUPS)


@route("GET", "/groups", page=PAGE + "group-list", omits="hidden membership, groups in groups")
def list_groups(call: Call) -> Reply:
    """Groups, a hundred a page."""
    return answers.collection(
        call, [*call.tenant.groups.values()], "group", "groups", _with_members(call, rules.GROUPS)
    )


@route("GET", "/groups/$count", page=PAGE + "group-list")
def count_groups(call: Call) -> Reply:
    """The number of groups as text."""
    return answers.count_only(call, [*call.tenant.groups.values()], "group", rules.GROUPS)


@route("GET", "/groups/{id}", page=PAGE + "group-get")
def get_group(call: Call) -> Reply:
    """One group by id."""
    group = find_row(call, call.tenant.groups, call.params["id"])
    return answers.entity(call, group, "group", "groups", rules=_with_members(call, rules.GROUPS))


def members(call: Call, row: Json) -> list[Json]:
    """The users in a group or in a directory role, each with its type."""
    identities = row.get("_members") or call.tenant.role_members.get(row["id"], [])
    known = [call.tenant.users[identity] for identity in identities if identity in call.tenant.users]
    return [{"@odata.type": "#microsoft.graph.user", **user} for user in known]


def _with_members(call: Call, accepted: answers.Rules) -> answers.Rules:
    return replace(accepted, expansions={"members": ("directoryObject", lambda row: members(call, row))})


@route("GET", "/groups/{id}/members", page=PAGE + "group-list-members")
def list_group_members(call: Call) -> Reply:
    """Users in a group."""
    rows = members(call, find_row(call, call.tenant.groups, call.params["id"]))
    return answers.collection(call, rows, "directoryObject", "directoryObjects", rules.MEMBERS)


@route("GET", "/directoryRoles", page=PAGE + "directoryrole-list")
def list_directory_roles(call: Call) -> Reply:
    """Roles that are activated in the tenant; this collection never pages."""
    rows = [*call.tenant.directory_roles.values()]
    return answers.collection(call, rows, "directoryRole", "directoryRoles", _with_members(call, rules.ROLES))


def _role(call: Call) -> Json:
    """The role of the path's id or template id. Raises GraphError 404."""
    template = call.params.get("roleTemplateId", "").lower()
    for role in call.tenant.directory_roles.values():
        if role["roleTemplateId"] == template:
            return role
    return find_row(call, call.tenant.directory_roles, call.params.get("id") or call.params["roleTemplateId"])


@route(
    "GET", "/directoryRoles/{id}", "/directoryRoles(roleTemplateId='{roleTemplateId}')", page=PAGE + "directoryrole-get"
)
def get_directory_role(call: Call) -> Reply:
    """One activated role by its id or its template's."""
    return answers.entity(call, _role(call), "directoryRole", "directoryRoles", rules=_with_members(call, rules.ROLES))


@route(
    "GET",
    "/directoryRoles/{id}/members",
    "/directoryRoles(roleTemplateId='{roleTemplateId}')/members",
    page=PAGE + "directoryrole-list-members",
)
def list_directory_role_members(call: Call) -> Reply:
    """Holders of a role, all at once."""
    accepted = replace(rules.MEMBERS, page=None, most=None)
    return answers.collection(call, members(call, _role(call)), "directoryObject", "directoryObjects", accepted)
