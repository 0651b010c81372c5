"""Graph's front door: tokens, headers, error bodies, paths, versions and methods."""

import json
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.graph import routes
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import VERIFIER, Asking, code, tenant_of

HUMAN = "IDX14100: JWT is not well formed"


@pytest.fixture
def reader(world: World) -> Asking:
    return Asking(
        world, "contoso", ["User.Read.All", "Organization.Read.All", "Application.Read.All", "Place.Read.All"]
    )


def test_a_call_without_a_token_is_401_with_the_challenge_that_clients_parse(reader: Asking) -> None:
    reader.token = ""
    response = reader.get("/organization")
    assert code(response) == (401, "InvalidAuthenticationToken")
    assert response.json()["error"]["message"] == "Access token is empty."
    assert response.headers["www-authenticate"] == (
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
        'client_id="00000003-0000-0000-c000-000000000000"'
    )


def test_a_garbled_token_is_401(reader: Asking) -> None:
    reader.token = "nonsense"
    assert code(reader.get("/organization")) == (401, "InvalidAuthenticationToken")
    assert HUMAN in reader.get("/organization").json()["error"]["message"]


def test_a_token_with_a_changed_signature_is_401(reader: Asking) -> None:
    head, claims, signature = reader.token.split(".")
    reader.token = f"{head}.{claims}.{signature[::-1]}"
    assert code(reader.get("/organization")) == (401, "InvalidAuthenticationToken")


def test_an_expired_token_is_401_and_says_so(reader: Asking) -> None:
    reader.world.offset += timedelta(hours=2)
    message = reader.get("/organization").json()["error"]["message"]
    assert message == "Lifetime validation failed, the token is expired."


def test_a_token_for_another_resource_is_401(reader: Asking) -> None:
    app = reader.tenant.apps[VERIFIER]
    audience = "https://outlook.office365.com"
    reader.token = tokens.access_token(reader.world, reader.tenant, app, ["full_access_as_app"], audience=audience)
    message = reader.get("/organization").json()["error"]["message"]
    assert message == "Access token validation failure. Invalid audience."


def test_no_token_is_401_even_for_a_path_that_does_not_exist(reader: Asking) -> None:
    reader.token = ""
    assert reader.get("/nothing/here").status_code == 401


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("/nothing", "nothing"),
        ("/users/adele@contoso.example/nothing", "nothing"),
        ("/servicePrincipals(nothing='x')", "servicePrincipals"),
        ("/reports/servicePrincipalSignInActivities", "reports"),
    ],
)
def test_an_unknown_segment_is_named_in_a_400(path: str, segment: str, reader: Asking) -> None:
    response = reader.get(path)
    assert code(response) == (400, "BadRequest")
    assert response.json()["error"]["message"] == f"Resource not found for the segment '{segment}'."


def test_a_beta_only_call_exists_on_beta_only(world: World) -> None:
    reader = Asking(world, "contoso", ["AuditLog.Read.All"])
    assert reader.get("/beta/reports/servicePrincipalSignInActivities").status_code == 200
    assert reader.get("/reports/servicePrincipalSignInActivities").status_code == 400


def test_a_method_that_the_path_does_not_have_is_405(reader: Asking) -> None:
    response = reader.send("PUT", "/organization")
    assert code(response) == (405, "Request_BadRequest")
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    [
        "/users/adele@contoso.example",
        "/users/adele%40contoso.example",
        "/Users/ADELE@contoso.example/",
        "/users('adele@contoso.example')",
        "/users('adele%40contoso.example')/",
    ],
)
def test_one_user_answers_to_every_spelling_of_his_path(path: str, reader: Asking) -> None:
    response = reader.get(path)
    assert response.status_code == 200, response.text
    assert response.json()["userPrincipalName"] == "adele@contoso.example"


def test_casts_work_with_long_and_short_names_in_any_case(reader: Asking) -> None:
    paths = ("/places/microsoft.graph.room", "/places/graph.room", "/Places/Microsoft.Graph.Room", "/places/graph.ROOM")
    assert {reader.get(path).json()["@odata.context"].partition("#")[2] for path in paths} == {
        "places/microsoft.graph.room"
    }


def test_the_alternate_key_finds_what_the_object_id_finds(reader: Asking) -> None:
    by_app = reader.get("/servicePrincipals(appId='10bb7e5b-b80b-4e6e-a209-f78581dbc79e')").json()
    by_id = reader.get(f"/servicePrincipals/{by_app['id']}").json()
    assert by_app == by_id


def test_me_is_for_users_only(reader: Asking) -> None:
    response = reader.get("/me")
    assert code(response) == (400, "BadRequest")
    assert response.json()["error"]["message"] == "/me request is only valid with delegated authentication flow."


def test_every_answer_carries_graphs_headers_and_echoes_the_clients_id(reader: Asking) -> None:
    response = reader.get("/organization", client_request_id="my-own-id")
    assert response.headers["client-request-id"] == "my-own-id"
    assert response.headers["content-type"] == (
        "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
    )
    assert response.headers["odata-version"] == "4.0"
    assert response.headers["x-ms-resource-unit"] == "1"
    assert response.headers["strict-transport-security"] == "max-age=31536000"
    assert "ServerInfo" in json.loads(response.headers["x-ms-ags-diagnostic"])
    assert len(response.headers["request-id"]) == 36


