"""The world: scenarios become tenants with everything that Graph shows of them."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.sandbox.world import grants, ids
from runbook_lib.sandbox.world.catalogue import EXCHANGE, GRAPH, resources, shape
from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json, TenantState
from runbook_lib.sandbox.world.world import SCENARIOS as FOLDER
from runbook_lib.sandbox.world.world import World

SCENARIOS = [
    *("adatum", "contoso", "fabrikam", "lamna", "litware", "northwind", "proseware", "relecloud", "tailspin"),
    *("treyresearch", "wingtip", "woodgrove"),
]
DOCUMENTED = {"User.Read.All", "Organization.Read.All", "Place.Read.All", "Calendars.ReadWrite"}


def tenant_of(world: World, key: str) -> TenantState:
    tenant = world.tenant(key)
    assert tenant is not None
    return tenant


def roles(tenant: TenantState, key: str, resource: str = GRAPH) -> set[str]:
    app = next(app for app in tenant.apps.values() if app.key == key)
    client = grants.service_principal(tenant, app.id)
    return set(grants.granted_roles(tenant, client, resources()[resource])) if client else set()


def grants_of(tenant: TenantState, key: str) -> list[Json]:
    app = next(app for app in tenant.apps.values() if app.key == key)
    client = grants.service_principal(tenant, app.id)
    return [row for row in tenant.oauth2_permission_grants.values() if client and row["clientId"] == client["id"]]


def activities(tenant: TenantState) -> set[str]:
    return {record["activityDisplayName"] for record in tenant.directory_audits}


@pytest.mark.parametrize("key", SCENARIOS)
def test_every_scenario_makes_a_whole_tenant(world: World, key: str) -> None:
    tenant = tenant_of(world, key)
    assert (tenant.key, tenant.organization["id"]) == (key, tenant.id)
    assert [row["name"] for row in tenant.organization["verifiedDomains"]] == tenant.domains
    assert [row["isInitial"] for row in tenant.domain_objects.values()] == [False, True]
    assert grants.role_names(tenant, grants.first_admin(tenant)["id"])[0] == "Global Administrator"
    assert world.scenarios[key]["story"]
    assert all(identity == row["id"] for identity, row in tenant.users.items())
    assert all(identity == row["id"] for identity, row in tenant.service_principals.items())


def test_a_tenant_that_is_put_back_takes_along_the_apps_it_registered(world: World, contoso: TenantState) -> None:
    dashboard = next(app for app in contoso.apps.values() if app.key == "line-of-business")
    world.apps["new"] = replace(dashboard, key="new", id="new")
    world.forget(contoso)
    assert (dashboard.id in world.apps, "new" in world.apps) == (True, False)
    assert tenant_of(world, "contoso") is not contoso


def test_there_are_no_scenarios_but_the_tested_ones(world: World) -> None:
    assert sorted(world.keys()) == SCENARIOS


@pytest.mark.parametrize("name", ["contoso", "CONTOSO.example", "contoso.onmicrosoft.com", ids.tenant_id("contoso")])
def test_a_tenant_is_found_by_key_domain_and_id(world: World, name: str) -> None:
    assert tenant_of(world, name).key == "contoso"


@pytest.mark.parametrize("name", ["", "nobody.example", "contos", ids.tenant_id("nobody"), "gen-0001"])
def test_an_unknown_tenant_is_none(world: World, name: str) -> None:
    assert world.tenant(name) is None


def test_contoso_holds_exactly_what_cronofy_documents(contoso: TenantState) -> None:
    assert roles(contoso, "cronofy-enterprise") == DOCUMENTED
    assert [(row["consentType"], row["scope"]) for row in grants_of(contoso, "cronofy-enterprise")] == [
        ("AllPrincipals", "openid email")
    ]
    assert len(contoso.rooms) == 12
    assert len(contoso.room_lists) == 3


def test_fabrikam_has_the_delegated_half_only(world: World) -> None:
    fabrikam = tenant_of(world, "fabrikam")
    assert roles(fabrikam, "cronofy-enterprise") == set()
    assert [row["scope"] for row in grants_of(fabrikam, "cronofy-enterprise")] == ["openid email"]


def test_adatum_has_more_than_documented_from_three_hands(world: World) -> None:
    adatum = tenant_of(world, "adatum")
    assert roles(adatum, "cronofy-enterprise") == DOCUMENTED | {"Calendars.ReadWrite.All", "Mail.ReadWrite"}
    assert roles(adatum, "cronofy-enterprise", EXCHANGE) == {"full_access_as_app"}
    everybody, own = grants_of(adatum, "cronofy-enterprise")
    assert (everybody["consentType"], everybody["scope"]) == ("AllPrincipals", "openid email Mail.Read")
    assert (own["consentType"], own["scope"]) == ("Principal", "Contacts.Read")
    assert adatum.users[own["principalId"]]["userPrincipalName"] == "raul@adatum.example"
    assert [row["consentType"] for row in grants_of(adatum, "cronofy-individual")] == ["Principal"]
    actors = {"app" if record["initiatedBy"]["app"] else "user" for record in adatum.directory_audits}
    assert actors == {"app", "user"}


def test_an_amended_consent_shows_the_scopes_before_and_after(world: World) -> None:
    records = tenant_of(world, "adatum").directory_audits
    changes = [
        change
        for record in records
        for target in record["targetResources"]
        for change in target["modifiedProperties"]
        if change["displayName"] == "DelegatedPermissionGrant.Scope" and change["oldValue"]
    ]
    assert [(change["oldValue"], change["newValue"]) for change in changes] == [
        ('" openid email"', '" openid email Mail.Read"')
    ]


def test_northwind_has_rooms_of_every_kind(world: World) -> None:
    northwind = tenant_of(world, "northwind")
    states = [box.state for box in northwind.mailboxes.values() if box.kind == "room"]
    assert {state: states.count(state) for state in set(states)} == {
        "ok": 244,
        "on-premises": 4,
        "missing": 2,
        "hidden": 2,
    }
    listed = {room["emailAddress"] for room in northwind.rooms.values()}
    hidden = {box.smtp for box in northwind.mailboxes.values() if box.state == "hidden"}
    assert (len(listed), listed & hidden) == (250, set())
    assert sum(room["capacity"] is None for room in northwind.rooms.values()) == 7


def test_woodgrove_lacks_two_permissions_of_the_verifier(world: World) -> None:
    healthy = roles(tenant_of(world, "contoso"), "verifier")
    assert healthy - roles(tenant_of(world, "woodgrove"), "verifier") == {"Place.Read.All", "Directory.Read.All"}


def test_proseware_has_twins_of_one_name_and_a_disabled_app(world: World) -> None:
    proseware = tenant_of(world, "proseware")
    rows = list(proseware.service_principals.values())
    twins = [row for row in rows if row["displayName"] == "Cronofy Enterprise for Office 365"]
    assert len({(row["appId"], row["appOwnerOrganizationId"]) for row in twins}) == 2
    assert [row["displayName"] for row in rows if not row["accountEnabled"]] == ["Cronofy for Office 365"]
    assert [box.state for box in proseware.mailboxes.values()].count("policy-blocked") == 1
    assert len(proseware.rooms) == 101


def test_litware_has_nothing_to_see(world: World) -> None:
    litware = tenant_of(world, "litware")
    assert (litware.premium, len(litware.rooms), roles(litware, "cronofy-enterprise")) == (False, 0, set())


def test_a_consent_leaves_the_records_that_entra_writes(contoso: TenantState) -> None:
    assert activities(contoso) == {
        "Add service principal",
        "Add app role assignment to service principal",
        "Add delegated permission grant",
        "Consent to application",
    }
    consents = [row for row in contoso.directory_audits if row["activityDisplayName"] == "Consent to application"]
    newest = consents[0]
    same = [row for row in contoso.directory_audits if row["correlationId"] == newest["correlationId"]]
    assert len(same) == 1 + 1 + 1 + len(DOCUMENTED)
    changes = {row["displayName"]: row["newValue"] for row in newest["targetResources"][0]["modifiedProperties"]}
    assert changes["ConsentContext.IsAdminConsent"] == '"True"'
    assert "ConsentType: AllPrincipals, Scope: openid email" in changes["ConsentAction.Permissions"]
    assert newest["initiatedBy"]["user"]["userPrincipalName"] == "admin@contoso.example"


def test_ids_stay_the_same_and_differ_between_tenants(credentials: Credentials) -> None:
    first, second = (World(credentials) for _ in range(2))
    graphs = [list(tenant_of(world, "contoso").service_principals) for world in (first, second)]
    assert graphs[0] == graphs[1]
    assert not set(graphs[0]) & set(tenant_of(first, "adatum").service_principals)
    records = [[row["id"] for row in tenant_of(world, "adatum").directory_audits] for world in (first, second)]
    assert len(set(records[0])) == len(records[0])


def test_reset_undoes_changes_and_the_clock(world: World) -> None:
    world.offset += timedelta(days=3)
    tenant_of(world, "contoso").service_principals.clear()
    world.reset()
    assert tenant_of(world, "contoso").service_principals
    assert abs(world.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_generated_tenants_are_made_when_asked_for(credentials: Credentials) -> None:
    world = World(credentials, generated=300, rooms=7)
    assert len(world.keys()) == len(SCENARIOS) + 300
    assert world.tenants == {}
    tenant = tenant_of(world, "gen-0300.example")
    assert (len(tenant.rooms), roles(tenant, "cronofy-enterprise")) == (7, DOCUMENTED)
    assert list(world.tenants) == ["gen-0300"]


def test_objects_of_a_shape_share_nothing() -> None:
    one, other = shape("user"), shape("user")
    one["proxyAddresses"].append("SMTP:x")
    one["onPremisesExtensionAttributes"]["extensionAttribute1"] = "x"
    assert other["proxyAddresses"] == []
    assert other["onPremisesExtensionAttributes"]["extensionAttribute1"] is None


CSDL = Path(__file__).parents[3] / "shared" / "reference" / "v1.0-Prod.csdl"
TYPES = [
    *("organization", "verifiedDomain", "domain", "user", "servicePrincipal", "appRoleAssignment", "directoryRole"),
    *("oAuth2PermissionGrant", "unifiedRoleAssignment", "group", "room", "roomList", "authorizationPolicy", "signIn"),
    *("adminConsentRequestPolicy", "conditionalAccessPolicy"),
]


def declared(csdl: str, name: str) -> set[str]:
    """The properties that Microsoft's schema declares for a type and its base types."""
    found = re.search(rf'<(EntityType|ComplexType) Name="{name}"(?: BaseType="graph.(\w+)")?.*?</\1>', csdl, re.DOTALL)
    if found is None:
        return {"id"}
    own = set(re.findall(r'<Property Name="(\w+)"', found[0]))
    return own | (declared(csdl, found[2]) if found[2] else set())


