"""Query options on directory objects and on the rest: select, order, page, count, search, expand."""

from itertools import chain
from typing import Any

import httpx
import pytest

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.graph import routes
from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code


@pytest.fixture
def reader(world: World) -> Asking:
    return Asking(
        world, "contoso", ["User.Read.All", "Application.Read.All", "Directory.Read.All", "AuditLog.Read.All"]
    )


@pytest.fixture
def crowd(reader: Asking) -> Asking:
    """The tenant with 250 users more, so that lists page."""
    for number in range(250):
        name = f"Person {number:03d}"
        row = shape("user", id=f"00000000-0000-0000-0000-{number:012d}", displayName=name, surname=str(number % 7))
        reader.tenant.users[row["id"]] = row | {"userPrincipalName": f"p{number}@contoso.example"}
    return reader


def rows(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    value: list[dict[str, Any]] = response.json()["value"]
    return value


def all_pages(asking: Asking, path: str) -> list[list[str]]:
    """Ids page by page, following the next link as it is."""
    pages, link = [], path
    while link:
        response = asking.get(link)
        pages.append([row["id"] for row in rows(response)])
        link = response.json().get("@odata.nextLink", "")
    return pages


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("/users", "users"),
        ("/users?$select=id,displayName", "users(id,displayName)"),
        ("/users?$select=displayname", "users(displayName)"),
        ("/users/admin@contoso.example", "users/$entity"),
        ("/users/admin@contoso.example?$select=id,mail", "users(id,mail)/$entity"),
        ("/servicePrincipals?$select=id&$expand=appRoleAssignments", "servicePrincipals(id,appRoleAssignments())"),
        ("/organization?$select=id,displayName,verifiedDomains", "organization(id,displayName,verifiedDomains)"),
        ("/users/admin@contoso.example/memberOf", "directoryObjects"),
        ("/users/admin@contoso.example/transitiveMemberOf/microsoft.graph.directoryRole", "directoryRoles"),
    ],
)
def test_the_context_says_what_is_in_the_answer(path: str, context: str, reader: Asking) -> None:
    assert reader.get(path).json()["@odata.context"] == f"https://graph.microsoft.com/v1.0/$metadata#{context}"


def test_selecting_gives_those_properties_and_no_others(reader: Asking) -> None:
    assert all(set(row) == {"displayName", "mail"} for row in rows(reader.get("/users?$select=displayName, mail")))


def test_without_a_selection_users_have_their_eleven_default_properties(reader: Asking) -> None:
    assert all(len(row) == 11 and "accountEnabled" not in row for row in rows(reader.get("/users")))
    assert "accountEnabled" in rows(reader.get("/beta/users"))[0]


def test_a_property_that_is_declared_but_unset_is_null_when_selected(reader: Asking) -> None:
    row = rows(reader.get("/users?$select=faxNumber,skills&$top=1"))[0]
    assert row == {"faxNumber": None, "skills": []}


def test_part_of_a_complex_property_can_be_selected(reader: Asking) -> None:
    path = "/servicePrincipals?$select=id,verifiedPublisher/displayName&$top=1"
    assert rows(reader.get(path))[0]["verifiedPublisher"] == {"displayName": None}


@pytest.mark.parametrize(
    ("query", "name", "kind"),
    [
        ("$select=id,nonsense", "nonsense", "user"),
        ("$select=onPremisesExtensionAttributes/nonsense", "nonsense", "onPremisesExtensionAttributes"),
        ("$filter=nonsense eq 'x'", "nonsense", "user"),
        ("$orderby=nonsense", "nonsense", "user"),
        ("$expand=nonsense", "nonsense", "user"),
    ],
)
def test_an_unknown_property_is_named_with_its_type(query: str, name: str, kind: str, reader: Asking) -> None:
    response = reader.get(f"/users?{query}")
    assert code(response) == (400, "BadRequest")
    expected = f"Could not find a property named '{name}' on type 'microsoft.graph.{kind}'."
    assert response.json()["error"]["message"].endswith(expected)


