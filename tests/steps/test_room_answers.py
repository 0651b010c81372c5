"""Step 7: a room is known however its address is written, and what a source does not tell is never good news."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.model import Json, RoomPlan, Status
from runbook_lib.steps.sync.checks import RoomState
from runbook_lib.steps.sync.matching import Row, match, spaces
from tests.steps.facts import NOW, TENANT, look
from tests.steps.test_sync import (
    ADAMS,
    FREE,
    ROOM,
    SPACE,
    USUAL,
    before,
    connected,
    facts,
    imported,
    of,
    only,
    shown,
    taken,
)
from tests.steps.test_sync import spaces as of_spaceiq

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("written", ["WORKSPACE", "Workspace", " workspace "])
@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=30)])
def test_a_workspace_is_no_room_however_long_graph_does_not_list_it(written: str, age: timedelta) -> None:
    desks = imported(mailbox="desks@contoso.example", ResourceType=written)
    found = facts(**desks, **before("pending", age, "desks@contoso.example"))
    assert [(room.state, room.status) for room in found.rooms[1:]] == [(RoomState.WORKSPACE, Status.NOT_APPLICABLE)]
    rooms = imported(mailbox="desks@contoso.example", ResourceType="Room")
    assert facts(**rooms).rooms[1].state is RoomState.PENDING


@pytest.mark.parametrize("kind", ["Room", "Equipment", "Zone", "Workspaces", "", None])
def test_whatever_is_not_called_a_workspace_is_a_room(kind: str | None) -> None:
    found = facts(**imported(mailbox="new@contoso.example", ResourceType=kind))
    assert found.rooms[1].state is RoomState.PENDING


def test_only_rooms_of_the_same_space_are_one_another_s_twins() -> None:
    rooms = [(f"{name}@x.example", name, "") for name in ("a", "b", "low", "high")]
    chosen = {"a@x.example": "m", "b@x.example": "m", "low@x.example": "a0", "high@x.example": "z9"}
    found = match(rooms, spaces([Row(one, one) for one in ("a0", "m", "z9")]), chosen)
    assert {email: one.twins for email, one in found.items()} == {
        "a@x.example": ("room b@x.example",),
        "b@x.example": ("room a@x.example",),
        "low@x.example": (),
        "high@x.example": (),
    }


RENAMED = {"mailbox": "adams-room@contoso.example", "EmailAddresses": ["SMTP:x@y.example", f"smtp:{ADAMS.upper()}"]}


def test_a_room_that_was_renamed_is_one_room_and_keeps_its_age_and_its_space() -> None:
    found = facts(**imported(**RENAMED), **of_spaceiq(SPACE), **before("mapped but not proved", 3 * HOUR))
    (room,) = found.rooms
    assert (room.email, room.state, room.since) == (RENAMED["mailbox"], RoomState.MAPPED, NOW - 3 * HOUR)
    assert (found.gone, found.unclaimed, room.exchange) == ((), (), "AutomateProcessing AutoAccept")


def test_a_room_that_the_tenant_file_names_by_an_alias_is_settled_by_it() -> None:
    unclear = {**SPACE, "calendar": "cal", "email": "", "name": "Room one"}
    settled = replace(TENANT, rooms=RoomPlan({ADAMS: "2.01"}))
    assert only(facts(tenant=settled, **of_spaceiq(unclear), **imported(**RENAMED)))[0] is RoomState.MAPPED


def test_an_alias_that_two_mailboxes_have_joins_nothing() -> None:
    rows = [imported(**RENAMED | {"mailbox": f"{name}@contoso.example"})["exchange"].rows[0] for name in "ab"]
    answer = {"sections": {"rooms": {"rows": [row["sections"]["rooms"]["rows"][0] for row in rows], "errors": []}}}
    assert len(facts(exchange=look("exchange", answer)).rooms) == 3


@pytest.mark.parametrize(
    "written",
    [ADAMS.upper(), f"SMTP:{ADAMS}", f"mailto:{ADAMS}", f"Adams <{ADAMS}>", f"\ufeff{ADAMS}\u200b", f" {ADAMS} "],
)
def test_every_source_may_write_an_address_in_its_own_way(written: str) -> None:
    found = facts(
        {**FREE, "scheduleId": written},
        room={**ROOM, "emailAddress": written},
        **of_spaceiq({**SPACE, "email": written}),
        **imported(mailbox=written),
        **before("readable", HOUR, written),
    )
    assert [(room.email, room.state) for room in found.rooms] == [(ADAMS, RoomState.MAPPED)]
    assert (found.gone, found.unclaimed) == ((), ())


def by_name(room: str, space: str) -> bool:
    rows = spaces([Row("s1", space, calendar="cal")])
    return match([(ADAMS, room, "")], rows, {})[ADAMS].space is not None


DIFFERENT = "कि की ★ ♥ C# C Zoë Zoe नि न ! ? - /".split()


@pytest.mark.parametrize(
    ("room", "space"),
    [*zip(DIFFERENT[::2], DIFFERENT[1::2], strict=True), ("🚀", ""), ("", ""), ("Room +1", "Room -1")],
)
def test_names_that_differ_in_a_mark_or_a_symbol_are_two_names(room: str, space: str) -> None:
    assert not by_name(room, space)


@pytest.mark.parametrize(
    ("room", "space"),
    [
        ("Zoe\u0308", "Zo\u00eb"),
        ("ADAMS  (2.01)", "adams 2 01"),
        ("Straße", "STRASSE"),
        ("Room-1", "room_1"),
        ("★ Oak", "★ oak"),
        ("Oak\u200b", "Oak"),
        ("Ｏａｋ", "Oak"),  # noqa: RUF001 - wide letters, as Japanese keyboards write them
    ],
)
def test_names_that_differ_in_form_alone_are_one_name(room: str, space: str) -> None:
    assert by_name(room, space)


def zoned(zone: str, status: str = "busy") -> Json:
    """Return Adams's schedule, busy from 22:00 to 23:00 by the clock of a zone."""
    times = {
        name: {"dateTime": f"2026-11-22T{hour}:00:00.0000000", "timeZone": zone}
        for name, hour in (("start", 22), ("end", 23))
    }
    return {"scheduleId": ADAMS, "availabilityView": "2", "scheduleItems": [{"status": status, **times}]}