@pytest.mark.skipif(not CSDL.exists(), reason=f"MICROSOFT'S SCHEMA IS NOT THERE: {CSDL}")
@pytest.mark.parametrize("kind", TYPES)
def test_shapes_have_no_property_that_microsofts_schema_does_not_declare(kind: str) -> None:
    assert set(shape(kind)) - declared(CSDL.read_text(encoding="utf-8"), kind) == set()


def test_a_group_of_rooms_has_every_room(contoso: TenantState) -> None:
    group = next(iter(contoso.groups.values()))
    assert (group["mail"], len(group["_members"])) == ("cronofy-rooms@contoso.example", 12)


def test_apps_at_work_sign_in_by_themselves(contoso: TenantState) -> None:
    own = [row for row in contoso.sign_ins if row["signInEventTypes"] == ["servicePrincipal"]]
    assert {row["appDisplayName"] for row in own} == {"Cronofy Enterprise for Office 365"}
    assert len(own) == 12


def test_a_scenario_with_a_mistake_is_refused(credentials: Credentials, tmp_path: Path) -> None:
    good = (FOLDER / "woodgrove.yaml").read_text()
    for mistake in (("10d", "ten days"), ("app: verifier", "app: nothing"), ("every: 3h", "every: now and then")):
        (tmp_path / "broken.yaml").write_text(good.replace(*mistake))
        with pytest.raises((KeyError, ValueError)):
            World(credentials, folder=tmp_path).tenant("broken")