def test_directory_objects_page_by_a_hundred_and_lose_nobody(crowd: Asking) -> None:
    pages = all_pages(crowd, "/users")
    assert [len(page) for page in pages[:-1]] == [100] * (len(pages) - 1)
    assert sorted(chain.from_iterable(pages)) == sorted(crowd.tenant.users)


def test_top_is_the_page_size_and_the_next_link_keeps_the_other_options(crowd: Asking) -> None:
    response = crowd.get("/users?$select=id,displayName&$top=999&$filter=startswith(displayName,'Person')")
    assert len(rows(response)) == 250
    assert "@odata.nextLink" not in response.json()
    link = crowd.get("/users?$select=id&$top=7&$filter=startswith(displayName,'Person')").json()["@odata.nextLink"]
    assert "$select=id&$top=7&$filter=startswith(displayName,'Person')&$skiptoken=" in link
    assert [len(page) for page in all_pages(crowd, link)][-1] == 250 % 7


@pytest.mark.parametrize("top", ["0", "1000", "5000"])
def test_a_page_size_outside_1_to_999_is_refused(top: str, reader: Asking) -> None:
    response = reader.get(f"/users?$top={top}")
    assert code(response) == (400, "Request_UnsupportedQuery")
    message = f"Invalid page size specified: '{top}'. Must be between 1 and 999 inclusive."
    assert response.json()["error"]["message"] == message


@pytest.mark.parametrize("query", ["$top=x", "$top=-1", "$top=1.5", "$top=", "$count=maybe", "$nonsense=1", "$apply=x"])
def test_option_values_that_mean_nothing_are_refused(query: str, reader: Asking) -> None:
    assert code(reader.get(f"/users?{query}")) == (400, "BadRequest")


def test_options_without_a_dollar_are_the_clients_own_business(reader: Asking) -> None:
    assert reader.get("/users?nonsense=1&api-version=2").status_code == 200


def test_directory_objects_refuse_skip(reader: Asking) -> None:
    response = reader.get("/users?$skip=5")
    assert code(response) == (400, "Request_BadRequest")
    assert response.json()["error"]["message"] == "'$skip' is not supported by the service."


@pytest.mark.parametrize("pattern", ["{:.10}", "x{}", "WzEwMCwgIjAiXQ", "", "%C3%A4", "bnVsbA"])
def test_a_page_token_that_was_tampered_with_is_refused(pattern: str, crowd: Asking) -> None:
    link = crowd.get("/users").json()["@odata.nextLink"]
    head, _, token = link.partition("$skiptoken=")
    assert code(crowd.get(f"{head}$skiptoken={pattern.format(token)}")) == (400, "Directory_InvalidPageToken")


def test_a_page_token_of_one_list_does_not_open_another(crowd: Asking) -> None:
    token = crowd.get("/users").json()["@odata.nextLink"].partition("$skiptoken=")[2]
    assert crowd.get(f"/servicePrincipals?$skiptoken={token}").status_code == 400
    assert crowd.get(f"/users?$filter=accountEnabled eq true&$skiptoken={token}").status_code == 400


def test_counting_without_the_header_is_silently_ignored(reader: Asking) -> None:
    assert "@odata.count" not in reader.get("/users?$count=true").json()


def test_counting_with_the_header_counts_all_pages_on_the_first_page_only(crowd: Asking) -> None:
    first = crowd.eventual("/users?$count=true&$top=50").json()
    assert first["@odata.count"] == len(crowd.tenant.users)
    assert "@odata.count" not in crowd.eventual(first["@odata.nextLink"]).json()


def test_the_count_segment_needs_the_header(reader: Asking) -> None:
    refused = reader.get("/users/$count")
    assert code(refused) == (400, "Request_BadRequest")
    assert refused.json()["error"]["message"] == "$count is not currently supported."
    counted = reader.eventual("/users/$count?$filter=startswith(displayName,'Adele')")
    assert (counted.text, counted.headers["content-type"]) == ("1", "text/plain")


