"""Step 7, one room: its state, put together from what Graph, Exchange, the limit and SpaceIQ say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from runbook_lib import vendors
from runbook_lib.model import Status
from runbook_lib.steps.sync.answers import Mailbox, Place, Schedule
from runbook_lib.steps.sync.booking_rules import blocked, unread
from runbook_lib.steps.sync.matching import NO_MATCH, Match

NOT_LOOKED = "not looked at"
MINUTE = "%Y-%m-%d %H:%M UTC"


class RoomState(StrEnum):
    """Where a room stands on its way into SpaceIQ, best first."""

    PROVED = "synced and proved"
    MAPPED = "mapped but not proved"
    READABLE = "readable"
    PENDING = "pending"
    OUT_OF_STEP = "out of step"
    NOT_MAPPED = "not mapped"
    DUPLICATE = "duplicate"
    BOOKING_BLOCKED = "booking blocked"
    OUTSIDE = "outside the limit"
    HIDDEN = "hidden"
    NOT_LISTED = "not listed"
    NOT_IN_CLOUD = "not in the cloud"
    NO_MAILBOX = "no mailbox"
    WORKSPACE = "workspace"
    CANNOT_TELL = "cannot tell"


GOOD = (RoomState.PROVED, RoomState.MAPPED, RoomState.READABLE)
STATUS = {state: Status.PASS if state in GOOD else Status.FAIL for state in RoomState}
STATUS |= {
    RoomState.PENDING: Status.PENDING,
    RoomState.CANNOT_TELL: Status.UNKNOWN,
    RoomState.WORKSPACE: Status.NOT_APPLICABLE,
}


@dataclass(frozen=True, slots=True)
class Before:
    """What an earlier look said of a room: its state, since when, and when it was first seen."""

    state: str
    since: datetime
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class Sources:
    """What holds for all rooms: when we looked, since when SpaceIQ is connected, and what could be looked at."""

    now: datetime
    first_look: datetime | None = None
    connected: datetime | None = None
    graph_complete: bool = True
    spaces_looked: bool = False
    spaces_complete: bool = True
    busy_told: bool = False
    """SpaceIQ tells busy times: a space without them is one that it keeps to itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What each source says of one room; None where it does not know the room, or was not looked at.

    `reached` is whether Cronofy reaches its mailbox, `denial` the error of its calendar where free/busy has one,
    `tested` whether a booking went through it both ways just now.
    """

    email: str
    place: Place | None = None
    schedule: Schedule | None = None
    denial: str = ""
    exchange: Mailbox | None = None
    reached: bool | None = None
    match: Match = NO_MATCH
    before: Before | None = None
    tested: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A room's state, the reason for it, and what it amounts to."""

    state: RoomState
    reason: str
    status: Status


def verdict(seen: Seen, sources: Sources) -> Verdict:
    """Return the first state that applies, from what cannot be to what is proved."""
    for rule in RULES:
        if found := rule(seen, sources):
            return found
    return _is(RoomState.READABLE, "free/busy read")


def _is(state: RoomState, reason: str, status: Status | None = None) -> Verdict:
    return Verdict(state, reason, status or STATUS[state])


def _unlisted(seen: Seen, sources: Sources) -> Verdict | None:
    """Judge a room that only Exchange knows: hidden, or new, because Graph's list lags behind."""
    if seen.place is not None:
        return None
    if seen.exchange and seen.exchange.is_workspace:
        return _is(RoomState.WORKSPACE, "an area of desks, which Graph does not list among the rooms")
    if seen.exchange and seen.exchange.hidden_from_address_lists_enabled:
        words = "in no address list: Graph and Cronofy never list it"
        if seen.match.space:
            return _is(RoomState.HIDDEN, f"{words}, but SpaceIQ has it as {seen.match.space.name}")
        return _is(RoomState.HIDDEN, words, Status.NOT_APPLICABLE)
    if not sources.graph_complete:
        return _is(RoomState.CANNOT_TELL, "in Exchange; Graph did not list all rooms")
    return _wait(seen, sources, "places", RoomState.NOT_LISTED, "in Exchange, but not in Graph's list of rooms")


def _unreadable(seen: Seen, _: Sources) -> Verdict | None:
    """Judge what keeps free/busy from being read; the calendar's error tells more than the schedule's."""
    if seen.schedule is None:
        return _is(RoomState.CANNOT_TELL, "free/busy was not answered for this address")
    if seen.schedule.error is None:
        return _is(RoomState.CANNOT_TELL, seen.schedule.silent) if seen.schedule.silent else None
    match seen.denial:
        case "MailboxNotEnabledForRESTAPI":
            return _is(RoomState.NOT_IN_CLOUD, "the mailbox is on premises, inactive or soft-deleted")
        case "ErrorInvalidUser" | "ResourceNotFound" | "Request_ResourceNotFound":
            return _is(RoomState.NO_MAILBOX, "no mailbox answers to this address")
        case "ErrorAccessDenied":
            return _is(RoomState.CANNOT_TELL, "an access limit refuses the runbook's own app, not necessarily Cronofy")
    code = f" ({seen.denial})" if seen.denial else ""
    return _is(RoomState.CANNOT_TELL, f"free/busy not readable: {seen.schedule.error.said}{code}")


