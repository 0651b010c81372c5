"""Series: the dates that a patternedRecurrence names and the occurrences that fall into a window."""

import calendar
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.sandbox.exchange.zones import YEARS
from runbook_lib.sandbox.world.state import Json

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
INDEXES = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}
RANGES = ("endDate", "noEnd", "numbered")
MOST_OCCURRENCES = 999
END_OF_TIME = date(YEARS[-1], 9, 1)  # "Recurrence end date can not exceed Sep 1, 4500", says Exchange


def checked(value: Any, start: datetime, zone_name: str) -> Json:
    """The recurrence with every property filled in, as Exchange returns it; `start` is the first start in its zone.

    Raises KeyError, TypeError or ValueError for a recurrence that makes no sense.
    """
    pattern, span = value["pattern"], value["range"]
    whole = {
        "pattern": {
            "type": pattern["type"],
            "interval": pattern.get("interval", 1),
            "month": pattern.get("month", 0),
            "dayOfMonth": pattern.get("dayOfMonth", 0),
            "daysOfWeek": [str(day).lower() for day in pattern.get("daysOfWeek") or []],
            "firstDayOfWeek": str(pattern.get("firstDayOfWeek") or "sunday").lower(),
            "index": pattern.get("index") or "first",
        },
        "range": {
            "type": span["type"],
            "startDate": span.get("startDate") or start.date().isoformat(),
            "endDate": span.get("endDate") or "0001-01-01",
            "recurrenceTimeZone": span.get("recurrenceTimeZone") or zone_name,
            "numberOfOccurrences": span.get("numberOfOccurrences") or 0,
        },
    }
    if next(_dates(whole), None) is None:
        raise ValueError("the series has no occurrence")
    return whole


def occurrences(
    recurrence: Json, start: datetime, end: datetime, zone: ZoneInfo, after: datetime, before: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Start and end (UTC) of the occurrences that overlap after..before; each keeps the first one's wall clock."""
    first, last = start.astimezone(zone).replace(tzinfo=None), end.astimezone(zone).replace(tzinfo=None)
    for day in _dates(recurrence):
        moved = datetime.combine(day, first.time())
        begins = moved.replace(tzinfo=zone).astimezone(UTC)
        if begins >= before:
            return
        ends = (moved + (last - first)).replace(tzinfo=zone).astimezone(UTC)
        if ends > after:
            yield begins, ends


def last_date(recurrence: Json) -> date:
    """The date after which the series has no occurrence; the end of Exchange's time for a series without end."""
    span = recurrence["range"]
    if span["type"] == "numbered":
        *_, last = _dates(recurrence)
        return last
    return date.fromisoformat(span["endDate"]) if span["type"] == "endDate" else END_OF_TIME


def _dates(recurrence: Json) -> Iterator[date]:
    """The dates of the series within its range. KeyError, TypeError or ValueError for a range that makes no sense."""
    span = recurrence["range"]
    start = date.fromisoformat(span["startDate"])
    until = date.fromisoformat(span["endDate"]) if span["type"] == "endDate" else END_OF_TIME
    most = span["numberOfOccurrences"] if span["type"] == "numbered" else None
    if span["type"] not in RANGES or start.year not in YEARS or until > END_OF_TIME:
        raise ValueError("range of an unknown kind or out of time")
    if most is not None and not 1 <= most <= MOST_OCCURRENCES:
        raise ValueError("number of occurrences out of range")
    named = PATTERNS[recurrence["pattern"]["type"]](recurrence["pattern"], start)
    return islice(takewhile(lambda day: day <= until, (day for day in named if day >= start)), most)


def _daily(pattern: Json, start: date) -> Iterator[date]:
    return (start + timedelta(days=step) for step in count(0, _interval(pattern)))


def _weekly(pattern: Json, start: date) -> Iterator[date]:
    monday_to_first = DAYS.index(pattern["firstDayOfWeek"])
    week = start - timedelta(days=(start.weekday() - monday_to_first) % 7)
    offsets = sorted((day - monday_to_first) % 7 for day in _weekdays(pattern))
    return (week + timedelta(days=step + offset) for step in count(0, 7 * _interval(pattern)) for offset in offsets)


def _monthly(pattern: Json, start: date) -> Iterator[date]:
    """Monthly patterns every `interval` months from the start's month; yearly ones in their own month."""
    yearly = pattern["type"].endswith("Yearly")
    day_in = _on_weekday(pattern) if pattern["type"].startswith("relative") else _on_day(pattern)
    month = start.year * 12 + (_within(pattern["month"], 12) if yearly else start.month) - 1
    return (day_in(*divmod(each, 12)) for each in count(month, _interval(pattern) * (12 if yearly else 1)))


def _on_day(pattern: Json) -> Callable[[int, int], date]:
    """The pattern's day of the month, or the month's last one when it is shorter."""
    day = _within(pattern["dayOfMonth"], 31)
    return lambda year, month: date(year, month + 1, min(day, calendar.monthrange(year, month + 1)[1]))


def _on_weekday(pattern: Json) -> Callable[[int, int], date]:
    """The first, second, ... or last of the pattern's weekdays in the month."""
    weekdays, index = _weekdays(pattern), INDEXES[pattern["index"]]

    def find(year: int, month: int) -> date:
        days = range(1, calendar.monthrange(year, month + 1)[1] + 1)
        return [each for day in days if (each := date(year, month + 1, day)).weekday() in weekdays][index]

    return find


def _interval(pattern: Json) -> int:
    return _within(pattern["interval"], 999)


def _within(number: Any, most: int) -> int:
    if type(number) is not int or not 1 <= number <= most:
        raise ValueError(f"not a number from 1 to {most}: {number!r}")
    return number


def _weekdays(pattern: Json) -> set[int]:
    if not pattern["daysOfWeek"]:
        raise ValueError("the pattern names no day of the week")
    return {DAYS.index(day) for day in pattern["daysOfWeek"]}


PATTERNS: dict[str, Callable[[Json, date], Iterator[date]]] = {
    "daily": _daily,
    "weekly": _weekly,
    "absoluteMonthly": _monthly,
    "relativeMonthly": _monthly,
    "absoluteYearly": _monthly,
    "relativeYearly": _monthly,
}
