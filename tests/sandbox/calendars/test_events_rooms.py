from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib.sandbox.exchange.meetings import book
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.outlook import ADELE, DIEGO, MONDAY, OTHER_ROOM, ROOM, Outlook, inviting, meeting, monday, refused

EVENTS = f"/users/{ADELE}/events"


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


def answer(outlook: Outlook, event: Json) -> str:
    """The room's answer as the organizer sees it."""
    response: str = outlook.get(f"{EVENTS}/{event['id']}")["attendees"][0]["status"]["response"]
    return response


def calendar(outlook: Outlook, address: str = ROOM) -> list[Json]:
    rows: list[Json] = outlook.get(f"/users/{address}/events")["value"]
    return rows


def booked(outlook: Outlook, body: Json, **rules: Any) -> tuple[str, list[Json]]:
    """Book the room under some rules; its answer and its calendar afterwards."""
    outlook.box(ROOM).booking.update(rules)
    event = outlook.post(EVENTS, body)
    outlook.later(2)
    return answer(outlook, event), calendar(outlook)


def test_a_room_answers_after_its_delay_and_not_before(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    for seconds in (0, 1.9):
        outlook.later(seconds)
        assert (answer(outlook, event), calendar(outlook)) == ("none", [])
    outlook.later(0.1)
    status = outlook.get(f"{EVENTS}/{event['id']}")["attendees"][0]["status"]
    assert status == {"response": "accepted", "time": "2026-11-23T08:00:02.0000000Z"}
    assert len(calendar(outlook)) == 1


def test_the_delay_is_the_tenants_mode(outlook: Outlook) -> None:
    outlook.tenant.modes["room_answer_seconds"] = 60
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(59)
    assert answer(outlook, event) == "none"
    outlook.later(1)
    assert answer(outlook, event) == "accepted"


def test_the_room_keeps_the_organizers_name_for_a_subject_and_no_text(outlook: Outlook) -> None:
    body = inviting(ROOM, sensitivity="private", body={"contentType": "text", "content": "secret"})
    _, (copy,) = booked(outlook, body)
    assert (copy["subject"], copy["sensitivity"], copy["bodyPreview"]) == ("Adele Vance", "normal", "")
    assert (copy["isOrganizer"], copy["showAs"], copy["responseStatus"]["response"]) == (False, "busy", "accepted")
    assert copy["organizer"]["emailAddress"]["address"] == ADELE


@pytest.mark.parametrize(
    ("rules", "subject"),
    [
        ({"DeleteSubject": False}, "Adele Vance Planning"),
        ({"DeleteSubject": False, "AddOrganizerToSubject": False}, "Planning"),
        ({"AddOrganizerToSubject": False}, ""),
    ],
)
def test_the_rules_decide_about_the_subject(outlook: Outlook, rules: Json, subject: str) -> None:
    assert booked(outlook, inviting(ROOM), **rules)[1][0]["subject"] == subject


@pytest.mark.parametrize("status", ["busy", "free", "oof"])
def test_an_accepted_booking_shows_what_the_organizer_intended(outlook: Outlook, status: str) -> None:
    assert booked(outlook, inviting(ROOM, showAs=status))[1][0]["showAs"] == status


def test_other_rules_keep_text_and_private_flag(outlook: Outlook) -> None:
    body = inviting(ROOM, sensitivity="private", body={"contentType": "text", "content": "secret"})
    _, (copy,) = booked(outlook, body, DeleteComments=False, RemovePrivateProperty=False)
    assert (copy["sensitivity"], copy["bodyPreview"]) == ("private", "secret")


def series(number: int = 3, kind: str = "numbered", **more: Any) -> Json:
    span = {"type": kind, "numberOfOccurrences": number, **more}
    return {"pattern": {"type": "daily", "interval": 1}, "range": span}


@pytest.mark.parametrize(
    ("body", "rules", "expected"),
    [
        (inviting(ROOM), {}, "accepted"),
        (inviting(ROOM, start="2027-05-22T07:00:00", end="2027-05-22T07:30:00"), {}, "accepted"),  # 180 days
        (inviting(ROOM, start="2027-05-22T09:00:00", end="2027-05-22T09:30:00"), {}, "declined"),
        (
            inviting(ROOM, start="2026-12-24T09:00:00", end="2026-12-24T10:00:00"),
            {"BookingWindowInDays": 30},
            "declined",
        ),
        (inviting(ROOM), {"MaximumDurationInMinutes": 60}, "accepted"),
        (inviting(ROOM), {"MaximumDurationInMinutes": 59}, "declined"),
        (inviting(ROOM, end="2026-11-25T10:00:00"), {}, "declined"),  # longer than a day
        (inviting(ROOM, end="2026-11-25T10:00:00"), {"MaximumDurationInMinutes": 0}, "accepted"),  # no limit
        (inviting(ROOM), {"AllBookInPolicy": False}, "declined"),
        (inviting(ROOM), {"AllBookInPolicy": False, "AllRequestInPolicy": True}, "tentativelyAccepted"),
        (inviting(ROOM, recurrence=series()), {}, "accepted"),
        (inviting(ROOM, recurrence=series()), {"AllowRecurringMeetings": False}, "declined"),
        (inviting(ROOM, recurrence=series(200)), {}, "declined"),  # ends behind the booking window
        (inviting(ROOM, recurrence=series(200)), {"EnforceSchedulingHorizon": False}, "accepted"),
        (inviting(ROOM, recurrence=series(kind="noEnd")), {}, "declined"),
        (inviting(ROOM, recurrence=series(kind="endDate", endDate="2026-12-24")), {}, "accepted"),
    ],
)
def test_a_room_answers_by_its_booking_rules(outlook: Outlook, body: Json, rules: Json, expected: str) -> None:
    response, copies = booked(outlook, body, **rules)
    assert response == expected
    assert len(copies) == (0 if expected == "declined" else 1)


@pytest.mark.parametrize(
    ("processing", "response", "copies"),
    [("AutoAccept", "accepted", 1), ("AutoUpdate", "none", 1), ("None", "none", 0)],
)
def test_only_a_room_that_accepts_by_itself_answers(
    outlook: Outlook, processing: str, response: str, copies: int
) -> None:
    found, calendar = booked(outlook, inviting(ROOM), AutomateProcessing=processing)
    assert (found, len(calendar)) == (response, copies)
    if processing == "AutoUpdate":
        assert (calendar[0]["showAs"], calendar[0]["subject"]) == ("tentative", "Planning")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-23T09:30:00", "2026-11-23T10:30:00", "declined"),
        ("2026-11-23T08:00:00", "2026-11-23T12:00:00", "declined"),
        ("2026-11-23T10:00:00", "2026-11-23T11:00:00", "accepted"),  # back to back
    ],
)
def test_who_comes_first_has_the_room(outlook: Outlook, start: str, end: str, expected: str) -> None:
    first = outlook.post(EVENTS, inviting(ROOM))
    second = outlook.post(EVENTS, inviting(ROOM, start=start, end=end))
    outlook.later(2)
    assert (answer(outlook, first), answer(outlook, second)) == ("accepted", expected)


