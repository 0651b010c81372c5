"""Step 7: every room of the tenant, and whether its calendar can be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from runbook_lib.model import Json, Look, Raw, Rows, Status, Tenant, check

if TYPE_CHECKING:
    from runbook_lib.graph import Graph

CALLS = ("rooms", "free_busy", "room_calendar")
NOT_LOOKED = "not looked at"


class RoomState(StrEnum):
    """Where a room stands on its way into SpaceIQ."""

    READABLE = "readable"
    """Graph shows the room and its free/busy; SpaceIQ's side is not looked at yet."""
    NOT_IN_CLOUD = "not in the cloud"
    """The mailbox is on premises, inactive or soft-deleted."""
    NO_MAILBOX = "no mailbox"
    """Graph lists the room, but no mailbox answers to its address."""
    BLOCKED = "outside the limit"
    """An access limit refuses the reader."""
    CANNOT_TELL = "cannot tell"
    """The free/busy was not answered and the reason could not be read."""


@dataclass(frozen=True, slots=True)
class Room:
    """One room as the table shows it; a source that was not asked says so."""

    room: str
    email: str
    building: str
    floor: str
    capacity: int | None
    state: RoomState
    reason: str
    metadata: str
    free_busy: str
    mailbox: str
    spaceiq: str = NOT_LOOKED
    exchange: str = NOT_LOOKED


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """All rooms that Graph shows; rooms hidden from address lists are never among them."""

    raw: Raw
    rooms: tuple[Room, ...]


def read(graph: Graph, tenant: Tenant) -> Raw:  # noqa: ARG001 - steps read alike
    """Ask for the rooms, today's free/busy of each, and for those without an answer why."""
    rooms = graph.look("rooms")
    emails = [row["emailAddress"] for row in rooms.rows if row.get("emailAddress")]
    begin = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    free_busy = graph.look_schedules("free_busy", emails, begin, begin + timedelta(days=1))
    unanswered = [row["scheduleId"] for row in free_busy.rows if row.get("error")]
    return {
        "rooms": rooms,
        "free_busy": _inherit(free_busy, rooms),
        "room_calendar": graph.look_each("room_calendar", unanswered),
    }


def _inherit(look: Look, source: Look) -> Look:
    """Refuse a look whose keys could not be listed: no keys is not the same as no rows."""
    if not source.refusal:
        return look
    return Look(look.call, look.asked_at, refusal=source.refusal, remedy=source.remedy)


def parse(raw: Raw, tenant: Tenant) -> RoomFacts:  # noqa: ARG001 - steps parse alike
    """Join the sources by e-mail address; a room's id is not stable (roomList and place pages)."""
    schedules = {row["scheduleId"].lower(): row for row in raw["free_busy"].rows}
    calendars = {row["key"].lower(): row for row in raw["room_calendar"].rows}
    return RoomFacts(raw, tuple(_room(row, schedules, calendars) for row in raw["rooms"].rows))


def _room(row: Json, schedules: dict[str, Json], calendars: dict[str, Json]) -> Room:
    email = (row.get("emailAddress") or "").lower()
    state, reason = _state(schedules.get(email), calendars.get(email))
    missing = [name for name in ("building", "capacity") if row.get(name) in (None, "")]
    floor = row.get("floorLabel") or row.get("floorNumber")
    return Room(
        room=row.get("displayName") or email,
        email=email,
        building=row.get("building") or "",
        floor="" if floor is None else str(floor),
        capacity=row.get("capacity"),
        state=state,
        reason=reason,
        metadata=f"no {', no '.join(missing)}" if missing else "complete",
        free_busy="readable" if state is RoomState.READABLE else "not readable",
        mailbox="reachable" if state is RoomState.READABLE else str(state),
    )


def _state(schedule: Json | None, calendar: Json | None) -> tuple[RoomState, str]:
    """Return the state and what was seen; the calendar's error tells more than the schedule's."""
    if schedule is None:
        return RoomState.CANNOT_TELL, "free/busy was not answered for this address"
    if not schedule.get("error"):
        return RoomState.READABLE, "free/busy read"
    said = schedule["error"].get("message") or schedule["error"].get("responseCode") or "no reason given"
    code = str(((calendar or {}).get("body") or {}).get("error", {}).get("code", ""))
    match code:
        case "MailboxNotEnabledForRESTAPI":
            return RoomState.NOT_IN_CLOUD, "the mailbox is on premises, inactive or soft-deleted"
        case "ErrorInvalidUser" | "ResourceNotFound" | "Request_ResourceNotFound":
            return RoomState.NO_MAILBOX, "no mailbox answers to this address"
        case "ErrorAccessDenied":
            return RoomState.BLOCKED, "an access limit refuses the reader"
    return RoomState.CANNOT_TELL, f"free/busy not readable: {said}" + (f" ({code})" if code else "")


@check(
    "rooms-readable",
    "Every room's free/busy can be read",
    looks=("rooms", "free_busy"),
    remedy="Give the room a mailbox in Exchange Online, or take it off the list of rooms for SpaceIQ.",
    link="https://admin.exchange.microsoft.com/#/resources",
)
def rooms_readable(facts: RoomFacts) -> Rows:
    """Judge each room by its state."""
    for room in facts.rooms:
        match room.state:
            case RoomState.READABLE:
                yield room.email, Status.PASS, room.reason
            case RoomState.CANNOT_TELL:
                yield room.email, Status.UNKNOWN, room.reason
            case _:
                yield room.email, Status.FAIL, f"{room.state}: {room.reason}"
