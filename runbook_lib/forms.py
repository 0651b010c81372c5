"""Foreign data typed at the door: the rows of an answer as frozen dataclasses, and what cannot be read as a value.

A form names exactly the members that its reader uses, the one that names a row first. A member without a default must
be there; one that may be null says so (`str | None`); nothing is converted from another type. Names are those of the
service: Graph's in camel case come by `__pydantic_config__ = GRAPH`.

    @dataclass(frozen=True, slots=True)
    class Place:
        __pydantic_config__ = GRAPH
        id: Text
        display_name: str | None = None

    answers = forms.reading(raw)             # a Raw, which remembers what could not be read in it
    places = answers.rows("rooms", Place)    # tuple[Place, ...]
    return Facts(raw=answers, ...)           # `judge` adds an `unknown` for each row that could not be read
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from runbook_lib.model import NOT_ASKED, Look, Raw, Unreadable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Form = TypeVar("Form")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a text (or any value) must be, and what is made of it; pydantic asks for it only when it is needed."""

    make: Callable[[Any], object]
    of_text: bool = True

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        """Return pydantic's own form of the rule."""
        from pydantic_core import core_schema  # here: `runbook --help` does without

        if not self.of_text:
            return core_schema.no_info_plain_validator_function(self.make)
        return core_schema.no_info_after_validator_function(self.make, core_schema.str_schema(strict=True))


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("blank")
    return text


def moment(text: str) -> datetime:
    """Return a time as ISO 8601 writes it, in UTC; raise ValueError for another text, and for one without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def _flag(said: object) -> bool:
    if isinstance(said, bool):
        return said
    spelled = said.strip().lower() if isinstance(said, str) else ""
    if spelled not in ("true", "false"):
        raise ValueError("neither true nor false")
    return spelled == "true"


def address(text: str) -> str:
    """Return an e-mail address as it is compared: bare, in lower case; raise ValueError for what is none.

    Exchange writes `SMTP:` before it, browsers `mailto:`, mail programs a name around it, and what was copied from a
    page has characters that nobody sees.
    """
    visible = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    bare = visible.strip().lower().removesuffix(">").rpartition("<")[2].strip()
    bare = re.sub(r"^(smtp|mailto):", "", bare).partition("?")[0].strip()
    if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", bare):
        raise ValueError("no address")
    return bare


def address_or_nothing(text: str) -> str:
    """Return the e-mail address in a text, empty where it holds none."""
    try:
        return address(text)
    except ValueError:
        return ""


Address = Annotated[str, Rule(address)]
"""An e-mail address, bare and in lower case."""
Text = Annotated[str, Rule(_text)]
"""A text that is not blank."""
Moment = Annotated[datetime, Rule(moment)]
"""A time with its zone, in UTC."""
Flag = Annotated[bool, Rule(_flag, of_text=False)]
"""True or false, also as PowerShell writes them as texts."""


def camel(name: str) -> str:
    """Return the name of a member as Graph spells it: `display_name` is `displayName`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


GRAPH: Any = {"alias_generator": camel}
"""The `__pydantic_config__` of a form whose members are spelled in camel case."""
ABSENT: Any = None
"""The default of a member that may be absent, but not null."""

OURS = {
    **{name: name for name in ("account", "answer", "count", "error", "found", "mailbox", "processing", "type", "via")},
    "of_app": "app_id",
    "role_exists": "role_exists",
    "roles_seen": "roles_seen",
    "when_created": "WhenCreatedUTC",
    "when_changed": "WhenChangedUTC",
}
"""Members of an Exchange answer that the reading script names itself, and two that Exchange spells its own way."""


def pascal(name: str) -> str:
    """Return the name of a member as Exchange spells it: `access_right` is `AccessRight`; ours stay ours."""
    return OURS.get(name) or "".join(word.capitalize() for word in name.split("_"))


EXCHANGE: Any = {"alias_generator": pascal}
"""The same for a form of a part of the Exchange answer."""


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # here: it costs a tenth of a second

    return TypeAdapter(form)


def adapter(form: type[Form]) -> TypeAdapter[Form]:
    """Return the pydantic adapter of a form, made when it is first asked for."""
    kind: Any = form
    return _adapter(kind)