def test_an_entry_is_read_in_its_own_zone() -> None:
    assert only(facts(zoned("utc"), **of_spaceiq(shown((1, 2)))))[0] is RoomState.PROVED
    assert only(facts(zoned("Europe/Berlin"), **of_spaceiq(shown((0, 1)))))[0] is RoomState.PROVED
    assert only(facts(zoned("Europe/Berlin"), **of_spaceiq(shown((1, 2)))))[0] is RoomState.PENDING


@pytest.mark.parametrize("zone", ["Customized Time Zone", "Europe", "", "../etc/passwd", "tzone://Microsoft/Custom"])
def test_an_entry_in_a_zone_that_nobody_knows_cannot_be_told_unless_it_is_free(zone: str) -> None:
    found = facts(zoned(zone), **of_spaceiq(shown((1, 2))))
    assert only(found) == (RoomState.CANNOT_TELL, Status.UNKNOWN)
    free = zoned(zone or "x", "Free") | {"availabilityView": "0"}
    assert only(facts(free, **of_spaceiq(shown())))[0] is RoomState.MAPPED


@pytest.mark.parametrize(
    "schedule",
    [
        {"scheduleId": ADAMS},
        {"scheduleId": ADAMS, "availabilityView": ""},
        {"scheduleId": ADAMS, "availabilityView": None, "error": None},
        {"scheduleId": ADAMS, "availabilityView": "0020", "scheduleItems": []},
        {"scheduleId": ADAMS, "availabilityView": "0020"},
        {"scheduleId": ADAMS, "error": {}},
    ],
)
def test_a_calendar_that_says_neither_when_nor_why_cannot_be_told(schedule: Json) -> None:
    assert only(facts(schedule, **of_spaceiq(shown()))) == (RoomState.CANNOT_TELL, Status.UNKNOWN)


