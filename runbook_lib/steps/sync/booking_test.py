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
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from runbook_lib import forms
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.clients.spaceiq.api import SpaceIQ
from runbook_lib.errors import CloudError, RunbookError, UsageError
from runbook_lib.model import Answer, Json, Look, Raw, Status, Tenant
from runbook_lib.runs import writes
from runbook_lib.steps.sync.answers import Calendar, Event, Mailbox, Rules, Schedule
from runbook_lib.steps.sync.booking_rules import blocked
from runbook_lib.steps.sync.join import Room, RoomFacts
from runbook_lib.steps.sync.matching import Row

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
LEGS = "07_sync.booking.jsonl"
"""The file in which each leg is kept as it happens."""
BETWEEN = 10
"""Seconds between two looks."""


def now() -> datetime:
    """Return the time, the clock that the test has by default."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Leg:
    """One stretch of the way: what was waited for, what came, and between how many seconds after the change."""

    leg: str
    status: Status
    saw: str
    seconds: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for, how long whom is given, and what looks: it says what it saw, nothing while it is not there.

    `wrong` says why what was seen is not what was hoped for.
    """

    leg: str
    whom: str
    saw: Callable[[], str]
    wrong: Callable[[str], str] = lambda _: ""


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
    rules: Rules
    tell: Callable[[str], object]
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    title: str = field(default_factory=lambda: f"{MARK} {uuid4().hex[:8]}")
    folder: Path | None = None
    """The run's folder: each leg and each change is written there as it happens."""
    legs: list[Leg] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Mailboxes besides the organizer's in which SpaceIQ's booking may stand."""

    def note(self, leg: Leg) -> bool:
        """Add a leg, keep it in the run's folder at once, tell it, and return whether it went well."""
        self.legs.append(leg)
        if self.folder:
            writes.append(self.folder / "data" / LEGS, asdict(leg))
        self.tell(f"{leg.status.symbol} {leg.leg}: {leg.saw}")
        return leg.status is Status.PASS

    def wait(self, since: datetime, *awaited: Awaited) -> bool:
        """Look at all of them in turn until each has come, as long as it may take; return whether all did.

        A look says that something came since the look before: so it took between that one's and this one's seconds.
        """
        missing = dict.fromkeys(awaited, 0.0)
        while missing:
            for one in list(missing):
                asked = self._after(since)
                words, waited = one.saw(), self._after(since)
                if words:
                    at_least, wrong = missing.pop(one), one.wrong(words)
                    status = Status.FAIL if wrong else Status.PASS
                    if not self.note(Leg(one.leg, status, wrong or words, waited, at_least)):
                        return False
                elif waited >= PATIENCE[one.whom]:
                    return self.note(Leg(one.leg, Status.FAIL, f"not within {PATIENCE[one.whom]} seconds", waited))
                else:
                    missing[one] = asked
                    self.tell(f"… {one.leg}: {waited:.0f} of at most {PATIENCE[one.whom]} seconds")
            if missing:
                self.sleep(BETWEEN)
        return True

    def _after(self, since: datetime) -> float:
        return round((self.clock() - since).total_seconds(), 1)

    @contextmanager
    def writing(self, verb: str, target: str, subject: str = "") -> Iterator[Json]:
        """Note a change in the run's folder before it is made and after; what the service answers goes into the row."""
        if self.folder is None:
            yield {}
            return
        with writes.writing(self.folder, "07_sync", verb, target, subject or self.title, clock=self.clock) as write:
            yield write.answer

    def marked(self) -> Iterator[tuple[str, Event]]:
        """Yield every event with the mark, beside the mailbox it is in; raise CloudError where nobody could look."""
        organizer = self.tenant.rooms.organizer
        look = self.graph.look_each("marked_events", [organizer, *self.others])
        if look.refusal or not look.complete:
            raise CloudError(look.refusal or "Graph did not answer for every calendar.", look.remedy)
        calendars, off = forms.read(look.call, look.rows, Calendar)
        if off:
            raise CloudError(f"A calendar cannot be read: {off[0].saw}.")
        for one in calendars:
            absent = one.status == 404 and one.key != organizer
            if not absent and (one.status != 200 or one.body.value is None):
                code = (one.body.error and one.body.error.code) or ""
                raise CloudError(f"The calendar of {one.key} cannot be read: {one.status} {code}.")
            yield from ((one.key, event) for event in one.body.value or ())

    def sweep(self) -> int:
        """Remove every event with the mark; return how many there were."""
        marked = [(box, event) for box, event in self.marked() if (event.subject or "").startswith(MARK)]
        return sum(self._remove(box, event) for box, event in marked)

    def _remove(self, mailbox: str, event: Event) -> bool:
        with self.writing("remove", event.id, event.subject or ""):
            return self.graph.change("delete_event", mailbox=mailbox, id=event.id)

    def schedule(self, begin: datetime, end: datetime) -> Schedule:
        """Return the room's calendar between two moments; raise CloudError where it tells nothing."""
        look = self.graph.look_schedules("free_busy", [self.room.email], begin, end, 15)
        found, off = forms.read(look.call, look.rows, Schedule)
        why = look.refusal or (off[0].saw if off else "" if found else "no answer")
        why = why or (found[0].error.said if found[0].error else found[0].silent)
        if why:
            raise CloudError(f"The room's calendar cannot be told: {why}.")
        return found[0]

    def taken(self, begin: datetime, end: datetime) -> bool:
        """Return whether the room's calendar is busy between two moments."""
        return any(start < end and stop > begin for start, stop in self.schedule(begin, end).taken)

    def shown(self, begin: datetime, end: datetime) -> bool | None:
        """Return whether SpaceIQ shows the room busy, None where it does not tell."""
        if self.api is None or self.room.space is None:
            return None
        rows = forms.rows_of(self.api.spaces(begin, end, self.room.space.code), Row)
        busy = next((row.busy for row in rows if row.id == self.room.space.id), None)
        return None if busy is None else any(one.start < end and one.end > begin for one in busy)