def test_requests_are_answered_in_the_order_of_their_arrival_whoever_looks_first(outlook: Outlook) -> None:
    first = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(1)
    second = outlook.post(f"/users/{DIEGO}/events", inviting(ROOM))
    outlook.later(10)
    late = outlook.get(f"/users/{DIEGO}/events/{second['id']}")["attendees"][0]["status"]
    assert late == {"response": "declined", "time": "2026-11-23T08:00:03.0000000Z"}
    assert answer(outlook, first) == "accepted"


def test_a_room_may_allow_conflicts(outlook: Outlook) -> None:
    outlook.post(f"/users/{DIEGO}/events", inviting(ROOM))
    response, copies = booked(outlook, inviting(ROOM), AllowConflicts=True)
    assert (response, len(copies)) == ("accepted", 2)


def test_what_is_free_in_the_rooms_calendar_does_not_keep_others_out(outlook: Outlook) -> None:
    outlook.post(f"/users/{ROOM}/events", meeting(showAs="free"))
    assert booked(outlook, inviting(ROOM))[0] == "accepted"


@pytest.mark.parametrize(
    ("rules", "expected", "occurrences"),
    [
        ({}, "declined", 0),
        ({"ConflictPercentageAllowed": 33}, "declined", 0),  # one of three is more
        ({"ConflictPercentageAllowed": 34}, "accepted", 2),
        ({"ConflictPercentageAllowed": 34, "MaximumConflictInstances": 0}, "declined", 0),
        ({"AllowConflicts": True}, "accepted", 3),
    ],
)
def test_a_series_may_lose_as_many_occurrences_as_the_rules_allow(
    outlook: Outlook, rules: Json, expected: str, occurrences: int
) -> None:
    outlook.post(f"/users/{DIEGO}/events", inviting(ROOM, start="2026-11-24T09:00:00", end="2026-11-24T10:00:00"))
    response, _ = booked(outlook, inviting(ROOM, recurrence=series()), **rules)
    view = outlook.get(f"/users/{ROOM}/calendarView?startDateTime=2026-11-23&endDateTime=2026-11-30")["value"]
    assert response == expected
    assert sum(each["type"] == "occurrence" for each in view) == occurrences


