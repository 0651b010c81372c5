"""Pages that open offline: one tenant's run, and all tenants. The one home of jinja2.

A page is one file without network: its style and its script are inside, and a content security policy lets nothing else
run, so that even a name that escaped escaping could not.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jinja2

from runbook_lib.display import charts, frames, times
from runbook_lib.display.charts import Span
from runbook_lib.display.frames import Table, records_of
from runbook_lib.display.markup import https, printable
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.verify import seal_hash
from runbook_lib.evidence.verify_txt import REHEARSAL
from runbook_lib.model import Json, Status
from runbook_lib.report import changes, glance, sections, ticket
from runbook_lib.report.portfolio import Portfolio, all_to_do, newest, portfolio, tenants
from runbook_lib.report.sections import rooms, scopes, steps, to_do, unseen
from runbook_lib.report.story import Story, read, summary
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record
from runbook_lib.runs.folder import JUDGED
from runbook_lib.steps.sync import pictures

if TYPE_CHECKING:
    from runbook_lib.notebook.run import Run

__all__ = [
    "all_to_do", "newest", "portfolio", "read", "rooms", "scopes", "steps", "tenants", "to_do", "unseen",
    "workbook", "write", "write_portfolio",
]  # fmt: skip

KINDS = {
    "status": ("status", "outcome"),
    "link": ("where",),
    "page": ("report",),
    "many": ("who", "about", "saw", "not seen", "seen", "supports"),
    "step": ("step",),
    "wide": ("what", "was", "now", "what to do", "statement", "what is open", "what it would take", "why"),
    "number": (
        "capacity",
        "level",
        "requests",
        "errors",
        "tenants",
        "status code",
        *(status.value for status in Status),
    ),
    "time": ("started", "at", "first", "last", "since", "time", "last looked"),
    "short": ("took", "look", "kind", "required", "extra", "sealed", "steps"),
    "state": ("state",),
    "code": ("request", "request-id", "evidence"),
    "email": ("email",),
    "permission": ("documented", "permission"),
    "name": ("tenant", "name", "cloud", "by", "source", "room", "confirmed by", "judged", "changed"),
}
KIND = {column: kind for kind, columns in KINDS.items() for column in columns}
"""How a column of this name looks; any other is plain text."""

MARKS = {status.value: status.name.lower() for status in Status} | {
    "confirmed": "pass",
    "broke": "fail",
    "not run": "pending",
}
"""The colour of a status cell by its word; the word and its sign say the same without colour."""

Cell = tuple[str, str, str]
"""Kind, text, and where it links to."""


def write(run: Run | Path, story: Story) -> Path:
    """Write the run's page to data/report.html, a newer one to report.2.html and so on, and return its path.

    Raises ArchiveError when the run is sealed or its folder cannot be written.
    """
    return _write(run if isinstance(run, Path) else run.folder, _tenant_page(story))


def write_portfolio(run: Run | Path, all_tenants: Portfolio) -> Path:
    """Write the page of all tenants into the portfolio run's folder like `write`, and return its path."""
    return _write(run if isinstance(run, Path) else run.folder, _portfolio_page(all_tenants))


def workbook(story: Story) -> bytes:
    """Return the run's tables as an Excel workbook, a sheet each."""
    parts = (
        *(to_do, changes.since, steps, scopes, rooms, unseen, sections.checks, sections.findings),
        *(sections.confirmations, sections.answers, sections.requests),
    )
    return frames.workbook(part(story) for part in parts)


def _write(folder: Path, page: str) -> Path:
    if run_folders.is_sealed(folder):
        raise ArchiveError(f"{folder} is sealed; no page is added to it.", "Start a new run.")
    number = len(list((folder / "data").glob("report*.html"))) + 1
    path = folder / "data" / ("report.html" if number == 1 else f"report.{number}.html")
    run_folders.write_new(path, page.encode())
    return path


def _tenant_page(story: Story) -> str:
    room_table = rooms(story)
    return _render(
        "tenant.html.j2",
        stamp="" if story.cloud["microsoft"] else f"{story.cloud['name']}: {REHEARSAL}",
        story=story,
        summary=summary(story),
        ticket=ticket.text(story),
        about=list(_about(story)),
        made_with=list(_made_with(story)),
        timeline=charts.timeline("timeline", "When each step ran and what came of it", list(_spans(story))),
        seal=_seal(story),
        tiles=glance.tiles(story),
        step_parts=glance.steps(story),
        to_do=to_do(story),
        difference=changes.since(story),
        steps=steps(story),
        broken=sections.broken(story),
        earlier_looks=sections.earlier_looks(story),
        confirmations=sections.confirmations(story),
        answers=sections.answers(story),
        scopes=scopes(story),
        rooms=_varying(room_table),
        room_counts=_room_counts(room_table),
        all_rooms=_constant(room_table),
        buildings=_buildings(room_table),
        progress=_progress(story),
        latency=_latency(story),
        unseen=unseen(story),
        checks=sections.checks(story),
        findings=sections.findings(story),
        request_counts=sections.request_counts(story),
        requests=sections.requests(story),
    )


def _portfolio_page(all_tenants: Portfolio) -> str:
    begun = Portfolio(all_tenants.at, tuple(one for one in all_tenants.standings if one.began))
    outcomes = Counter(one.outcome for one in begun.standings)
    everyone, rehearsals = len(all_tenants.standings), sum(one.rehearsal for one in all_tenants.standings)
    whose = "All tenants" if rehearsals == everyone else f"{rehearsals} of {everyone} tenants"
    return _render(
        "portfolio.html.j2",
        stamp=f"{whose}: {REHEARSAL}" if rehearsals else "",
        at=times.utc(all_tenants.at),
        tally=[(status, outcomes[status]) for status in Status if outcomes[status]],
        tenants=tenants(begun),
        needs=all_to_do(begun),
        waiting=[one.key for one in all_tenants.standings if not one.began],
    )