def carry_out(
    facts: RoomFacts,
    go: Prompt,
    sign_in: Callable[[tuple[str, ...]], Graph],
    tenant: Tenant,
    tell: Callable[[str], object],
    clock: Callable[[], datetime] = now,
    sleep: Callable[[float], object] = time.sleep,
    *,
    folder: Path | None = None,
) -> Raw:
    """Book the test room both ways if the word was given; return the look `booking` with a row per leg.

    Signs in anew, with the permission to write calendars, only then. The clean-up runs whatever happens, and stands
    among the legs. In the run's `folder` each leg is kept as it happens, so that none is lost with a killed notebook.
    """
    if not (isinstance(go.result, Answer) and go.result.value):
        return {}
    room = next((one for one in facts.rooms if one.email == go.result.value), None)
    if room is None:
        raise UsageError(f"The test room {go.result.value} is not among the rooms.", "Correct rooms: test_room.")
    mailboxes = facts.raw.rows("exchange rooms", Mailbox)
    rules = next((row.processing for row in mailboxes if row.mailbox == room.email and row.processing), Rules())
    began, graph = clock(), sign_in(CALLS)
    with _api(tenant, graph.log) as (api, refusal):
        test = Test(graph, api, tenant, room, rules, tell, clock, sleep, folder=folder)
        if graph.identity.kind == "application":
            test.others = [box for box in (room.email, api.viewer() if api else "") if box]
        if refusal:
            test.note(Leg("SpaceIQ", Status.UNKNOWN, refusal))
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
            test.note(Leg("leftovers", Status.PASS, f"{left} of an earlier test removed"))
        slot = _free_slot(test)
        if slot is None:
            test.note(Leg("a free time", Status.UNKNOWN, "the room is taken for the next 12 hours"))
            return
        if _from_outlook(test, *slot) and test.api is not None and test.room.space is not None:
            _from_spaceiq(test, test.api, test.room.space.id, *slot)
    except RunbookError as error:
        test.note(Leg("the test", Status.UNKNOWN, f"stopped: {error.message} {error.remedy}".strip()))
    finally:  # also when somebody interrupts the cell
        _clean_up(test)


