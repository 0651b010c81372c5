"""One question to Graph: where it is asked, how it is read to its end, and what a refusal becomes."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests

from runbook_lib import vendors
from runbook_lib.clients.graph.paging import address
from runbook_lib.errors import UnsafeAddress, UsageError, WrongTenant
from runbook_lib.model import Json
from tests.fakes import CONTOSO, FABRIKAM, HOST, answer, error, scripted


@pytest.mark.parametrize(
    ("call", "params", "path"),
    [
        ("app_role_assignments", {"id": "a b/c"}, "/servicePrincipals/a%20b%2Fc/appRoleAssignments"),
        ("delegated_grants", {"id": "o'brien"}, "/oauth2PermissionGrants?$filter=clientId%20eq%20'o%27%27brien'"),
        ("delegated_grants", {"id": "x' or 1 eq 1&$top=1"}, "%20'x%27%27%20or%201%20eq%201%26%24top%3D1'"),
        ("room_calendar", {"key": "o'brien#ext@contoso.example"}, "/users/o%27brien%23ext@contoso.example/calendar?"),
        ("room_calendar", {"key": "Größe@contoso.example"}, "/users/Gr%C3%B6%C3%9Fe@contoso.example/calendar?"),
    ],
)
def test_a_parameter_fills_its_place_and_cannot_leave_it(call: str, params: dict[str, str], path: str) -> None:
    assert path in address(vendors.calls()[call], True, params)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_parameter_that_would_change_the_path_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="cannot be the key of room_calendar"):
        address(vendors.calls()["room_calendar"], True, {"key": value})


@pytest.mark.parametrize(
    ("application", "path"),
    [(True, "/users/room@contoso.example/calendar/getSchedule"), (False, "/me/calendar/getSchedule")],
)
def test_a_person_asks_for_free_busy_as_himself(application: bool, path: str) -> None:
    assert address(vendors.calls()["free_busy"], application, {"mailbox": "room@contoso.example"}) == path


def test_links_are_followed_as_they_are_until_there_is_none() -> None:
    link = f"{HOST}/v1.0/domains?$skiptoken=a%2Fb+c"
    graph, cloud, clock = scripted(
        answer({"value": [{"id": "a"}], "@odata.nextLink": link}),
        answer({"value": [], "@odata.nextLink": link + "2"}),
        answer({"value": [{"id": "b"}]}),
    )
    look = graph.look("domains")
    assert [row["id"] for row in look.rows] == ["a", "b"]
    assert (look.complete, look.total, look.asked_at, look.population) == (True, None, clock.now, "2 of 2")
    assert [request.url for request in cloud.requests[1:]] == [link, link + "2"]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/domains",
        "http://graph.example/v1.0/domains",
        "https://graph.example:8443/v1.0/domains",
        "https://graph.example@evil.example/v1.0/domains",
        "https://graph.example.evil.example/",
        "https://evil.example\\@graph.example/",
    ],
)
def test_a_link_to_another_place_is_never_followed(link: str) -> None:
    graph, cloud, _ = scripted(answer({"value": [{"id": "a"}], "@odata.nextLink": link}))
    with pytest.raises(UnsafeAddress, match="nothing was sent there"):
        graph.look("domains")
    assert len(cloud.requests) == len(graph.log) == 1


@pytest.mark.parametrize(
    ("links", "rows"),
    [([0, 0], [["a"], ["b"]]), ([0, 0], [["a", "b"], []]), ([0, 1, 2], [["a"], ["b"], ["a", "b"]])],
    ids=["the same link", "the same link to nothing", "the same rows"],
)
def test_a_list_that_goes_round_in_circles_ends_incomplete(links: list[int], rows: list[list[str]]) -> None:
    pages = [
        answer({"value": [{"id": name} for name in names], "@odata.nextLink": f"{HOST}/v1.0/x?$skiptoken={link}"})
        for link, names in zip(links, rows, strict=True)
    ]
    graph, cloud, _ = scripted(*pages)
    look = graph.look("domains")
    assert ([row["id"] for row in look.rows], look.complete, look.population) == (["a", "b"], False, "2 of ?")
    assert look.remedy
    assert len(cloud.requests) == len(pages)


def test_an_answer_without_a_list_is_no_empty_list() -> None:
    graph, _, _ = scripted(answer({"values": []}))
    look = graph.look("domains")
    assert re.search("without the list", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)


def test_a_count_is_asked_with_its_header_on_every_page() -> None:
    graph, cloud, _ = scripted(
        answer({"@odata.count": 2, "value": [{"id": "a"}], "@odata.nextLink": f"{HOST}/v1.0/x?$skiptoken=1"}),
        answer({"value": [{"id": "b"}]}),
    )
    look = graph.look("cronofy_apps")
    assert (look.total, look.complete) == (2, True)
    assert [request.headers.get("ConsistencyLevel") for request in cloud.requests] == ["eventual", "eventual"]


def test_fewer_rows_than_counted_are_incomplete() -> None:
    graph, _, _ = scripted(answer({"@odata.count": 3, "value": [{"id": "a"}]}))
    look = graph.look("cronofy_apps")
    assert (look.complete, look.population) == (False, "1 of 3")


def places(
    there: int, counted: int | None, skips: bool, most: int = 100
) -> Callable[[requests.PreparedRequest], requests.Response]:
    """Return a room list as Graph gives it: 100 rows at most, no link, in some tenants no $skip, no stable ids."""

    def respond(request: requests.PreparedRequest) -> requests.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        first = int(query.get("$skip", ["0"])[0]) if skips else 0
        names = [f"room{number}@contoso.example" for number in range(there)][first : first + most]
        count = {"@odata.count": counted} if counted is not None and query["$count"] == ["true"] else {}
        return answer(count | {"value": [{"id": str(uuid4()), "emailAddress": name} for name in names]})

    return respond


@pytest.mark.parametrize(
    ("there", "counted", "skips", "seen", "complete"),
    [
        (0, 0, True, "0 of 0", True),
        (99, 99, True, "99 of 99", True),
        (100, 100, True, "100 of 100", True),
        (101, 101, True, "101 of 101", True),
        (250, 250, True, "250 of 250", True),
        (250, 100, True, "250 of 250", True),  # a count of the page, not of the population
        (50, 60, True, "50 of 60", False),
        (100, 100, False, "100 of ?", False),  # is it the count of all, or of the page that came again?
        (250, 250, False, "100 of 250", False),
        (99, None, True, "99 of 99", True),
        (250, None, True, "250 of 250", True),
        (99, None, False, "99 of 99", True),
        (100, None, False, "100 of ?", False),
        (250, None, False, "100 of ?", False),
    ],
)
def test_room_lists_are_read_to_the_count_or_called_incomplete(
    there: int, counted: int | None, skips: bool, seen: str, complete: bool
) -> None:
    graph, _, _ = scripted(places(there, counted, skips))
    look = graph.look("rooms")
    assert (look.population, look.complete) == (seen, complete)
    assert len({row["emailAddress"] for row in look.rows}) == len(look.rows)


@pytest.mark.parametrize(("pages", "complete"), [(1, False), (2, False), (3, True)])
def test_a_full_page_that_comes_again_is_not_all_unless_the_count_is_that_of_all(pages: int, complete: bool) -> None:
    """The count may be the page's own; once it is larger than a page it cannot be."""
    size = 100 if pages < 3 else 200
    each = [[{"emailAddress": f"r{number}@x"} for number in range(at * 100, at * 100 + 100)] for at in range(2)]
    last = min(pages, 2) - 1
    rows = [*each[: last + 1], each[last]]
    graph, _, _ = scripted(*(answer({"@odata.count": size, "value": page}) for page in rows))
    assert graph.look("rooms").complete is complete


