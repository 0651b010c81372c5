from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook_lib.sandbox.exchange import recurrence
from runbook_lib.sandbox.world.state import Json

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 19, 9, tzinfo=BERLIN)  # a Monday in summer time
AFTER, BEFORE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


def series(kind: str, until: Json | None = None, **pattern: Any) -> Json:
    return {
        "pattern": {"type": kind, "interval": 1, **pattern},
        "range": {"startDate": "2026-10-19", **(until or {"type": "noEnd"})},
    }


def starts(value: Json, number: int) -> list[datetime]:
    checked = recurrence.checked(value, START, "Europe/Berlin")
    found = recurrence.occurrences(checked, START, START + timedelta(hours=1), BERLIN, AFTER, BEFORE)
    return [start for start, _ in islice(found, number)]


@pytest.mark.parametrize(
    ("value", "days"),
    [
        (series("daily"), ["10-19", "10-20", "10-21"]),
        (series("daily", interval=10), ["10-19", "10-29", "11-08"]),
        (series("weekly", daysOfWeek=["monday", "Friday"]), ["10-19", "10-23", "10-26"]),
        # Weeks begin on Sunday: the Sunday of the second week comes before its Tuesday.
        (series("weekly", interval=2, daysOfWeek=["sunday", "tuesday"]), ["10-20", "11-01", "11-03"]),
        (
            series("weekly", interval=2, daysOfWeek=["sunday", "tuesday"], firstDayOfWeek="monday"),
            ["10-20", "10-25", "11-03"],
        ),
        (series("absoluteMonthly", dayOfMonth=31), ["10-31", "11-30", "12-31"]),
        (series("absoluteMonthly", dayOfMonth=1), ["11-01", "12-01", "01-01"]),
        (series("relativeMonthly", daysOfWeek=["friday"], index="last"), ["10-30", "11-27", "12-25"]),
        (series("absoluteYearly", dayOfMonth=29, month=2), ["02-28", "02-29", "02-28"]),
        (series("relativeYearly", month=11, daysOfWeek=["thursday"], index="fourth"), ["11-26", "11-25", "11-23"]),
    ],
)
def test_each_pattern_names_its_days(value: Json, days: list[str]) -> None:
    assert [start.astimezone(BERLIN).strftime("%m-%d") for start in starts(value, 3)] == days


def test_a_series_keeps_its_wall_clock_through_the_change_to_winter_time() -> None:
    found = starts(series("weekly", daysOfWeek=["monday"]), 2)
    assert [start.hour for start in found] == [7, 8]
    assert [start.astimezone(BERLIN).hour for start in found] == [9, 9]


@pytest.mark.parametrize(
    ("until", "number"),
    [
        ({"type": "numbered", "numberOfOccurrences": 3}, 3),
        ({"type": "endDate", "endDate": "2026-10-20"}, 2),
        ({"type": "endDate", "endDate": "2026-10-19"}, 1),
    ],
)
def test_a_range_ends_the_series(until: Json, number: int) -> None:
    assert len(starts(series("daily", until), 10)) == number


def test_only_what_overlaps_the_window_is_given() -> None:
    day = datetime(2026, 10, 22, tzinfo=UTC)
    checked = recurrence.checked(series("daily"), START, "Europe/Berlin")
    found = list(
        recurrence.occurrences(checked, START, START + timedelta(hours=1), BERLIN, day, day + timedelta(days=1))
    )
    assert found == [(datetime(2026, 10, 22, 7, tzinfo=UTC), datetime(2026, 10, 22, 8, tzinfo=UTC))]


@pytest.mark.parametrize(
    "value",
    [
        *(None, {}, "daily", series("hourly"), series("daily", interval=0), series("daily", interval="1")),
        *(
            series("weekly"),
            series("weekly", daysOfWeek=["someday"]),
            series("absoluteMonthly"),
            series("daily", interval=True),
        ),
        series("relativeMonthly", daysOfWeek=["friday"], index="fifth"),
        series("absoluteYearly", dayOfMonth=1, month=13),
        series("daily", {"type": "endDate", "endDate": "2026-10-18"}),
        series("daily", {"type": "endDate"}),
        series("daily", {"type": "numbered", "numberOfOccurrences": 0}),
        series("daily", {"type": "numbered", "numberOfOccurrences": 1000}),
        series("daily", {"type": "until"}),
        series("daily", {"type": "noEnd", "startDate": "0001-01-01"}),
        series("daily", {"type": "noEnd", "startDate": 5}),
    ],
)
def test_a_series_that_makes_no_sense_is_refused(value: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        recurrence.checked(value, START, "Europe/Berlin")


def test_a_checked_series_has_every_property_that_exchange_returns() -> None:
    assert recurrence.checked(series("daily"), START, "Europe/Berlin") == {
        "pattern": {
            "type": "daily",
            "interval": 1,
            "month": 0,
            "dayOfMonth": 0,
            "daysOfWeek": [],
            "firstDayOfWeek": "sunday",
            "index": "first",
        },
        "range": {
            "type": "noEnd",
            "startDate": "2026-10-19",
            "endDate": "0001-01-01",
            "recurrenceTimeZone": "Europe/Berlin",
            "numberOfOccurrences": 0,
        },
    }
