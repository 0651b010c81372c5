"""What changed since the tenant's previous run, in words: outcomes, answers, scopes, rooms, exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from runbook_lib.display.frames import Table, table
from runbook_lib.errors import ArchiveError
from runbook_lib.model import Finding, Status, worst
from runbook_lib.report import sections, story
from runbook_lib.report.story import Story, question, title
from runbook_lib.runs import folder as run_folders

ABSENT = "not there"
MOST = 5
"""So many changes are told in a line of the terminal; the report tells all."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was at the previous run."""

    what: str
    about: str
    was: str
    now: str

    @property
    def words(self) -> str:
        """Return the change as one sentence without a full stop."""
        return f"{self.what}: {self.about} (was {self.was}, is {self.now})"


def since(after: Story) -> Table:
    """Return what changed since the tenant's previous run; attrs say which that was, or why it cannot be told.

    Only what both runs looked at is compared: a step that did not run this time has lost nothing.
    """
    frame, attrs = table("difference", [], ["what", "about", "was", "now"]), {"previous": "", "unreadable": ""}
    folder = previous(after.folder)
    if folder:
        attrs["previous"] = folder.name
        try:
            found = changes(story.read(folder), after)
        except ArchiveError as error:
            attrs["unreadable"] = error.message
        else:
            frame = table("difference", [asdict(one) for one in found], list(frame.columns))
    frame.attrs |= attrs
    return frame


def words(folder: Path) -> list[str]:
    """Return what changed in the run in `folder` since the previous one, the most important first, as sentences."""
    frame = since(story.read(folder))
    if frame.attrs["unreadable"]:
        return [f"the previous run cannot be compared: {frame.attrs['unreadable']}"]
    told = [Change(*map(str, row)).words for row in frame.itertuples(index=False, name=None)]
    return told if len(told) <= MOST else [*told[:MOST], f"and {len(told) - MOST} more changes: see the report"]


def previous(folder: Path) -> Path | None:
    """Return the folder of the tenant's newest run before this one that has a record; None when there is none."""
    here = folder.resolve()
    earlier = [one for one in run_folders.runs(here.parent.parent, here.parent.name) if one.name < here.name]
    return next((one for one in reversed(earlier) if any((one / "data").glob("??_*.json"))), None)


def changes(before: Story, after: Story) -> list[Change]:
    """Return every change between two runs of a tenant."""
    both = [step for step in before.newest if step in after.newest and step in run_folders.JUDGED]
    outcomes = [(before.newest[step].outcome, after.newest[step].outcome, title(step)) for step in both]
    found = [Change("outcome changed", step, str(was), str(now)) for was, now, step in outcomes if was is not now]
    then = [one for step in both for one in before.newest[step].findings]
    current = [one for step in both for one in after.newest[step].findings]
    seen = (*_scopes(before, after), *_rooms(before, after))
    return [*_broken(before, after), *found, *_exceptions(then, current), *seen, *_answers(then, current)]


def _broken(before: Story, after: Story) -> Iterator[Change]:
    """Yield the steps that broke and did not before, and those that broke before and no longer do."""
    was, now = ({one["step"]: one["error"] for one in told.broken} for told in (before, after))
    for step in now:
        if step not in was:
            old = before.newest.get(step)
            yield Change("step broke", title(step), str(old.outcome) if old else "not run", f"broke: {now[step]}")
    for step in was:
        if step not in now and step in after.newest:
            yield Change("step runs again", title(step), "broken", str(after.newest[step].outcome))


def _exceptions(then: list[Finding], current: list[Finding]) -> Iterator[Change]:
    """Yield the exceptions that came to stand, and those that no longer do while the finding is still there."""
    was, now = ({(one.check, one.subject): one for one in found} for found in (then, current))
    for key, one in now.items():
        status = was[key].status if key in was else None
        about = f"{question(one.check)} {one.subject}".strip()
        if one.status is Status.ACCEPTED and status is not Status.ACCEPTED:
            yield Change("exception new", about, str(status or ABSENT), one.saw)
        elif one.status is Status.FAIL and status is Status.ACCEPTED:
            yield Change("exception expired or withdrawn", about, "accepted", one.saw)


def _scopes(before: Story, after: Story) -> Iterator[Change]:
    was, now = (_cells(sections.scopes(one), ("permission", "kind", "resource"), "granted") for one in (before, after))
    if was is None or now is None:
        return
    for key in dict.fromkeys([*was, *now]):
        old, new = was.get(key, "no"), now.get(key, "no")
        if old != new:
            what = "scope added" if old == "no" else "scope lost" if new == "no" else "scope changed"
            yield Change(what, "{} ({}, {})".format(*key), f"granted: {old}", f"granted: {new}")


def _rooms(before: Story, after: Story) -> Iterator[Change]:
    tables = sections.rooms(before), sections.rooms(after)
    was, now = (_cells(one, ("email", "room"), "state") for one in tables)
    if was is None or now is None:
        return
    seen, _, of = tables[1].attrs["population"].partition(" of ")
    lost = "room lost" if seen == of else "room not seen any more, but not all were seen"
    names = {key[0]: key for key in [*was, *now]}  # a room that was renamed is the same room
    old, new = ({email: state for (email, _), state in one.items()} for one in (was, now))
    for email, key in names.items():
        if old.get(email) != new.get(email):
            what = "room new" if email not in old else lost if email not in new else "room changed"
            yield Change(what, f"{key[1]} ({email})", old.get(email, ABSENT), new.get(email, ABSENT))


def _cells(frame: Table, keys: tuple[str, ...], value: str) -> Mapping[tuple[str, ...], str] | None:
    """Return one column of a recorded table by others; None when the run recorded no such table."""
    if "seen" not in frame.attrs or not {*keys, value} <= set(frame.columns):
        return None
    columns = [frame[name].astype(str) for name in keys]
    return dict(zip(zip(*columns, strict=True), frame[value].astype(str), strict=True))


def _answers(then: list[Finding], current: list[Finding]) -> Iterator[Change]:
    """Yield the questions whose answer, the worst of their findings, is another one."""
    was, now = _by_check(then), _by_check(current)
    for check in was:
        if check in now and (old := worst(was[check])) is not (new := worst(now[check])):
            yield Change("answer changed", question(check), str(old), str(new))


def _by_check(found: list[Finding]) -> dict[str, list[Status]]:
    statuses: dict[str, list[Status]] = {}
    for one in found:
        statuses.setdefault(one.check, []).append(one.status)
    return statuses