def test_without_a_client_request_id_the_request_id_stands_in(reader: Asking) -> None:
    headers = reader.get("/organization").headers
    assert headers["client-request-id"] == headers["request-id"]


def test_a_directory_refusal_repeats_its_ids_in_the_inner_error(reader: Asking) -> None:
    response = reader.get("/domains", client_request_id="mine")
    error = response.json()["error"]
    assert code(response) == (403, "Authorization_RequestDenied")
    assert error["message"] == "Insufficient privileges to complete the operation."
    assert error["innerError"]["request-id"] == response.headers["request-id"]
    assert error["innerError"]["client-request-id"] == "mine"
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
    assert response.headers["content-type"] == "application/json"


def test_an_exchange_refusal_has_code_and_message_only(reader: Asking) -> None:
    response = reader.get("/users/adele@contoso.example/calendar")
    assert response.status_code == 403
    assert response.json()["error"] == {
        "code": "ErrorAccessDenied",
        "message": "Access is denied. Check credentials and try again.",
    }


@pytest.mark.parametrize(("level", "has"), [("none", False), ("minimal", True), ("full", True)])
def test_the_metadata_level_is_the_clients_choice(level: str, has: bool, reader: Asking) -> None:
    response = reader.get("/organization", Accept=f"application/json;odata.metadata={level}")
    assert f"odata.metadata={level};" in response.headers["content-type"]
    assert ("@odata.context" in response.json()) is has
    assert ("@odata.type" in response.json()["value"][0]) is (level == "full")


def test_links_carry_the_host_that_was_asked(reader: Asking) -> None:
    response = reader.get("/users?$top=1", Host="graph.microsoft.us")
    assert response.json()["@odata.context"].startswith("https://graph.microsoft.us/v1.0/$metadata#users")
    assert response.json()["@odata.nextLink"].startswith("https://graph.microsoft.us/v1.0/users?")


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'"text"'])
def test_a_body_that_is_no_json_object_is_400(body: bytes, reader: Asking) -> None:
    reader = Asking(reader.world, "contoso", ["DelegatedPermissionGrant.ReadWrite.All"])
    response = reader.send("POST", "/oauth2PermissionGrants", json=json.loads(body) if body == b"[1]" else None)
    assert response.status_code == 400


def test_a_percent_encoded_slash_stays_inside_its_segment() -> None:
    assert [segment.name for segment in routes.split("/users/a%2Fb/events")] == ["users", "a/b", "events"]


def test_quotes_within_a_key_are_doubled() -> None:
    assert [segment.name for segment in routes.split("/users('o''neil@x.example')")] == ["users", "o'neil@x.example"]


@pytest.mark.parametrize(
    ("template", "row"),
    [
        ("/users/$count", "/users"),
        ("/me/memberOf/graph.group", "/me/memberOf"),
        ("/servicePrincipals(appId='{appId}')/appRoleAssignments", "/servicePrincipals/{id}/appRoleAssignments"),
        ("/servicePrincipals/{id}/appRoleAssignments/{assignment}", "/servicePrincipals/{id}/appRoleAssignments/{id}"),
        ("/x/find(domainName='{name}')", "/x/find(domainName={value})"),
    ],
)
def test_a_template_finds_its_row_of_the_permission_table(template: str, row: str) -> None:
    assert routes.plain(template) == row


def test_the_table_of_routes_names_the_page_that_each_imitates() -> None:
    table = routes.routes_table()
    assert "| GET /places/graph.room |" in table
    assert all(f"| {route.method} {route.template} |" in table for route in routes.ROUTES)
    assert all(route.page.startswith("https://learn.microsoft.com/graph/") for route in routes.ROUTES)


def test_a_tenant_never_sees_another(world: World) -> None:
    ours = Asking(world, "contoso", ["User.Read.All"])
    theirs = next(iter(tenant_of(world, "fabrikam").users))
    assert code(ours.get(f"/users/{theirs}")) == (404, "Request_ResourceNotFound")


def test_a_token_of_a_tenant_that_is_gone_is_401(reader: Asking) -> None:
    del reader.world._keys[reader.tenant.id]
    assert code(reader.get("/organization")) == (401, "InvalidAuthenticationToken")


def test_options_given_twice_are_refused(reader: Asking) -> None:
    response = reader.get("/users?$top=1&$top=2")
    assert code(response) == (400, "BadRequest")
    assert "more than once" in response.json()["error"]["message"]


def answered(response: Any) -> list[str]:
    return [row["id"] for row in response.json()["value"]]


def test_beta_takes_system_options_without_the_dollar_and_v1_ignores_them(reader: Asking) -> None:
    assert len(answered(reader.get("/beta/users?top=2"))) == 2
    assert len(answered(reader.get("/users?top=2"))) > 2
