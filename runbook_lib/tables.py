"""Tables for notebooks, CSV files and reports. The one home of pandas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from io import BytesIO
from pathlib import Path

import pandas as pd

from runbook_lib import records
from runbook_lib.cards import status_words
from runbook_lib.errors import ArchiveError
from runbook_lib.model import CHECKS, Finding, Raw, Status
from runbook_lib.steps import grants
from runbook_lib.steps.grants import Line
from runbook_lib.steps.matching import Space
from runbook_lib.steps.preflight import App
from runbook_lib.steps.reach import Reach
from runbook_lib.steps.revoke import Removal
from runbook_lib.steps.roomfacts import Room, RoomFacts
from runbook_lib.steps.rooms import MINUTE

Table = pd.DataFrame
"""What notebooks show; `attrs["name"]` names its CSV file."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet run a cell: https://owasp.org/www-community/attacks/CSV_Injection"""

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no cell of a workbook may hold."""

WIDE = 9
"""From so many columns on, those that say the same in every line are said once, above the table."""
ALWAYS = {"permission", "required", "granted", "status", "started", "took"}
"""Columns that a person compares line by line."""
LONGEST = 500
"""Rows that a notebook shows; the CSV file has all of them."""

pd.set_option("display.max_colwidth", None)


def html(frame: Table) -> str:
    """Return the table as a notebook shows it: no row numbers, and no wider than the page, for words may wrap.

    Of a wide table, a single line stands upright; without lines, its heads alone would be too wide.
    """
    shown, said, wide = frame.head(LONGEST), "", len(frame.columns) >= WIDE
    if wide and frame.empty:
        return "<p>No line.</p>"
    if len(frame) > LONGEST:
        said = f"<p>The first {LONGEST} of {len(frame)} lines; the CSV file has all.</p>"
    if wide and len(frame) > 1:
        same = [name for name in frame.columns if name not in ALWAYS and frame[name].nunique(dropna=False) == 1]
        told = [f"{name}: {frame[name].astype(object).fillna('').iloc[0] or 'nothing'}" for name in same]
        shown = shown.drop(columns=same)
        said += f"<p>In every line: {escape('; '.join(told))}</p>" if told else ""
    # na_rep leaves whole numbers that nobody knows as <NA>
    numbers = [name for name, kind in shown.dtypes.items() if kind.name == "Int64"]
    if numbers:
        shown = shown.assign(
            **{str(name): shown[name].astype(object).where(shown[name].notna(), "") for name in numbers}
        )
    upright = wide and len(frame) == 1
    shown = shown.T if upright else shown
    body = shown.to_html(index=upright, header=not upright, border=0, render_links=True, justify="left", na_rep="")
    body = re.sub(">([^<]+)<", lambda text: ">" + re.sub(r"(?<=\w)([.@/_])(?=\w)", r"\1<wbr>", text[1]) + "<", body)
    for tag in ("th", "td"):
        body = body.replace(f"<{tag}>", f"<{tag} style='text-align:left;vertical-align:top'>")
    return f"<div style='max-height:40em;overflow:auto'>{said}{body}</div>"


def show_in_notebooks() -> None:
    """Have this kernel, if there is one, show tables as `html` says."""
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html)


def table(name: str, rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> Table:
    """Return a table called `name` with exactly these columns, also when there are no rows."""
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame.attrs["name"] = name
    return frame


def counts(raw: Raw) -> Table:
    """Return what was asked, how many of how many came, and why not."""
    rows = [
        {
            "question": name,
            "rows": look.population,
            "complete": "no: could not look" if look.refusal else "yes" if look.complete else "no",
            "reason": look.refusal,
            "asked at": f"{look.asked_at:%Y-%m-%d %H:%M:%S} UTC",
        }
        for name, look in raw.items()
    ]
    return table("counts", rows, ["question", "rows", "complete", "reason", "asked at"])


def findings(found: Iterable[Finding]) -> Table:
    """Return every finding, worst first."""
    rows = [
        {
            "status": status_words(one.status),
            "question": CHECKS[one.check].title,
            "about": one.subject,
            "saw": one.saw,
            "check": one.check,
        }
        for one in sorted(found, key=lambda one: one.status.rank)
    ]
    return table("findings", rows, ["status", "question", "about", "saw", "check"])


def to_do(found: Iterable[Finding]) -> Table:
    """Return what is left to do: every finding that needs somebody, with remedy and link."""
    rows = [
        {
            "status": status_words(one.status),
            "about": one.subject,
            "saw": one.saw,
            "what to do": one.remedy,
            "where": one.link,
        }
        for one in found
        if one.status in (Status.FAIL, Status.UNKNOWN, Status.PENDING)
    ]
    return table("to_do", rows, ["status", "about", "saw", "what to do", "where"])


def scopes(lines: Iterable[Line]) -> Table:
    """Return the scope truth table: what is documented against what Cronofy holds."""
    rows = [
        {
            "documented": line.documented or "not in the how-to",
            "permission": line.name,
            "resource": line.resource,
            "kind": line.kind,
            "required": "yes" if line.required else "no",
            "granted": line.granted,
            "extra": "yes" if line.extra else "no",
            "status": status_words(line.status),
            "since": f"{line.since:%Y-%m-%d %H:%M} UTC" if line.since else "",
            "by": line.by,
            "level": "" if line.level is None else str(line.level),
            "remark": line.remark or line.why,
        }
        for line in lines
    ]
    columns = "documented permission resource kind required granted extra status since by level remark"
    return table("scopes", rows, columns.split())


def apps(found: Iterable[App]) -> Table:
    """Return every application that calls itself Cronofy, with what tells the real ones from others."""
    rows = [
        {
            "application": app.name,
            "application id": app.app_id,
            "documented as": app.documented_as or "not documented by Cronofy",
            "enabled": "yes" if app.enabled else "no",
            "owner tenant": app.owner,
            "verified publisher": app.publisher or "none",
            "assignment required": "yes" if app.assignment_required else "no",
            "users' own consents": "not seen" if app.users is None else str(app.users),
        }
        for app in found
    ]
    columns = ["application", "application id", "documented as", "enabled", "owner tenant", "verified publisher"]
    return table("apps", rows, [*columns, "assignment required", "users' own consents"])


def spaces(found: Iterable[Space]) -> Table:
    """Return SpaceIQ's meeting rooms with their calendars, to enter the pairs again should they be lost."""
    rows = [
        {"space": o.name, "code": o.code, "building": o.building, "calendar": o.calendar, "email": o.email}
        for o in found
    ]
    return table("spaces", rows, ["space", "code", "building", "calendar", "email"])