def test_a_space_whose_busy_times_are_kept_back_is_not_mapped_by_that() -> None:
    other = {**SPACE, "id": "s2", "email": "b@x.example", "calendar": "b@x.example", "busy": []}
    assert only(facts(**of_spaceiq(SPACE, other))) == (RoomState.CANNOT_TELL, Status.UNKNOWN)
    assert only(facts(**of_spaceiq(SPACE)))[0] is RoomState.MAPPED


@pytest.mark.parametrize("off", [{"busy": None}, {"id": None}, {"name": 3}, {"email": ["x"]}])
def test_a_space_that_cannot_be_read_makes_no_room_unmapped_and_is_named(off: Json) -> None:
    other = {**SPACE, "id": "s2", "name": "B", "email": "b@x.example"}
    found = facts(**of_spaceiq({**SPACE, **off}, other), **connected(timedelta(days=9)))
    assert only(found) == (RoomState.CANNOT_TELL, Status.UNKNOWN)
    (member,) = off
    assert any(member in one.saw for one in of(found, "rooms-ready") if one.subject.startswith("spaces"))


def test_a_room_of_which_graph_tells_no_address_is_named() -> None:
    found = facts(room={**ROOM, "emailAddress": None})
    assert [(one.status, "emailAddress is null" in one.saw) for one in of(found, "rooms-ready")] == [
        (Status.UNKNOWN, True)
    ]


def old(name: str, ago: timedelta, *rows: Json, **more: Any) -> dict[str, Any]:
    return {name: replace(look(name, *rows, **more), asked_at=NOW - ago)}


def disconnected(ago: timedelta) -> dict[str, Any]:
    return {"disconnected": look("disconnected", {"at": (NOW - ago).isoformat(), "by": "Dana"})}


@pytest.mark.parametrize("changed", [disconnected, connected])
@pytest.mark.parametrize(("ago", "counts"), [(2 * HOUR, True), (3 * HOUR, True), (4 * HOUR, False)])
def test_an_export_from_before_the_change_was_not_looked_at_since(changed: Any, ago: timedelta, counts: bool) -> None:
    found = facts(**old("spaces", ago, SPACE), **changed(3 * HOUR))
    (one,) = [one for one in of(found, "sources-looked-at") if one.subject == "SpaceIQ"]
    assert (one.status is Status.PASS, "since the change" in one.saw) == (counts, not counts)
    assert (only(found)[0] is RoomState.MAPPED) is counts
    assert {one.status for one in of(found, "spaces-have-rooms")} == {Status.PASS if counts else Status.UNKNOWN}


@pytest.mark.parametrize(("ago", "status"), [(2 * HOUR, Status.PASS), (4 * HOUR, Status.UNKNOWN)])
def test_an_exchange_answer_has_an_age_too(ago: timedelta, status: Status) -> None:
    found = facts(**old("exchange", ago, *imported()["exchange"].rows), **disconnected(3 * HOUR))
    assert [one.status for one in of(found, "sources-looked-at") if one.subject == "Exchange"] == [status]


@pytest.mark.parametrize(
    ("hours", "minutes", "state"),
    [
        (23, 59, RoomState.PENDING),
        (24, 0, RoomState.NOT_MAPPED),
        (24, 1, RoomState.NOT_MAPPED),
    ],
)
def test_the_first_sync_has_a_day_to_the_minute(hours: int, minutes: int, state: RoomState) -> None:
    other = {**SPACE, "name": "Other", "email": "other@contoso.example"}
    assert only(facts(**of_spaceiq(other), **connected(timedelta(hours=hours, minutes=minutes))))[0] is state


