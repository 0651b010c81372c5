"""Step 7: the room table, from all sources, each state with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.checks import judge
from runbook_lib.model import Finding, Json, Look, RoomPlan, Status, Tenant
from runbook_lib.steps.sync import checks as sync
from runbook_lib.steps.sync.checks import RoomState
from runbook_lib.steps.sync.states import MINUTE
from tests.steps import exchange_facts
from tests.steps.facts import NOW, TENANT, look, refused

ADAMS = "adams@contoso.example"
ROOM = {
    "displayName": "Adams",
    "emailAddress": "Adams@contoso.example",
    "building": "HQ",
    "capacity": 8,
    "floorNumber": 2,
}
FREE = {"scheduleId": ADAMS, "availabilityView": "000"}
ERROR = {"scheduleId": ADAMS, "error": {"responseCode": "5009", "message": "no such mailbox"}}
SPACE = {"id": "s1", "name": "Adams", "code": "2.01", "building": "HQ", "calendar": ADAMS, "email": ADAMS}
DAY = timedelta(days=1)


def facts(
    schedule: Json = FREE,
    denial: str = "",
    room: Json = ROOM,
    tenant: Tenant = TENANT,
    **more: Look,
) -> sync.RoomFacts:
    denied = {"key": ADAMS, "status": 404, "body": {"error": {"code": denial}}}
    raw = {
        "rooms": look("rooms", room),
        "free_busy": look("free_busy", schedule),
        "room_calendar": look("room_calendar", *([denied] if denial else [])),
        **{name.replace("_", " ") if name.endswith("before") else name: one for name, one in more.items()},
    }
    return sync.parse(raw, tenant)


def only(found: sync.RoomFacts) -> tuple[RoomState, Status]:
    (room,) = found.rooms
    assert room.reason
    assert (Status(room.status), room.email) in [(one.status, one.subject) for one in of(found, "rooms-ready")]
    return room.state, room.status


def of(found: sync.RoomFacts, check: str) -> list[Finding]:
    return [one for one in judge(found) if one.check == check]


def answered(code: str) -> tuple[RoomState, Status]:
    return only(facts(ERROR, code))


@pytest.mark.parametrize(
    ("code", "state", "status"),
    [
        ("MailboxNotEnabledForRESTAPI", RoomState.NOT_IN_CLOUD, Status.FAIL),
        ("ErrorInvalidUser", RoomState.NO_MAILBOX, Status.FAIL),
        ("ErrorAccessDenied", RoomState.CANNOT_TELL, Status.UNKNOWN),
        ("SomethingNew", RoomState.CANNOT_TELL, Status.UNKNOWN),
        ("", RoomState.CANNOT_TELL, Status.UNKNOWN),
    ],
)
def test_a_room_that_cannot_be_read_says_why(code: str, state: RoomState, status: Status) -> None:
    assert answered(code) == (state, status)


def test_a_room_that_nobody_answered_for_is_unknown() -> None:
    assert only(facts({"scheduleId": "other@contoso.example"})) == (RoomState.CANNOT_TELL, Status.UNKNOWN)


def test_with_graph_alone_a_room_is_readable_and_the_rest_not_looked_at() -> None:
    found = facts()
    (room,) = found.rooms
    assert only(found) == (RoomState.READABLE, Status.PASS)
    assert (room.email, room.building, room.floor, room.capacity) == (ADAMS, "HQ", "2", 8)
    assert (room.metadata, room.spaceiq, room.exchange, room.limit) == ("complete", *["not looked at"] * 3)
    assert {one.status for one in of(found, "sources-looked-at")} == {Status.NOT_APPLICABLE}


def test_missing_metadata_is_named() -> None:
    (room,) = facts(room={"displayName": "B", "emailAddress": ADAMS}).rooms
    assert room.metadata == "no building, no capacity"


def spaces(*rows: Json, **more: Any) -> dict[str, Any]:
    return {"spaces": look("spaces", *rows, **more)}


def connected(ago: timedelta) -> dict[str, Any]:
    return {"connected": look("connected", {"at": (NOW - ago).isoformat(), "by": "Dana"})}


def taken(*hours: tuple[int, int], **more: Any) -> Json:
    """Return Adams's schedule, busy from one hour to the other after NOW."""

    def item(begin: int, end: int) -> Json:
        def at(hour: int) -> Json:
            return {"dateTime": f"{NOW + hour * timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}

        return {"status": "busy", "start": at(begin), "end": at(end), **more}

    return {"scheduleId": ADAMS, "availabilityView": "0", "scheduleItems": [item(*pair) for pair in hours]}


def shown(*hours: tuple[int, int]) -> Json:
    """Return Adams's space, busy from one hour to the other after NOW."""
    times = [[f"{NOW + hour * timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}" for hour in pair] for pair in hours]
    return {**SPACE, "busy": [{"start": begin, "end": end} for begin, end in times]}


@pytest.mark.parametrize(
    ("schedule", "space", "state", "words"),
    [
        (FREE, SPACE, RoomState.MAPPED, "space Adams (by e-mail)"),
        (taken(), shown(), RoomState.MAPPED, "both show it free"),
        (taken((1, 2)), shown((1, 2)), RoomState.PROVED, "the same 1 busy times"),
        (taken((1, 2), (2, 3)), shown((1, 3)), RoomState.PROVED, "the same 1 busy times"),
        (taken((-3, -1), (30, 31)), shown(), RoomState.MAPPED, "both show it free"),
        (taken((-1, 2)), shown((0, 2)), RoomState.PROVED, "the same 1"),
        (taken((1, 2), status="free"), shown(), RoomState.MAPPED, "both show it free"),
        (taken((1, 2)), shown(), RoomState.PENDING, "1 in the calendar, 0 in SpaceIQ"),
        (taken((1, 2)), shown((1, 2), (4, 5)), RoomState.PENDING, "1 in the calendar, 2 in SpaceIQ"),
    ],
)
def test_what_spaceiq_shows_is_held_against_the_calendar(
    schedule: Json, space: Json, state: RoomState, words: str
) -> None:
    found = facts(schedule, **spaces(space))
    assert only(found)[0] is state
    assert words in found.rooms[0].reason


def before(state: str, since: timedelta, email: str = ADAMS) -> dict[str, Any]:
    at = f"{NOW - since:{MINUTE}}"
    return {"rooms_before": look("rooms before", {"email": email, "state": state, "since": at, "first seen": at})}


def came(ago: timedelta) -> dict[str, Any]:
    """Return an earlier look that first saw Adams so long ago, and another room a week before."""
    rows = [
        *before("pending", ago)["rooms_before"].rows,
        *before("pending", 7 * DAY, "b@x.example")["rooms_before"].rows,
    ]
    return {"rooms_before": look("rooms before", *rows)}


@pytest.mark.parametrize(
    ("more", "state", "status"),
    [
        (connected(timedelta(hours=23)), RoomState.PENDING, Status.PENDING),
        (connected(timedelta(hours=25)), RoomState.NOT_MAPPED, Status.FAIL),
        (connected(9 * DAY) | came(timedelta(hours=3)), RoomState.PENDING, Status.PENDING),
        (connected(9 * DAY) | came(2 * DAY), RoomState.NOT_MAPPED, Status.FAIL),
        (connected(9 * DAY) | before("not mapped", timedelta(hours=3)), RoomState.NOT_MAPPED, Status.FAIL),
        (connected(9 * DAY) | before("pending", DAY, "other@contoso.example"), RoomState.PENDING, Status.PENDING),
        (before("pending", 2 * DAY), RoomState.NOT_MAPPED, Status.FAIL),
        ({}, RoomState.PENDING, Status.PENDING),
    ],
)
def test_a_room_without_space_waits_inside_the_budget_and_then_fails(
    more: dict[str, Any], state: RoomState, status: Status
) -> None:
    other = {**SPACE, "name": "Other", "email": "other@contoso.example"}
    found = facts(**spaces(other), **more)
    assert only(found) == (state, status)
    assert "until 2026-11-" in found.rooms[0].reason


def test_a_difference_waits_an_hour_from_when_it_was_first_seen() -> None:
    slow = {**spaces(shown()), **before("pending", timedelta(minutes=30))}
    assert only(facts(taken((1, 2)), **slow))[0] is RoomState.PENDING
    stuck = {**spaces(shown()), **before("pending", timedelta(hours=2))}
    assert only(facts(taken((1, 2)), **stuck)) == (RoomState.OUT_OF_STEP, Status.FAIL)
    fresh = {**spaces(shown()), **before("synced and proved", 9 * DAY)}
    assert only(facts(taken((1, 2)), **fresh))[0] is RoomState.PENDING


def test_a_state_keeps_its_age_and_a_new_one_begins_now() -> None:
    (same,) = facts(**before("readable", DAY)).rooms
    (other,) = facts(**before("pending", DAY)).rooms
    assert (same.since, other.since, other.first_seen) == (NOW - DAY, NOW, NOW - DAY)


@pytest.mark.parametrize(
    ("space", "state", "words"),
    [
        ({"calendar": "cal", "email": ""}, Status.PENDING, "found by name and building only"),
        ({"calendar": "cal", "email": "", "building": ""}, Status.PENDING, "found by name only"),
        ({"calendar": "cal", "email": "", "building": "Annex"}, Status.PENDING, "in another building"),
        ({"calendar": "", "email": ""}, Status.PENDING, "has no calendar"),
        ({"calendar": "b@contoso.example", "email": "b@contoso.example"}, Status.PENDING, "has the calendar b@contoso"),
        ({"name": "Adams East"}, Status.PASS, "called Adams East in SpaceIQ"),
        ({"name": "ADAMS"}, Status.PASS, "space ADAMS (by e-mail)"),
    ],
)
def test_a_doubtful_match_shows_its_doubt(space: Json, state: Status, words: str) -> None:
    found = facts(**spaces({**SPACE, **space}))
    assert only(found)[1] is state
    assert words in found.rooms[0].reason


def test_the_tenant_file_settles_a_doubt_and_a_wrong_entry_is_told() -> None:
    unclear = {**SPACE, "calendar": "cal", "email": "", "name": "Room one"}
    settled = replace(TENANT, rooms=RoomPlan({ADAMS: "2.01"}))
    assert only(facts(tenant=settled, **spaces(unclear))) == (RoomState.MAPPED, Status.PASS)
    wrong = replace(TENANT, rooms=RoomPlan({ADAMS: "9.99"}))
    assert "space 9.99, and 0 are called so" in facts(tenant=wrong, **spaces(unclear)).rooms[0].reason


def test_one_calendar_on_two_spaces_is_a_duplicate() -> None:
    found = facts(**spaces(SPACE, {**SPACE, "id": "s2", "name": "Adams copy"}))
    assert only(found) == (RoomState.DUPLICATE, Status.FAIL)
    assert "Adams copy" in found.rooms[0].reason


def test_two_rooms_at_one_space_are_duplicates() -> None:
    plan = replace(TENANT, rooms=RoomPlan(dict.fromkeys([ADAMS, "b@contoso.example"], "2.01")))
    raw = {
        "rooms": look("rooms", ROOM, {**ROOM, "emailAddress": "b@contoso.example", "displayName": "B"}),
        "free_busy": look("free_busy", FREE, {**FREE, "scheduleId": "b@contoso.example"}),
        "room_calendar": look("room_calendar"),
        **spaces({**SPACE, "email": "", "calendar": "cal"}),
    }
    assert {room.state for room in sync.parse(raw, plan).rooms} == {RoomState.DUPLICATE}


def test_spaces_that_belong_to_no_room_are_named() -> None:
    stray = {**SPACE, "id": "s2", "code": "9.01", "name": "Annex", "email": "x@y.example", "calendar": "x@y.example"}
    bare = {**SPACE, "id": "s3", "code": "9.02", "name": "Bare", "email": "", "calendar": ""}
    found = of(facts(**spaces(SPACE, stray, bare)), "spaces-have-rooms")
    assert [(one.subject, one.status) for one in found] == [
        ("space Annex (9.01)", Status.FAIL),
        ("space Bare (9.02)", Status.FAIL),
        ("spaces", Status.PASS),
    ]


@pytest.mark.parametrize(
    ("spaces_look", "words"),
    [
        (refused("spaces"), "spaces was refused"),
        (look("spaces"), "does not mean that it has none"),
        (look("spaces", SPACE, total=9, complete=False), "saw only 1 of 9"),
    ],
)
def test_a_source_that_did_not_answer_is_unknown_and_costs_no_room_its_state(spaces_look: Look, words: str) -> None:
    found = facts(spaces=spaces_look)
    (one,) = [one for one in of(found, "sources-looked-at") if one.subject == "SpaceIQ"]
    assert (one.status, words in one.saw) == (Status.UNKNOWN, True)
    assert only(found)[1] is Status.PASS


def test_a_room_is_not_called_unmapped_when_not_all_spaces_were_read() -> None:
    other = {**SPACE, "name": "Other", "email": "other@contoso.example"}
    found = facts(**spaces(other, total=9, complete=False))
    assert only(found) == (RoomState.CANNOT_TELL, Status.UNKNOWN)


USUAL = {
    "AutomateProcessing": "AutoAccept",
    "BookingWindowInDays": 180,
    "MaximumDurationInMinutes": 1440,
    "AllBookInPolicy": True,
}


def imported(**row: object) -> dict[str, Any]:
    mailbox = {"mailbox": ADAMS, "DisplayName": "Adams", "processing": USUAL, "error": "", **row}
    answer = {"sections": {"rooms": {"rows": [mailbox], "errors": []}}}
    return {"exchange": Look("exchange", NOW, (answer,), total=1)}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"AutomateProcessing": "AutoUpdate"}, "AutomateProcessing is AutoUpdate"),
        ({"AutomateProcessing": "None"}, "AutomateProcessing is None"),
        ({"BookingWindowInDays": 0}, "BookingWindowInDays is 0"),
        ({"MaximumDurationInMinutes": "15"}, "MaximumDurationInMinutes is 15"),
        ({"AllBookInPolicy": False}, "bookings are declined"),
        ({"AllBookInPolicy": "False", "AllRequestInPolicy": "True"}, "wait for a delegate"),
    ],
)
def test_a_booking_rule_that_blocks_is_named(rules: Json, words: str) -> None:
    found = facts(**imported(processing=USUAL | rules))
    assert only(found) == (RoomState.BOOKING_BLOCKED, Status.FAIL)
    assert words in found.rooms[0].reason


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"AutomateProcessing": "autoaccept", "BookingWindowInDays": 1, "MaximumDurationInMinutes": 0},
        {"MaximumDurationInMinutes": "30", "AllBookInPolicy": "True"},
        {"AllBookInPolicy": False, "BookInPolicy": ["sam@contoso.example"]},
    ],
)
def test_ordinary_booking_rules_block_nothing(rules: Json) -> None:
    assert only(facts(**imported(processing=USUAL | rules)))[1] is Status.PASS


