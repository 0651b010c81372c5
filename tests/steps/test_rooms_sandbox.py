"""Step 7 against the sandbox: Graph and SpaceIQ side by side, and the booking test that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.errors import CloudError, UsageError
from runbook_lib.model import Look, RoomPlan, SpaceSource, Status, Tenant
from runbook_lib.notebook.prompts import Prompt, ask
from runbook_lib.runs import writes
from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.exchange.series import visible
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.spaceiq import api as service
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.steps.sync import booking_test
from runbook_lib.steps.sync import checks as sync
from runbook_lib.steps.sync.answers import Rules
from runbook_lib.steps.sync.join import RoomFacts
from runbook_lib.steps.sync.states import RoomState

ROOM = "room-adams@contoso.example"
ORGANIZER = "admin@contoso.example"
VERIFIER = "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"
WRITE = "ef54d2bf-783f-4e0f-bca1-3210c0444d99"


@dataclass
class Bench:
    """Contoso with SpaceIQ's API, and hands to look, to book and to move both clocks."""

    sandbox: Sandbox
    state: TenantState
    tenant: Tenant
    http: requests.Session
    told: list[str]

    def graph(self, calls: tuple[str, ...]) -> Graph:
        credential = entra.sign_in(self.tenant, calls, self.http, attended=False, show=print)
        return Graph(self.tenant, credential, self.http)

    def look(self) -> RoomFacts:
        return sync.parse(sync.read(self.graph(sync.CALLS), self.tenant, {}), self.tenant)

    def wait(self, seconds: float) -> None:
        self.sandbox.world.offset += timedelta(seconds=seconds)

    def test(
        self, room: str = ROOM, sleep: Callable[[float], object] | None = None, folder: Path | None = None
    ) -> RoomFacts:
        """Book both ways with the room's name typed, and judge anew."""
        facts = self.look()
        booked = booking_test.carry_out(
            facts,
            word(room),
            self.graph,
            self.tenant,
            self.told.append,
            self.sandbox.world.now,
            sleep or self.wait,
            folder=folder,
        )
        return sync.parse({**facts.raw, **booked}, self.tenant)

    def settled(self) -> list[str]:
        """Return the subjects of everything in any calendar, once all messages have arrived."""
        self.wait(60)
        for box in self.state.mailboxes.values():
            meetings.settle(self.state, box, self.sandbox.world.now())
        return [event["subject"] for box in self.state.mailboxes.values() for event in visible(box)]


def word(text: str) -> Prompt:
    return ask("book-test-room", "Test room", text)


