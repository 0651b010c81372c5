"""The text for the change ticket: what was done, by whom, what came of it and what is left, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runbook_lib.evidence.verify_txt import REHEARSAL
from runbook_lib.model import Json
from runbook_lib.report.story import Story, summary, title
from runbook_lib.runs import audit, record
from runbook_lib.runs.folder import JUDGED

PEOPLE = ("planned", "approved", "executed", "verified")
MOST = 10
"""So many open points fit a ticket; the report has all."""


def text(story: Story) -> str:
    """Return the ticket's text; the seal's number is not in it, because this text is sealed itself."""
    return "\n".join(_lines(story)) + "\n"


def _lines(story: Story) -> Iterator[str]:
    tenant, looks = story.tenant, story.looks
    change = looks[-1].settings["change"]["ticket"] if looks else ""
    yield f"{change or 'Change'}: SpaceIQ to Office 365 calendars through Microsoft Graph, {_line(tenant['name'])}"
    if not story.cloud["microsoft"]:
        yield f"{story.cloud['name'].upper()}: {REHEARSAL}"
    yield f"Tenant {tenant['tenant_id']} ({tenant['domain']}), run {tenant['key']}/{story.folder.name}"
    yield f"Outcome: {story.outcome}. {summary(story)}"
    if looks:
        began, ended = min(one.started for one in looks), max(one.finished for one in looks)
        yield f"From {began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M} UTC"
        down = record.outage_words(story.newest, ended)
        yield from ([f"Room booking was down: {down}"] if down else [])
        people = people_of(story)
        yield from (f"{done.capitalize()} by: {_joined(people[done])}" for done in PEOPLE)
        yield f"Four eyes: {people['four_eyes']}"
    yield ""
    yield from (f"- {title(step)}: {_outcome(story, step)}" for step in JUDGED)
    left = story.open
    yield from ["", f"Left to do: {len(left)}"] if left else ["", "Nothing is left to do."]
    for one in left[:MOST]:
        yield f"- {one.status}: {_line(one.need)}{one.about and f' ({_line(one.about)})'}. {_line(one.remedy)}".rstrip()
    yield from ([f"- and {len(left) - MOST} more: see report.html"] if len(left) > MOST else [])
    yield from ["", "SHA-256 of the seal, as `runbook seal` printed it: "]


def people_of(story: Story) -> Json:
    """Return who planned, approved, executed and verified the run, over all its looks."""
    return audit.people(
        [one.settings["change"] for one in story.looks],
        [one.operator for one in story.looks],
        [said for one in story.looks for said in one.confirmations],
    )


def _outcome(story: Story, step: str) -> str:
    if any(one["step"] == step for one in story.broken):
        return "broke"
    return str(story.newest[step].outcome) if step in story.newest else "not run"


def _joined(names: Iterable[str]) -> str:
    return "; ".join(map(_line, names)) or "nobody is named"


def _line(words: str) -> str:
    """Return the words on one line: what a tenant controls begins no line of its own choosing."""
    return " ".join(words.split()).removesuffix(".")
