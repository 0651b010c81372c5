"""Giving and taking permissions, replication, and what the audit log says of it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.sandbox.world import grants
from runbook_lib.sandbox.world.catalogue import GRAPH, resources
from runbook_lib.sandbox.world.ids import object_id
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code
from tests.sandbox.csdl import reference, schema_of

CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
MAIL_READ = "810c84a8-4a9e-49e6-bf7d-12d183f40d01"
WRITING = ["AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All"]


@pytest.fixture
def writer(world: World) -> Asking:
    return Asking(world, "contoso", [*WRITING, "Application.Read.All", "Directory.Read.All", "AuditLog.Read.All"])


def principal(asking: Asking, app_id: str = CRONOFY) -> str:
    return object_id(asking.tenant.id, app_id)


def assignment(asking: Asking, **changes: Any) -> dict[str, Any]:
    return {"principalId": principal(asking), "resourceId": principal(asking, GRAPH), "appRoleId": MAIL_READ, **changes}


def roles_of(asking: Asking) -> set[str]:
    rows = asking.get(f"/servicePrincipals/{principal(asking)}/appRoleAssignments").json()["value"]
    return {row["appRoleId"] for row in rows}


@pytest.mark.parametrize(("owner", "tail"), [(CRONOFY, "appRoleAssignments"), (GRAPH, "appRoleAssignedTo")])
def test_a_role_can_be_given_and_taken_from_either_side(owner: str, tail: str, writer: Asking) -> None:
    path = f"/servicePrincipals/{principal(writer, owner)}/{tail}"
    made = writer.send("POST", path, json=assignment(writer))
    assert made.status_code == 201, made.text
    assert made.json()["@odata.context"].endswith(f"servicePrincipals('{principal(writer, owner)}')/{tail}/$entity")
    assert made.headers["location"].endswith(f"{path}/{made.json()['id']}")
    assert MAIL_READ in roles_of(writer)
    assert writer.send("DELETE", f"{path}/{made.json()['id']}").status_code == 204
    assert MAIL_READ not in roles_of(writer)
    assert code(writer.send("DELETE", f"{path}/{made.json()['id']}")) == (404, "Request_ResourceNotFound")


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"appRoleId": "00000000-0000-0000-0000-00000000dead"}, 400, "Permission being assigned was not found on"),
        ({"appRoleId": "ef54d2bf-783f-4e0f-bca1-3210c0444d99"}, 400, "Permission being assigned already exists on"),
        ({"appRoleId": None}, 400, "Invalid value specified for property 'appRoleId'"),
        ({"principalId": None}, 400, "A value is required for property 'principalId'"),
        ({"appRoleId": "not-a-guid"}, 400, "Invalid value specified for property 'appRoleId'"),
        ({"resourceId": "00000000-0000-0000-0000-00000000dead"}, 404, "does not exist"),
        ({"principalId": "00000000-0000-0000-0000-00000000dead"}, 400, "does not match"),
        ({"createdDateTime": "2026-01-01T00:00:00Z"}, 400, "Property 'createdDateTime' is read-only"),
    ],
)
def test_an_assignment_that_makes_no_sense_is_refused(
    changes: dict[str, Any], status: int, message: str, writer: Asking
) -> None:
    path = f"/servicePrincipals/{principal(writer)}/appRoleAssignments"
    response = writer.send("POST", path, json=assignment(writer, **changes))
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


def test_a_user_gives_roles_only_with_a_role_of_his_own(world: World) -> None:
    scopes = ["AppRoleAssignment.ReadWrite.All", "Application.Read.All"]
    statuses = {}
    for person in ("adele", "pra"):
        asking = Asking(world, "contoso", scopes, user=person)
        path = f"/servicePrincipals/{principal(asking)}/appRoleAssignments"
        statuses[person] = asking.send("POST", path, json=assignment(asking)).status_code
    assert statuses == {"adele": 403, "pra": 201}


def test_a_delegated_grant_lives_through_create_update_and_delete(writer: Asking) -> None:
    body = {"clientId": principal(writer), "resourceId": principal(writer, GRAPH), "scope": "User.Read"}
    user = next(iter(writer.tenant.users))
    made = writer.send(
        "POST", "/oauth2PermissionGrants", json={**body, "consentType": "Principal", "principalId": user}
    )
    assert made.status_code == 201, made.text
    path = f"/oauth2PermissionGrants/{made.json()['id']}"
    again = writer.send(
        "POST", "/oauth2PermissionGrants", json={**body, "consentType": "Principal", "principalId": user}
    )
    assert code(again) == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert writer.send("PATCH", path, json={"scope": "User.Read Mail.Read"}).status_code == 204
    assert writer.get(path).json()["scope"] == "User.Read Mail.Read"
    listed = writer.get(f"/oauth2PermissionGrants?$filter=clientId eq '{principal(writer)}'").json()["value"]
    assert {row["consentType"] for row in listed} == {"AllPrincipals", "Principal"}
    assert writer.send("DELETE", path).status_code == 204
    assert code(writer.get(path)) == (404, "Request_ResourceNotFound")


@pytest.mark.parametrize(
    "changes",
    [
        {"consentType": "Everybody"},
        {"consentType": "Principal"},
        {"principalId": "00000000-0000-0000-0000-000000000001"},
        {"scope": "x" * 3851},
        {"scope": None},
        {"clientId": None},
        {"id": "x"},
    ],
    ids=str,
)
def test_a_grant_that_makes_no_sense_is_refused(changes: dict[str, Any], writer: Asking) -> None:
    body = {"clientId": principal(writer), "resourceId": principal(writer, GRAPH), "scope": "User.Read"}
    response = writer.send("POST", "/oauth2PermissionGrants", json={**body, "consentType": "AllPrincipals", **changes})
    assert response.status_code == 400, response.text


def test_a_service_principal_can_be_disabled_and_nothing_else_be_bent(writer: Asking) -> None:
    path = f"/servicePrincipals/{principal(writer)}"
    assert writer.send("PATCH", path, json={"accountEnabled": False}).status_code == 204
    assert writer.get(path).json()["accountEnabled"] is False
    assert writer.send("PATCH", path, json={"accountEnabled": "no"}).status_code == 400
    assert writer.send("PATCH", path, json={"appId": CRONOFY}).status_code == 400
    assert writer.send("PATCH", path, json={"nonsense": 1}).status_code == 400


def test_an_app_that_may_write_only_what_it_owns_cannot_disable_another(world: World) -> None:
    asking = Asking(world, "contoso", ["Application.ReadWrite.OwnedBy"])
    response = asking.send("PATCH", f"/servicePrincipals/{principal(asking)}", json={"accountEnabled": False})
    assert code(response) == (403, "Authorization_RequestDenied")


def test_a_service_principal_is_made_once_for_an_app_that_exists(world: World) -> None:
    asking = Asking(world, "fabrikam", ["Application.ReadWrite.All"])
    app_id = next(app.id for app in asking.tenant.apps.values() if not known(asking, app.id))
    made = asking.send("POST", "/servicePrincipals", json={"appId": app_id})
    assert made.status_code == 201, made.text
    again = asking.send("POST", "/servicePrincipals", json={"appId": app_id})
    assert code(again) == (409, "Request_MultipleObjectsWithSameKeyValue")
    unknown = asking.send("POST", "/servicePrincipals", json={"appId": "00000000-0000-0000-0000-00000000dead"})
    assert code(unknown) == (400, "Request_BadRequest")


def known(asking: Asking, app_id: str) -> bool:
    return any(row["appId"] == app_id for row in asking.tenant.service_principals.values())


def test_a_new_object_is_invisible_until_it_has_replicated(writer: Asking) -> None:
    writer.tenant.modes["replication_seconds"] = 30
    path = f"/servicePrincipals/{principal(writer)}/appRoleAssignments"
    made = writer.send("POST", path, json=assignment(writer))
    assert made.status_code == 201
    assert "_visible_at" not in made.json()
    assert MAIL_READ not in roles_of(writer)
    assert code(writer.get(f"{path}/{made.json()['id']}")) == (404, "Request_ResourceNotFound")
    writer.world.offset += timedelta(seconds=31)
    assert MAIL_READ in roles_of(writer)
    assert writer.get(f"{path}/{made.json()['id']}").json()["appRoleId"] == MAIL_READ


def test_a_granted_role_is_in_the_next_token(writer: Asking) -> None:
    path = f"/servicePrincipals/{principal(writer)}/appRoleAssignments"
    writer.send("POST", path, json=assignment(writer))
    client = writer.tenant.service_principals[principal(writer)]
    assert "Mail.Read" in grants.granted_roles(writer.tenant, client, resources()[GRAPH])


def changed(entry: dict[str, Any]) -> dict[str, Any]:
    """New values of the first target's modified properties, by name."""
    facts = entry["targetResources"][0]["modifiedProperties"]
    return {fact["displayName"]: fact["newValue"] and json.loads(fact["newValue"]) for fact in facts}