@pytest.mark.parametrize(("minutes", "state"), [(59, RoomState.PENDING), (60, RoomState.OUT_OF_STEP)])
def test_a_difference_has_an_hour_to_the_minute(minutes: int, state: RoomState) -> None:
    seen = {**of_spaceiq(shown()), **before("pending", timedelta(minutes=minutes))}
    assert only(facts(taken((1, 2)), **seen))[0] is state


@pytest.mark.parametrize(("hours", "state"), [(47, RoomState.PENDING), (48, RoomState.NOT_LISTED)])
def test_graph_s_list_has_two_days(hours: int, state: RoomState) -> None:
    new = "new@contoso.example"
    assert facts(**imported(mailbox=new), **before("pending", hours * HOUR, new)).rooms[1].state is state


@pytest.mark.parametrize(
    ("busy", "there", "state"),
    [
        ((22, 24), (22, 24), RoomState.PROVED),
        ((22, 25), (22, 24), RoomState.PROVED),
        ((24, 25), (3, 4), RoomState.PENDING),
        ((24, 25), None, RoomState.MAPPED),
        ((-2, 0), None, RoomState.MAPPED),
    ],
)
def test_the_next_day_is_compared_to_its_edges(busy: Any, there: Any, state: RoomState) -> None:
    assert only(facts(taken(busy), **of_spaceiq(shown(*([there] if there else [])))))[0] is state


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [("BookingWindowInDays", 1, 0), ("MaximumDurationInMinutes", 30, 29), ("MaximumDurationInMinutes", 0, 1)],
)
def test_a_booking_rule_blocks_from_its_edge_on(rule: str, good: int, bad: int) -> None:
    assert only(facts(**imported(processing=USUAL | {rule: good})))[1] is Status.PASS
    assert only(facts(**imported(processing=USUAL | {rule: bad})))[0] is RoomState.BOOKING_BLOCKED


@pytest.mark.parametrize("said", [None, [], {}, 1.5, True, "many", "", "-1"])
@pytest.mark.parametrize("rule", ["BookingWindowInDays", "MaximumDurationInMinutes"])
def test_a_booking_rule_that_is_no_number_costs_its_room_an_unknown_that_names_it(rule: str, said: object) -> None:
    found = of(facts(**imported(processing=USUAL | {rule: said})), "rooms-ready")
    assert any(one.status is Status.UNKNOWN and rule in one.saw for one in found)


def leg(name: str, status: str = "pass", **more: Any) -> Json:
    return {"leg": name, "status": status, "saw": "so", "seconds": None, **more}


@pytest.mark.parametrize(
    ("legs", "proved"),
    [
        ([leg("Outlook: it"), leg("SpaceIQ: it")], True),
        ([leg("Outlook: it")], False),
        ([leg("SpaceIQ: it"), leg("clean-up", "fail")], False),
        ([leg("SpaceIQ: it"), leg("Outlook: it", "pending")], False),
        ([leg("SpaceIQ: it"), leg("Outlook: it", "wonderful")], False),
        ([leg("SpaceIQ: it"), leg("Outlook: it") | {"saw": None}], False),
        ([], False),
    ],
)
def test_a_room_is_proved_by_a_booking_only_when_every_leg_went_well(legs: list[Json], proved: bool) -> None:
    plan = replace(TENANT, rooms=RoomPlan(test_room=ADAMS.upper()))
    found = facts(tenant=plan, booking=look("booking", *legs), **of_spaceiq(SPACE))
    assert (only(found)[0] is RoomState.PROVED) is proved
    states = {one.status for one in of(found, "booking-works")}
    assert (states == {Status.PASS}) is (proved or [row["status"] for row in legs] == ["pass"])


def test_a_leg_says_between_which_seconds_it_took() -> None:
    found = facts(booking=look("booking", leg("a", seconds=20.4, at_least=10.2), leg("b", seconds=7.0), leg("c")))
    assert [one.saw for one in of(found, "booking-works")] == [
        "so, between 10 and 20 seconds after the change",
        "so, after 7 seconds",
        "so",
    ]