def _seal(story: Story) -> str:
    """Return the number of the seal, or that there is none: a page is mostly made before its run is sealed."""
    if not story.sealed:
        return "Not sealed yet when this page was made. VERIFY.txt in the folder above will say how to check it."
    return f"Sealed. The seal's number: {seal_hash(story.folder)}"


def _about(story: Story) -> Iterator[Cell]:
    """Yield label, text and link of what an auditor asks first."""
    looks, cloud = story.looks, story.cloud
    yield "Tenant id", story.tenant["tenant_id"], ""
    yield "Domain", story.tenant["domain"], ""
    yield "Cloud", f"{cloud['name']} ({urlsplit(cloud['graph']).netloc})", ""
    yield "Run", f"{story.tenant['key']}/{story.folder.name}", ""
    yield "Operator", _distinct(one.operator["user"] for one in looks), ""
    yield "Signed in as", _distinct(sections.account(one) for one in looks), ""
    yield "Began", times.utc(min((one.started for one in looks), default=None)), ""
    yield "Ended", times.utc(max((one.finished for one in looks), default=None)), ""
    for one in looks[-1:]:
        yield "Room booking was down", record.outage_words(story.newest, max(each.finished for each in looks)), ""
        limit, how_to = one.settings["access_limit"], one.how_to
        yield "Change", one.settings["change"]["ticket"], ""
        yield "To be approved by, as the tenant file says", one.settings["change"]["approved_by"], ""
        people = ticket.people_of(story)
        for done in ticket.PEOPLE:
            yield f"{done.capitalize()} by", "; ".join(people[done]) or "nobody is named", ""
        yield "Four eyes", f"{people['four_eyes']} (names are typed, unless a sign-in stands behind them)", ""
        yield "Limit of Cronofy's access", _limit(limit), ""
        yield "How-to followed", f"{how_to['title']}, as read on {how_to['read']}", https(how_to["url"])


def _limit(limit: Json) -> str:
    approved = limit["approved_by"] and f"approved by {limit['approved_by']}"
    group = limit["group"] and f"group {limit['group']}"
    return _joined(limit["mode"] or "not decided", group, limit["reason"], approved)


def _made_with(story: Story) -> Iterator[Cell]:
    packages = dict.fromkeys(name for one in story.looks for name in one.versions)
    for name in packages:
        yield name, _distinct(one.versions.get(name, "") for one in story.looks), ""


def _distinct(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, words)))


def _joined(*words: str) -> str:
    return ", ".join(filter(None, words))


def _spans(story: Story) -> Iterator[Span]:
    for one in sorted(story.looks, key=lambda one: one.started):
        if one.step in JUDGED:
            yield Span(sections.titled(one), one.started, one.finished, one.outcome)


def _room_counts(frame: Table) -> str:
    if "state" not in frame:
        return ""
    counts = ", ".join(f"{count} {state}" for state, count in Counter(frame["state"]).most_common())
    return f"{frame.attrs['population'] or len(frame)} rooms seen: {counts or 'none'}."


def _same(frame: Table) -> list[str]:
    """Return the columns that say the same of every row; said once, they leave the others room."""
    return [column for column in frame.columns if len(frame) > 1 and frame[column].nunique() == 1]


def _constant(frame: Table) -> str:
    return "; ".join(f"{column}: {frame[column].iloc[0] or 'empty'}" for column in _same(frame))


def _varying(frame: Table) -> Table:
    return frame.drop(columns=_same(frame))


def _buildings(frame: Table) -> str:
    if frame.empty or not {"building", "state"} <= set(frame.columns):
        return ""
    return pictures.by_building(zip(frame["building"], frame["state"], strict=True))


def _progress(story: Story) -> str:
    """Return the picture of the rooms' states at each look of step 7 in this run."""
    looks = {times.utc(seen): counts for seen, counts in sections.room_counts(story)}
    return pictures.over_looks(looks)


def _latency(story: Story) -> str:
    frame = sections.booking(story)
    timed = {row["leg"]: float(row["seconds"]) if row["seconds"] else None for row in records_of(frame)}
    return pictures.of_legs(timed)


def _kinds(frame: Table) -> list[tuple[str, str]]:
    return [(column, KIND.get(column, "")) for column in frame.columns]


def _lines(frame: Table) -> Iterator[tuple[str, list[Cell]]]:
    """Yield every row as its status or state, for the filter, and its cells."""
    kinds = [kind for _, kind in _kinds(frame)]
    marked = next((kinds.index(kind) for kind in ("status", "state") if kind in kinds), None)
    for row in frame.itertuples(index=False, name=None):
        yield (
            "" if marked is None else str(row[marked]),
            [_cell(kind, str(text)) for kind, text in zip(kinds, row, strict=True)],
        )


def _cell(kind: str, text: str) -> Cell:
    match kind:
        case "status":
            return f"status {MARKS.get(text.partition(' ')[2], '')}", text, ""
        case "link" if https(text):
            return kind, urlsplit(text).netloc, text
        case "page" if text:
            return kind, "report", text
    return kind, text, ""


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"kinds": _kinds, "lines": _lines}
    script = environment.get_template("page.js.j2").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"script_hash": f"sha256-{digest}", "rehearsal": REHEARSAL}
    return environment


def _render(template: str, **values: object) -> str:
    return printable(_environment().get_template(template).render(values))