def test_ids_of_grants_are_built_as_entra_builds_them() -> None:
    client, resource, user = (ids.tenant_id(name) for name in "abc")
    assert len(ids.grant_id(client, resource)) == 43
    assert ids.grant_id(client, resource, user).startswith(ids.grant_id(client, resource)[:42])
    assert len(ids.app_role_assignment_id(client, resource, user)) == 43


@pytest.mark.parametrize(
    ("scope", "policy", "allowed"),
    [
        ("User.Read", "microsoft-user-default-recommended", True),
        ("Calendars.ReadBasic", "microsoft-user-default-recommended", False),
        ("Calendars.ReadBasic", "microsoft-user-default-legacy", True),
        ("People.Read", "microsoft-user-default-low", False),
        ("User.Read", "microsoft-user-default-low", True),
        ("Directory.Read.All", "microsoft-user-default-legacy", False),
        ("User.Read", "", False),
    ],
)
def test_what_a_person_may_consent_to_follows_the_policy(
    contoso: TenantState, scope: str, policy: str, allowed: bool
) -> None:
    rules = contoso.policies["authorizationPolicy"]["defaultUserRolePermissions"]
    rules["permissionGrantPoliciesAssigned"] = [f"ManagePermissionGrantsForSelf.{policy}"] if policy else []
    assert grants.user_may_consent(contoso, resources()[GRAPH], scope) is allowed
