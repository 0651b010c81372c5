"""Step 7, opt-in: book the test room from Outlook's side and from SpaceIQ's, see it on the other, and leave nothing.

Every event has the mark in its subject, the room as its only guest, and is removed again, whatever happens; what a
killed test left behind the next one finds by the mark and removes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.clients.spaceiq.api import SpaceIQ
from runbook_lib.errors import CloudError, RunbookError, UsageError
from runbook_lib.model import Answer, Json, Look, Raw, Status, Tenant
from runbook_lib.steps.sync.booking_rules import blocked
from runbook_lib.steps.sync.join import Room, RoomFacts
from runbook_lib.steps.sync.states import calendar_times

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph
    from runbook_lib.notebook.prompts import Prompt

CALLS = ("organization", "create_event", "marked_events", "delete_event", "free_busy")
MARK = "Runbook booking test"
LENGTH = timedelta(minutes=15)
AHEAD = timedelta(minutes=30)
"""How far ahead the test books at least: nobody stands before the room yet."""
PATIENCE = {"the room": 180, "SpaceIQ": 600}
"""Seconds to wait for an answer of the room, and for SpaceIQ to show a change; ours, no number is published."""
BETWEEN = 10
"""Seconds between two looks."""


def now() -> datetime:
    """Return the time, the clock that the test has by default."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Leg:
    """One stretch of the way: what was waited for, what came, and after how many seconds."""

    leg: str
    status: Status
    saw: str
    seconds: float | None = None


def word(tenant: Tenant, *, attended: bool) -> str:
    """Return what stands in the form: nobody attending, `booking_test` in the tenant file is the word."""
    return tenant.rooms.test_room if tenant.rooms.booking_test and not attended else ""


def typed(tenant: Tenant) -> Callable[[str], str]:
    """Return what accepts the test room's address as the word that starts the test, and nothing else."""

    def keep(text: str) -> str:
        room = tenant.rooms.test_room
        if not room or text.strip().lower() != room.lower():
            need = f"Type {room}." if room else "Name it in the tenant file, under rooms: test_room."
            raise UsageError("That is not the test room's address, so nothing is booked.", need)
        return room.lower()

    return keep


@dataclass
class Test:
    """One test under way; `legs` grows, and is what is left of it."""

    graph: Graph
    api: SpaceIQ | None
    tenant: Tenant
    room: Room
    rules: Json
    tell: Callable[[str], object]
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    title: str = field(default_factory=lambda: f"{MARK} {uuid4().hex[:8]}")
    legs: list[Leg] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Mailboxes besides the organizer's in which SpaceIQ's booking may stand."""

    def note(self, leg: str, status: Status, saw: str, seconds: float | None = None) -> bool:
        """Add a leg, tell it, and return whether it went well."""
        self.legs.append(Leg(leg, status, saw, seconds))
        self.tell(f"{status.symbol} {leg}: {saw}")
        return status is Status.PASS

    def wait(self, leg: str, whom: str, saw: Callable[[], str]) -> bool:
        """Look until `saw` has words, for as long as `whom` may take; note how long it took."""
        began = self.clock()
        while not (words := saw()):
            waited = (self.clock() - began).total_seconds()
            if waited >= PATIENCE[whom]:
                return self.note(leg, Status.FAIL, f"not within {PATIENCE[whom]} seconds", round(waited, 1))
            self.tell(f"… {leg}: {waited:.0f} of at most {PATIENCE[whom]} seconds")
            self.sleep(BETWEEN)
        return self.note(leg, Status.PASS, words, round((self.clock() - began).total_seconds(), 1))

    def marked(self) -> Iterator[tuple[str, Json]]:
        """Yield every event with the mark, beside the mailbox it is in; raise CloudError where nobody could look."""
        organizer = self.tenant.rooms.organizer
        look = self.graph.look_each("marked_events", [organizer, *self.others])
        if look.refusal or not look.complete:
            raise CloudError(look.refusal or "Graph did not answer for every calendar.", look.remedy)
        for row in look.rows:
            absent = row["status"] == 404 and row["key"] != organizer
            if row["status"] != 200 and not absent:
                code = (row["body"].get("error") or {}).get("code", "")
                raise CloudError(f"The calendar of {row['key']} cannot be read: {row['status']} {code}.")
            yield from ((row["key"], event) for event in row["body"].get("value", ()))

    def sweep(self) -> int:
        """Remove every event with the mark; return how many there were."""
        found = [(mailbox, event["id"]) for mailbox, event in self.marked() if event["subject"].startswith(MARK)]
        return sum(self.graph.change("delete_event", mailbox=mailbox, id=event) for mailbox, event in found)

    def taken(self, begin: datetime, end: datetime) -> bool:
        """Return whether the room's calendar is busy between two moments."""
        (row,) = self.graph.look_schedules("free_busy", [self.room.email], begin, end, 15).rows
        return any(start < end and stop > begin for start, stop in calendar_times(row))

    def shown(self, begin: datetime, end: datetime) -> bool | None:
        """Return whether SpaceIQ shows the room busy, None where it does not tell."""
        if self.api is None or self.room.space is None:
            return None
        rows = self.api.spaces(begin, end, self.room.space.code).rows
        busy = next((row.get("busy") for row in rows if row["id"] == self.room.space.id), None)
        times = [(datetime.fromisoformat(one["start"]), datetime.fromisoformat(one["end"])) for one in busy or ()]
        return None if busy is None else any(start < end and stop > begin for start, stop in times)


