"""Step 7, which space is which room's: by e-mail, else as the tenant file says, else by name with the doubt shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from runbook_lib.model import Json, Look


@dataclass(frozen=True, slots=True)
class Space:
    """One meeting room of SpaceIQ; `busy` is None where SpaceIQ does not tell, `email` empty where it is not shown."""

    id: str
    name: str
    code: str
    building: str
    calendar: str
    email: str
    busy: tuple[tuple[datetime, datetime], ...] | None


@dataclass(frozen=True, slots=True)
class Match:
    """The space found for a room, how, and what makes it doubtful; `twins` claim the same calendar or space."""

    space: Space | None = None
    by: str = ""
    doubt: str = ""
    twins: tuple[str, ...] = ()


NO_MATCH = Match()
Named = tuple[str, str, str]
"""A room as it is looked for: address in lower case, name, building."""


def spaces(look: Look) -> tuple[Space, ...]:
    """Name what SpaceIQ's rows hold."""
    return tuple(_space(row) for row in look.rows)


def _space(row: Json) -> Space:
    busy = row.get("busy")
    times = None if busy is None else tuple((_time(one["start"]), _time(one["end"])) for one in busy)
    texts = {name: str(row.get(name) or "") for name in ("id", "name", "code", "building", "calendar")}
    return Space(**texts, email=str(row.get("email") or "").lower(), busy=times)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def match(rooms: Iterable[Named], found: tuple[Space, ...], chosen: Mapping[str, str]) -> dict[str, Match]:
    """Return for each room its space; a space that two rooms claim is told to both as a twin."""
    by_email: dict[str, list[Space]] = {}
    by_name: dict[str, list[Space]] = {}
    for space in found:
        by_email.setdefault(space.email, []).append(space)
        by_name.setdefault(_plain(space.name), []).append(space)
    by_choice: dict[str, list[Space]] = {}
    for space in found if chosen else ():
        for key in {space.id, space.code, space.name}:
            by_choice.setdefault(key, []).append(space)
    matches = {room[0]: _match(room, by_email, by_choice, by_name, chosen) for room in rooms}
    claims = Counter(one.space.id for one in matches.values() if one.space)
    return {email: _with_rivals(email, one, matches, claims) for email, one in matches.items()}


def _match(
    room: Named,
    by_email: Mapping[str, list[Space]],
    by_choice: Mapping[str, list[Space]],
    by_name: Mapping[str, list[Space]],
    chosen: Mapping[str, str],
) -> Match:
    email, name, _ = room
    if own := by_email.get(email):
        other = "" if _plain(own[0].name) == _plain(name) else f"called {own[0].name} in SpaceIQ"
        return Match(own[0], "e-mail", other, tuple(f"space {one.name} ({one.code or one.id})" for one in own[1:]))
    if email in chosen:
        named = by_choice.get(chosen[email], [])
        if len(named) != 1:
            return Match(doubt=f"the tenant file says space {chosen[email]}, and {len(named)} are called so")
        return _unless_taken(named[0], "the tenant file")
    return _by_name(room, by_name.get(_plain(name), []))


def _by_name(room: Named, candidates: list[Space]) -> Match:
    """Take the one space of this name in this building; where a building is not known the name alone has to do."""
    building = _plain(room[2])
    here = [space for space in candidates if _plain(space.building) == building] if building else []
    near = here or [space for space in candidates if not building or not space.building]
    if len(near) > 1:
        return Match(doubt=f"{len(near)} spaces have its name")
    if not near:
        return Match(doubt="a space of its name is in another building" if candidates else "")
    return _unless_taken(near[0], "name and building" if here else "name")


def _unless_taken(space: Space, by: str) -> Match:
    if space.email:
        return Match(doubt=f"space {space.name} has the calendar {space.email}")
    return Match(space, by, "" if by == "the tenant file" else f"found by {by} only")


def _with_rivals(email: str, one: Match, matches: Mapping[str, Match], claims: Counter[str]) -> Match:
    if one.space is None or claims[one.space.id] == 1:
        return one
    rivals = [
        other for other, each in matches.items() if other != email and each.space and each.space.id == one.space.id
    ]
    return replace(one, twins=(*one.twins, *(f"room {other}" for other in rivals)))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()
