import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.outlook import ADELE, DIEGO, ROOM, Outlook, faults, inviting, meeting, monday, refused, unsaid

EVENTS = f"/users/{ADELE}/events"


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


def titles(outlook: Outlook, address: str = ADELE) -> list[str]:
    return [event["subject"] for event in outlook.get(f"/users/{address}/events")["value"]]


def test_a_new_event_carries_everything_that_the_schema_declares_for_it(outlook: Outlook) -> None:
    reply = outlook.ask("POST", EVENTS, inviting(ROOM, location={"displayName": "Adams", "locationEmailAddress": ROOM}))
    assert reply.status == 201
    event: Any = reply.body
    assert list(faults(event, "event")) == []
    assert unsaid(event, "event") == {
        "originalStart",
        "cancelledOccurrences",
    }  # rarer than every day
    assert reply.headers["Location"].endswith(f"/events('{event['id']}')")
    assert len(event["id"]) == 152
    assert event["id"].startswith("AAMk")
    assert event["@odata.etag"] == f'W/"{event["changeKey"]}"'
    assert event["@odata.context"].endswith("users('adele%40contoso.example')/events/$entity")
    assert event["calendar@odata.navigationLink"].startswith("https://graph.example/v1.0/users('")
    assert event["organizer"] == {"emailAddress": {"name": "Adele Vance", "address": ADELE}}
    assert event["responseStatus"] == {"response": "organizer", "time": "0001-01-01T00:00:00Z"}
    assert event["locations"][0]["locationEmailAddress"] == ROOM
    assert outlook.get(f"{EVENTS}/{event['id']}") == event


def test_values_come_back_as_they_were_given(outlook: Outlook) -> None:
    given: Json = {
        "importance": "high",
        "sensitivity": "private",
        "showAs": "oof",
        "categories": ["Red"],
        "isReminderOn": False,
        "reminderMinutesBeforeStart": 99,
        "responseRequested": False,
        "hideAttendees": True,
        "allowNewTimeProposals": False,
        "transactionId": "7E163156-7762-4BEB-A1C6-729EA81755A7",
    }
    event = outlook.post(EVENTS, meeting(zone="Pacific Standard Time", **given))
    assert event.items() >= given.items()
    assert event["start"] == {"dateTime": "2026-11-23T17:00:00.0000000", "timeZone": "UTC"}
    assert event["originalStartTimeZone"] == "Pacific Standard Time"


def test_names_and_enumerations_are_read_in_any_case_and_null_means_the_default(outlook: Outlook) -> None:
    body = {name[0].upper() + name[1:]: value for name, value in meeting(showAs="Free", importance=None).items()}
    event = outlook.post(EVENTS, body)
    assert (event["subject"], event["showAs"], event["importance"]) == ("Planning", "free", "normal")


