"""Patience with Graph: what is asked again, after how long, and when to give up."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests

from runbook_lib.clients.graph.throttle import Throttle, retry_after
from runbook_lib.errors import GraphError, Unreachable, UnsafeAddress
from tests.fakes import HOST, Clock, answer, error, scripted

GOOD = answer({"value": []})
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


def breaks(_: requests.PreparedRequest) -> requests.Response:
    raise requests.ConnectionError("Connection aborted.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.249"}, 0.249),
        ({"retry-after": "Sun, 22 Nov 2026 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 08:00:30 GMT", "date": "Sun, 22 Nov 2026 08:00:20 GMT"}, 10.0),
        ({"retry-after": "Sun, 22 Nov 2026 07:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 08:00:30"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_in_every_form_that_occurs(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    "trouble",
    [error(429), error(500), error(502), error(503), error(504), answer(b'{"value": ['), answer(b"<html>"), breaks],
    ids=["429", "500", "502", "503", "504", "cut off", "no JSON", "broken"],
)
def test_what_may_pass_is_asked_again_with_growing_pauses(trouble: requests.Response) -> None:
    graph, cloud, clock = scripted(trouble, trouble, trouble, GOOD)
    assert graph.look("domains").complete
    assert (len(cloud.requests), clock.slept) == (4, [0.5, 1.0, 2.0])
    assert [row["retries"] for row in graph.log] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (error(503, "serviceNotAvailable"), "503 serviceNotAvailable"),
        (error(429), "429"),
        (answer(b"<html>"), "200 unreadable: the answer is not the JSON it should be"),
    ],
    ids=["503", "429", "no JSON"],
)
def test_what_does_not_pass_costs_the_look_after_five_tries(trouble: requests.Response, words: str) -> None:
    graph, cloud, _ = scripted(trouble)
    look = graph.look("domains")
    assert re.search(words, look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert len(cloud.requests) == 5


def test_a_cloud_that_cannot_be_reached_stops_the_step_after_five_tries() -> None:
    graph, cloud, _ = scripted(breaks)
    with pytest.raises(Unreachable, match=r"graph\.example broke the connection off"):
        graph.look("domains")
    assert len(cloud.requests) == 5


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 501])
def test_what_cannot_pass_is_not_asked_again(status: int) -> None:
    graph, cloud, clock = scripted(error(status, "Request_BadRequest", "No."))
    look = graph.look("domains")
    assert re.search(f"{status} Request_BadRequest: No.", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert (len(cloud.requests), clock.slept) == (1, [])
    assert "r-1" in look.remedy


@pytest.mark.parametrize(("value", "seconds"), [("17", 17.0), ("0.3", 0.3), ("0", 0.0625)])
def test_retry_after_is_honoured(value: str, seconds: float) -> None:
    graph, _, clock = scripted(error(429, headers={"Retry-After": value}), GOOD)
    graph.look("domains")
    assert clock.slept == [seconds]


def test_a_storm_of_429_is_waited_out_for_as_long_as_the_deadline_allows() -> None:
    graph, cloud, clock = scripted(*[error(429, headers={"Retry-After": "10"})] * 80, GOOD)
    assert graph.look("domains").complete
    assert (len(cloud.requests), sum(clock.slept)) == (81, 800.0)


def test_a_service_that_says_zero_for_ever_is_not_hammered() -> None:
    graph, cloud, _ = scripted(error(429, headers={"Retry-After": "0"}))
    look = graph.look("domains")
    assert re.search("429", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert len(cloud.requests) < 500


@pytest.mark.parametrize("patience", [60, 900])
def test_a_wait_beyond_the_deadline_is_not_begun(patience: float) -> None:
    graph, cloud, clock = scripted(error(429, headers={"Retry-After": "1000"}), deadline_seconds=patience)
    look = graph.look("domains")
    assert re.search("429", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert (len(cloud.requests), clock.slept) == (1, [])


def test_each_look_has_the_whole_deadline_because_a_person_may_pause_between() -> None:
    graph, _, clock = scripted(GOOD, error(429, headers={"Retry-After": "100"}), GOOD)
    graph.look("domains")
    clock.sleep(7200)
    assert graph.look("domains").complete


def test_a_list_without_end_meets_the_deadline() -> None:
    clock_of: list[Clock] = []

    def page(_: requests.PreparedRequest) -> requests.Response:
        clock_of[0].now += timedelta(seconds=1)
        return answer({"value": [], "@odata.nextLink": f"{HOST}/v1.0/x?$skiptoken={clock_of[0].now.timestamp()}"})

    graph, cloud, clock = scripted(page)
    clock_of.append(clock)
    look = graph.look("domains")
    assert re.search("within 900 seconds", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert 900 <= len(cloud.requests) <= 902


def test_a_refused_token_is_renewed_once() -> None:
    graph, cloud, _ = scripted(error(401, "InvalidAuthenticationToken"), GOOD)
    assert graph.look("domains").complete
    assert [request.headers["Authorization"] for request in cloud.requests] == ["Bearer token-0", "Bearer token-1"]


def test_a_token_refused_again_is_an_error() -> None:
    graph, cloud, _ = scripted(error(401, "InvalidAuthenticationToken"))
    with pytest.raises(GraphError, match="401 InvalidAuthenticationToken") as caught:
        graph.look("domains")
    assert (len(cloud.requests), caught.value.remedy) == (2, "Sign in again.")


def test_threads_refused_together_fetch_one_token_together() -> None:
    together = threading.Barrier(4)

    def respond(request: requests.PreparedRequest) -> requests.Response:
        if request.headers["Authorization"] == "Bearer token-0":
            together.wait(5)
            return error(401)
        return GOOD

    graph, cloud, _ = scripted(respond)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: graph.look("domains"), range(4)))
    assert {request.headers["Authorization"] for request in cloud.requests} == {"Bearer token-0", "Bearer token-1"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    graph, cloud, _ = scripted(answer(b"", status, {"Location": "https://portal.example/login?secret=1"}))
    with pytest.raises(UnsafeAddress, match=r"a redirect to portal\.example;") as caught:
        graph.look("domains")
    assert len(cloud.requests) == 1
    assert "secret" not in str(caught.value)


def throttle(clock: Clock) -> Throttle:
    return Throttle(clock, clock.sleep, lambda: 0.0, 900)


def test_when_one_thread_is_told_to_wait_all_wait() -> None:
    clock = Clock()
    pace = throttle(clock)
    pace.hold(GraphError("", status=429, code=""), 0, 12)
    pace.hold(GraphError("", status=429, code=""), 0, 5)
    with pace.turn("/v1.0/domains"):
        assert clock.slept == [12]


@pytest.mark.parametrize(("path", "slept"), [("/v1.0/auditLogs/signIns", [10.0]), ("/v1.0/domains", [])])
def test_reports_are_asked_five_times_in_ten_seconds(path: str, slept: list[float]) -> None:
    clock = Clock()
    pace = throttle(clock)
    for _ in range(6):
        with pace.turn(path):
            pass
    assert clock.slept == slept


@pytest.mark.parametrize(
    ("paths", "more"),
    [
        (["/v1.0/users/a@contoso.example/calendar", "/v1.0/users/A@contoso.example/events"] * 4, False),
        (["/v1.0/me/calendar/getSchedule"] * 8, False),
        ([f"/v1.0/users/room{number}@contoso.example/calendar" for number in range(8)], True),
    ],
    ids=["one mailbox", "the person's own", "eight mailboxes"],
)
def test_four_requests_at_a_time_go_to_one_mailbox(paths: list[str], more: bool) -> None:
    pace = throttle(Clock())
    inside, most, gate = [0], [0], threading.Condition()

    def visit(path: str) -> None:
        with pace.turn(path), gate:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            gate.notify_all()
            gate.wait_for(lambda: most[0] > 4, 0.3)  # long enough for a fifth to come in
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, paths))
    assert (most[0] > 4) is more


def test_an_untrusted_certificate_is_not_asked_again() -> None:
    def refuse(_: requests.PreparedRequest) -> requests.Response:
        raise requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")

    graph, cloud, _ = scripted(refuse)
    with pytest.raises(Unreachable, match="nobody vouches for") as caught:
        graph.look("domains")
    assert "REQUESTS_CA_BUNDLE" in caught.value.remedy
    assert len(cloud.requests) == 1
