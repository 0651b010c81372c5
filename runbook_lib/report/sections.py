"""The tables of a run's story, which the report page and the notebook `08_report` both show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from runbook_lib import steps as step_modules
from runbook_lib.display import frames
from runbook_lib.display.cards import status_words
from runbook_lib.display.frames import Table, table
from runbook_lib.display.times import duration, utc
from runbook_lib.model import Json, Status
from runbook_lib.report import controls
from runbook_lib.report.story import Open, Story, question, title
from runbook_lib.runs import audit
from runbook_lib.runs.folder import JUDGED
from runbook_lib.runs.record import Record


def steps(story: Story) -> Table:
    """Return a line per step: its newest look, who did it and when, who confirmed, and what stood in the way."""
    columns = ["step", "outcome", "look", "who", "signed in as", "started", "took", "confirmed by", "remark"]
    return table("steps", [dict.fromkeys(columns, "") | _step(story, step) for step in JUDGED], columns)


def _step(story: Story, step: str) -> dict[str, str]:
    broke = " ".join(one["error"] for one in story.broken if one["step"] == step)
    record = story.newest.get(step)
    if record is None:
        return {"step": title(step), "outcome": "broke" if broke else "not run", "remark": broke}
    remarks = (record.waiting, record.override and f"Gate overridden: {record.override}", broke)
    return {
        "step": title(step),
        "outcome": status_words(record.outcome),
        "look": f"{record.look} of {sum(one.step == step for one in story.looks)}",
        "who": f"{record.operator['user']}, {'attended' if record.operator['attended'] else 'unattended'}",
        "signed in as": account(record),
        "started": utc(record.started),
        "took": duration(record.finished - record.started),
        "confirmed by": "; ".join(dict.fromkeys(one.by for one in record.confirmations if one.confirmed)),
        "remark": " ".join(filter(None, remarks)),
    }


def account(record: Record) -> str:
    """Return as whom the runbook was signed in; empty for a step that asks the tenant nothing."""
    signed_in = record.operator["signed_in"]
    return f"{signed_in['account']} ({signed_in['kind']}, {signed_in['method']})" if signed_in else ""


def earlier_looks(story: Story) -> Table:
    """Return the looks at a step that a newer one stands beside."""
    rows = [
        {
            "step": title(one.step),
            "look": one.look,
            "outcome": status_words(one.outcome),
            "who": one.operator["user"],
            "started": utc(one.started),
        }
        for one in story.looks
        if one.step in JUDGED and one is not story.newest[one.step]
    ]
    return table("earlier_looks", rows, ["step", "look", "outcome", "who", "started"])


def broken(story: Story) -> Table:
    """Return the steps that stopped before they could make a record, with what they said."""
    rows = [{"step": title(one["step"]), "said": one["error"], "seconds": one["seconds"]} for one in story.broken]
    return table("broken", rows, ["step", "said", "seconds"])


def to_do(story: Story) -> Table:
    """Return all that is left to do, worst first: each need once, with what it is about, the remedy and the link."""
    needs: dict[tuple[Status, str, str], list[Open]] = {}
    for one in story.open:
        needs.setdefault((one.status, one.need, one.remedy), []).append(one)
    rows = [
        {
            "status": status_words(status),
            "step": "; ".join(dict.fromkeys(title(one.step) for one in points)),
            "what": need,
            "about": _listed(one.about for one in points),
            "saw": _paired(points),
            "what to do": remedy,
            "where": next((one.link for one in points if one.link), ""),
        }
        for (status, need, remedy), points in needs.items()
    ]
    return table("to_do", rows, ["status", "step", "what", "about", "saw", "what to do", "where"])


def _paired(points: Iterable[Open]) -> str:
    """Return what was seen; where several things were, of several rooms or others, each with what it was seen of."""
    seen: dict[str, list[str]] = {}
    for one in points:
        seen.setdefault(one.saw, []).append(one.about)
    if len(seen) == 1 or len({name for about in seen.values() for name in about}) == 1:
        return _listed(seen)
    pairs = (f"{saw} ({', '.join(filter(None, about))})" for saw, about in seen.items())
    return f"{len(seen)}: {'; '.join(pairs)}"


def _listed(words: Iterable[str]) -> str:
    """Return the words once each, and in front how many there are when there are several."""
    distinct = list(dict.fromkeys(filter(None, words)))
    return distinct[0] if len(distinct) == 1 else f"{len(distinct)}: {'; '.join(distinct)}" if distinct else ""


def unseen(story: Story) -> Table:
    """Return what was not seen, or not wholly: why, what it would take, and which questions it leaves open."""
    gaps: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for record in story.judged:
        for look in record.looks:
            if look["refusal"] or not look["complete"]:
                why = look["refusal"] or f"saw only {_population(look)}"
                gaps.setdefault((record.step, why), []).append((look["call"], "", ""))
        for one in record.findings:
            if one.status is Status.UNKNOWN:
                gaps.setdefault((record.step, one.saw), []).append((one.subject, one.remedy, question(one.check)))
    rows = [
        {
            "step": title(step),
            "not seen": _listed(subject for subject, _, _ in seen),
            "why": why,
            "what it would take": _listed(remedy for _, remedy, _ in seen),
            "leaves open": _listed(asked for _, _, asked in seen),
        }
        for (step, why), seen in gaps.items()
    ]
    return table("unseen", rows, ["step", "not seen", "why", "what it would take", "leaves open"])


def _population(look: Json) -> str:
    total = look["total"] if look["total"] is not None else look["rows"] if look["complete"] else "?"
    return f"{look['rows']} of {total}"


def scopes(story: Story) -> Table:
    """Return the newest scope truth table of the run; no rows when none was recorded."""
    return _recorded(story, "scopes")


def rooms(story: Story) -> Table:
    """Return the newest room table of the run; no rows when none was recorded."""
    return _recorded(story, "rooms")


def booking(story: Story) -> Table:
    """Return the newest booking test of the run; no rows when there was none."""
    return _recorded(story, "booking")


def room_counts(story: Story) -> Iterator[tuple[datetime, dict[str, int]]]:
    """Yield for every look of the run at the rooms when it was and how many were in which state, oldest first."""
    for record in story.looks:
        for path in record.tables:
            if path.endswith(".room_counts.csv"):
                rows = frames.records_of(frames.read_csv(story.folder / "data" / path))
                yield record.finished, {row["state"]: int(row["rooms"]) for row in rows if row["rooms"].isdecimal()}


def _recorded(story: Story, name: str) -> Table:
    """Return the newest table called `name`; its attrs say in which step and when it was seen, and of how many."""
    for record in reversed(story.looks):
        for path in record.tables:
            if path.endswith(f".{name}.csv"):
                frame = frames.read_csv(story.folder / "data" / path)
                of = next((_population(look) for look in record.looks if look["name"] == name), "")
                frame.attrs |= {"step": titled(record), "seen": utc(record.finished), "population": of}
                return frame
    return table(name, [], [])


def confirmations(story: Story) -> Table:
    """Return every statement put to a person in any look: its exact words, who confirmed it, when, and how we know."""
    rows = [
        {
            "step": titled(record),
            "statement": one.statement,
            "status": "✓ confirmed" if one.confirmed else status_words(one.status),
            "by": one.by,
            "at": utc(one.at),
            "source": one.source,
            "note": one.note,
        }
        for record in story.looks
        for one in record.confirmations
    ]
    return table("confirmations", rows, ["step", "statement", "status", "by", "at", "source", "note"])


def answers(story: Story) -> Table:
    """Return every question put to a person in any look, with what may be kept of the answer."""
    rows = [
        {
            "step": titled(record),
            "question": one.label,
            "answer": one.value,
            "status": status_words(one.status),
            "by": one.by,
            "at": utc(one.at),
            "source": one.source,
        }
        for record in story.looks
        for one in record.answers
    ]
    return table("answers", rows, ["step", "question", "answer", "status", "by", "at", "source"])


def titled(record: Record) -> str:
    """Return how people call the look: the step's title, and which look it was unless the first."""
    return title(record.step) if record.look == 1 else f"{title(record.step)} (look {record.look})"


