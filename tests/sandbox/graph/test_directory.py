"""The directory: organization, domains, people, roles, licences, policies, registrations."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from runbook_lib.sandbox.world import keys
from runbook_lib.sandbox.world.catalogue import GRAPH, directory_roles, shape
from runbook_lib.sandbox.world.ids import tenant_id
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code, tenant_of

CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"


def values(asking: Asking, path: str) -> list[dict[str, Any]]:
    response = asking.get(path)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["value"]
    return rows


def test_user_read_fills_id_name_and_domains_of_the_organization_only(world: World) -> None:
    row = values(Asking(world, "contoso", ["User.Read"], user="adele"), "/organization")[0]
    assert {name for name, value in row.items() if value} == {"id", "displayName", "verifiedDomains"}
    assert row["technicalNotificationMails"] == []


def test_organization_read_fills_the_rest(world: World) -> None:
    row = values(Asking(world, "contoso", ["Organization.Read.All"]), "/organization")[0]
    assert row["technicalNotificationMails"] == ["it@contoso.example"]
    assert [domain["name"] for domain in row["verifiedDomains"] if domain["isInitial"]] == ["contoso.onmicrosoft.com"]


def test_the_organization_is_found_by_its_own_id_only(world: World) -> None:
    asking = Asking(world, "contoso", ["Organization.Read.All"])
    assert asking.get(f"/organization/{tenant_id('contoso')}").status_code == 200
    assert code(asking.get(f"/organization/{tenant_id('fabrikam')}")) == (404, "Request_ResourceNotFound")


def test_a_domain_is_named_by_itself(world: World) -> None:
    asking = Asking(world, "contoso", ["Domain.Read.All"])
    assert asking.get("/domains/contoso.example").json()["isDefault"] is True
    missing = asking.get("/domains/elsewhere.example")
    assert code(missing) == (404, "Request_ResourceNotFound")
    assert missing.json()["error"]["message"].startswith("Resource 'elsewhere.example' does not exist or one of its")


def test_a_room_has_an_account_that_cannot_sign_in(world: World) -> None:
    asking = Asking(world, "contoso", ["User.Read.All"])
    smtp = next(iter(asking.tenant.rooms.values()))["emailAddress"]
    row = asking.get(f"/users/{smtp}?$select=accountEnabled,mail").json()
    assert (row["accountEnabled"], row["mail"].lower()) == (False, smtp.lower())


def test_an_admins_roles_are_read_through_the_cast(world: World) -> None:
    admin = Asking(world, "contoso", ["User.Read", "Directory.Read.All"], user="admin")
    roles = values(admin, "/me/transitiveMemberOf/microsoft.graph.directoryRole")
    assert [role["roleTemplateId"] for role in roles] == [GLOBAL_ADMINISTRATOR]
    assert "@odata.type" not in roles[0]


def test_with_user_read_alone_a_membership_is_a_type_and_an_id(world: World) -> None:
    admin = Asking(world, "contoso", ["User.Read"], user="admin")
    memberships = values(admin, "/me/memberOf")
    assert memberships
    assert all(set(row) == {"@odata.type", "id"} for row in memberships)


def test_memberships_say_of_which_type_they_are(world: World) -> None:
    admin = Asking(world, "contoso", ["Directory.Read.All"], user="admin")
    group = shape("group", id="f0000000-0000-0000-0000-000000000001", displayName="Facilities")
    admin.tenant.groups[group["id"]] = group | {"_members": [str(values_of(admin, "/me")["id"])]}
    kinds = {row["@odata.type"] for row in values(admin, "/me/memberOf")}
    assert kinds == {"#microsoft.graph.directoryRole", "#microsoft.graph.group"}
    assert [row["displayName"] for row in values(admin, "/me/memberOf/microsoft.graph.group")] == ["Facilities"]
    assert "_members" not in values(admin, "/groups")[0]


def values_of(asking: Asking, path: str) -> dict[str, Any]:
    body: dict[str, Any] = asking.get(path).json()
    return body


def test_members_of_a_role_are_found_by_id_and_by_template(world: World) -> None:
    asking = Asking(world, "contoso", ["RoleManagement.Read.Directory"])
    role = next(r for r in values(asking, "/directoryRoles") if r["roleTemplateId"] == GLOBAL_ADMINISTRATOR)
    by_id = values(asking, f"/directoryRoles/{role['id']}/members")
    by_template = values(asking, f"/directoryRoles(roleTemplateId='{GLOBAL_ADMINISTRATOR}')/members")
    assert by_id == by_template
    assert [(row["@odata.type"], row["displayName"]) for row in by_id] == [("#microsoft.graph.user", "Megan Bowen")]


def test_roles_and_groups_expand_their_members(world: World) -> None:
    asking = Asking(world, "contoso", ["Directory.Read.All"])
    roles = values(asking, "/directoryRoles?$expand=members($select=displayName)")
    holders = {role["displayName"]: [member["displayName"] for member in role["members"]] for role in roles}
    assert holders["Global Administrator"] == ["Megan Bowen"]
    group = next(iter(asking.tenant.groups.values()))
    group["_members"] = [next(iter(asking.tenant.users))]
    expanded = asking.get(f"/groups/{group['id']}?$expand=members").json()["members"]
    assert expanded == values(asking, f"/groups/{group['id']}/members")


def test_role_assignments_want_a_principal_or_a_role(world: World) -> None:
    asking = Asking(world, "contoso", ["RoleManagement.Read.Directory"])
    path = "/roleManagement/directory/roleAssignments"
    admin = next(iter(asking.tenant.users))
    assert code(asking.get(path)) == (400, "Request_UnsupportedQuery")
    elsewhere = ["directoryScopeId eq '/'", "directoryScopeId eq '/' and appScopeId eq null"]
    for text in [*elsewhere, f"principalId eq '{admin}' or directoryScopeId eq '/'"]:
        assert code(asking.get(f"{path}?$filter={text}")) == (400, "Request_UnsupportedQuery")
    found = values(asking, f"{path}?$filter=principalId eq '{admin}'&$expand=roleDefinition,principal")
    assert [row["roleDefinitionId"] for row in found] == [GLOBAL_ADMINISTRATOR]
    assert found[0]["roleDefinition"]["displayName"] == "Global Administrator"
    assert found[0]["principal"]["@odata.type"] == "#microsoft.graph.user"
    by_role = values(asking, f"{path}?$filter=roleDefinitionId eq '{GLOBAL_ADMINISTRATOR}' and directoryScopeId eq '/'")
    assert [row["principalId"] for row in by_role] == [admin]


def test_role_definitions_are_the_templates(world: World) -> None:
    asking = Asking(world, "contoso", ["RoleManagement.Read.Directory"])
    names = {row["displayName"] for row in values(asking, "/roleManagement/directory/roleDefinitions")}
    assert names == set(directory_roles())


def test_microsoft_graph_publishes_its_real_roles_under_an_id_of_the_tenant(world: World) -> None:
    key = f"/servicePrincipals(appId='{GRAPH}')"
    ours, theirs = (values_of(Asking(world, name, ["Application.Read.All"]), key) for name in ("contoso", "fabrikam"))
    roles = {role["value"]: role["id"] for role in ours["appRoles"]}
    assert roles["Calendars.ReadWrite"] == "ef54d2bf-783f-4e0f-bca1-3210c0444d99"
    assert roles["Calendars.ReadWrite.All"] == "d91697b0-a708-4c11-a712-8fb2dc081aa2"
    assert len(roles) > 150
    assert len(ours["oauth2PermissionScopes"]) > 150
    assert ours["id"] != theirs["id"]


def test_two_service_principals_may_share_a_name_and_are_told_apart_by_app_id(world: World) -> None:
    asking = Asking(world, "contoso", ["Application.Read.All"])
    found = values(asking, "/servicePrincipals?$filter=startswith(displayName,'Cronofy')")
    assert CRONOFY in {row["appId"] for row in found}
    assert values(asking, f"/servicePrincipals?$filter=appId eq '{CRONOFY}'")[0]["appId"] == CRONOFY
    absent = "00000000-0000-0000-0000-00000000dead"
    assert values(asking, f"/servicePrincipals?$filter=appId eq '{absent}'") == []
    assert code(asking.get(f"/servicePrincipals(appId='{absent}')")) == (404, "Request_ResourceNotFound")


def test_a_paid_tenant_has_entra_p1_and_a_free_one_does_not(world: World) -> None:
    plans = {}
    for key in ("contoso", next(name for name in world.keys() if not tenant_of(world, name).premium)):  # noqa: SIM118
        sku = values(Asking(world, key, ["LicenseAssignment.Read.All"]), "/subscribedSkus")[0]
        plans[key] = {plan["servicePlanName"] for plan in sku["servicePlans"]}
    paid, free = plans.values()
    assert "AAD_PREMIUM" in paid
    assert "AAD_PREMIUM" not in free


def test_a_tenant_is_found_by_its_domain_and_by_its_id(world: World) -> None:
    asking = Asking(world, "contoso", ["CrossTenantInformation.ReadBasic.All"])
    by_domain = values_of(
        asking, "/tenantRelationships/findTenantInformationByDomainName(domainName='fabrikam.example')"
    )
    by_id = f"/tenantRelationships/findTenantInformationByTenantId(tenantId='{by_domain['tenantId']}')"
    assert by_domain["tenantId"] == tenant_id("fabrikam")
    assert values_of(asking, by_id) == by_domain
    for name in ("nobody.example", "fabrikam"):
        path = f"/tenantRelationships/findTenantInformationByDomainName(domainName='{name}')"
        assert code(asking.get(path)) == (404, "Directory_ObjectNotFound")


def test_the_authorization_policy_is_one_object_on_v1_and_a_list_on_beta(world: World) -> None:
    asking = Asking(world, "contoso", ["Policy.Read.All"])
    one = values_of(asking, "/policies/authorizationPolicy")
    assert "permissionGrantPoliciesAssigned" in one["defaultUserRolePermissions"]
    assert values(asking, "/beta/policies/authorizationPolicy")[0]["id"] == one["id"]


def test_exchange_scopes_are_readable_on_beta_only(world: World) -> None:
    asking = Asking(world, "contoso", ["RoleManagement.Read.Exchange"])
    assert values(asking, "/beta/roleManagement/exchange/roleAssignments") == []
    assert values(asking, "/beta/roleManagement/exchange/customAppScopes") == []
    assert asking.get("/roleManagement/exchange/roleAssignments").status_code == 400


def test_a_registered_app_shows_what_it_asks_for_and_never_its_keys(world: World) -> None:
    asking = Asking(world, "contoso", ["Application.ReadWrite.All", "Application.Read.All"])
    certificate = base64.b64encode(b"certificate").decode()
    body = {
        "displayName": "Runbook reader",
        "signInAudience": "AzureADMyOrg",
        "requiredResourceAccess": [
            {"resourceAppId": GRAPH, "resourceAccess": [{"id": "913b9306-0ce1-42b8-9137-6a7df690a760", "type": "Role"}]}
        ],
        "keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": certificate}],
        "passwordCredentials": [{"displayName": "by hand"}],
        "publicClient": {"redirectUris": ["http://localhost"]},
    }
    made = asking.send("POST", "/applications", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"https://graph.microsoft.com/v1.0/applications/{made.json()['id']}"
    assert made.json()["passwordCredentials"][0]["secretText"]
    read = asking.get(f"/applications(appId='{made.json()['appId']}')").json()
    assert read["passwordCredentials"][0]["secretText"] is None
    assert read["keyCredentials"][0]["key"] is None
    assert read["requiredResourceAccess"] == body["requiredResourceAccess"]
    app = asking.tenant.apps[read["appId"]]
    assert (app.certificates, app.permissions[GRAPH]["roles"]) == ([b"certificate"], ["Place.Read.All"])
    assert asking.tenant.directory_audits[0]["activityDisplayName"] == "Add application"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "A value is required for property 'displayName' of resource 'Application'."),
        ({"displayName": 5}, "Invalid value specified for property 'displayName' of resource 'Application'."),
        ({"displayName": "x", "nonsense": 1}, "Invalid property 'nonsense'."),
        ({"displayName": "x", "appId": "y"}, "Property 'appId' is read-only and cannot be set."),
        ({"displayName": "x", "signInAudience": "All"}, "Invalid value specified for property 'signInAudience'"),
        ({"displayName": "x", "keyCredentials": [{"key": "?"}]}, "Key credential 'key' is not valid base64."),
        ({"displayName": "x", "requiredResourceAccess": [{"resourceAppId": "y"}]}, "does not exist"),
        ({"displayName": "x", "requiredResourceAccess": [{}]}, "Invalid value specified"),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(body: dict[str, Any], message: str, world: World) -> None:
    asking = Asking(world, "contoso", ["Application.ReadWrite.All"])
    response = asking.send("POST", "/applications", json=body)
    assert code(response) == (400, "Request_BadRequest")
    assert message in response.json()["error"]["message"]


def test_applications_are_the_tenants_own(world: World) -> None:
    contoso = Asking(world, "contoso", ["Application.Read.All"])
    assert [row["displayName"] for row in values(contoso, "/applications")] == ["Contoso Facilities Dashboard"]
    assert values(Asking(world, "fabrikam", ["Application.Read.All"]), "/applications") == []


def test_a_world_made_twice_has_the_same_directory(credentials: keys.Credentials) -> None:
    fixed = lambda: datetime(2026, 11, 22, tzinfo=UTC)  # noqa: E731
    worlds = [World(credentials, clock=fixed), World(credentials, clock=fixed)]
    first, second = (Asking(world, "contoso", ["Directory.Read.All"]).get("/users").json() for world in worlds)
    assert first == second