@pytest.fixture
def bench(
    sandbox: Sandbox,
    contoso: TenantState,
    tenant: Callable[..., Tenant],
    http: requests.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    monkeypatch.setenv("RUNBOOK_UNATTENDED", "1")
    monkeypatch.setenv(spaceiq.TOKEN, service.token(sandbox.world, "contoso"))
    allow_writing(contoso)
    source = SpaceSource("graphql", None, {}, "Contoso", f"{sandbox.url}/queries", "Bearer")
    plan = RoomPlan({}, ROOM, ORGANIZER)
    return Bench(sandbox, contoso, replace(tenant(), spaceiq=source, rooms=plan), http, [])


def allow_writing(state: TenantState) -> None:
    """Grant the runbook's own app the permission to write calendars, as the booking test wants it."""
    own = next(one["id"] for one in state.service_principals.values() if one["appId"] == VERIFIER)
    row = next(one for one in state.app_role_assignments.values() if one["principalId"] == own)
    state.app_role_assignments["write"] = {**row, "id": "write", "appRoleId": WRITE}


def room_of(facts: RoomFacts, email: str = ROOM) -> Any:
    return next(room for room in facts.rooms if room.email == email)


def test_all_rooms_are_mapped_and_a_meeting_that_both_show_proves_its_room(bench: Bench) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    meetings.book(
        bench.state, ORGANIZER, ROOM, now + timedelta(hours=1), now + timedelta(hours=2), now=now - timedelta(hours=1)
    )
    facts = bench.look()
    assert room_of(facts).state is RoomState.PROVED
    assert {room.state for room in facts.rooms if room.email != ROOM} == {RoomState.MAPPED}


def test_a_meeting_that_spaceiq_does_not_show_yet_is_pending(bench: Bench) -> None:
    bench.state.modes["spaceiq_lag_seconds"] = 7200
    now = datetime.now(UTC).replace(microsecond=0)
    meetings.book(
        bench.state, ORGANIZER, ROOM, now + timedelta(hours=1), now + timedelta(hours=2), now=now - timedelta(hours=1)
    )
    assert room_of(bench.look()).state is RoomState.PENDING


def test_rooms_sync_over_time(bench: Bench) -> None:
    for space in bench.state.spaces.values():
        space["ready"] = bench.sandbox.world.now() + timedelta(minutes=2)
    assert {room.state for room in bench.look().rooms} == {RoomState.PENDING}
    bench.wait(130)
    assert {room.state for room in bench.look().rooms} == {RoomState.MAPPED}


LEGS = [
    "Outlook: the room answers",
    "Outlook: SpaceIQ shows it busy",
    "Outlook: the room is free again",
    "Outlook: SpaceIQ shows it free again",
    "SpaceIQ: the calendar shows it busy",
    "SpaceIQ: the calendar is free again",
    "clean-up",
]


def legs(facts: RoomFacts) -> dict[str, tuple[str, str]]:
    return {row["leg"]: (row["status"], row["saw"]) for row in facts.raw["booking"].rows}


def test_a_booking_goes_both_ways_and_leaves_nothing(bench: Bench) -> None:
    facts = bench.test()
    assert list(legs(facts)) == LEGS
    assert {status for status, _ in legs(facts).values()} == {Status.PASS}
    timed = facts.raw["booking"].rows[:-1]
    assert all(0 <= row["at_least"] < row["seconds"] or row["at_least"] == row["seconds"] == 0 for row in timed)
    assert room_of(facts).state is RoomState.PROVED
    assert any(line.startswith("…") for line in bench.told)
    assert bench.settled() == []


@pytest.mark.parametrize(
    ("rules", "saw"),
    [
        ({"AllBookInPolicy": False}, "it was declined"),
        ({"BookingWindowInDays": 0, "AutomateProcessing": "AutoAccept"}, "it was declined"),
        ({"AutomateProcessing": "AutoUpdate"}, "not within 180 seconds"),
    ],
)
def test_a_room_that_declines_or_never_answers_fails_and_is_cleaned_up(
    bench: Bench, rules: dict[str, Any], saw: str
) -> None:
    bench.state.mailboxes[ROOM].booking |= rules
    found = legs(bench.test())
    assert any(status is Status.FAIL and saw in words for status, words in found.values())
    assert found["clean-up"][0] is Status.PASS
    assert bench.settled() == []


def test_a_spaceiq_that_never_shows_it_fails_in_bounded_time(bench: Bench) -> None:
    bench.state.modes["spaceiq_lag_seconds"] = 10**6
    found = legs(bench.test())
    assert found["Outlook: SpaceIQ shows it busy"] == (Status.FAIL, "not within 600 seconds")
    assert bench.settled() == []


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_an_interrupt_at_any_wait_leaves_nothing(bench: Bench, looks: int) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > looks:
            raise KeyboardInterrupt
        bench.wait(seconds)

    with pytest.raises(KeyboardInterrupt):
        bench.test(sleep=sleep)
    assert bench.settled() == []


def test_both_sides_are_timed_from_the_booking_and_not_from_one_another(bench: Bench) -> None:
    bench.state.modes["spaceiq_lag_seconds"] = 60
    rows = {row["leg"]: row for row in bench.test().raw["booking"].rows}
    there, here = rows["Outlook: SpaceIQ shows it busy"], rows["Outlook: the room answers"]
    assert (there["at_least"], there["seconds"]) >= (here["at_least"], here["seconds"])
    assert there["at_least"] < 60 + 3 * booking_test.BETWEEN
    assert there["seconds"] - there["at_least"] < 2 * booking_test.BETWEEN


def test_each_leg_and_each_change_is_kept_as_it_happens(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 12:
            raise KeyboardInterrupt
        bench.wait(seconds)

    bench.state.modes["spaceiq_lag_seconds"] = 10**6
    with pytest.raises(KeyboardInterrupt):
        bench.test(sleep=sleep, folder=tmp_path)
    kept = [row["leg"] for row in writes.lines(tmp_path / "data" / booking_test.LEGS)]
    assert kept == ["Outlook: the room answers", "clean-up"]
    assert [(one.verb, one.result) for one in writes.written(tmp_path)] == [("book", "done"), ("remove", "done")]


def test_a_booking_of_spaceiq_keeps_the_id_under_which_it_can_be_removed(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    bench.test(folder=tmp_path)
    made = [one for one in writes.written(tmp_path) if one.verb == "book" and one.answer]
    assert [one.target for one in writes.written(tmp_path) if one.verb == "remove"][-1] == made[0].answer["id"]


@pytest.mark.parametrize("said", ["Declined", "declined", "tentativelyAccepted"])
def test_only_an_acceptance_is_one_however_it_is_spelled(bench: Bench, said: str) -> None:
    answers = {"attendees": [{"status": {"response": "notresponded"}}, {"status": {"response": said}}]}
    look = events(answers | {"subject": "Runbook"})
    test = bare(bench, look)
    test.title = "Runbook"
    words = booking_test._answer(test)
    assert (words, bool(booking_test._declined(test, words))) == (said.lower(), True)
    accepted = bare(bench, events(answers | {"attendees": [{"status": {"response": "Accepted"}}], "subject": "x"}))
    accepted.title = "x"
    assert booking_test._declined(accepted, booking_test._answer(accepted)) == ""


def events(*rows: dict[str, Any]) -> Look:
    body = {"value": [{"id": str(at), "subject": None, **row} for at, row in enumerate(rows)]}
    return Look("marked_events", datetime.now(UTC), ({"key": ORGANIZER, "status": 200, "body": body},))


def bare(bench: Bench, look: Look) -> booking_test.Test:
    graph: Any = SimpleNamespace(look_each=lambda *_: look, look_schedules=lambda *_: look)
    room = room_of(bench.look())
    return booking_test.Test(
        graph, None, bench.tenant, room, Rules(), bench.told.append, bench.sandbox.world.now, bench.wait
    )


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": [{"id": None, "subject": "x"}]}, {"value": {}}, []])
def test_a_calendar_that_cannot_be_read_is_not_called_clean(bench: Bench, body: object) -> None:
    look = Look("marked_events", datetime.now(UTC), ({"key": ORGANIZER, "status": 200, "body": body},))
    with pytest.raises(CloudError, match="cannot be read"):
        bare(bench, look).sweep()


@pytest.mark.parametrize("row", [{}, {"scheduleId": ROOM}, {"scheduleId": ROOM, "error": {}}, None])
def test_a_room_whose_calendar_tells_nothing_is_neither_taken_nor_free(bench: Bench, row: Any) -> None:
    look = Look("free_busy", datetime.now(UTC), (row,) if row is not None else ())
    now = bench.sandbox.world.now()
    with pytest.raises(CloudError, match="cannot be told"):
        bare(bench, look).taken(now, now + timedelta(hours=1))


def test_what_a_killed_test_left_is_found_by_its_mark_and_removed_and_nothing_else(bench: Bench) -> None:
    now = bench.sandbox.world.now()
    begin, end = now + timedelta(days=3), now + timedelta(days=3, minutes=15)
    meetings.book(bench.state, ORGANIZER, ROOM, begin, end, now=now, subject=f"{booking_test.MARK} 12345678")
    meetings.book(
        bench.state, "spaceiq@contoso.example", ROOM, end, end + (end - begin), now=now, subject=booking_test.MARK
    )
    meetings.book(bench.state, ORGANIZER, "room-baker@contoso.example", begin, end, now=now, subject="Board")
    found = legs(bench.test())
    assert found["leftovers"] == (Status.PASS, "2 of an earlier test removed")
    assert {subject for subject in bench.settled() if "Board" in subject or booking_test.MARK in subject} == {"Board"}


def test_a_room_that_is_taken_all_day_is_not_booked(bench: Bench) -> None:
    now = bench.sandbox.world.now().replace(microsecond=0)
    early = now - timedelta(minutes=5)
    meetings.book(bench.state, "adele@contoso.example", ROOM, early, now + timedelta(hours=14), now=early)
    assert legs(bench.test())["a free time"][0] is Status.UNKNOWN


def test_the_first_free_quarter_of_an_hour_is_booked(bench: Bench) -> None:
    now = bench.sandbox.world.now().replace(microsecond=0)
    early = now - timedelta(minutes=5)
    meetings.book(bench.state, "adele@contoso.example", ROOM, early, now + timedelta(hours=2), now=early)
    assert {status for status, _ in legs(bench.test()).values()} == {Status.PASS}


def test_without_a_token_a_person_has_to_look_at_the_floor_map(bench: Bench) -> None:
    bench.tenant = replace(bench.tenant, spaceiq=SpaceSource())
    found = legs(bench.test())
    assert found["Outlook: SpaceIQ shows it busy"][0] is Status.PENDING
    assert bench.settled() == []


def test_a_missing_permission_books_nothing_and_says_so(bench: Bench) -> None:
    del bench.state.app_role_assignments["write"]
    found = legs(bench.test())
    assert "Calendars.ReadWrite" in " ".join(words for _, words in found.values())
    assert {leg: status for leg, (status, _) in found.items()} == {"the test": Status.UNKNOWN, "clean-up": Status.PASS}
    assert bench.settled() == []


def test_only_what_has_the_mark_is_removed_even_if_the_service_ignores_the_filter(bench: Bench) -> None:
    gone: list[str] = []

    def change(call: str, mailbox: str, id: str) -> bool:
        gone.append(id)
        return True

    events = [{"id": "1", "subject": f"{booking_test.MARK} x"}, {"id": "2", "subject": "Board"}]
    look = Look("marked_events", datetime.now(UTC), ({"key": ORGANIZER, "status": 200, "body": {"value": events}},))
    graph: Any = SimpleNamespace(look_each=lambda *_: look, change=change)
    room = room_of(bench.look())
    now = bench.sandbox.world.now
    assert booking_test.Test(graph, None, bench.tenant, room, Rules(), bench.told.append, now, bench.wait).sweep() == 1
    assert gone == ["1"]


def test_a_calendar_that_nobody_may_look_into_is_never_called_clean(bench: Bench) -> None:
    bench.state.mailboxes[ORGANIZER].state = "on-premises"
    found = legs(bench.test())
    assert found["clean-up"][0] is Status.FAIL
    assert "by hand" in found["clean-up"][1]


def test_nothing_is_booked_without_the_word(bench: Bench) -> None:
    facts = bench.look()
    assert booking_test.carry_out(facts, word(""), bench.graph, bench.tenant, bench.told.append) == {}
    assert booking_test.word(bench.tenant, attended=False) == ""
    willing = replace(bench.tenant, rooms=replace(bench.tenant.rooms, booking_test=True))
    assert (booking_test.word(willing, attended=False), booking_test.word(willing, attended=True)) == (ROOM, "")


def test_only_the_test_room_s_own_address_starts_the_test(bench: Bench) -> None:
    assert booking_test.typed(bench.tenant)(f" {ROOM.upper()} ") == ROOM
    with pytest.raises(UsageError, match="nothing is booked"):
        booking_test.typed(bench.tenant)("room-baker@contoso.example")
    with pytest.raises(UsageError, match="nothing is booked"):
        booking_test.typed(replace(bench.tenant, rooms=RoomPlan()))("")
