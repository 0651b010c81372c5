"""What a step saw, as tables for its notebook, its CSV files and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from runbook_lib.checks import CHECKS
from runbook_lib.display.cards import status_words
from runbook_lib.display.frames import Table, table
from runbook_lib.model import Finding, Raw, Status
from runbook_lib.steps.access import grants
from runbook_lib.steps.access.grants import Line
from runbook_lib.steps.access.reach import Reach
from runbook_lib.steps.access.revoke import Removal
from runbook_lib.steps.preflight import App
from runbook_lib.steps.sync.answers import LegRow
from runbook_lib.steps.sync.join import Room, RoomFacts
from runbook_lib.steps.sync.matching import Space
from runbook_lib.steps.sync.states import MINUTE


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


def room_counts(facts: RoomFacts) -> Table:
    """Return how many rooms are in each state; the last rows say of how many each source knows.

    The states add up to the rooms of Graph and those that Exchange knows besides.
    """
    counted = Counter(room.state for room in facts.rooms)
    rows = [{"state": state.value, "rooms": str(count)} for state, count in counted.most_common()]
    nameless = len(facts.raw.unreadable.get("rooms", ()))
    more = len(facts.rooms) - len(facts.raw["rooms"].rows) + nameless
    rows.append({"state": "all rooms seen", "rooms": facts.raw["rooms"].population})
    if more > 0:
        rows.append({"state": "of them known to Exchange alone", "rooms": f"{more} more"})
    if nameless:
        rows.append({"state": "not readable, so in no state", "rooms": f"{nameless} of those seen"})
    return table("room_counts", rows, ["state", "rooms"])


LEG_COLUMNS = ["leg", "status", "saw", "at_least", "seconds"]


def booking(facts: RoomFacts) -> Table:
    """Return the legs of the booking test, each with the seconds that it took; no rows when nobody asked for it."""
    rows = [
        {name: getattr(leg, name) for name in LEG_COLUMNS} | {"status": status_words(leg.outcome)}
        for leg in facts.raw.rows("booking", LegRow)
    ]
    return table("booking", rows, LEG_COLUMNS).rename(columns=lambda name: name.replace("_", " "))