def test_a_cancelled_meeting_leaves_the_room_a_little_later(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    assert outlook.ask("DELETE", f"{EVENTS}/{event['id']}").status == 204
    assert refused(outlook.ask("GET", f"{EVENTS}/{event['id']}")) == (404, "ErrorItemNotFound")
    assert len(calendar(outlook)) == 1
    outlook.later(2)
    assert calendar(outlook) == []


def test_a_meeting_cancelled_before_the_answer_never_stays(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.ask("DELETE", f"{EVENTS}/{event['id']}")
    outlook.later(60)
    assert calendar(outlook) == []


def test_a_room_is_free_again_after_a_cancellation(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    outlook.ask("DELETE", f"{EVENTS}/{event['id']}")
    outlook.later(1)
    second = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)  # the cancellation arrives a second before the request
    assert answer(outlook, second) == "accepted"


def test_a_moved_meeting_is_answered_again(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    moved = {
        name: {"dateTime": f"2026-11-23T{hour}:00:00", "timeZone": "UTC"} for name, hour in (("start", 13), ("end", 14))
    }
    outlook.ask("PATCH", f"{EVENTS}/{event['id']}", moved)
    assert answer(outlook, event) == "none"
    outlook.later(2)
    assert answer(outlook, event) == "accepted"
    assert [copy["start"]["dateTime"][11:13] for copy in calendar(outlook)] == ["13"]


def test_a_meeting_moved_to_another_room_leaves_the_first(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    outlook.ask("PATCH", f"{EVENTS}/{event['id']}", {"attendees": inviting(OTHER_ROOM)["attendees"]})
    outlook.later(2)
    assert (len(calendar(outlook, ROOM)), len(calendar(outlook, OTHER_ROOM))) == (0, 1)


def test_a_new_title_alone_does_not_ask_the_room_again(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    outlook.ask("PATCH", f"{EVENTS}/{event['id']}", {"subject": "New title"})
    assert answer(outlook, event) == "accepted"


def test_a_room_that_drops_its_copy_declines(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    outlook.ask("DELETE", f"/users/{ROOM}/events/{calendar(outlook)[0]['id']}")
    assert answer(outlook, event) == "declined"


def test_a_deleted_occurrence_is_free_in_the_room_as_well(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, inviting(ROOM, recurrence=series()))
    outlook.later(2)
    window = "startDateTime=2026-11-23&endDateTime=2026-11-30"
    first = outlook.get(f"{EVENTS}/{event['id']}/instances?{window}")["value"][-1]
    outlook.ask("DELETE", f"{EVENTS}/{first['id']}")
    assert len(outlook.get(f"/users/{ROOM}/calendarView?{window}")["value"]) == 2


@pytest.mark.parametrize("state", ["on-premises", "missing"])
def test_a_room_that_is_not_in_the_cloud_never_answers(outlook: Outlook, state: str) -> None:
    outlook.box(ROOM).state = state
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(3600)
    assert answer(outlook, event) == "none"


def test_a_blocked_room_answers_although_the_app_cannot_read_it(outlook: Outlook) -> None:
    outlook.box(ROOM).state = "policy-blocked"
    event = outlook.post(EVENTS, inviting(ROOM))
    outlook.later(2)
    assert answer(outlook, event) == "accepted"


# book, for services that book on somebody's behalf


def test_a_service_books_a_room_for_somebody(outlook: Outlook) -> None:
    start = MONDAY + timedelta(hours=1)
    event = book(outlook.tenant, ADELE, ROOM, start, start + timedelta(hours=1), now=MONDAY, subject="From the map")
    outlook.later(2)
    assert answer(outlook, event) == "accepted"
    shown = outlook.get(f"{EVENTS}/{event['id']}")
    assert shown["location"].items() >= {"displayName": "Adams", "locationEmailAddress": ROOM}.items()
    assert calendar(outlook)[0]["iCalUId"] == event["iCalUId"]


def test_a_service_that_repeats_itself_books_once(outlook: Outlook) -> None:
    start = MONDAY + timedelta(hours=1)
    events = [
        book(outlook.tenant, ADELE, ROOM, start, start + timedelta(hours=1), now=MONDAY, transaction_id="42")
        for _ in range(2)
    ]
    assert events[0] is events[1]


@pytest.mark.parametrize(
    ("organizer", "room"), [("nobody@contoso.example", ROOM), (ADELE, "room-nowhere@contoso.example")]
)
def test_a_service_cannot_book_for_nobody_or_nowhere(outlook: Outlook, organizer: str, room: str) -> None:
    with pytest.raises(GraphError) as refusal:
        book(outlook.tenant, organizer, room, MONDAY, MONDAY + timedelta(hours=1), now=datetime.now(UTC))
    assert refusal.value.code == "ErrorInvalidUser"
