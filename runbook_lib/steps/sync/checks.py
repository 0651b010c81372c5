"""Step 7: every room of the tenant, from four sources, each with its state, the reason, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runbook_lib import forms
from runbook_lib.checks import Rows, check
from runbook_lib.clients import exchange
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.model import NOT_ASKED, Look, Raw, Status, Tenant
from runbook_lib.steps.sync.answers import LegRow, Place, Schedule
from runbook_lib.steps.sync.join import Room, RoomFacts, parse
from runbook_lib.steps.sync.states import MINUTE, NOT_LOOKED, RoomState

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

__all__ = ["CALLS", "NOT_LOOKED", "Room", "RoomFacts", "RoomState", "parse", "read"]

CALLS = ("rooms", "free_busy", "room_calendar")
OPTIONAL = {"spaces": "SpaceIQ", "exchange": "Exchange"}


def read(graph: Graph, tenant: Tenant, earlier: Raw) -> Raw:
    """Ask for the rooms, the next 24 hours of each, and for those without an answer why; then the other sources."""
    rooms = graph.look("rooms")
    emails = list(dict.fromkeys(place.email_address for place in forms.rows_of(rooms, Place)))
    begin = datetime.now(UTC).replace(microsecond=0)
    end = begin + timedelta(days=1)
    free_busy = graph.look_schedules("free_busy", emails, begin, end)
    unanswered = [row.schedule_id for row in forms.rows_of(free_busy, Schedule) if row.error]
    imported = tenant.exchange_answer is not None and tenant.exchange_answer.is_file()
    return {
        "rooms": rooms,
        "free_busy": _inherit(free_busy, rooms),
        "room_calendar": graph.look_each("room_calendar", unanswered),
        **spaceiq.read(tenant, begin, end, graph.log),
        **(exchange.read(tenant) if imported else {}),
        **earlier,
    }


def _inherit(look: Look, source: Look) -> Look:
    """Refuse a look whose keys could not be listed: no keys is not the same as no rows."""
    if not source.refusal:
        return look
    return Look(look.call, look.asked_at, refusal=source.refusal, remedy=source.remedy)


@check(
    "rooms-ready",
    "Every room is ready for SpaceIQ, and as far as that was looked at, in it",
    looks=("rooms", "free_busy"),
    optional=(
        "room_calendar",
        "exchange rooms",
        "exchange tests",
        "spaces",
        "connected",
        "disconnected",
        "rooms before",
    ),
    remedy="Do what the table of rooms in step 7 says about this state, then look again.",
    link="https://admin.exchange.microsoft.com/#/resources",
)
def rooms_ready(facts: RoomFacts) -> Rows:
    """Judge each room by its state."""
    for room in facts.rooms:
        yield room.email, room.status, f"{room.state}: {room.reason}"


@check(
    "sources-looked-at",
    "Every source that the tenant file names was looked at",
    looks=(),
    remedy="Correct what it says, then run step 7 again.",
)
def sources_looked_at(facts: RoomFacts) -> Rows:
    """Tell a source that nobody configured from one that did not answer."""
    for name, called in OPTIONAL.items():
        look = facts.raw.get(name, NOT_ASKED)
        off = facts.raw.unreadable.get(name)
        if look is NOT_ASKED:
            yield called, Status.NOT_APPLICABLE, NOT_LOOKED
        elif look.refusal:
            yield called, Status.UNKNOWN, f"{look.refusal} {look.remedy}"
        elif not look.rows:
            yield called, Status.UNKNOWN, "it shows no room, which does not mean that it has none"
        elif not look.complete:
            yield called, Status.UNKNOWN, f"saw only {look.population}"
        elif off:
            yield called, Status.UNKNOWN, f"{len(off)} of {len(look.rows)} rows cannot be read: {off[0].saw}"
        elif facts.changed and look.asked_at < facts.changed:
            saw = f"not looked at since the change of {facts.changed:{MINUTE}}: this is of {look.asked_at:{MINUTE}}"
            yield called, Status.UNKNOWN, saw
        else:
            words = f"{look.population} spaces" if name == "spaces" else "its answer was imported"
            yield called, Status.PASS, f"{words}, as of {look.asked_at:%Y-%m-%d %H:%M} UTC"


@check(
    "spaces-have-rooms",
    "Every meeting room of SpaceIQ has the calendar of one room",
    looks=("rooms",),
    optional=("spaces", "exchange rooms"),
    remedy="Choose the room's calendar at its Meeting Room icon on SpaceIQ's floor map, or remove the icon.",
    link="https://knowledge.eptura.com/SpaceIQ/Admins/Floor_Map/001Manage_Floor_Map_Spaces/001Floor_Map_Spaces_Overview",
)
def spaces_have_rooms(facts: RoomFacts) -> Rows:
    """Judge SpaceIQ's side: a space without a calendar, or with the calendar of no room of this tenant."""
    if refusal := facts.raw.look("spaces").refusal if "spaces" in facts.raw else "":
        yield "spaces", Status.UNKNOWN, refusal
        return
    if not facts.spaces:
        yield "spaces", Status.NOT_APPLICABLE, NOT_LOOKED
        return
    for space in facts.unclaimed:
        saw = f"its calendar {space.calendar} is no room of this tenant" if space.calendar else "it has no calendar"
        yield f"space {space.name} ({space.code or space.id})", Status.FAIL, saw
    claimed = len(facts.spaces) - len(facts.unclaimed)
    if claimed:
        yield "spaces", Status.PASS, f"{claimed} of {len(facts.spaces)} belong to a room of this tenant"


@check(
    "booking-works",
    "A booking of the test room goes both ways",
    looks=(),
    optional=("booking",),
    remedy="If the room declined, its booking rules say why; if SpaceIQ did not show it, call Eptura with this record.",
    link="https://learn.microsoft.com/powershell/module/exchangepowershell/set-calendarprocessing",
)
def booking_works(facts: RoomFacts) -> Rows:
    """Judge every leg of the booking test; it is opt-in, and a person may test by hand instead."""
    if not facts.raw.look("booking").rows:
        yield "test room", Status.NOT_APPLICABLE, "nobody asked for this test"
    for leg in facts.raw.rows("booking", LegRow):
        yield leg.leg, leg.outcome, f"{leg.saw}{leg.lasted}"


@check(
    "rooms-still-there",
    "No room went since the last look",
    looks=("rooms",),
    optional=("rooms before", "exchange rooms"),
    remedy="Find out whether it was deleted, hidden or renamed, and take its calendar off SpaceIQ's floor map.",
)
def rooms_still_there(facts: RoomFacts) -> Rows:
    """Compare with the tenant's last look, whichever run that was in; a room that came is judged by its state."""
    before = facts.raw.get("rooms before", NOT_ASKED)
    if not before.rows:
        yield "rooms", Status.NOT_APPLICABLE, "this is the first look"
        return
    came = sum(room.first_seen > before.asked_at for room in facts.rooms)
    for email in facts.gone:
        yield email, Status.PENDING, f"was there on {before.asked_at:%Y-%m-%d %H:%M} UTC, and is not any more"
    if not facts.gone:
        saw = f"all {len(before.rows)} rooms of {before.asked_at:%Y-%m-%d %H:%M} UTC are there, {came} are new"
        yield "rooms", Status.PASS, saw
