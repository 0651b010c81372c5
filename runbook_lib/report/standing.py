"""Where one tenant stands: its newest run, what is left to do there, and what changed; read without pandas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

from runbook_lib.errors import ArchiveError
from runbook_lib.model import Status
from runbook_lib.report import processes, story
from runbook_lib.report.story import Open, Story
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.folder import JUDGED

MANY, AT_ONCE = 500, 50
"""From how many tenants on another process is worth its start, and how many it is given at a time."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One tenant's newest run: its outcome, what is left to do, and where its page is."""

    key: str
    outcome: Status
    open: tuple[Open, ...]
    name: str = ""
    cloud: str = ""
    rehearsal: bool = False
    run: str = ""
    finished: datetime | None = None
    steps: Mapping[str, Status] = field(default_factory=dict)
    sealed: bool = False
    page: str = ""
    changed: tuple[str, ...] = ()
    """Which steps came out otherwise than in the run before, as sentences without a full stop."""

    @property
    def began(self) -> bool:
        """Tell whether there is anything of this tenant, if only something that cannot be read."""
        return bool(self.run) or self.outcome is not Status.PENDING

    def count(self, status: Status) -> int:
        """Return how many open points have this status."""
        return sum(one.status is status for one in self.open)

    def found(self, words: str) -> list[Open]:
        """Return the open points in which every one of `words` occurs, in any case; without words, all."""
        wanted = words.lower().split()
        return [one for one in self.open if not wanted or _mentions(one, wanted)]

    @property
    def reasons(self) -> str:
        """Return the three worst open points in words, and how many more there are."""
        needs = Counter(one.need.rstrip(".") for one in self.open)
        words = [need if count == 1 else f"{need} ({count} times)" for need, count in list(needs.items())[:3]]
        return "; ".join(words) + (f"; and {len(needs) - 3} more" if len(needs) > 3 else "")


def _mentions(one: Open, words: Iterable[str]) -> bool:
    text = " ".join((one.step, one.need, one.about, one.saw, one.remedy)).lower()
    return all(word in text for word in words)


def standings(outputs: Path, keys: Sequence[str]) -> list[Standing]:
    """Return where these tenants stand; many are read by all cores."""
    read = partial(standing, outputs)
    if len(keys) < MANY:
        return list(map(read, keys))
    try:
        with processes.helpers() as executor:
            return list(executor.map(read, keys, chunksize=AT_ONCE))
    except BrokenExecutor:  # one of them was killed, for want of memory mostly
        return list(map(read, keys))


def standing(outputs: Path, key: str) -> Standing:
    """Return where one tenant stands; what is damaged or cannot be read is an open point."""
    folder: Path | None = None
    try:
        runs = run_folders.runs(outputs, key)
        if not runs:
            return _without_records(key, Status.PENDING, "It has not run yet", "Run it: runbook run TENANT")
        folder = runs[-1]
        return _standing(key, story.read(folder), runs[:-1])
    except ArchiveError as error:
        return _without_records(key, Status.UNKNOWN, error.message, error.remedy, folder)
    except OSError as error:
        words = f"{error.filename or outputs / key} cannot be read: {error.strerror}."
        return _without_records(key, Status.UNKNOWN, words, "Correct the permissions, or mount the share again.")


def _standing(key: str, told: Story, earlier: Sequence[Path]) -> Standing:
    folder = told.folder
    steps = {step: record.outcome for step, record in told.newest.items()}
    return Standing(
        key,
        told.outcome,
        told.open,
        name=told.tenant["name"],
        cloud=told.cloud["name"],
        rehearsal=not told.cloud["microsoft"],
        run=folder.name,
        finished=max(record.finished for record in told.looks),
        steps=steps,
        sealed=told.sealed,
        page=_page(folder),
        changed=tuple(_changed(earlier, steps)),
    )


def _changed(earlier: Sequence[Path], steps: Mapping[str, Status]) -> Iterator[str]:
    """Yield which of `steps` came out otherwise than in the run before, of which only the outcomes are read."""
    try:
        before = next((found for folder in reversed(earlier) if (found := records.outcomes(folder))), {})
    except ArchiveError as error:
        yield f"the run before cannot be compared: {error.message.rstrip('.')}"
        return
    for step, now in steps.items():
        if step in JUDGED and before.get(step, now) is not now:
            yield f"{step[:2]} was {before[step]}, is {now}"


def _without_records(key: str, status: Status, need: str, remedy: str, folder: Path | None = None) -> Standing:
    point = Open(status, "", need, "", need, remedy)
    return Standing(key, status, (point,), run=folder.name if folder else "", page=_page(folder) if folder else "")


def _page(folder: Path) -> str:
    """Return the newest report of the run, relative to a portfolio page; empty when there is none."""
    numbers = {
        int(match[1] or 1): path.name
        for path in (folder / "data").glob("report*.html")
        if (match := re.fullmatch(r"report(?:\.(\d+))?\.html", path.name))
    }
    where = f"{folder.parent.name}/{folder.name}/data/"
    return quote(f"../../../{where}{numbers[max(numbers)]}") if numbers else ""
