"""Rooms, whatever else is in the lists: no order, letter case, unrelated row or worse fact makes a verdict better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.model import Json, Look, Status
from runbook_lib.steps.sync import checks as sync
from runbook_lib.steps.sync.matching import Row, match, spaces
from tests.steps.facts import NOW, TENANT, look
from tests.steps.test_sync import USUAL, taken

PATIENT = settings(deadline=None)
"""A property does not fail of time."""
NAMES = ("oak", "elm", "ash")
RANK = {Status.FAIL: 0, Status.UNKNOWN: 0, Status.PENDING: 1, Status.NOT_APPLICABLE: 2, Status.PASS: 3}
RULES: tuple[Json | None, ...] = (
    None,
    USUAL,
    USUAL | {"AutomateProcessing": "None"},
    USUAL | {"BookingWindowInDays": 0},
)


def address(name: str) -> str:
    return f"{name}@example.org"


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, list[Json]]:
    """Draw up to three rooms, each known to some of the sources, in states of every kind."""
    found: dict[str, list[Json]] = {name: [] for name in ("rooms", "free_busy", "spaces", "exchange")}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        if draw(st.booleans()):
            found["rooms"].append({"emailAddress": address(name), "displayName": name, "building": "HQ", "capacity": 4})
        busy = draw(st.sampled_from([(), ((1, 2),), ((1, 2), (4, 5))]))
        schedules = [taken(*busy) | {"scheduleId": address(name)}, {"scheduleId": address(name), "error": {}}, None]
        if schedule := draw(st.sampled_from(schedules)):
            found["free_busy"].append(schedule)
        for number in range(draw(st.integers(0, 2))):
            calendar = draw(st.sampled_from([address(name), "", "a calendar"]))
            found["spaces"].append({"id": f"{name}{number}", "name": name, "building": "HQ", "calendar": calendar})
        if rules := draw(st.sampled_from(RULES)):
            found["exchange"].append({"mailbox": address(name), "DisplayName": name, "processing": rules, "error": ""})
    return found


def parsed(world: Mapping[str, list[Json]]) -> sync.RoomFacts:
    raw: dict[str, Look] = {name: look(name, *world[name]) for name in ("rooms", "free_busy", "spaces")}
    raw["room_calendar"] = look("room_calendar")
    answer = {"sections": {"rooms": {"rows": world["exchange"], "errors": []}}}
    return sync.parse({**raw, "exchange": Look("exchange", NOW, (answer,), total=1)}, TENANT)


def verdicts(world: Mapping[str, list[Json]]) -> dict[str, tuple[str, Status]]:
    return {room.email: (room.state.value, room.status) for room in parsed(world).rooms}


@PATIENT
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(world: dict[str, list[Json]], chance: Any) -> None:
    turned = {name: chance.sample(rows, len(rows)) for name, rows in world.items()}
    assert verdicts(turned) == verdicts(world)


def loud(value: Any) -> Any:
    """Return a row with every address and name in capitals."""
    if isinstance(value, dict):
        names = ("emailAddress", "scheduleId", "mailbox", "calendar", "name", "displayName", "building", "status")
        return {
            name: one.upper() if name in names and isinstance(one, str) else loud(one) for name, one in value.items()
        }
    return [loud(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("source", ["rooms", "free_busy", "spaces", "exchange"])
@PATIENT
@given(world=worlds())
def test_the_letter_case_of_a_source_decides_nothing(source: str, world: dict[str, list[Json]]) -> None:
    assert verdicts({**world, source: loud(world[source])}) == verdicts(world)


UNRELATED: Mapping[str, Json] = {
    "rooms": {"emailAddress": "yew@example.org", "displayName": "yew", "building": "HQ", "capacity": 4},
    "free_busy": taken((1, 2)) | {"scheduleId": "yew@example.org"},
    "spaces": {"id": "yew", "name": "yew", "building": "HQ", "calendar": "yew@example.org"},
    "exchange": {"mailbox": "yew@example.org", "DisplayName": "yew", "processing": USUAL, "error": ""},
}


@PATIENT
@given(worlds(), st.sets(st.sampled_from(sorted(UNRELATED))))
def test_a_room_more_changes_nothing_for_the_others(world: dict[str, list[Json]], sources: set[str]) -> None:
    more = {name: [*rows, UNRELATED[name]] if name in sources else rows for name, rows in world.items()}
    if not world["spaces"] and "spaces" in sources:
        return  # then SpaceIQ is a source that was not there before
    after = verdicts(more)
    assert {email: seen for email, seen in after.items() if email != "yew@example.org"} == verdicts(world)


WORSE: Mapping[str, Json] = {
    "free_busy": {"error": {"responseCode": "5009", "message": "no"}},
    "exchange": {"processing": USUAL | {"AutomateProcessing": "AutoUpdate"}},
}


@PATIENT
@given(worlds(), st.sampled_from(sorted(WORSE)), st.integers(0, 2))
def test_a_worse_fact_never_makes_a_room_better(world: dict[str, list[Json]], source: str, at: int) -> None:
    if at >= len(world[source]):
        return
    rows = list(world[source])
    rows[at] = rows[at] | WORSE[source]
    after = verdicts({**world, source: rows})
    assert all(RANK[after[email][1]] <= RANK[status] for email, (_, status) in verdicts(world).items())


@PATIENT
@given(worlds(), st.sampled_from(NAMES))
def test_a_second_space_with_a_room_s_calendar_never_makes_it_better(world: dict[str, list[Json]], name: str) -> None:
    twin = {"id": "twin", "name": "twin", "building": "HQ", "calendar": address(name)}
    if not any(one["calendar"] == address(name) for one in world["spaces"]):
        return
    after = verdicts({**world, "spaces": [*world["spaces"], twin]})
    assert all(RANK[after[email][1]] <= RANK[status] for email, (_, status) in verdicts(world).items())


@PATIENT
@given(worlds())
def test_every_room_is_there_once_and_every_space_is_a_room_s_or_left_over(world: dict[str, list[Json]]) -> None:
    facts = parsed(world)
    known = {row["emailAddress"] for row in world["rooms"]} | {row["mailbox"] for row in world["exchange"]}
    assert sorted(room.email for room in facts.rooms) == sorted(known)
    claimed = {room.space.id for room in facts.rooms if room.space}
    left = {space.id for space in facts.unclaimed}
    assert not claimed & left
    twins = {space.id for space in facts.spaces} - claimed - left
    assert all(space.email in known for space in facts.spaces if space.id in twins)


@PATIENT
@given(st.lists(st.builds(Row, st.uuids().map(str), st.sampled_from(["Oak", "oak", "Elm", ""])), max_size=3))
def test_a_name_that_two_spaces_have_is_nobody_s(rows: list[Row]) -> None:
    oaks = [row for row in rows if row.name.lower() == "oak"]
    found = match([("oak@example.org", "Oak", "")], spaces(rows), {})["oak@example.org"]
    assert (found.space is not None) == (len(oaks) == 1)


@PATIENT
@given(worlds())
def test_what_was_not_looked_at_proves_nothing(world: dict[str, list[Json]]) -> None:
    facts = parsed(world)
    blind = sync.parse({**facts.raw, "spaces": replace(facts.raw["spaces"], refusal="no")}, TENANT)
    assert all(room.state not in ("synced and proved", "mapped but not proved") for room in blind.rooms)