@pytest.mark.parametrize(
    "processing",
    [None, {}, *({name: USUAL[name] for name in USUAL if name != dropped} for dropped in USUAL)],
)
def test_a_room_whose_booking_rules_were_not_all_read_cannot_be_told(processing: Json | None) -> None:
    found = facts(**imported(processing=processing, error="Access denied"))
    assert only(found) == (RoomState.CANNOT_TELL, Status.UNKNOWN)
    assert "Access denied" in found.rooms[0].reason


HIDDEN = "hidden@contoso.example"


@pytest.mark.parametrize(
    ("mapped", "status"),
    [(False, Status.NOT_APPLICABLE), (True, Status.FAIL)],
)
def test_a_hidden_room_matters_only_if_spaceiq_has_it(mapped: bool, status: Status) -> None:
    answer = imported(mailbox=HIDDEN, HiddenFromAddressListsEnabled=True)
    rows = [SPACE, {**SPACE, "id": "s2", "email": HIDDEN, "calendar": HIDDEN}][: 2 if mapped else 1]
    found = facts(**answer, **spaces(*rows))
    assert [(room.email, room.state, room.status) for room in found.rooms[1:]] == [(HIDDEN, RoomState.HIDDEN, status)]


def test_a_room_that_graph_does_not_list_yet_waits_two_days() -> None:
    new = imported(mailbox="new@contoso.example")
    assert facts(**new).rooms[1].state is RoomState.PENDING
    late = facts(**new, **before("pending", 3 * DAY, "new@contoso.example"))
    assert (late.rooms[1].state, late.rooms[1].status) == (RoomState.NOT_LISTED, Status.FAIL)


