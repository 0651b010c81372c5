"""Step 7 in pictures, for the notebook and the report: rooms by building and state, progress over looks, latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from runbook_lib.display import charts
from runbook_lib.steps.sync.answers import Counts, LegRow
from runbook_lib.steps.sync.join import RoomFacts
from runbook_lib.steps.sync.states import MINUTE, RoomState

STATES = [state.value for state in RoomState]


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG that a notebook shows and stores; nothing when there is nothing to draw."""

    svg: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg} if self.svg else {"text/plain": "nothing to draw yet"}


def rooms(facts: RoomFacts) -> Picture:
    """Return the rooms of every building by their state."""
    return Picture(by_building((room.building, room.state.value) for room in facts.rooms))


def progress(facts: RoomFacts) -> Picture:
    """Return how many rooms were in which state at each look so far, this one last."""
    earlier = facts.raw.rows("room counts before", Counts)
    looks: dict[str, Mapping[str, int]] = {f"{row.at:{MINUTE}}": row.counts for row in earlier}
    now = Counter(room.state.value for room in facts.rooms)
    return Picture(over_looks({**looks, f"{facts.raw['free_busy'].asked_at:{MINUTE}}": now}))


def latency(facts: RoomFacts) -> Picture:
    """Return the seconds that each leg of the booking test took at most."""
    return Picture(of_legs({leg.leg: leg.seconds for leg in facts.raw.rows("booking", LegRow)}))


def by_building(found: Iterable[tuple[str, str]]) -> str:
    """Return the picture of pairs of building and state, the largest buildings first; empty without rooms."""
    rows: dict[str, Counter[str]] = {}
    for building, state in found:
        rows.setdefault(building or "(no building)", Counter())[state] += 1
    return charts.stacked_bars("rooms-by", "Rooms by building and state", rows, _series(rows)) if rows else ""


def over_looks(looks: Mapping[str, Mapping[str, int]]) -> str:
    """Return the picture of counts by state for each look, oldest first; empty before there are two."""
    title = "Rooms by state, look by look"
    return charts.stacked_bars("rooms-at", title, looks, _series(looks), by_size=False) if len(looks) > 1 else ""


def of_legs(seconds: Mapping[str, float | None]) -> str:
    """Return the picture of the seconds per leg, in their order; empty when nothing was timed."""
    rows = {leg: {"seconds": max(ceil(value), 1)} for leg, value in seconds.items() if value is not None}
    title = "How long each leg of the booking test took at most, rounded up"
    return charts.stacked_bars("legs", title, rows, ["seconds"], by_size=False) if rows else ""


def _series(rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return every state, so that each keeps its pattern, and then those that only an older version knew."""
    return [*STATES, *sorted({state for counts in rows.values() for state in counts} - {*STATES})]
