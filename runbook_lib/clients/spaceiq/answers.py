"""What SpaceIQ's API answers, as forms; its documentation lets nearly every member be null."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from runbook_lib import forms, vendors
from runbook_lib.errors import CloudError
from runbook_lib.forms import GRAPH, Moment, Text
from runbook_lib.model import Json

Form = TypeVar("Form")


@dataclass(frozen=True, slots=True)
class OfType:
    """A type of the schema, maybe inside lists and non-nulls."""

    __pydantic_config__ = GRAPH
    name: str | None = None
    of_type: OfType | None = None

    @property
    def inner(self) -> str:
        """Return the name of the type, whatever is around it."""
        return self.name or (self.of_type.inner if self.of_type else "")


@dataclass(frozen=True, slots=True)
class Named:
    """Anything of which only the name is asked."""

    __pydantic_config__ = GRAPH
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a type, with its arguments."""

    __pydantic_config__ = GRAPH
    name: Text
    type: OfType
    args: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the schema with its fields."""

    __pydantic_config__ = GRAPH
    name: Text
    fields: tuple[Member, ...] | None = None
    input_fields: tuple[Named, ...] | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """All types, and which are asked and changed by."""

    __pydantic_config__ = GRAPH
    query_type: Named
    types: tuple[Type, ...]
    mutation_type: Named | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose the token is."""

    __pydantic_config__ = GRAPH
    email: str | None = None
    company: Named | None = None


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Whether more spaces follow, and after which."""

    __pydantic_config__ = GRAPH
    has_next_page: bool
    end_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One space of a page, whatever it looks like."""

    __pydantic_config__ = GRAPH
    node: Any


@dataclass(frozen=True, slots=True)
class Page:
    """One page of spaces."""

    __pydantic_config__ = GRAPH
    edges: tuple[Edge | None, ...]
    page_info: PageInfo
    total_count: int | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """A booking that was made."""

    __pydantic_config__ = GRAPH
    id: Text


@dataclass(frozen=True, slots=True)
class Booking:
    """The answer to a booking."""

    __pydantic_config__ = GRAPH
    calendar_event: Booked


@dataclass(frozen=True, slots=True)
class Time:
    """A time that SpaceIQ shows as taken."""

    __pydantic_config__ = GRAPH
    start: Moment
    end: Moment


@dataclass(frozen=True, slots=True)
class Floor:
    """Where a space is."""

    __pydantic_config__ = GRAPH
    name: str | None = None
    building: Named | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A space; `busy` is there only where the schema has it, and then it is a list."""

    __pydantic_config__ = GRAPH
    id: Text
    name: str | None
    calendar: dict[str, str | None] | None
    code: str | None = None
    external_id: str | None = None
    capacity: int | str | None = None
    space_type: Named | None = None
    floor: Floor | None = None
    busy: tuple[Time, ...] = ()


def member(data: Mapping[str, object], name: str, form: type[Form]) -> Form | None:
    """Return one member of an answer as its form, None where it is null; raise CloudError for another form."""
    if data.get(name) is None:
        return None
    read, off = forms.read(name, [data[name]], form)
    if not read:
        words = f"SpaceIQ answered in another form than it documents: {off[0].saw}."
        raise CloudError(words, "Use an export instead (spaceiq.source csv), and tell whoever keeps the runbook.")
    return read[0]


def needed(data: Mapping[str, object], name: str, form: type[Form]) -> Form:
    """Return one member of an answer as its form; raise CloudError where it is null, too."""
    found = member(data, name, form)
    if found is None:
        raise CloudError(f"SpaceIQ answered without {name}.", "Run the cell again; then ask Eptura.")
    return found


def key(node: object) -> str:
    """Return what tells a space from the others of the list: its id, or all of it."""
    one = node.get("id") if isinstance(node, dict) else None
    return one if isinstance(one, str) and one else json.dumps(node, sort_keys=True)


def row(node: object) -> Json | None:
    """Return a space as the export has it, too: names without nesting, and the calendar's address where it shows.

    None for what is no meeting room. A node that cannot be read stays as it came, and is told by whoever judges it.
    """
    read, _ = forms.read("spaces", [node], Node)
    if not read:
        return node if isinstance(node, dict) else {"id": None, "node": node}
    (space,) = read
    calendar, floor = space.calendar or {}, space.floor or Floor()
    kind = ((space.space_type or Named()).name or "").lower()
    if not (calendar or kind in vendors.facts()["spaceiq"]["kinds"]):
        return None
    shown = calendar.get("calendarName") or calendar.get("id") or ""
    known = [calendar.get(each) for each in vendors.facts()["spaceiq"]["calendar_email"]]
    flat = {
        "id": space.id,
        "name": space.name or space.code or "",
        "code": space.code or space.external_id or "",
        "building": (floor.building or Named()).name or "",
        "floor": floor.name or "",
        "capacity": "" if space.capacity is None else str(space.capacity),
        "calendar": shown,
        "email": forms.address_or_nothing(next((one for one in known if one), shown)),
    }
    return flat | ({"busy": node["busy"]} if isinstance(node, dict) and "busy" in node else {})
