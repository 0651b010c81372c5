"""Step 7, which space is which room's: by e-mail, else as the tenant file says, else by name with the doubt shown."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from runbook_lib.clients.spaceiq.answers import Time
from runbook_lib.forms import ABSENT, Text, address_or_nothing


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
PARTING = ("Cc", "Pc", "Pd", "Pe", "Pf", "Pi", "Ps", "Zl", "Zp", "Zs")
"""Blanks, dashes, brackets and quotation marks, by their categories in Unicode."""
PARTING_MARKS = ".,:;/\\'\"·"
Named = tuple[str, str, str]
"""A room as it is looked for: address in lower case, name, building."""


@dataclass(frozen=True, slots=True)
class Row:
    """A space as the API and an export both give it; `busy` is absent where SpaceIQ does not tell, and never null."""

    id: Text
    name: str
    calendar: str = ""
    email: str = ""
    code: str = ""
    building: str = ""
    busy: tuple[Time, ...] = ABSENT


def spaces(rows: Iterable[Row]) -> tuple[Space, ...]:
    """Name what SpaceIQ's rows hold."""
    return tuple(_space(row) for row in rows)


def _space(row: Row) -> Space:
    email = address_or_nothing(row.email) or address_or_nothing(row.calendar)
    busy = None if row.busy is None else tuple((one.start, one.end) for one in row.busy)
    return Space(row.id, row.name, row.code, row.building, row.calendar or row.email, email, busy)


def match(rooms: Iterable[Named], found: tuple[Space, ...], chosen: Mapping[str, str]) -> dict[str, Match]:
    """Return for each room its space; a space that two rooms claim is told to both as a twin."""
    by_email: dict[str, list[Space]] = {}
    by_name: dict[str, list[Space]] = {}
    for space in found:
        by_email.setdefault(space.email, []).append(space)
        if name := _plain(space.name):
            by_name.setdefault(name, []).append(space)
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
    """Return a name as it is compared: in one normal form and letter case, what only parts words as one blank.

    Marks are letters in many scripts, and a symbol may be all that tells two names apart: both are kept.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(map(_kept, folded)).split())


def _kept(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cf":
        return ""
    return " " if kind in PARTING or char in PARTING_MARKS else char
