"""Times and durations as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def duration(length: timedelta) -> str:
    """Return a length of time in the two largest units that matter."""
    seconds = int(length.total_seconds())
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def utc(at: datetime | None) -> str:
    """Return a time to the second, saying that it is UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""


def utc_now() -> datetime:
    """Return the time, the clock that everything here has by default."""
    return datetime.now(UTC)