def test_every_write_leaves_an_entry_of_its_kind_newest_first(writer: Asking) -> None:
    path = f"/servicePrincipals/{principal(writer)}"
    made = writer.send("POST", f"{path}/appRoleAssignments", json=assignment(writer)).json()
    writer.send("DELETE", f"{path}/appRoleAssignments/{made['id']}")
    writer.send("PATCH", path, json={"accountEnabled": False})
    grant = next(iter(writer.tenant.oauth2_permission_grants))
    writer.send("PATCH", f"/oauth2PermissionGrants/{grant}", json={"scope": "openid"})
    writer.send("DELETE", f"/oauth2PermissionGrants/{grant}")
    entries = writer.get("/auditLogs/directoryAudits?$top=5").json()["value"]
    assert [entry["activityDisplayName"] for entry in entries] == [
        "Remove delegated permission grant",
        "Add delegated permission grant",
        "Update service principal",
        "Remove app role assignment from service principal",
        "Add app role assignment to service principal",
    ]
    added = entries[-1]
    assert changed(added)["AppRole.Value"] == "Mail.Read"
    assert changed(added)["ServicePrincipal.ObjectID"] == principal(writer)
    removed = entries[-2]["targetResources"][0]["modifiedProperties"]
    assert {fact["newValue"] for fact in removed} == {None}
    assert '"Mail.Read"' in {fact["oldValue"] for fact in removed}
    assert added["targetResources"][0]["displayName"] == "Microsoft Graph"
    assert added["initiatedBy"]["app"]["displayName"] == "SpaceIQ Calendar Runbook"
    schema = schema_of(reference("v1.0-Prod.csdl"))
    assert [fault for entry in entries for fault in schema.faults(entry, "microsoft.graph.directoryAudit")] == []


def test_the_audit_log_names_the_user_who_did_it(world: World) -> None:
    admin = Asking(world, "contoso", ["DelegatedPermissionGrant.ReadWrite.All"], user="admin")
    admin.send("DELETE", f"/oauth2PermissionGrants/{next(iter(admin.tenant.oauth2_permission_grants))}")
    user = admin.tenant.directory_audits[0]["initiatedBy"]["user"]
    assert user["userPrincipalName"] == "admin@contoso.example"