def changes(before: Raw, after: Raw) -> Table:
    """Return what Cronofy holds now and did not before, and the other way round; nothing when nothing changed."""
    old, new = ({(one.name, one.kind, one.resource, one.user) for one in grants.held(raw)} for raw in (before, after))
    rows = [
        {"change": "added" if one in new else "removed", "permission": one[0], "kind": one[1], "resource": one[2]}
        for one in sorted(old ^ new)
    ]
    return table("changes", rows, ["change", "permission", "kind", "resource"])


def reach(found: Iterable[Reach]) -> Table:
    """Return how many mailboxes of each kind this consent can write, without the limit and with it."""
    rows = [
        {
            "mailboxes": one.kind,
            "without limit": str(one.unlimited),
            "with limit": "cannot tell" if one.limited is None else str(one.limited),
        }
        for one in found
    ]
    return table("reach", rows, ["mailboxes", "without limit", "with limit"])


def removals(planned: Iterable[Removal]) -> Table:
    """Return what may be removed, or what became of it."""
    rows = [{"permission": one.subject, "resource": one.resource, "outcome": one.outcome} for one in planned]
    return table("removals", rows, ["permission", "resource", "outcome"])


def rooms(facts: RoomFacts) -> Table:
    """Return every room with its state, the reason, and what each source says of it."""
    columns = [name for name in Room.__dataclass_fields__ if name not in ("status", "space")]
    rows = [
        {name: getattr(room, name) for name in columns}
        | {"state": room.state.value, "since": f"{room.since:{MINUTE}}", "first_seen": f"{room.first_seen:{MINUTE}}"}
        for room in facts.rooms
    ]
    frame = table("rooms", rows, columns)
    frame["capacity"] = frame["capacity"].astype("Int64")
    return frame.rename(columns=lambda name: name.replace("_", " "))


def find(frame: Table, words: str) -> Table:
    """Return the lines of `frame` in which every one of `words` occurs, in any column and any case."""
    lines = (" ".join(map(str, row)).lower() for row in frame.itertuples(index=False))
    return frame[[all(word in line for word in words.lower().split()) for line in lines]]


def room_counts(facts: RoomFacts) -> Table:
    """Return how many rooms are in each state; the last rows say of how many each source knows.

    The states add up to the rooms of Graph and those that Exchange knows besides.
    """
    counted = Counter(room.state for room in facts.rooms)
    rows = [{"state": state.value, "rooms": str(count)} for state, count in counted.most_common()]
    listed = sum(bool(row.get("emailAddress")) for row in facts.raw["rooms"].rows)
    more = len(facts.rooms) - listed
    rows.append({"state": "all rooms seen", "rooms": facts.raw["rooms"].population})
    if more:
        rows.append({"state": "of them known to Exchange alone", "rooms": f"{more} more"})
    if nameless := len(facts.raw["rooms"].rows) - listed:
        rows.append({"state": "without an address, so in no state", "rooms": f"{nameless} of those seen"})
    return table("room_counts", rows, ["state", "rooms"])


def booking(facts: RoomFacts) -> Table:
    """Return the legs of the booking test, each with the seconds that it took; no rows when nobody asked for it."""
    look = facts.raw.get("booking")
    rows = [{**leg, "status": status_words(Status(leg["status"]))} for leg in (look.rows if look else ())]
    return table("booking", rows, ["leg", "status", "saw", "seconds"])


def write_csv(data: Path, stem: str, frame: Table) -> str:
    """Write `frame` to data/tables/<stem>.<name>.csv and return that path relative to `data`.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    relative = f"tables/{stem}.{frame.attrs['name']}.csv"
    safe = frame.map(_inert).rename(columns=_inert)
    records.write_new(data / relative, safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"))
    return relative


def workbook(frames: Iterable[Table]) -> bytes:
    """Return an Excel workbook, a sheet for each table under its own name; what a spreadsheet would run is inert."""
    content = BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as book:
        for frame in frames:
            safe = frame.map(lambda cell: _inert(UNPRINTABLE.sub("", str(cell)))).rename(columns=_inert)
            safe.to_excel(book, sheet_name=frame.attrs["name"], index=False, freeze_panes=(1, 0))
    return content.getvalue()


def read_csv(path: Path) -> Table:
    """Return an archived table as text, cell by cell as it was written; raise ArchiveError when it is damaged."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path.name} is not a readable table ({error}).", "Restore it from the archive.") from error
    frame.attrs["name"] = path.stem.rpartition(".")[2]
    return frame


def records_of(frame: Table) -> list[dict[str, str]]:
    """Return an archived table's rows, each as column -> text."""
    return [{str(name): str(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