def test_search_needs_the_header_and_finds_beginnings_of_words(reader: Asking) -> None:
    refused = reader.get('/users?$search="displayName:bowen"')
    assert code(refused) == (400, "Request_UnsupportedQuery")
    assert "'ConsistencyLevel: eventual'" in refused.json()["error"]["message"]
    assert [row["displayName"] for row in rows(reader.eventual('/users?$search="displayName:bow"'))] == ["Megan Bowen"]


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ('"displayName:adele" OR "mail:diego"', ["Adele Vance", "Diego Siciliani"]),
        ('"displayName:adele" AND "mail:diego"', []),
        ('"displayName:vance adele"', ["Adele Vance"]),
        ('"displayName:dele"', []),
    ],
)
def test_search_joins_its_clauses(search: str, names: list[str], reader: Asking) -> None:
    assert [row["displayName"] for row in rows(reader.eventual(f"/users?$search={search}"))] == names


@pytest.mark.parametrize(
    "search", ["displayName:x", '"displayName:x" AND', '"displayName:x" "mail:y"', '"jobTitle:x"', '"x"']
)
def test_a_search_of_another_form_is_refused(search: str, reader: Asking) -> None:
    assert reader.eventual(f"/users?$search={search}").status_code == 400


def test_users_can_be_sorted_by_name_and_not_by_anything(crowd: Asking) -> None:
    names = [row["displayName"] for row in rows(crowd.get("/users?$orderby=displayName desc&$top=999"))]
    assert names == sorted(names, key=str.casefold, reverse=True)
    assert code(crowd.get("/users?$orderby=jobTitle")) == (400, "Request_UnsupportedQuery")


def test_sorting_a_filtered_list_is_an_advanced_query(crowd: Asking) -> None:
    path = "/users?$filter=startswith(displayName,'Person')&$orderby=displayName desc"
    refused = crowd.get(path)
    assert code(refused) == (400, "Request_UnsupportedQuery")
    assert refused.json()["error"]["message"] == "Sorting not supported for current query."
    assert crowd.eventual(path).status_code == 400
    assert rows(crowd.eventual(f"{path}&$count=true"))[0]["displayName"] == "Person 249"


def test_sorting_service_principals_is_an_advanced_query(reader: Asking) -> None:
    assert reader.get("/servicePrincipals?$orderby=displayName").status_code == 400
    assert reader.eventual("/servicePrincipals?$orderby=displayName&$count=true").status_code == 200


def test_expanding_brings_what_the_navigation_list_brings(reader: Asking) -> None:
    key = "/servicePrincipals(appId='10bb7e5b-b80b-4e6e-a209-f78581dbc79e')"
    expanded = reader.get(
        f"{key}?$select=id&$expand=appRoleAssignments($select=appRoleId),oauth2PermissionGrants"
    ).json()
    listed = rows(reader.get(f"{key}/appRoleAssignments?$select=appRoleId"))
    assert expanded["appRoleAssignments"] == listed
    assert expanded["oauth2PermissionGrants"][0]["scope"] == "openid email"


def test_at_most_twenty_objects_are_expanded(reader: Asking) -> None:
    graph_itself = "/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')"
    resource = reader.get(graph_itself).json()
    for number in range(30):
        row = shape("appRoleAssignment", id=f"a{number}", resourceId=resource["id"], principalId=resource["id"])
        reader.tenant.app_role_assignments[row["id"]] = row
    assert len(reader.get(f"{graph_itself}?$expand=appRoleAssignedTo").json()["appRoleAssignedTo"]) == 20


@pytest.mark.parametrize("expand", ["manager", "appRoleAssignments($top=1)", "appRoleAssignments("])
def test_what_cannot_be_expanded_is_refused(expand: str, reader: Asking) -> None:
    path = "/servicePrincipals" if "app" in expand else "/users"
    assert reader.get(f"{path}?$expand={expand}").status_code == 400


