"""Step 7, the join: what Graph, Exchange, SpaceIQ and earlier looks say, room by room."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from runbook_lib.clients import exchange
from runbook_lib.model import NOT_ASKED, Json, Look, Raw, Status, Tenant
from runbook_lib.steps.access import reach
from runbook_lib.steps.sync import matching
from runbook_lib.steps.sync.matching import NO_MATCH, Space
from runbook_lib.steps.sync.states import NOT_LOOKED, Before, RoomState, Seen, Sources, space_words, verdict


@dataclass(frozen=True, slots=True)
class Room:
    """One room as the table shows it; a source that was not asked says so."""

    room: str
    email: str
    building: str
    floor: str
    capacity: int | None
    state: RoomState
    status: Status
    reason: str
    since: datetime
    first_seen: datetime
    metadata: str
    free_busy: str
    exchange: str
    limit: str
    spaceiq: str
    space: Space | None


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """Every room that Graph or Exchange shows, SpaceIQ's spaces that belong to none, and the rooms that went."""

    raw: Raw
    rooms: tuple[Room, ...]
    spaces: tuple[Space, ...] = ()
    unclaimed: tuple[Space, ...] = ()
    gone: tuple[str, ...] = ()


def parse(raw: Raw, tenant: Tenant) -> RoomFacts:
    """Join the sources by e-mail address; a room's id is not stable (roomList and place pages)."""
    raw = {**raw, **exchange.sections(raw.get("exchange", NOT_ASKED))}
    seen, found = _seen(raw, tenant)
    sources = _sources(raw)
    rooms = tuple(_room(one, sources, raw) for one in seen)
    emails, claimed = {one.email for one in seen}, {one.match.space.id for one in seen if one.match.space}
    gone = sorted({row["email"] for row in _look(raw, "rooms before").rows} - emails)
    listed = raw["rooms"].complete and not raw["rooms"].refusal
    left = tuple(space for space in found if space.id not in claimed and space.email not in emails)
    return RoomFacts(raw, rooms, found, left, tuple(gone) if listed else ())


def _look(raw: Raw, name: str) -> Look:
    return raw.get(name, NOT_ASKED)


def _sources(raw: Raw) -> Sources:
    connected = [datetime.fromisoformat(row["at"]) for row in _look(raw, "connected").rows]
    rooms, spaces, earlier = raw["rooms"], _look(raw, "spaces"), _look(raw, "rooms before")
    return Sources(
        now=raw["free_busy"].asked_at,
        first_look=min((_before(row, earlier.asked_at).first_seen for row in earlier.rows), default=None),
        connected=connected[0] if connected else None,
        graph_complete=rooms.complete and not rooms.refusal,
        spaces_looked=bool(spaces.rows) and not spaces.refusal,
        spaces_complete=spaces.complete,
    )


def _seen(raw: Raw, tenant: Tenant) -> tuple[list[Seen], tuple[Space, ...]]:
    """Return what each source says of every room: first those that Graph lists, then those only Exchange knows."""
    places = {row["emailAddress"].lower(): row for row in raw["rooms"].rows if row.get("emailAddress")}
    mailboxes = {str(row["mailbox"]).lower(): row for row in _look(raw, "exchange rooms").rows}
    schedules = {row["scheduleId"].lower(): row for row in raw["free_busy"].rows}
    denials = {row["key"].lower(): _code(row) for row in raw["room_calendar"].rows}
    earlier = _look(raw, "rooms before")
    before = {row["email"]: _before(row, earlier.asked_at) for row in earlier.rows}
    emails = list(dict.fromkeys([*places, *mailboxes]))
    found = matching.spaces(_look(raw, "spaces"))
    named = [(email, *_names(places.get(email), mailboxes.get(email), email)) for email in emails]
    matches = matching.match(named, found, tenant.rooms.spaces)
    limit, tested = _limit(raw, tenant), _tested(raw, tenant)
    seen = [
        Seen(
            email,
            places.get(email),
            schedules.get(email),
            denials.get(email, ""),
            mailboxes.get(email),
            limit.reaches(email) if limit else None,
            matches.get(email, NO_MATCH),
            before.get(email),
            email == tested,
        )
        for email in emails
    ]
    return seen, found


def _limit(raw: Raw, tenant: Tenant) -> reach.Limit | None:
    """Return how far Cronofy reaches, where step 6 and Exchange were both looked at."""
    looked = "service_principal" in raw and not raw["exchange tests"].refusal
    return reach.parse(raw, tenant) if looked else None


def _tested(raw: Raw, tenant: Tenant) -> str:
    """Return the address of the test room if every leg of a booking both ways went well, else nothing."""
    legs = _look(raw, "booking").rows
    both = any(leg["leg"].startswith("SpaceIQ:") for leg in legs)
    return tenant.rooms.test_room.lower() if both and all(leg["status"] == Status.PASS for leg in legs) else ""


def _names(place: Json | None, mailbox: Json | None, email: str) -> tuple[str, str]:
    name = (place or {}).get("displayName") or (mailbox or {}).get("DisplayName") or email
    return str(name), str((place or {}).get("building") or "")


def _code(row: Json) -> str:
    return str((row.get("body") or {}).get("error", {}).get("code", ""))


def _before(row: Json, looked: datetime) -> Before:
    since, first = (_time(row[name]) if row[name] else looked for name in ("since", "first seen"))
    return Before(row["state"], since, first)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)


def _room(seen: Seen, sources: Sources, raw: Raw) -> Room:
    place = seen.place or {}
    found = verdict(seen, sources)
    name, building = _names(seen.place, seen.exchange, seen.email)
    missing = [each for each in ("building", "capacity") if place.get(each) in (None, "")]
    floor = place.get("floorLabel") or place.get("floorNumber")
    answered = seen.schedule is not None and not seen.schedule.get("error")
    stays = seen.before is not None and seen.before.state == found.state
    return Room(
        room=name,
        email=seen.email,
        building=building,
        floor="" if floor is None else str(floor),
        capacity=place.get("capacity"),
        state=found.state,
        status=found.status,
        reason=found.reason,
        since=seen.before.since if seen.before and stays else sources.now,
        first_seen=seen.before.first_seen if seen.before else sources.now,
        metadata=f"no {', no '.join(missing)}" if missing else "complete",
        free_busy="readable" if answered else "not readable",
        exchange=_exchange_words(seen, raw),
        limit=NOT_LOOKED if seen.reached is None else "inside" if seen.reached else "outside",
        spaceiq=space_words(seen.match) if sources.spaces_looked else _unlooked(_look(raw, "spaces")),
        space=seen.match.space,
    )


def _unlooked(look: Look) -> str:
    return NOT_LOOKED if look is NOT_ASKED else "could not be looked at" if look.refusal else "shows no room"


def _exchange_words(seen: Seen, raw: Raw) -> str:
    if "exchange" not in raw or raw["exchange rooms"].refusal:
        return _unlooked(_look(raw, "exchange"))
    if seen.exchange is None:
        return "no room mailbox there"
    if seen.exchange.get("error"):
        return f"booking rules not read: {seen.exchange['error']}"
    rules = seen.exchange.get("processing") or {}
    return f"AutomateProcessing {rules.get('AutomateProcessing', 'not shown')}"