def _outside(seen: Seen, _: Sources) -> Verdict | None:
    if seen.reached is not False:
        return None
    return _is(RoomState.OUTSIDE, "Graph will refuse Cronofy (403)")


def _blocked(seen: Seen, _: Sources) -> Verdict | None:
    if seen.exchange is None:
        return None
    rules = seen.exchange.processing
    if rules and (why := blocked(rules)):
        return _is(RoomState.BOOKING_BLOCKED, why)
    if unread(rules):
        return _is(RoomState.CANNOT_TELL, f"booking rules not read: {seen.exchange.error or 'Exchange told not all'}")
    return None


def _double(seen: Seen, _: Sources) -> Verdict | None:
    twins = seen.match.twins
    return _is(RoomState.DUPLICATE, f"{space_words(seen.match)}; so has {', '.join(twins)}") if twins else None


def _unmapped(seen: Seen, sources: Sources) -> Verdict | None:
    if not sources.spaces_looked or (seen.match.space and seen.match.space.calendar):
        return None
    if not seen.match.space and not sources.spaces_complete:
        return _is(RoomState.CANNOT_TELL, "not among the spaces read, but not all were read")
    why = f"space {seen.match.space.name} has no calendar" if seen.match.space else "SpaceIQ has no space for it"
    doubt = f" ({seen.match.doubt})" if seen.match.doubt else ""
    return _wait(seen, sources, "first sync", RoomState.NOT_MAPPED, f"{why}{doubt}")


def _mapped(seen: Seen, sources: Sources) -> Verdict | None:
    """Compare SpaceIQ's busy times with the calendar's; only where both are busy does that prove anything."""
    if not sources.spaces_looked or not seen.match.space:
        return None
    words = space_words(seen.match)
    if seen.tested:
        return _is(RoomState.PROVED, f"{words}; a booking went both ways")
    doubtful = Status.PENDING if seen.match.by not in ("e-mail", "the tenant file") else None
    if seen.match.space.busy is None:
        if sources.busy_told:
            return _is(RoomState.CANNOT_TELL, f"{words}; SpaceIQ tells no busy times of it, though of others")
        return _is(RoomState.MAPPED, words, doubtful)
    there = _busy(seen.match.space.busy, sources.now)
    here = _busy(seen.schedule.taken if seen.schedule else (), sources.now)
    if there != here:
        why = f"{words}; busy times differ: {len(here)} in the calendar, {len(there)} in SpaceIQ, in the next 24 hours"
        return _wait(seen, sources, "spaceiq lag", RoomState.OUT_OF_STEP, why)
    if not here:
        return _is(RoomState.MAPPED, f"{words}; both show it free for 24 hours", doubtful)
    return _is(RoomState.PROVED, f"{words}; both show the same {len(here)} busy times in the next 24 hours", doubtful)


RULES: tuple[Callable[[Seen, Sources], Verdict | None], ...] = (
    _unlisted,
    _unreadable,
    _outside,
    _blocked,
    _double,
    _unmapped,
    _mapped,
)


def _wait(seen: Seen, sources: Sources, budget: str, state: RoomState, why: str) -> Verdict:
    """Return `pending` with its end inside the budget, then `state`; a difference counts from its first sight."""
    began = _appeared(seen, sources, sources.connected if budget == "first sync" else None)
    if budget == "spaceiq lag":
        waited = seen.before is not None and seen.before.state in (RoomState.PENDING, RoomState.OUT_OF_STEP)
        began = seen.before.since if seen.before and waited else sources.now
    until = began + timedelta(hours=vendors.facts()["budgets_hours"][budget])
    if sources.now < until:
        return _is(RoomState.PENDING, f"{why}; may take until {until:{MINUTE}}")
    return _is(state, f"{why}; it had until {until:{MINUTE}}")


def _appeared(seen: Seen, sources: Sources, connected: datetime | None) -> datetime:
    """Return since when a sync of the room can be under way: the connection, or for a room that came later, its coming.

    A room of the very first look may be of any age.
    """
    first = seen.before.first_seen if seen.before else sources.now
    came = sources.first_look is not None and first > sources.first_look
    return first if connected is None else max(first, connected) if came else connected


def space_words(match: Match) -> str:
    """Return which space a room has, how it was found, and what is doubtful about that."""
    if match.space is None:
        return match.doubt or "no space"
    doubt = f", {match.doubt}" if match.doubt else ""
    return f"space {match.space.name} (by {match.by}{doubt})"


def _busy(times: Iterable[tuple[datetime, datetime]], now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times without seams, as far as they lie in the next 24 hours: two meetings in a row are one."""
    merged: list[tuple[datetime, datetime]] = []
    until = now + timedelta(hours=24)
    for begin, end in sorted((max(begin, now), min(end, until)) for begin, end in times if begin < until and end > now):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