def checks(story: Story) -> Table:
    """Return every question that was judged: its worst finding, how many there were, of what, and which file shows it.

    `supports` names the controls of known frameworks that it gives evidence for (controls.yaml).
    """
    step_modules.load()  # a control says what was asked only for a check that is known
    rows = [
        {
            "step": title(record.step),
            "question": question(row["control"]),
            "status": status_words(row["result"]),
            "judged": _counted(one.status for one in record.findings if one.check == row["control"]),
            "seen": "; ".join(f"{one['name']}: {_population(one)}" for one in row["population"]) or "the tenant file",
            "evidence": f"{record.name}.raw.json" if row["population"] else f"{record.name}.json",
            "supports": controls.references(row["control"]),
        }
        for record in story.judged
        for row in audit.controls(record.findings, record.looks, "")
    ]
    return table("checks", rows, ["step", "question", "status", "judged", "seen", "evidence", "supports"])


def _counted(statuses: Iterable[Status]) -> str:
    counts = Counter(statuses)
    return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])


def findings(story: Story) -> Table:
    """Return every finding of the newest looks, in the order they were made."""
    rows = [
        {
            "step": title(record.step),
            "question": question(one.check),
            "about": one.subject,
            "status": status_words(one.status),
            "saw": one.saw,
        }
        for record in story.judged
        for one in record.findings
    ]
    return table("findings", rows, ["step", "question", "about", "status", "saw"])


def request_counts(story: Story) -> Table:
    """Return for every look that asked Graph how often it did, how often in vain, and between when and when."""
    rows = [
        {
            "step": titled(record),
            "requests": len(record.requests),
            "errors": sum(_failed(one) for one in record.requests),
            "first": utc(datetime.fromisoformat(record.requests[0]["time"])),
            "last": utc(datetime.fromisoformat(record.requests[-1]["time"])),
        }
        for record in story.looks
        if record.requests
    ]
    return table("request_counts", rows, ["step", "requests", "errors", "first", "last"])


def _failed(request: Json) -> bool:
    return not 200 <= request["status"] < 300


def requests(story: Story) -> Table:
    """Return every request to Graph with the request-id that Microsoft's support asks for."""
    rows = [
        {
            "time": f"{datetime.fromisoformat(one['time']):%H:%M:%S}",
            "step": record.step[:2],
            "request": f"{one['method']} {one['path']}",
            "status code": one["status"] or "none",
            "request-id": one["request_id"],
        }
        for record in story.looks
        for one in record.requests
    ]
    return table("requests", rows, ["time", "step", "request", "status code", "request-id"])
