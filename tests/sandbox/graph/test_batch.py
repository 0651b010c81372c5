"""JSON batching: twenty calls at most, dependencies, and what makes a whole batch fail."""

from typing import Any

import httpx
import pytest

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(
        world, "contoso", ["User.Read.All", "Organization.Read.All", "DelegatedPermissionGrant.ReadWrite.All"]
    )


def item(name: str, url: str = "/organization", **more: Any) -> dict[str, Any]:
    return {"id": name, "method": "GET", "url": url, **more}


def batch(asking: Asking, *items: Any) -> httpx.Response:
    return asking.send("POST", "/$batch", json={"requests": list(items)})


def by_id(response: httpx.Response) -> dict[str, dict[str, Any]]:
    assert response.status_code == 200, response.text
    return {row["id"]: row for row in response.json()["responses"]}


def test_each_item_has_its_status_headers_and_body(asking: Asking) -> None:
    found = by_id(batch(asking, item("a", "/users?$top=1&$select=id"), item("b", "domains"), item("c", "/nothing")))
    assert {name: row["status"] for name, row in found.items()} == {"a": 200, "b": 403, "c": 400}
    assert found["a"]["body"]["@odata.nextLink"].startswith("https://graph.microsoft.com/v1.0/users?$top=1")
    assert found["a"]["headers"]["OData-Version"] == "4.0"
    assert found["a"]["headers"]["x-ms-resource-unit"] == "1"
    assert found["b"]["body"]["error"]["code"] == "Authorization_RequestDenied"
    assert found["b"]["headers"]["Content-Type"] == "application/json"


def test_the_order_of_the_answers_is_not_that_of_the_requests(asking: Asking) -> None:
    names = [str(number) for number in range(5)]
    answered = [row["id"] for row in batch(asking, *map(item, names)).json()["responses"]]
    assert sorted(answered) == names
    assert answered != names


def test_twenty_items_pass_and_twenty_one_do_not(asking: Asking) -> None:
    assert len(by_id(batch(asking, *(item(str(number)) for number in range(20))))) == 20
    refused = batch(asking, *(item(str(number)) for number in range(21)))
    assert code(refused) == (400, "BadRequest")
    assert "maximum value of 20" in refused.json()["error"]["message"]


def test_an_items_own_headers_count(asking: Asking) -> None:
    counted = by_id(
        batch(asking, item("1", "/users/$count", headers={"consistencylevel": "eventual"}), item("2", "/users/$count"))
    )
    assert (counted["1"]["status"], counted["2"]["status"]) == (200, 400)
    assert counted["1"]["body"].isdigit()


def test_a_writing_item_needs_a_body_and_its_type(asking: Asking) -> None:
    write = {"id": "w", "method": "POST", "url": "/oauth2PermissionGrants"}
    typed = {**write, "headers": {"Content-Type": "application/json"}, "body": {}}
    assert by_id(batch(asking, typed))["w"]["status"] == 400
    for broken, what in (({**write, "body": {}}, "a Content-Type header."), (write, "a Content-Type header or body.")):
        refused = batch(asking, item("a"), broken)
        assert code(refused) == (400, "BadRequest")
        assert refused.json()["error"]["message"] == f"Write request with id 'w' does not contain {what}"


def test_deleting_needs_no_body(asking: Asking) -> None:
    grant = next(iter(asking.tenant.oauth2_permission_grants))
    found = by_id(batch(asking, {"id": "d", "method": "DELETE", "url": f"/oauth2PermissionGrants/{grant}"}))
    assert found["d"]["status"] == 204
    assert "body" not in found["d"]


@pytest.mark.parametrize("names", [("one", "ONE"), ("ONE", "one")])
def test_ids_are_unique_whatever_their_case(names: tuple[str, str], asking: Asking) -> None:
    refused = batch(asking, *map(item, names))
    assert code(refused) == (400, "BadRequest")
    assert refused.json()["error"]["message"] == f"Request Id {names[1]} has to be unique in a batch."


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "1", "method": "GET"},
        {"id": 1, "method": "GET", "url": "/users"},
        {"id": "", "method": "GET", "url": "/users"},
        {"method": "GET", "url": "/users"},
        item("1", headers="x"),
        item("1", dependsOn="2"),
        item("1", dependsOn=["nobody"]),
        item("1", dependsOn=["1"]),
        "text",
    ],
    ids=str,
)
def test_a_malformed_item_spoils_the_whole_batch(broken: Any, asking: Asking) -> None:
    assert code(batch(asking, item("ok"), broken)) == (400, "BadRequest")


