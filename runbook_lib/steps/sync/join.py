"""Step 7, the join: what Graph, Exchange, SpaceIQ and earlier looks say, room by room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from runbook_lib import forms
from runbook_lib.clients import exchange
from runbook_lib.forms import Reading, address_or_nothing
from runbook_lib.model import NOT_ASKED, Look, Raw, Status, Tenant
from runbook_lib.steps.access import reach
from runbook_lib.steps.sync import matching
from runbook_lib.steps.sync.answers import Denial, Earlier, LegRow, Mailbox, Place, Said, Schedule
from runbook_lib.steps.sync.matching import NO_MATCH, Row, Space
from runbook_lib.steps.sync.states import MINUTE, NOT_LOOKED, Before, RoomState, Seen, Sources, space_words, verdict


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

    raw: Reading
    rooms: tuple[Room, ...]
    spaces: tuple[Space, ...] = ()
    unclaimed: tuple[Space, ...] = ()
    gone: tuple[str, ...] = ()
    changed: datetime | None = None
    """When the connection was last taken away or given, as far as people said."""


def parse(raw: Raw, tenant: Tenant) -> RoomFacts:
    """Join the sources by e-mail address; a room's id is not stable (roomList and place pages)."""
    raw = {**raw, **exchange.sections(raw.get("exchange", NOT_ASKED))}
    answers = forms.reading(raw, **_since_the_change(raw))
    seen, found = _seen(answers, tenant)
    sources = _sources(answers)
    rooms = tuple(_room(one, sources, answers) for one in seen)
    emails, claimed = {one.email for one in seen}, {one.match.space.id for one in seen if one.match.space}
    before = {aliases_of(answers).primary(row.email) for row in answers.rows("rooms before", Earlier)}
    gone = sorted(before - emails) if sources.graph_complete else []
    left = tuple(space for space in found if space.id not in claimed and space.email not in emails)
    return RoomFacts(answers, rooms, found, left, tuple(gone), _changed(answers))


def _changed(answers: Reading) -> datetime | None:
    """Return when the connection was last changed as far as people said: taken away in step 1, given in step 5."""
    said = [one.at for name in ("disconnected", "connected") for one in answers.rows(name, Said)]
    return max(said, default=None)


def _since_the_change(raw: Raw) -> Raw:
    """Return SpaceIQ's spaces as not looked at, where they are an export from before the connection was changed."""
    spaces, changed = raw.get("spaces", NOT_ASKED), _changed(forms.reading(raw))
    if spaces.refusal or changed is None or spaces.asked_at >= changed:
        return {}
    words = (
        f"not looked at since the change: this is of {spaces.asked_at:{MINUTE}}, and the change of {changed:{MINUTE}}"
    )
    return {
        "spaces": replace(spaces, refusal=words, remedy="Export SpaceIQ's meeting rooms anew, then run step 7 again.")
    }


def _sources(answers: Reading) -> Sources:
    connected = [one.at for one in answers.rows("connected", Said)]
    spaces, earlier = answers.look("spaces"), answers.look("rooms before")
    before = [_before(row, earlier.asked_at) for row in answers.rows("rooms before", Earlier)]
    looked = bool(spaces.rows) and not spaces.refusal
    rows = answers.rows("spaces", Row) if looked else ()
    return Sources(
        now=answers.look("free_busy").asked_at,
        first_look=min((one.first_seen for one in before), default=None),
        connected=max(connected, default=None),
        graph_complete=_whole(answers, "rooms"),
        spaces_looked=looked,
        spaces_complete=_whole(answers, "spaces"),
        busy_told=any(row.busy is not None for row in rows),
    )


def _whole(answers: Reading, name: str) -> bool:
    """Tell whether every row of a look was given and could be read."""
    look = answers.look(name)
    return look.complete and not look.refusal and not answers.unreadable.get(name)


def _seen(answers: Reading, tenant: Tenant) -> tuple[list[Seen], tuple[Space, ...]]:
    """Return what each source says of every room: first those that Graph lists, then those only Exchange knows."""
    known = aliases_of(answers)
    places = known.keyed((row.email_address, row) for row in answers.rows("rooms", Place))
    mailboxes = known.keyed((row.mailbox, row) for row in answers.rows("exchange rooms", Mailbox))
    schedules = known.keyed((row.schedule_id, row) for row in answers.rows("free_busy", Schedule))
    denials = known.keyed((row.key, row.code) for row in answers.rows("room_calendar", Denial))
    earlier = answers.look("rooms before")
    before = known.keyed((row.email, _before(row, earlier.asked_at)) for row in answers.rows("rooms before", Earlier))
    emails = list(dict.fromkeys([*places, *mailboxes]))
    refused = answers.look("spaces").refusal
    spaces = () if refused else matching.spaces(answers.rows("spaces", Row))
    found = tuple(replace(space, email=known.primary(space.email)) for space in spaces)
    named = [(email, *_names(places.get(email), mailboxes.get(email), email)) for email in emails]
    chosen = known.keyed(tenant.rooms.spaces.items())
    matches = matching.match(named, found, chosen)
    reached, tested = _reached(answers, tenant, known), known.primary(_tested(answers, tenant))
    seen = [
        Seen(
            email,
            places.get(email),
            schedules.get(email),
            denials.get(email, ""),
            mailboxes.get(email),
            reached(email),
            matches.get(email, NO_MATCH),
            before.get(email),
            email == tested,
        )
        for email in emails
    ]
    return seen, found