def test_rooms_outside_the_limit_are_told_by_step_6_and_exchange() -> None:
    raw = exchange_facts.raw("northwind")
    listed = [row["emailAddress"] for row in raw["rooms"].rows]
    schedules = look("free_busy", *({"scheduleId": email, "availabilityView": "0"} for email in listed))
    found = sync.parse({**raw, "free_busy": schedules, "room_calendar": look("room_calendar")}, exchange_facts.tenant())
    outside = {room.email for room in found.rooms if room.state is RoomState.OUTSIDE}
    assert len(outside) == 3
    assert {room.limit for room in found.rooms if room.email in outside} == {"outside"}
    assert sum(room.limit == "inside" for room in found.rooms) > 200
    assert sum(room.state is RoomState.HIDDEN for room in found.rooms) == 2


def test_no_visible_room_is_unknown_and_not_a_pass() -> None:
    raw = {name: look(name) for name in ("rooms", "free_busy", "room_calendar")}
    assert [one.status for one in of(sync.parse(raw, TENANT), "rooms-ready")] == [Status.UNKNOWN]


def test_rooms_that_could_not_be_listed_are_unknown() -> None:
    raw = {"rooms": refused("rooms"), "free_busy": refused("rooms"), "room_calendar": look("room_calendar")}
    assert {one.status for one in of(sync.parse(raw, TENANT), "rooms-ready")} == {Status.UNKNOWN}