@pytest.mark.parametrize("count", ["many", None, [], {}, True, 1.5])
def test_a_count_that_is_no_number_is_told_and_costs_its_look(count: object) -> None:
    graph, _, _ = scripted(answer({"@odata.count": count, "value": [{"id": "a"}]}))
    assert "count that is no number" in graph.look("cronofy_apps").refusal


def test_a_count_that_is_written_as_text_counts() -> None:
    graph, _, _ = scripted(answer({"@odata.count": "3", "value": [{"id": "a"}]}))
    assert graph.look("cronofy_apps").population == "1 of 3"


@pytest.mark.parametrize("link", [7, ["x"], {"href": "x"}])
def test_a_link_that_is_none_is_told(link: object) -> None:
    graph, _, _ = scripted(answer({"value": [{"id": "a"}], "@odata.nextLink": link}))
    assert "a link that is none" in graph.look("domains").refusal


@pytest.mark.parametrize("row", [None, "a", [], 7])
def test_what_is_no_row_stays_for_whoever_reads_the_rows(row: object) -> None:
    graph, _, _ = scripted(answer({"value": [{"id": "a"}, row]}))
    assert graph.look("domains").rows == ({"id": "a"}, {"unreadable": row})


def test_short_pages_are_no_end_while_the_count_says_more() -> None:
    graph, cloud, _ = scripted(places(90, 90, skips=True, most=40))
    look = graph.look("rooms")
    assert (look.population, look.complete, len(cloud.requests)) == ("90 of 90", True, 3)