def test_an_online_meeting_is_silently_left_out_without_a_teams_licence(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, meeting(isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness"))
    assert (event["isOnlineMeeting"], event["onlineMeeting"], event["onlineMeetingProvider"]) == (
        False,
        None,
        "unknown",
    )


@pytest.mark.parametrize(
    ("body", "prefer", "content"),
    [
        ({"contentType": "text", "content": "a < b"}, "", "a &lt; b"),
        ({"contentType": "HTML", "content": "<p>a &lt; b</p>"}, "", "<p>a &lt; b</p>"),
        ({"contentType": "html", "content": "<p>a &lt; b</p>"}, 'outlook.body-content-type="text"', "a < b"),
        ({"content": "a < b"}, "outlook.body-content-type=text", "a < b"),
    ],
)
def test_a_body_is_a_document_unless_text_is_preferred(outlook: Outlook, body: Json, prefer: str, content: str) -> None:
    event = outlook.post(EVENTS, meeting(body=body), prefer=prefer)
    assert event["bodyPreview"] == "a < b"
    assert event["body"]["contentType"] == ("text" if prefer else "html")
    assert event["body"]["content"] == content if prefer else content in event["body"]["content"]
    assert event["body"]["content"].startswith("<html>") != bool(prefer)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "BadRequest"),
        ({}, "ErrorPropertyValidationFailure"),
        ({"subject": "No times"}, "ErrorPropertyValidationFailure"),
        (meeting("2026-11-23T10:00:00", "2026-11-23T09:00:00"), "ErrorPropertyValidationFailure"),
        (meeting("soon"), "ErrorPropertyValidationFailure"),
        (meeting() | {"start": "2026-11-23T09:00:00"}, "ErrorPropertyValidationFailure"),
        (meeting(zone="Mars"), "TimeZoneNotSupportedException"),
        (meeting(colour="red"), "RequestBodyRead"),
        (meeting(subject=5), "RequestBodyRead"),
        (meeting(isAllDay="yes"), "RequestBodyRead"),
        (meeting(showAs="asleep"), "RequestBodyRead"),
        (meeting(reminderMinutesBeforeStart=True), "RequestBodyRead"),
        (meeting(categories=[1]), "RequestBodyRead"),
        (meeting(transactionId=1), "RequestBodyRead"),
        (meeting(body="text"), "RequestBodyRead"),
        (meeting(body={"contentType": "rtf", "content": ""}), "RequestBodyRead"),
        (meeting(location=[]), None),
        (meeting(location="here"), "RequestBodyRead"),
        (meeting(location={"displayName": 5}), "RequestBodyRead"),
        (meeting(attendees={}), None),
        (meeting(attendees="all"), "RequestBodyRead"),
        (meeting(attendees=["all"]), "RequestBodyRead"),
        (meeting(attendees=[{"emailAddress": {"name": "Nobody"}}]), "ErrorInvalidRecipients"),
        (meeting(attendees=[{"emailAddress": {"address": ROOM}, "type": "fan"}]), "RequestBodyRead"),
        (meeting(end="2026-11-24T09:00:00", isAllDay=True), "ErrorInvalidRequest"),  # not at midnight
        (meeting("2026-11-23T00:00:00", "2026-11-23T00:00:00", isAllDay=True), "ErrorInvalidRequest"),  # no day long
        (meeting(recurrence={"pattern": {}}), "ErrorPropertyValidationFailure"),
        (meeting(recurrence="daily"), "ErrorPropertyValidationFailure"),
    ],
)
def test_what_exchange_would_refuse_is_refused_and_leaves_nothing_behind(
    outlook: Outlook, body: Json | None, code: str | None
) -> None:
    reply = outlook.ask("POST", EVENTS, body)
    assert refused(reply) == (400, code) if code else reply.status == 201
    assert len(titles(outlook)) == (0 if code else 1)


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("POST", "", meeting()),
        ("PATCH", "/x", {}),
        ("DELETE", "/x", None),
        ("POST", "/x/cancel", {}),
        ("POST", "/x/accept", {}),
    ],
)
def test_writing_needs_the_permission_to_write(outlook: Outlook, method: str, tail: str, body: Json | None) -> None:
    reader = outlook.only("Calendars.Read", "Calendars.ReadBasic.All", "Calendars.ReadWrite.All")
    assert refused(reader.ask(method, EVENTS + tail, body)) == (403, "ErrorAccessDenied")


SERIES = {
    "pattern": {
        "type": "weekly",
        "interval": 1,
        "daysOfWeek": ["monday"],
        "month": 1,
        "dayOfMonth": 1,
        "index": "first",
    },
    "range": {"type": "numbered", "numberOfOccurrences": 3, "startDate": "2026-11-23", "endDate": "2026-12-31"},
}
WHOLE = inviting(
    ROOM, recurrence=SERIES, location={"displayName": "Adams"}, body={"content": "<p>", "contentType": "html"}
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, 0, -1, 5, 1e9, "", "x", [], {}, [None], "daily", "noEnd", "endDate", "absoluteYearly"]
    ),
    st.sampled_from(["2026-11-23", "9999-12-31", "0001-01-01T00:00:00", "4500-12-31T23:59:59", "Europe/Berlin"]),
    st.text(max_size=5),
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a body."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *leaves(item, (*path, key))]]