def carry_out(
    facts: RoomFacts,
    go: Prompt,
    sign_in: Callable[[tuple[str, ...]], Graph],
    tenant: Tenant,
    tell: Callable[[str], object],
    clock: Callable[[], datetime] = now,
    sleep: Callable[[float], object] = time.sleep,
) -> Raw:
    """Book the test room both ways if the word was given; return the look `booking` with a row per leg.

    Signs in anew, with the permission to write calendars, only then. The clean-up runs whatever happens, and stands
    among the legs.
    """
    if not (isinstance(go.result, Answer) and go.result.value):
        return {}
    room = next((one for one in facts.rooms if one.email == go.result.value), None)
    if room is None:
        raise UsageError(f"The test room {go.result.value} is not among the rooms.", "Correct rooms: test_room.")
    mailboxes = facts.raw["exchange rooms"].rows
    rules = [row["processing"] or {} for row in mailboxes if str(row["mailbox"]).lower() == room.email]
    began, graph = clock(), sign_in(CALLS)
    with _api(tenant, graph.log) as (api, refusal):
        test = Test(graph, api, tenant, room, next(iter(rules), {}), tell, clock, sleep)
        if graph.identity.kind == "application":
            test.others = [box for box in (room.email, api.viewer() if api else "") if box]
        if refusal:
            test.note("SpaceIQ", Status.UNKNOWN, refusal)
        _both_ways(test)
    return {"booking": Look("booking", began, tuple(asdict(leg) for leg in test.legs))}


@contextmanager
def _api(tenant: Tenant, log: list[Json]) -> Iterator[tuple[SpaceIQ | None, str]]:
    """Give SpaceIQ's API, or why there is none."""
    with ExitStack() as stack:
        api, refusal = None, ""
        try:
            if tenant.spaceiq.source == "graphql":
                api = stack.enter_context(spaceiq.connected(tenant, log))
        except CloudError as error:
            refusal = f"{error.message} {error.remedy}"
        yield api, refusal


def _both_ways(test: Test) -> None:
    try:
        if left := test.sweep():
            test.note("leftovers", Status.PASS, f"{left} of an earlier test removed")
        slot = _free_slot(test)
        if slot is None:
            test.note("a free time", Status.UNKNOWN, "the room is taken for the next 12 hours")
            return
        if _from_outlook(test, *slot) and test.api is not None and test.room.space is not None:
            _from_spaceiq(test, test.api, test.room.space.id, *slot)
    except RunbookError as error:
        test.note("the test", Status.UNKNOWN, f"stopped: {error.message} {error.remedy}".strip())
    finally:  # also when somebody interrupts the cell
        _clean_up(test)