@dataclass(frozen=True, slots=True)
class Aliases:
    """By which other addresses the room mailboxes are known: alias to primary address."""

    of: Mapping[str, str]

    def primary(self, email: str) -> str:
        """Return the primary address of the mailbox that has this address, the address itself where nobody told."""
        bare = address_or_nothing(email) or email.lower()
        return self.of.get(bare, bare)

    def keyed(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Return the values by primary address; of two for one mailbox the one under its primary address counts."""
        found: dict[str, Any] = {}
        for email, value in pairs:
            key = self.primary(email)
            if key not in found or key == address_or_nothing(email):
                found[key] = value
        return found

    def all_of(self, primary: str) -> tuple[str, ...]:
        """Return every address of a mailbox."""
        return (primary, *(alias for alias, one in self.of.items() if one == primary))


def aliases_of(answers: Reading) -> Aliases:
    """Return the aliases that Exchange tells; one that two mailboxes have, or that is a primary address, is none."""
    mailboxes = answers.rows("exchange rooms", Mailbox)
    taken = {one.mailbox for one in mailboxes}
    owners: dict[str, set[str]] = {}
    for one in mailboxes:
        for alias in {address_or_nothing(alias) for alias in one.aliases} - taken - {""}:
            owners.setdefault(alias, set()).add(one.mailbox)
    return Aliases({alias: next(iter(owner)) for alias, owner in owners.items() if len(owner) == 1})


def _reached(answers: Reading, tenant: Tenant, known: Aliases) -> Callable[[str], bool | None]:
    """Return what tells whether Cronofy reaches a room, None where step 6 and Exchange were not both looked at.

    Exchange was asked by one of its addresses; where two answers differ, the refusal counts.
    """
    if "service_principal" not in answers or answers.look("exchange tests").refusal:
        return lambda _: None
    limit = reach.parse(answers, tenant)

    def reached(email: str) -> bool | None:
        said = {limit.reaches(one) for one in known.all_of(email)} - {None}
        return None if not said else said == {True}

    return reached


def _tested(answers: Reading, tenant: Tenant) -> str:
    """Return the address of the test room if every leg of a booking both ways went well, else nothing."""
    legs = answers.rows("booking", LegRow)
    both = any(leg.leg.startswith("SpaceIQ:") for leg in legs) and _whole(answers, "booking")
    return tenant.rooms.test_room if both and all(leg.status == Status.PASS for leg in legs) else ""


def _names(place: Place | None, mailbox: Mailbox | None, email: str) -> tuple[str, str]:
    name = (place and place.display_name) or (mailbox and mailbox.display_name) or email
    return name, (place and place.building) or ""


def _before(row: Earlier, looked: datetime) -> Before:
    return Before(row.state, row.since or looked, row.first_seen or looked)


def _room(seen: Seen, sources: Sources, answers: Reading) -> Room:
    place = seen.place
    found = verdict(seen, sources)
    name, building = _names(seen.place, seen.exchange, seen.email)
    missing = [each for each in ("building", "capacity") if getattr(place, each, None) in (None, "")]
    floor = place and (place.floor_label or place.floor_number)
    answered = seen.schedule is not None and not seen.schedule.error and not seen.schedule.silent
    stays = seen.before is not None and seen.before.state == found.state
    return Room(
        room=name,
        email=seen.email,
        building=building,
        floor="" if floor is None else str(floor),
        capacity=place.capacity if place else None,
        state=found.state,
        status=found.status,
        reason=found.reason,
        since=seen.before.since if seen.before and stays else sources.now,
        first_seen=seen.before.first_seen if seen.before else sources.now,
        metadata=f"no {', no '.join(missing)}" if missing else "complete",
        free_busy="readable" if answered else "not readable",
        exchange=_exchange_words(seen, answers),
        limit=NOT_LOOKED if seen.reached is None else "inside" if seen.reached else "outside",
        spaceiq=space_words(seen.match) if sources.spaces_looked else _unlooked(answers.look("spaces")),
        space=seen.match.space,
    )


def _unlooked(look: Look) -> str:
    return NOT_LOOKED if look is NOT_ASKED else "could not be looked at" if look.refusal else "shows no room"


def _exchange_words(seen: Seen, answers: Reading) -> str:
    if "exchange" not in answers or answers.look("exchange rooms").refusal:
        return _unlooked(answers.look("exchange"))
    if seen.exchange is None:
        return "no room mailbox there"
    if seen.exchange.error:
        return f"booking rules not read: {seen.exchange.error}"
    rules = seen.exchange.processing
    return f"AutomateProcessing {(rules and rules.automate_processing) or 'not shown'}"