def test_fewer_rooms_than_the_service_counts_are_n_of_m() -> None:
    raw = {
        "rooms": look("rooms", ROOM, total=101, complete=False),
        "free_busy": look("free_busy", FREE),
        "room_calendar": look("room_calendar"),
    }
    assert [(one.status, one.saw) for one in of(sync.parse(raw, TENANT), "rooms-ready")] == [
        (Status.PASS, "readable: free/busy read"),
        (Status.UNKNOWN, "saw only 1 of 101"),
    ]


def test_rooms_that_came_and_went_since_the_last_look_are_told() -> None:
    gone = facts(**before("readable", DAY, "gone@contoso.example"))
    assert [(one.subject, one.status) for one in of(gone, "rooms-still-there")] == [
        ("gone@contoso.example", Status.PENDING)
    ]
    (same,) = of(facts(**before("readable", DAY)), "rooms-still-there")
    assert (same.status, "0 are new" in same.saw) == (Status.PASS, True)
    (first,) = of(facts(), "rooms-still-there")
    assert first.status is Status.NOT_APPLICABLE


def test_a_room_is_not_called_gone_when_the_list_was_not_complete() -> None:
    earlier = before("readable", DAY, "gone@contoso.example")["rooms_before"]
    raw = {
        "rooms": look("rooms", ROOM, total=2, complete=False),
        "free_busy": look("free_busy", FREE),
        "room_calendar": look("room_calendar"),
        "rooms before": earlier,
    }
    assert sync.parse(raw, TENANT).gone == ()