def _clean_up(test: Test) -> None:
    try:
        left = test.sweep()
    except RunbookError as error:
        saw = f"remove {test.title!r} from {test.tenant.rooms.organizer}'s calendar by hand: {error.message}"
        test.note("clean-up", Status.FAIL, saw)
        return
    places = ", ".join([test.tenant.rooms.organizer, *test.others])
    words = f"{left} removed at the end, nothing" if left else "nothing"
    test.note("clean-up", Status.PASS, f"{words} with the mark is left in the calendars of {places}")


def _free_slot(test: Test) -> tuple[datetime, datetime] | None:
    """Return the first free quarter of an hour within 12 hours, half an hour from now at the earliest."""
    quarter = LENGTH.total_seconds()
    first = datetime.fromtimestamp(-(-(test.clock() + AHEAD).timestamp() // quarter) * quarter, UTC)
    until = first + timedelta(hours=12)
    (row,) = test.graph.look_schedules("free_busy", [test.room.email], first, until, 15).rows
    busy = list(calendar_times(row))
    slots = [(first + number * LENGTH, first + (number + 1) * LENGTH) for number in range(48)]
    return next((one for one in slots if not any(start < one[1] and stop > one[0] for start, stop in busy)), None)


def _from_outlook(test: Test, begin: datetime, end: datetime) -> bool:
    """Book through Graph, wait for the room and for SpaceIQ, remove it, and wait until both are free again."""
    test.graph.change("create_event", _event(test, begin, end), mailbox=test.tenant.rooms.organizer)
    if not test.wait("Outlook: the room answers", "the room", lambda: _answer(test)):
        return False
    if test.legs[-1].saw != "accepted":
        why = blocked(test.rules) or "its booking rules (Get-CalendarProcessing) say why"
        return test.note("Outlook: the room accepts", Status.FAIL, f"it was {test.legs[-1].saw}: {why}")
    seen = test.shown(begin, end)
    if seen is None:
        test.note("Outlook: SpaceIQ shows it busy", Status.PENDING, "for a person to see on the floor map")
    elif not test.wait("Outlook: SpaceIQ shows it busy", "SpaceIQ", lambda: "busy" if test.shown(begin, end) else ""):
        return False
    test.sweep()
    free = test.wait("Outlook: the room is free again", "the room", lambda: "" if test.taken(begin, end) else "free")
    if seen is None:
        return free
    return free and test.wait(
        "Outlook: SpaceIQ shows it free again", "SpaceIQ", lambda: "" if test.shown(begin, end) else "free"
    )


def _event(test: Test, begin: datetime, end: datetime) -> Json:
    room = {"address": test.room.email, "name": test.room.room}
    return {
        "subject": test.title,
        "body": {"contentType": "text", "content": "A test of the room's calendar. It removes itself."},
        "start": {"dateTime": f"{begin:%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"},
        "end": {"dateTime": f"{end:%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"},
        "location": {"displayName": test.room.room, "locationEmailAddress": test.room.email},
        "attendees": [{"type": "resource", "emailAddress": room}],
        "isReminderOn": False,
        "transactionId": str(uuid4()),
    }


def _answer(test: Test) -> str:
    """Return the room's answer to the booking as the organizer sees it; empty while there is none."""
    mine = [event for _, event in test.marked() if event["subject"] == test.title]
    said = [one["status"]["response"] for event in mine for one in event.get("attendees", ())]
    return next((answer for answer in said if answer not in ("none", "notResponded")), "")


def _from_spaceiq(test: Test, api: SpaceIQ, space: str, begin: datetime, end: datetime) -> None:
    """Book through SpaceIQ, wait until the room's calendar has it, cancel it there, and wait until it is gone."""
    event = ""
    try:
        event = api.book(space, test.title, begin, end)
        if not test.wait(
            "SpaceIQ: the calendar shows it busy", "SpaceIQ", lambda: "busy" if test.taken(begin, end) else ""
        ):
            return
    finally:
        if event:
            api.cancel(event)
    test.wait("SpaceIQ: the calendar is free again", "SpaceIQ", lambda: "" if test.taken(begin, end) else "free")