@pytest.mark.parametrize("body", [{}, {"requests": []}, {"requests": {}}, {"requests": None}], ids=str)
def test_a_batch_without_requests_is_refused(body: Any, asking: Asking) -> None:
    refused = asking.send("POST", "/$batch", json=body)
    assert code(refused) == (400, "BadRequest")
    assert refused.json()["error"]["message"] == "Invalid batch payload format."


@pytest.mark.parametrize(
    ("url", "segment"),
    [
        ("https://graph.microsoft.com/v1.0/users", "https:"),
        ("/v1.0/users", "v1.0"),
        ("/$batch", "$batch"),
    ],
)
def test_a_url_that_is_not_relative_to_the_version_or_a_batch_again_is_no_path(
    url: str, segment: str, asking: Asking
) -> None:
    found = by_id(batch(asking, item("1", url), item("2")))
    assert (found["1"]["status"], found["2"]["status"]) == (400, 200)
    assert found["1"]["body"]["error"]["message"] == f"Resource not found for the segment '{segment}'."


def test_a_batch_can_only_be_posted(asking: Asking) -> None:
    assert asking.get("/$batch").status_code == 405


def test_a_failed_parent_fails_its_children_and_theirs(asking: Asking) -> None:
    chain = [item("1"), item("2", "/domains", dependsOn=["1"]), item("3", dependsOn=["2"]), item("4", dependsOn=["3"])]
    statuses = {name: row["status"] for name, row in by_id(batch(asking, *chain)).items()}
    assert statuses == {"1": 200, "2": 403, "3": 424, "4": 424}


def test_a_chain_runs_in_its_order(asking: Asking) -> None:
    chain = [item("3", dependsOn=["2"]), item("1"), item("2", dependsOn=["1"])]
    assert [row["id"] for row in batch(asking, *chain).json()["responses"]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("parents", "status"),
    [
        ({"1": [], "2": [], "3": []}, 200),
        ({"1": [], "2": ["1"], "3": ["2"]}, 200),
        ({"1": [], "2": ["1"], "3": ["1"]}, 200),
        ({"1": [], "2": [], "3": ["1"]}, 400),
        ({"1": [], "2": ["1"], "3": ["1", "2"]}, 400),
        ({"1": [], "2": ["1"], "3": ["2"], "4": ["2"]}, 400),
        ({"1": ["2"], "2": ["1"], "3": []}, 400),
    ],
    ids=str,
)
def test_dependencies_are_none_a_chain_or_all_on_one(
    parents: dict[str, list[str]], status: int, asking: Asking
) -> None:
    items = [item(name, dependsOn=above) for name, above in parents.items()]
    assert batch(asking, *items).status_code == status


def test_a_throttled_item_has_its_own_retry_after_and_the_batch_is_still_200(asking: Asking) -> None:
    faults.faults_of(asking.world).order([Fault("429", path="/organization", retry_after="7")])
    found = by_id(batch(asking, item("a"), item("b", "/users")))
    assert (found["a"]["status"], found["b"]["status"]) == (429, 200)
    assert found["a"]["headers"]["Retry-After"] == "7"


def test_me_within_a_batch_is_for_users_only(asking: Asking) -> None:
    assert by_id(batch(asking, item("1", "/me")))["1"]["status"] == 400
    adele = Asking(asking.world, "contoso", ["User.Read"], user="adele")
    assert by_id(batch(adele, item("1", "/me")))["1"]["body"]["displayName"] == "Adele Vance"


def test_a_batch_without_a_token_is_401(asking: Asking) -> None:
    asking.token = ""
    assert code(batch(asking, item("1"))) == (401, "InvalidAuthenticationToken")
