"""Free/busy arithmetic: blocks of time into the string of digits that getSchedule calls availabilityView."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

# Working elsewhere counts as free and '4' is no longer sent (msgraph-sdk docstring of availabilityView).
DIGITS = {"free": 0, "workingElsewhere": 0, "unknown": 0, "tentative": 1, "busy": 2, "oof": 3}


@dataclass(frozen=True)
class Block:
    """One stretch of a calendar (UTC) with its freeBusyStatus; the rest is for those who may see it."""

    start: datetime
    end: datetime
    status: str
    subject: str = ""
    location: str = ""
    private: bool = False

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether the block shares time with start..end; touching does not count."""
        return self.start < end and self.end > start


def availability_view(blocks: Iterable[Block], start: datetime, end: datetime, interval: timedelta) -> str:
    """One digit per interval, the last one maybe shorter; of overlapping blocks the highest digit wins."""
    slots = [0] * -((start - end) // interval)
    for block in blocks:
        if block.overlaps(start, end):
            first = (max(block.start, start) - start) // interval
            last = -((start - min(block.end, end)) // interval)
            for slot in range(first, last):
                slots[slot] = max(slots[slot], DIGITS[block.status])
    return "".join(map(str, slots))


def merged(views: Iterable[str]) -> str:
    """The view of a whole group: per interval the highest digit of its members (all views of one length)."""
    return "".join(max(digits) for digits in zip(*views, strict=True))
