"""Step 7, what each source answers about rooms, as forms: every member that a verdict rests on, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from runbook_lib.forms import ABSENT, EXCHANGE, GRAPH, Address, Flag, Moment, Rule, Text
from runbook_lib.model import Status

FREE = ("free", "workingelsewhere", "unknown")
TAKEN = ("tentative", "busy", "oof")
FREE_LETTERS = "04"
"""What stands for free, and for working elsewhere, in an availability view."""


def _word(text: str) -> str:
    return text.strip().lower()


def _availability(text: str) -> str:
    if _word(text) not in (*FREE, *TAKEN):
        raise ValueError("no state of a calendar")
    return _word(text)


def _number(said: object) -> int:
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    if isinstance(said, str) and said.strip().isdecimal():
        return int(said)
    raise ValueError("no number")


def _minute(text: str) -> datetime | None:
    """Return a time as the table of rooms writes it; None where it was left empty."""
    return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC) if text else None


def _status(text: str) -> str:
    return Status(text)


Number = Annotated[int, Rule(_number, of_text=False)]
Minute = Annotated[datetime | None, Rule(_minute)]


@dataclass(frozen=True, slots=True)
class Place:
    """A room as Graph lists it."""

    __pydantic_config__ = GRAPH
    email_address: Address
    display_name: str | None = None
    building: str | None = None
    capacity: int | None = None
    floor_label: str | None = None
    floor_number: int | None = None


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A time with the name of its zone, as Graph writes it."""

    __pydantic_config__ = GRAPH
    date_time: Text
    time_zone: Text

    @property
    def moment(self) -> datetime:
        """Return the time in UTC; raise ValueError for a zone that nobody here knows."""
        found = datetime.fromisoformat(self.date_time)
        try:
            here = UTC if self.time_zone.upper() == "UTC" else ZoneInfo(self.time_zone)
            return (found if found.tzinfo else found.replace(tzinfo=here)).astimezone(UTC)
        except (KeyError, OSError, OverflowError) as error:  # the first is what zoneinfo raises
            raise ValueError(f"the zone {self.time_zone} is not known") from error


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a calendar; the time of one that leaves the room free is of no interest."""

    __pydantic_config__ = GRAPH
    status: Annotated[str, Rule(_availability)]
    start: LocalTime
    end: LocalTime

    def __post_init__(self) -> None:
        """Refuse an entry of which nobody can tell when it is."""
        if self.status in TAKEN and self.end.moment < self.start.moment:
            raise ValueError("it ends before it begins")


@dataclass(frozen=True, slots=True)
class ScheduleError:
    """Why a calendar's free/busy is not told."""

    __pydantic_config__ = GRAPH
    response_code: str | None = None
    message: str | None = None

    @property
    def said(self) -> str:
        """Return the reason in the service's words."""
        return self.message or self.response_code or "no reason given"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The free/busy of one room: an error, or its entries beside a view that has a letter for each half hour."""

    __pydantic_config__ = GRAPH
    schedule_id: Address
    availability_view: str | None = None
    error: ScheduleError | None = None
    schedule_items: tuple[Item, ...] | None = ()

    @property
    def taken(self) -> list[tuple[datetime, datetime]]:
        """Return the times that are taken."""
        items = self.schedule_items or ()
        return [(one.start.moment, one.end.moment) for one in items if one.status in TAKEN]

    @property
    def silent(self) -> str:
        """Return why this tells nothing although there is no error; empty where it tells."""
        view = self.availability_view or ""
        if not view.isdigit():
            return "neither free/busy nor an error was answered for this address"
        if set(view) - set(FREE_LETTERS) and not self.taken:
            return "free/busy says that the room is taken, and not when"
        return ""


@dataclass(frozen=True, slots=True)
class Code:
    """The error of a request that Graph refused."""

    code: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """What came for one mailbox: its calendar, or an error."""

    error: Code | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """Graph's answer for the calendar of one room."""

    key: Address
    status: int = 0
    body: Body | None = None

    @property
    def code(self) -> str:
        """Return the error's code, empty without one."""
        return (self.body and self.body.error and self.body.error.code) or ""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a room answers bookings (Get-CalendarProcessing); a rule that was asked for is never null."""

    __pydantic_config__ = EXCHANGE
    automate_processing: Text = ABSENT
    booking_window_in_days: Number = ABSENT
    maximum_duration_in_minutes: Number = ABSENT
    all_book_in_policy: Flag = ABSENT
    all_request_in_policy: Flag = ABSENT
    book_in_policy: tuple[str, ...] | str | None = None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A room mailbox as Exchange has it."""

    __pydantic_config__ = EXCHANGE
    mailbox: Address
    display_name: str | None = None
    resource_type: str | None = None
    email_addresses: tuple[str, ...] | str | None = ()
    hidden_from_address_lists_enabled: Flag = False
    processing: Rules | None = None
    error: str | None = ""

    @property
    def is_workspace(self) -> bool:
        """Tell a workspace, an area of desks, from a room."""
        return _word(self.resource_type or "") == "workspace"

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return its addresses as Exchange writes them, `SMTP:` and all."""
        found = self.email_addresses or ()
        return (found,) if isinstance(found, str) else found


@dataclass(frozen=True, slots=True)
class Response:
    """How somebody who was invited answered."""

    response: Annotated[str, Rule(_word)]

    @property
    def given(self) -> bool:
        """Tell an answer from none so far."""
        return self.response not in ("none", "notresponded", "organizer")


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who was invited."""

    status: Response | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a calendar, as far as the booking test looks at it."""

    id: Text
    subject: str | None
    attendees: tuple[Attendee, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one calendar, or why they are not told."""

    value: tuple[Event, ...] | None = None
    error: Code | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Graph's answer for the events of one mailbox."""

    key: Text
    status: int
    body: Events


def _spaced(name: str) -> str:
    return name.replace("_", " ")


TABLE: Any = {"alias_generator": _spaced}


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier look said of a room."""

    __pydantic_config__ = TABLE
    email: Text
    state: Text
    since: Minute
    first_seen: Minute


@dataclass(frozen=True, slots=True)
class Said:
    """When a person confirmed something, and who."""

    at: Moment
    by: str = ""


@dataclass(frozen=True, slots=True)
class LegRow:
    """One leg of the booking test; what was waited for came between `at_least` and `seconds` seconds."""

    leg: Text
    status: Annotated[str, Rule(_status)]
    saw: str
    seconds: float | None = None
    at_least: float | None = None

    @property
    def outcome(self) -> Status:
        """Return how the leg went."""
        return Status(self.status)

    @property
    def lasted(self) -> str:
        """Return how long it took, in words that follow others; empty for a leg that was not timed."""
        if self.seconds is None:
            return ""
        if self.at_least is None:
            return f", after {self.seconds:.0f} seconds"
        return f", between {self.at_least:.0f} and {self.seconds:.0f} seconds after the change"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rooms were in which state at an earlier look."""

    at: Moment
    counts: dict[str, int]