def _clean_up(test: Test) -> None:
    try:
        left = test.sweep()
    except RunbookError as error:
        saw = f"remove {test.title!r} from {test.tenant.rooms.organizer}'s calendar by hand: {error.message}"
        test.note(Leg("clean-up", Status.FAIL, saw))
        return
    places = ", ".join([test.tenant.rooms.organizer, *test.others])
    words = f"{left} removed at the end, nothing" if left else "nothing"
    test.note(Leg("clean-up", Status.PASS, f"{words} with the mark is left in the calendars of {places}"))


def _free_slot(test: Test) -> tuple[datetime, datetime] | None:
    """Return the first free quarter of an hour within 12 hours, half an hour from now at the earliest."""
    quarter = LENGTH.total_seconds()
    first = datetime.fromtimestamp(-(-(test.clock() + AHEAD).timestamp() // quarter) * quarter, UTC)
    until = first + timedelta(hours=12)
    busy = test.schedule(first, until).taken
    slots = [(first + number * LENGTH, first + (number + 1) * LENGTH) for number in range(48)]
    return next((one for one in slots if not any(start < one[1] and stop > one[0] for start, stop in busy)), None)


def _from_outlook(test: Test, begin: datetime, end: datetime) -> bool:
    """Book through Graph, wait for the room and for SpaceIQ, remove it, and wait until both are free again."""
    organizer, made = test.tenant.rooms.organizer, test.clock()
    with test.writing("book", organizer):
        test.graph.change("create_event", _event(test, begin, end), mailbox=organizer)
    told = test.shown(begin, end) is not None
    shows = Awaited("Outlook: SpaceIQ shows it busy", "SpaceIQ", lambda: "busy" if test.shown(begin, end) else "")
    answers = Awaited(
        "Outlook: the room answers", "the room", lambda: _answer(test), lambda said: _declined(test, said)
    )
    if not test.wait(made, answers, *([shows] if told else [])):
        return False
    if not told:
        test.note(Leg(shows.leg, Status.PENDING, "for a person to see on the floor map"))
    removed = test.clock()
    test.sweep()
    room = Awaited("Outlook: the room is free again", "the room", lambda: "" if test.taken(begin, end) else "free")
    clears = Awaited(
        "Outlook: SpaceIQ shows it free again", "SpaceIQ", lambda: "" if test.shown(begin, end) else "free"
    )
    return test.wait(removed, room, *([clears] if told else []))


def _declined(test: Test, said: str) -> str:
    """Return why a room that answered `said` did not take the booking; empty where it did."""
    if said == "accepted":
        return ""
    return f"it was {said}: {blocked(test.rules) or 'its booking rules (Get-CalendarProcessing) say why'}"


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
    mine = [event for _, event in test.marked() if event.subject == test.title]
    said = [one.status for event in mine for one in event.attendees or () if one.status]
    return next((one.response for one in said if one.given), "")


def _from_spaceiq(test: Test, api: SpaceIQ, space: str, begin: datetime, end: datetime) -> None:
    """Book through SpaceIQ, wait until the room's calendar has it, cancel it there, and wait until it is gone."""
    event = ""
    shows = Awaited("SpaceIQ: the calendar shows it busy", "SpaceIQ", lambda: "busy" if test.taken(begin, end) else "")
    clears = Awaited("SpaceIQ: the calendar is free again", "SpaceIQ", lambda: "" if test.taken(begin, end) else "free")
    made = test.clock()
    try:
        with test.writing("book", space) as answer:
            event = answer["id"] = api.book(space, test.title, begin, end)
        came = test.wait(made, shows)
    finally:
        removed = test.clock()
        if event:
            with test.writing("remove", event):
                api.cancel(event)
    if came:
        test.wait(removed, clears)
