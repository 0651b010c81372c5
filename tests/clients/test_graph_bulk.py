"""One question about many mailboxes: batches with answers of their own, and free/busy in chunks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from threading import Lock

import pytest
import requests

from runbook_lib.errors import UsageError
from runbook_lib.model import Json
from tests.fakes import answer, error, scripted, sent

START = datetime(2026, 11, 23, 8, tzinfo=UTC)
END = START + timedelta(hours=10)
Respond = Callable[[requests.PreparedRequest], requests.Response]


def mailboxes(number: int) -> list[str]:
    return [f"room{one}@contoso.example" for one in range(number)]


def batch(inner: Callable[[str], Json]) -> Respond:
    """Return a $batch endpoint that answers each inner request with `inner(url)`, last first, as order is not kept."""

    def respond(request: requests.PreparedRequest) -> requests.Response:
        asked = sent(request)["requests"]
        if not 1 <= len(asked) <= 20 or len({one["id"] for one in asked}) < len(asked):
            return error(400, "BadRequest", "a batch too large, empty or with ids twice")
        return answer({"responses": [{"id": one["id"], **inner(one["url"])} for one in reversed(asked)]})

    return respond


def found(url: str) -> Json:
    return {"status": 200, "headers": {}, "body": {"id": url}}


@pytest.mark.parametrize(("number", "requests_sent"), [(0, 0), (1, 1), (20, 1), (21, 2), (205, 11)])
def test_keys_are_asked_twenty_at_a_time_and_answered_in_their_order(number: int, requests_sent: int) -> None:
    graph, cloud, _ = scripted(batch(found))
    look = graph.look_each("room_calendar", mailboxes(number))
    assert [row["key"] for row in look.rows] == mailboxes(number)
    assert all(row["body"]["id"] == f"/users/{row['key']}/calendar?$select=id,name" for row in look.rows)
    assert (look.complete, look.total, len(cloud.requests)) == (True, number, requests_sent)


def test_each_key_keeps_the_status_that_it_got() -> None:
    refused = {"status": 403, "body": {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}}}

    def inner(url: str) -> Json:
        return found(url) if "room0" in url else refused if "room1" in url else {"status": 404, "body": None}

    graph, _, _ = scripted(batch(inner))
    look = graph.look_each("room_calendar", mailboxes(3))
    assert [row["status"] for row in look.rows] == [200, 403, 404]
    assert look.rows[1]["body"]["error"]["code"] == "ErrorAccessDenied"
    assert (look.rows[2]["body"], look.complete, look.refusal) == ({}, True, "")


def test_only_what_was_throttled_inside_a_batch_is_asked_again_after_its_own_wait() -> None:
    asked: Counter[str] = Counter()

    def inner(url: str) -> Json:
        asked[url] += 1
        if "room3" in url and asked[url] == 1:
            return {"status": 429, "headers": {"Retry-After": "3"}, "body": {}}
        if "room7" in url and asked[url] == 1:
            return {"status": 503, "headers": {"retry-after": "6"}, "body": {}}
        return found(url)

    graph, cloud, clock = scripted(batch(inner))
    look = graph.look_each("room_calendar", mailboxes(20))
    assert [row["status"] for row in look.rows] == [200] * 20
    assert [len(sent(request)["requests"]) for request in cloud.requests] == [20, 2]
    assert clock.slept == [6.0]


def test_a_key_that_the_batch_forgot_is_asked_again() -> None:
    first = answer({"responses": []})
    graph, _, clock = scripted(first, batch(found))
    assert graph.look_each("room_calendar", mailboxes(2)).complete
    assert clock.slept == [0.5]


def test_a_key_that_stays_throttled_has_no_row_and_the_look_says_so() -> None:
    def inner(url: str) -> Json:
        return {"status": 503, "body": {}} if "room1" in url else found(url)

    graph, cloud, _ = scripted(batch(inner))
    look = graph.look_each("room_calendar", mailboxes(3))
    assert [row["key"] for row in look.rows] == ["room0@contoso.example", "room2@contoso.example"]
    assert (look.complete, look.population, len(cloud.requests)) == (False, "2 of 3", 5)


def test_a_batch_refused_as_a_whole_is_a_refusal() -> None:
    graph, _, _ = scripted(error(403, "Authorization_RequestDenied"), permissions=frozenset())
    look = graph.look_each("room_calendar", mailboxes(3))
    assert "lacks the application permission Calendars.ReadBasic.All" in look.refusal


def test_a_batch_that_breaks_costs_its_look_and_the_others_are_not_waited_for_in_vain() -> None:
    graph, _, _ = scripted(error(400, "BadRequest", "Invalid batch."))
    look = graph.look_each("room_calendar", mailboxes(205))
    assert re.search("400 BadRequest", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)


def calendars(unable: Callable[[str], requests.Response | None] = lambda _: None, bad: str = "") -> Respond:
    """Return getSchedule: `unable(path)` tells an asker off, `bad` is an address that spoils its whole request."""

    def respond(request: requests.PreparedRequest) -> requests.Response:
        schedules = sent(request)["schedules"]
        if len(schedules) > 20 or bad in schedules:
            return error(400, "ErrorInvalidParameter", "Too many or strange addresses.")
        item = {"status": "busy", "subject": "Merger", "location": "Here", "isPrivate": True, "start": {}, "end": {}}
        row = {"availabilityView": "02", "scheduleItems": [item], "workingHours": {"timeZone": {}}}
        rows = [{"scheduleId": one.upper(), **row} for one in reversed(schedules)]
        refused = unable(str(request.path_url))
        return answer({"value": rows}) if refused is None else refused

    return respond


@pytest.mark.parametrize(("number", "requests_sent"), [(0, 0), (1, 1), (20, 1), (21, 2), (205, 11)])
def test_free_busy_is_asked_in_chunks_and_comes_in_order(number: int, requests_sent: int) -> None:
    graph, cloud, _ = scripted(calendars())
    look = graph.look_schedules("free_busy", mailboxes(number), START, END)
    assert [row["scheduleId"].lower() for row in look.rows] == mailboxes(number)
    assert (look.complete, look.total, len(cloud.requests)) == (True, number, requests_sent)
    assert {request.path_url for request in cloud.requests} <= {
        "/v1.0/users/room0@contoso.example/calendar/getSchedule"
    }


def test_free_busy_keeps_times_and_nothing_that_tells_what_a_meeting_is_about() -> None:
    graph, _, _ = scripted(calendars())
    (row,) = graph.look_schedules("free_busy", mailboxes(1), START, END).rows
    assert row == {
        "scheduleId": "ROOM0@CONTOSO.EXAMPLE",
        "availabilityView": "02",
        "scheduleItems": [{"start": {}, "end": {}, "status": "busy"}],
    }


def test_free_busy_is_asked_in_utc_whatever_zone_the_caller_thinks_in() -> None:
    graph, cloud, _ = scripted(calendars(), kind="person")
    seattle = START.astimezone(timezone(timedelta(hours=-8)))
    graph.look_schedules("free_busy", mailboxes(1), seattle, END, 15)
    (request,) = cloud.requests
    assert request.path_url == "/v1.0/me/calendar/getSchedule"
    assert request.headers["Prefer"] == 'outlook.timezone="UTC"'
    assert sent(request) == {
        "schedules": mailboxes(1),
        "startTime": {"dateTime": "2026-11-23T08:00:00", "timeZone": "UTC"},
        "endTime": {"dateTime": "2026-11-23T18:00:00", "timeZone": "UTC"},
        "availabilityViewInterval": 15,
    }


@pytest.mark.parametrize(
    ("end", "minutes"),
    [(START, 30), (START - timedelta(1), 30), (START + timedelta(62), 30), (END, 4), (END, 1441)],
)
def test_a_window_that_graph_would_refuse_is_not_sent(end: datetime, minutes: int) -> None:
    graph, cloud, _ = scripted(calendars())
    with pytest.raises(UsageError, match="62 days"):
        graph.look_schedules("free_busy", mailboxes(1), START, end, minutes)
    assert cloud.requests == []


@pytest.mark.parametrize(
    "telling_off",
    [error(404, "MailboxNotEnabledForRESTAPI"), error(404, "ErrorInvalidUser"), error(403, "ErrorAccessDenied")],
    ids=["on premises", "no mailbox", "blocked by a policy"],
)
def test_an_application_asks_through_the_first_mailbox_that_can(telling_off: requests.Response) -> None:
    graph, cloud, _ = scripted(calendars(lambda path: None if "room30@" in path else telling_off))
    look = graph.look_schedules("free_busy", mailboxes(200), START, END)
    assert (len(look.rows), look.complete) == (200, True)
    assert [request.path_url.split("/")[3] for request in cloud.requests[:4]] == [
        f"room{one}@contoso.example" for one in (0, 10, 20, 30)
    ]
    assert all("room30@" in request.path_url for request in cloud.requests[3:])


@pytest.mark.parametrize(
    ("kind", "telling_off", "words"),
    [
        ("application", error(403, "ErrorAccessDenied"), "yet Graph refused (ErrorAccessDenied)"),
        ("application", error(404, "MailboxNotEnabledForRESTAPI"), "No mailbox could ask for free/busy (20 tried)"),
        ("person", error(404, "MailboxNotEnabledForRESTAPI"), "No mailbox could ask for free/busy (1 tried)"),
    ],
    ids=["refused", "none on line", "a person without a mailbox"],
)
def test_when_no_mailbox_can_ask_we_could_not_look(kind: str, telling_off: requests.Response, words: str) -> None:
    graph, cloud, _ = scripted(calendars(lambda _: telling_off), kind=kind)
    look = graph.look_schedules("free_busy", mailboxes(4000), START, END)
    assert words in look.refusal
    assert look.remedy
    assert (look.rows, look.complete) == ((), False)
    assert len(cloud.requests) == (20 if kind == "application" else 1)


def test_one_bad_address_does_not_hide_nineteen_good_ones() -> None:
    bad = "room7@contoso.example"
    graph, cloud, _ = scripted(calendars(bad=bad))
    look = graph.look_schedules("free_busy", mailboxes(40), START, END)
    assert look.complete
    assert [row["scheduleId"].lower() for row in look.rows] == mailboxes(40)
    assert [row for row in look.rows if "error" in row] == [
        {
            "scheduleId": bad,
            "error": {"responseCode": "ErrorInvalidParameter", "message": look.rows[7]["error"]["message"]},
        }
    ]
    assert len(cloud.requests) <= 12


def test_a_mailbox_missing_from_the_answer_makes_the_look_incomplete() -> None:
    graph, _, _ = scripted(answer({"value": [{"scheduleId": "room1@contoso.example"}]}))
    look = graph.look_schedules("free_busy", mailboxes(3), START, END)
    assert (look.population, look.complete) == ("1 of 3", False)


def test_an_error_in_a_later_chunk_is_not_swallowed() -> None:
    lock, answered = Lock(), [0]

    def respond(request: requests.PreparedRequest) -> requests.Response:
        with lock:
            answered[0] += 1
            return error(409, "Conflict") if answered[0] > 3 else calendars()(request)

    graph, _, _ = scripted(respond)
    look = graph.look_schedules("free_busy", mailboxes(200), START, END)
    assert re.search("409 Conflict", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)


@pytest.mark.parametrize("responses", [None, "x", [None], [{"id": 0, "status": 200}], [{"id": "0"}], {"id": "0"}])
def test_a_batch_that_is_answered_in_another_form_costs_its_look_and_says_so(responses: object) -> None:
    graph, _, _ = scripted(lambda _: answer({"responses": responses}))
    assert "answered otherwise than asked" in graph.look_each("room_calendar", mailboxes(1)).refusal


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"availabilityView": "0"}, {"availabilityView": "0", "scheduleItems": []}),
        ({"scheduleId": None}, {"scheduleId": None, "scheduleItems": []}),
        (None, {"scheduleItems": []}),
    ],
)
def test_a_schedule_without_a_name_stays_for_whoever_reads_it_and_the_look_is_not_complete(
    row: object, kept: Json
) -> None:
    graph, _, _ = scripted(lambda _: answer({"value": [row]}))
    look = graph.look_schedules("free_busy", mailboxes(1), START, END)
    assert (look.rows, look.complete) == ((kept,), False)


@pytest.mark.parametrize("items", [{"status": "busy"}, "busy", 7, [None], ["busy"]])
def test_entries_that_are_none_are_never_taken_for_a_free_calendar(items: object) -> None:
    name = mailboxes(1)[0]
    graph, _, _ = scripted(lambda _: answer({"value": [{"scheduleId": name, "scheduleItems": items}]}))
    (row,) = graph.look_schedules("free_busy", mailboxes(1), START, END).rows
    assert row["scheduleItems"] != []