def test_directory_roles_never_page(world: World) -> None:
    asking = Asking(world, "contoso", ["Directory.Read.All"])
    for number in range(120):
        row = shape("directoryRole", id=f"r{number}", displayName=f"Role {number}", roleTemplateId=f"t{number}")
        asking.tenant.directory_roles[row["id"]] = row
    response = asking.get("/directoryRoles")
    assert len(rows(response)) >= 120
    assert "@odata.nextLink" not in response.json()


def call_of(world: World, query: dict[str, str], **headers: str) -> routes.Call:
    tenant = world.tenant("contoso")
    assert tenant is not None
    who = routes.Caller("app", "app", "application", frozenset(), None, (), tenant.id)
    return routes.Call(world, tenant, who, "GET", "v1.0", "/rows", {}, query, headers, None, "https://host/v1.0")


EVENTS = [{"id": str(number), "subject": f"Event {number}", "@odata.etag": "W/x"} for number in range(25)]


def test_outlook_pages_by_skip_and_keeps_id_and_etag_in_every_selection(world: World) -> None:
    reply = answers.collection(call_of(world, {"$select": "subject"}), EVENTS, "event", "events", answers.OUTLOOK)
    assert isinstance(reply.body, dict)
    assert reply.body["@odata.nextLink"] == "https://host/v1.0/rows?$select=subject&$skip=10"
    assert reply.body["value"][0] == {"id": "0", "subject": "Event 0", "@odata.etag": "W/x"}


@pytest.mark.parametrize(
    ("query", "headers", "ids", "link"),
    [
        ({"$skip": "20"}, {}, range(20, 25), None),
        ({"$top": "3", "$skip": "3"}, {}, range(3, 6), "$top=3&$skip=6"),
        ({}, {"prefer": 'outlook.timezone="UTC", odata.maxpagesize=4'}, range(4), "$skip=4"),
        ({"$top": "0"}, {}, range(0), None),
        ({"$top": "1000"}, {}, range(25), None),
    ],
)
def test_outlook_takes_top_skip_and_a_preferred_page_size(
    query: dict[str, str], headers: dict[str, str], ids: range, link: str | None, world: World
) -> None:
    body = answers.collection(call_of(world, query, **headers), EVENTS, "event", "events", answers.OUTLOOK).body
    assert isinstance(body, dict)
    assert [row["id"] for row in body["value"]] == [str(number) for number in ids]
    assert body.get("@odata.nextLink") == (f"https://host/v1.0/rows?{link}" if link else None)


def test_outlook_refuses_more_than_a_thousand_a_page(world: World) -> None:
    with pytest.raises(faults.GraphError, match="limit of '1000' for Top query"):
        answers.collection(call_of(world, {"$top": "1001"}), EVENTS, "event", "events", answers.OUTLOOK)


def test_a_list_without_paging_takes_top_and_skip_but_gives_no_link(world: World) -> None:
    places = answers.Rules(page=10, paging="none", advanced=False)
    body = answers.collection(call_of(world, {"$skip": "2", "$count": "true"}), EVENTS, "event", "events", places).body
    assert isinstance(body, dict)
    assert [row["id"] for row in body["value"]] == [str(number) for number in range(2, 12)]
    assert body["@odata.count"] == 25
    assert "@odata.nextLink" not in body


def test_an_object_that_has_not_replicated_is_neither_listed_nor_found(world: World) -> None:
    later = [{"id": "1", "_visible_at": "2999-01-01T00:00:00Z"}, {"id": "2"}]
    body = answers.collection(call_of(world, {}), later, "user", "users", rules.USERS).body
    assert isinstance(body, dict)
    assert [row["id"] for row in body["value"]] == ["2"]
    with pytest.raises(faults.GraphError, match="does not exist or one of its queried"):
        answers.entity(call_of(world, {}), later[0], "user", "users")