def read(call: str, rows: Iterable[Any], form: type[Form]) -> tuple[tuple[Form, ...], tuple[Unreadable, ...]]:
    """Return the rows that can be read as `form`, and the others as values that say what is off in each."""
    rows = list(rows)
    try:  # all at once is several times quicker, and nearly always enough
        return tuple(_adapter(list[form]).validate_json(json.dumps(rows), strict=True)), ()  # type: ignore[valid-type]
    except ValueError:  # pydantic's ValidationError is one
        found = [_row(call, number, row, form) for number, row in enumerate(rows, 1)]
    readable = tuple(one for one in found if not isinstance(one, Unreadable))
    return readable, tuple(one for one in found if isinstance(one, Unreadable))


def _row(call: str, number: int, row: Any, form: type[Form]) -> Form | Unreadable:
    from pydantic import ValidationError

    try:
        return adapter(form).validate_json(json.dumps(row), strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
    member = ".".join(str(part) for part in fault["loc"])
    there = "missing" if fault["type"] == "missing" else described(fault["input"])
    return Unreadable(call, number, _named(row, form), member, there)


def _named(row: Any, form: type[Any]) -> str:
    """Return what names the row: its first member, where that is a text."""
    config: Mapping[str, Any] = getattr(form, "__pydantic_config__", {})
    first = config.get("alias_generator", str)(fields(form)[0].name)
    name = row.get(first) if isinstance(row, dict) else None
    return name if isinstance(name, str) else ""


def described(value: object) -> str:
    """Return what stood there, in a few words."""
    match value:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list" if value else "an empty list"
        case str():
            return f"the text {value[:60]!r}"
    return f"the value {value!r}"


class Reading(Mapping[str, Look]):
    """The raw answers of a step, read through forms; it remembers by look which rows could not be read."""

    def __init__(self, raw: Raw) -> None:
        """Read nothing yet."""
        self._raw = dict(raw)
        self._read: dict[tuple[str, type], tuple[Any, ...]] = {}
        self.unreadable: dict[str, tuple[Unreadable, ...]] = {}

    def __getitem__(self, name: str) -> Look:
        return self._raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def look(self, name: str) -> Look:
        """Return a look, or what stands for one that was not asked."""
        return self._raw.get(name, NOT_ASKED)

    def rows(self, name: str, form: type[Form]) -> tuple[Form, ...]:
        """Return the rows of a look that can be read as `form`; none where it was not asked."""
        key = (name, form)
        if key not in self._read:
            self._read[key], off = read(name, self.look(name).rows, form)
            if off:
                known = self.unreadable.get(name, ())
                self.unreadable[name] = (*known, *(one for one in off if one not in known))
        return self._read[key]


def reading(raw: Raw, **more: Look) -> Reading:
    """Return the raw answers ready to be read through forms, with `more` looks among them; once is enough."""
    return raw if isinstance(raw, Reading) and not more else Reading({**raw, **more})


def rows_of(look: Look, form: type[Form]) -> tuple[Form, ...]:
    """Return the rows of a look that can be read as `form`: for asking further, not for judging."""
    return read(look.call, look.rows, form)[0]


@dataclass(frozen=True, slots=True)
class Row:
    """Says of which form a plain object of JSON is."""

    form: type

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[Any], Any]) -> Any:
        """Return the form's own schema."""
        return handler(self.form)


@dataclass(frozen=True, slots=True)
class Like:
    """Says how a text looks."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        """Return a text's schema with the pattern."""
        from pydantic_core import core_schema  # here: `runbook --help` does without

        return core_schema.str_schema(pattern=self.pattern)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Says of a number how small it may be."""

    least: int

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[Any], Any]) -> Any:
        """Return a number's schema with its lower bound."""
        return handler(source) | {"ge": self.least}


@dataclass(frozen=True, slots=True)
class InUtc:
    """Says of a time that it is written with its zone, and in UTC."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        """Return a time's schema with the zone."""
        from pydantic_core import core_schema

        return core_schema.datetime_schema(tz_constraint=0)


def in_words(error: ValueError) -> Iterator[str]:
    """Yield what pydantic found to be off, each fault with its place: nothing of what stood there is repeated."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        yield str(error)
        return
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "missing":
            yield f"it lacks {place}"
        else:
            yield f"{place} is not as it should be: {fault['msg']}" if place else fault["msg"]