def test_a_single_object_is_one_row() -> None:
    graph, _, _ = scripted(answer({"id": "sp"}))
    look = graph.look("service_principal", app="10bb7e5b")
    assert (look.rows, look.population) == (({"id": "sp"},), "1 of 1")


def test_an_object_that_does_not_exist_was_looked_for() -> None:
    graph, _, _ = scripted(error(404, "Request_ResourceNotFound"))
    look = graph.look("service_principal", app="10bb7e5b")
    assert (look.rows, look.total, look.complete, look.refusal) == ((), 0, True, "")


@pytest.mark.parametrize(
    ("call", "code"), [("service_principal", "ResourceNotFound"), ("app_role_assignments", "Request_ResourceNotFound")]
)
def test_other_404s_are_looks_that_could_not_be_made(call: str, code: str) -> None:
    graph, _, _ = scripted(error(404, code, "Not there."))
    look = graph.look(call, app="10bb7e5b", id="sp")
    assert re.search(f"404 {code}: Not there.", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert "r-1" in look.remedy


NO_LICENCE = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"


@pytest.mark.parametrize(
    ("kind", "held", "code", "words", "remedy"),
    [
        (
            "application",
            "",
            "Authorization_RequestDenied",
            "lacks the application permission Place.Read.All",
            "consent",
        ),
        ("person", "", "Authorization_RequestDenied", "lacks the delegated permission Place.Read.All", "admin consent"),
        ("application", "Place.Read.All", "ErrorAccessDenied", "holds Place.Read.All, yet Graph refused", "policy"),
        ("person", "Place.Read.All", "Authorization_RequestDenied", "may use Place.Read.All, but", "directory role"),
        ("application", "Place.Read.All", NO_LICENCE, "no Microsoft Entra ID P1 or P2 licence", "licence"),
    ],
)
def test_a_refusal_names_what_is_missing(kind: str, held: str, code: str, words: str, remedy: str) -> None:
    graph, cloud, _ = scripted(error(403, code), kind=kind, permissions=frozenset({held}))
    look = graph.look("rooms")
    assert words in look.refusal
    assert "to list every meeting room" in look.refusal
    assert remedy in look.remedy
    assert (look.rows, look.complete, len(cloud.requests)) == ((), False, 1)


@pytest.mark.parametrize(("call", "kind"), [("me", "application"), ("room_calendar", "person")])
def test_what_a_kind_of_sign_in_cannot_ask_is_not_sent(call: str, kind: str) -> None:
    graph, cloud, _ = scripted(answer({}), kind=kind)
    look = graph.look_each(call, ["a@contoso.example"]) if call == "room_calendar" else graph.look(call)
    assert f"as {kind} cannot ask" in look.refusal
    assert (look.complete, cloud.requests, graph.log) == (False, [], [])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": FABRIKAM, "displayName": "Fabrikam"}], f"Fabrikam .{FABRIKAM}., but the tenant file is about Contoso"),
        ([{"id": CONTOSO}, {"id": FABRIKAM}], FABRIKAM),
        ([], "answers for no tenant"),
    ],
    ids=["another", "two", "none"],
)
def test_answers_of_another_tenant_stop_everything(rows: list[Json], words: str) -> None:
    graph, _, _ = scripted(answer({"value": rows}))
    with pytest.raises(WrongTenant, match=words):
        graph.assert_tenant()