@given(path=st.sampled_from(leaves(WHOLE)), value=VALUES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_one_value_is_replaced_by_the_event_is_made_or_refused(
    outlook: Outlook, path: tuple[Any, ...], value: Any
) -> None:
    body = copy.deepcopy(WHOLE)
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert outlook.ask("POST", EVENTS, body).status in (201, 400)
    outlook.later(3)
    assert (
        outlook.ask("GET", f"/users/{ROOM}/calendarView?startDateTime=2026-11-01&endDateTime=2027-11-01").status == 200
    )


# transactionId


def test_a_repeated_post_with_the_same_transaction_makes_one_event(outlook: Outlook) -> None:
    body = inviting(ROOM, transactionId="once")
    first, second = outlook.post(EVENTS, body), outlook.post(EVENTS, body)
    assert first == second
    assert len(titles(outlook)) == 1
    outlook.later(2)
    assert len(titles(outlook, ROOM)) == 1


def test_another_event_with_a_used_transaction_is_refused(outlook: Outlook) -> None:
    outlook.post(EVENTS, meeting(transactionId="once"))
    other = meeting(transactionId="once") | {"subject": "Other"}
    assert refused(outlook.ask("POST", EVENTS, other)) == (400, "ErrorDuplicateTransactionId")
    assert titles(outlook) == ["Planning"]
    outlook.post(f"/users/{DIEGO}/events", other)  # another mailbox knows nothing of it


def test_without_a_transaction_every_post_makes_an_event(outlook: Outlook) -> None:
    first, second = outlook.post(EVENTS, meeting()), outlook.post(EVENTS, meeting())
    assert first["id"] != second["id"]
    assert first["iCalUId"] != second["iCalUId"]


# read, change, delete


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("nonsense", (400, "ErrorInvalidIdMalformed")),
        ("AAMkAGI2", (400, "ErrorInvalidIdMalformed")),
        ("{deleted}", (404, "ErrorItemNotFound")),
        ("{other}", (404, "ErrorItemNotFound")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_event_that_is_not_there_is_not_found(
    outlook: Outlook, method: str, key: str, answer: tuple[int, str]
) -> None:
    deleted = outlook.post(EVENTS, meeting())["id"]
    assert outlook.ask("DELETE", f"{EVENTS}/{deleted}").status == 204
    other = outlook.post(f"/users/{DIEGO}/events", meeting())["id"]
    asked = key.format(deleted=deleted, other=other)
    assert refused(outlook.ask(method, f"{EVENTS}/{asked}", {} if method == "PATCH" else None)) == answer


@pytest.mark.parametrize("tail", ["events", "calendar/events"])
def test_an_event_is_reached_by_every_path(outlook: Outlook, tail: str) -> None:
    event = outlook.post(f"/users/{ADELE}/{tail}", meeting())
    assert outlook.get(f"/users/{ADELE}/{tail}/{event['id']}")["id"] == event["id"]
    assert outlook.get(f"/users('{ADELE}')/{tail}('{event['id']}')")["id"] == event["id"]
    assert (
        outlook.get(f"/users/{ADELE}/{tail}/{event['id'].replace('=', '%3D')}?$select=subject")["subject"] == "Planning"
    )


def test_a_change_changes_what_it_names_and_the_version(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, meeting())
    outlook.later(60)
    reply = outlook.ask("PATCH", f"{EVENTS}/{event['id']}", {"subject": "Moved", "end": meeting()["start"]})
    changed: Any = reply.body
    assert (reply.status, changed["subject"], changed["end"]) == (200, "Moved", event["start"])
    assert changed["changeKey"] != event["changeKey"]
    assert changed["lastModifiedDateTime"] > event["lastModifiedDateTime"]
    assert {name for name in event if changed[name] != event[name]} == {
        *("@odata.etag", "changeKey", "lastModifiedDateTime", "subject", "end")
    }


def test_an_unknown_preferred_zone_is_refused_before_anything_happens(outlook: Outlook) -> None:
    reply = outlook.ask("POST", EVENTS, meeting(), prefer='outlook.timezone="Mars"')
    assert refused(reply) == (400, "TimeZoneNotSupportedException")
    assert titles(outlook) == []


def test_a_refused_change_changes_nothing(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, meeting())
    wrong = {"subject": "Moved", "end": {"dateTime": "2026-11-22T09:00:00", "timeZone": "UTC"}}
    assert refused(outlook.ask("PATCH", f"{EVENTS}/{event['id']}", wrong)) == (400, "ErrorPropertyValidationFailure")
    assert outlook.get(f"{EVENTS}/{event['id']}") == event


def test_an_occurrence_can_be_deleted_but_not_changed(outlook: Outlook) -> None:
    daily = {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered", "numberOfOccurrences": 3}}
    master = outlook.post(EVENTS, meeting(recurrence=daily))
    window = "startDateTime=2026-11-01&endDateTime=2026-12-31"
    last, middle, first = outlook.get(f"{EVENTS}/{master['id']}/instances?{window}")["value"]
    assert refused(outlook.ask("PATCH", f"{EVENTS}/{middle['id']}", {"subject": "x"})) == (400, "ErrorInvalidRequest")
    assert outlook.ask("DELETE", f"{EVENTS}/{middle['id']}").status == 204
    left = outlook.get(f"/users/{ADELE}/calendarView?{window}")["value"]
    assert [each["id"] for each in left] == [last["id"], first["id"]]
    assert refused(outlook.ask("GET", f"{EVENTS}/{middle['id']}")) == (404, "ErrorItemNotFound")
    assert [each["type"] for each in outlook.get(EVENTS)["value"]] == ["seriesMaster"]


def test_a_filter_finds_an_event_by_the_id_that_all_its_copies_share(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.post(EVENTS, meeting())
    outlook.later(2)
    for address in (ADELE, ROOM):
        found = outlook.get(f"/users/{address}/events?$filter=iCalUId eq '{event['iCalUId']}'".replace(" ", "%20"))
        assert [row["iCalUId"] for row in found["value"]] == [event["iCalUId"]]


# answers and cancellations


def test_only_the_organizer_cancels_and_only_attendees_answer(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(DIEGO))
    outlook.later(2)
    copy = outlook.get(f"/users/{DIEGO}/events")["value"][0]
    theirs = f"/users/{DIEGO}/events/{copy['id']}"
    assert refused(outlook.ask("POST", f"{theirs}/cancel", {})) == (400, "ErrorInvalidRequest")
    assert refused(outlook.ask("POST", f"{EVENTS}/{event['id']}/accept", {})) == (400, "ErrorInvalidRequest")
    assert outlook.ask("POST", f"{EVENTS}/{event['id']}/cancel", {"comment": "Sorry"}).status == 202
    assert titles(outlook) == []
    outlook.later(2)
    assert titles(outlook, DIEGO) == []


@pytest.mark.parametrize(
    ("action", "response", "kept"),
    [("accept", "accepted", 1), ("tentativelyAccept", "tentativelyAccepted", 1), ("decline", "declined", 0)],
)
def test_a_persons_answer_reaches_the_organizer(outlook: Outlook, action: str, response: str, kept: int) -> None:
    event = outlook.post(EVENTS, inviting(DIEGO))
    outlook.later(2)
    copy = outlook.get(f"/users/{DIEGO}/events")["value"][0]
    assert (copy["isOrganizer"], copy["showAs"], copy["responseStatus"]["response"]) == (
        False,
        "tentative",
        "notResponded",
    )
    assert outlook.get(f"{EVENTS}/{event['id']}")["attendees"][0]["status"]["response"] == "none"
    assert outlook.ask("POST", f"/users/{DIEGO}/events/{copy['id']}/{action}", {"sendResponse": True}).status == 202
    assert outlook.get(f"{EVENTS}/{event['id']}")["attendees"][0]["status"]["response"] == response
    assert len(titles(outlook, DIEGO)) == kept
