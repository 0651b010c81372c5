"""Step 7: the room table."""

from __future__ import annotations

import pytest

from runbook_lib.model import Json, Status, judge
from runbook_lib.steps import sync
from runbook_lib.steps.sync import RoomState
from tests.steps.facts import TENANT, look, refused

ROOM = {
    "displayName": "Adams",
    "emailAddress": "Adams@contoso.example",
    "building": "HQ",
    "capacity": 8,
    "floorNumber": 2,
}
FREE = {"scheduleId": "adams@contoso.example", "availabilityView": "000"}
ERROR = {"scheduleId": "adams@contoso.example", "error": {"responseCode": "5009", "message": "no such mailbox"}}


def facts(schedule: list[Json], calendar: list[Json], room: Json = ROOM) -> sync.RoomFacts:
    raw = {
        "rooms": look("rooms", room),
        "free_busy": look("free_busy", *schedule),
        "room_calendar": look("room_calendar", *calendar),
    }
    return sync.parse(raw, TENANT)


def answer(code: str) -> Json:
    return {"key": "adams@contoso.example", "status": 404, "body": {"error": {"code": code}}}


@pytest.mark.parametrize(
    ("schedule", "calendar", "state", "status"),
    [
        ([FREE], [], RoomState.READABLE, Status.PASS),
        ([ERROR], [answer("MailboxNotEnabledForRESTAPI")], RoomState.NOT_IN_CLOUD, Status.FAIL),
        ([ERROR], [answer("ErrorInvalidUser")], RoomState.NO_MAILBOX, Status.FAIL),
        ([ERROR], [answer("ErrorAccessDenied")], RoomState.BLOCKED, Status.FAIL),
        ([ERROR], [answer("SomethingNew")], RoomState.CANNOT_TELL, Status.UNKNOWN),
        ([ERROR], [], RoomState.CANNOT_TELL, Status.UNKNOWN),
        ([], [], RoomState.CANNOT_TELL, Status.UNKNOWN),
    ],
)
def test_a_room_has_a_state_with_its_reason(
    schedule: list[Json], calendar: list[Json], state: RoomState, status: Status
) -> None:
    found = facts(schedule, calendar)
    assert found.rooms[0].state is state
    assert found.rooms[0].reason
    assert [one.status for one in judge(found)] == [status]


def test_rooms_are_joined_by_address_whatever_its_case_and_show_their_place() -> None:
    (room,) = facts([FREE], []).rooms
    assert (room.email, room.building, room.floor, room.capacity) == ("adams@contoso.example", "HQ", "2", 8)
    assert (room.metadata, room.spaceiq, room.exchange) == ("complete", "not looked at", "not looked at")


def test_missing_metadata_is_named() -> None:
    (room,) = facts([FREE], [], {"displayName": "B", "emailAddress": "adams@contoso.example"}).rooms
    assert room.metadata == "no building, no capacity"


def test_no_visible_room_is_unknown_and_not_a_pass() -> None:
    raw = {name: look(name) for name in ("rooms", "free_busy", "room_calendar")}
    assert [one.status for one in judge(sync.parse(raw, TENANT))] == [Status.UNKNOWN]


def test_rooms_that_could_not_be_listed_are_unknown() -> None:
    raw = {"rooms": refused("rooms"), "free_busy": refused("rooms"), "room_calendar": look("room_calendar")}
    assert {one.status for one in judge(sync.parse(raw, TENANT))} == {Status.UNKNOWN}


def test_fewer_rooms_than_the_service_counts_are_n_of_m() -> None:
    raw = {
        "rooms": look("rooms", ROOM, total=101, complete=False),
        "free_busy": look("free_busy", FREE),
        "room_calendar": look("room_calendar"),
    }
    assert [(one.status, one.saw) for one in judge(sync.parse(raw, TENANT))] == [
        (Status.PASS, "free/busy read"),
        (Status.UNKNOWN, "saw only 1 of 101"),
    ]