def test_a_refused_look_at_the_organization_is_no_proof_of_a_wrong_tenant() -> None:
    graph, _, _ = scripted(error(403, "Authorization_RequestDenied"), permissions=frozenset())
    assert "lacks the application permission Organization.Read.All" in graph.assert_tenant().refusal


def test_answers_of_the_tenant_are_kept_as_a_look() -> None:
    graph, _, _ = scripted(answer({"value": [{"id": CONTOSO}]}))
    assert graph.assert_tenant().rows == ({"id": CONTOSO},)


def test_neither_repr_nor_log_holds_the_token() -> None:
    graph, cloud, _ = scripted(answer({"value": []}))
    graph.look("domains")
    assert cloud.requests[0].headers["Authorization"] == "Bearer token-0"
    assert "graph.example" in repr(graph)
    assert "Contoso" in graph._repr_html_()
    assert "token-0" not in repr(graph) + graph._repr_html_() + str(graph.log) + repr(graph.identity)


def test_the_log_has_what_support_and_auditors_ask_for() -> None:
    graph, cloud, clock = scripted(error(503), answer({"value": []}, headers={"request-id": "r-2"}))
    graph.look("domains")
    first, second = graph.log
    assert (first["status"], first["retries"], second["status"], second["retries"]) == (503, 0, 200, 1)
    assert second["path"] == "/v1.0" + vendors.calls()["domains"].path
    assert (second["method"], second["request_id"], second["time"]) == ("GET", "r-2", clock.now.isoformat())
    assert second["client_request_id"] == cloud.requests[1].headers["client-request-id"] != first["client_request_id"]
    assert second["body_sha256"] == "1f6a584981ab43195e1cf1fe5979fc4c0e3fa2d7aacfd8443ec0e81b9f5a01ad"


STRANGE: list[Json] = [
    {"error": {"code": "BadRequest", "message": "No.", "innerError": "text"}},
    {"error": {"code": None, "message": None, "innerError": None}},
    {"error": {"code": 17, "message": ["No."], "innererror": {"request-id": 9}}},
    {"error": "text"},
    {"error": [1]},
    {"error": None},
    {},
]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 501])
@pytest.mark.parametrize("body", STRANGE, ids=range(len(STRANGE)))
def test_whatever_an_error_looks_like_it_costs_its_own_look_alone(status: int, body: Json) -> None:
    graph, _, _ = scripted(answer(body, status=status), answer({"value": [{"id": "a"}]}))
    look = graph.look("domains")
    assert (look.rows, look.complete, bool(look.refusal), bool(look.remedy)) == ((), False, True, True)
    assert graph.look("domains").complete


@pytest.mark.parametrize("cloud", ["gcc-high", "dod", "china"])
def test_a_call_that_a_cloud_lacks_is_not_made_there(cloud: str) -> None:
    graph, wire, _ = scripted(answer({"value": []}), cloud=cloud)
    look = graph.look("last_use", app="10bb7e5b")
    assert f"no such call in the cloud {cloud}" in look.refusal
    assert wire.requests == []
