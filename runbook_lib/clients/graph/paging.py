"""Where a question is asked, and how a list is read to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from runbook_lib.clients.graph.answers import ABSENT, Words
from runbook_lib.clients.graph.throttle import LIMITS
from runbook_lib.errors import GraphError, UsageError
from runbook_lib.model import Json
from runbook_lib.vendors import Call

Ask = Callable[..., Json]
"""Asks Graph for a path or a link: ask(address, body=None, headers=...) returns the JSON of the answer."""
COUNT = "$count=true"


@dataclass(slots=True)
class Seen:
    """The rows read so far, the population as the service counts it, whether this is all, or why we were refused."""

    rows: list[Json] = field(default_factory=list)
    total: int | None = None
    complete: bool = True
    refusal: Words | None = None


def address(call: Call, application: bool, params: Mapping[str, str]) -> str:
    """Return the path of `call` with `params` put in: percent-encoded, and quotes doubled inside an OData string.

    Raises UsageError for a value that would change the path instead of filling it.
    """

    def fill(slot: re.Match[str]) -> str:
        quote_mark, name = slot.groups()
        value = params[name]
        if not value.strip("."):
            raise UsageError(f"{value!r} cannot be the {name} of {call.name}.")
        return quote_mark + quote(value.replace("'", "''") if quote_mark else value, safe="@")

    path = call.path if application or not call.path_delegated else call.path_delegated
    return re.sub(r"('?)\{(\w+)\}", fill, path).replace(" ", "%20")


def read_one(ask: Ask, path: str) -> Seen:
    """Return the single object at `path`; no rows when the directory says that it does not exist."""
    try:
        return Seen([ask(path)], 1)
    except GraphError as error:
        if error.status == 404 and error.code == ABSENT:
            return Seen([], 0)
        raise


def read_all(ask: Ask, path: str, *, skip: bool) -> Seen:
    """Return the rows of every page of `path`, each row once.

    The next page is where the answer's link says. Without a link a list is at its end, except where `skip`: room
    lists hand out 100 rows and no link, so they are asked again with $skip until the count is reached and a page is
    not full (https://learn.microsoft.com/graph/api/place-list). A page that brings nothing new, or a link that leads
    back, ends the reading: incomplete, unless a count that cannot be the page's own says that nothing is missing.
    """
    headers = {"ConsistencyLevel": "eventual"} if COUNT in path else {}  # links do not carry it: sent each time
    size = LIMITS["places_page"]
    following = f"{path}?$top={size}&{COUNT}" if skip else path
    seen, known, asked = Seen(), set[str](), set[str]()
    stuck, counted = False, None
    while following and not stuck:
        asked.add(following)
        page = ask(following, headers=headers)
        rows = rows_of(page)
        new = {_identity(row): row for row in rows if _identity(row) not in known}
        known |= new.keys()
        seen.rows += new.values()
        counted = _count(page) if "@odata.count" in page else counted
        if counted is not None:
            seen.total = max(counted, len(seen.rows))  # some count the page, not the population
        following = _link(page)
        stuck = following in asked or bool(rows and not new)
        if skip and rows and not following and (len(rows) >= size or _missing(seen)):
            following = f"{path}?$top={size}&$skip={len(seen.rows)}&{COUNT}"
    known_whole = counted is not None and counted == len(seen.rows) > len(rows)
    seen.complete = not _missing(seen) and (known_whole or not stuck)
    if stuck and not _missing(seen) and not known_whole:
        seen.total = None  # the count may be the page's own
    return seen


def _count(page: Json) -> int:
    """Return the population as a page counts it; a count that is none leaves nobody to say what is missing."""
    said = page["@odata.count"]
    if isinstance(said, str) and said.isdecimal():
        return int(said)
    if not isinstance(said, int) or isinstance(said, bool):
        raise GraphError("Microsoft Graph answered with a count that is no number.", status=200, code="unreadable")
    return said


def _link(page: Json) -> str:
    link = page.get("@odata.nextLink") or ""
    if not isinstance(link, str):
        raise GraphError("Microsoft Graph answered with a link that is none.", status=200, code="unreadable")
    return link


def rows_of(page: Json) -> list[Json]:
    """Return the rows of one page; an answer without a list is an error, never an empty list.

    What is no row in it stays, wrapped up, for whoever reads the rows.
    """
    rows = page.get("value")
    if not isinstance(rows, list):
        raise GraphError("Microsoft Graph answered without the list it was asked for.", status=200, code="unreadable")
    return [row if isinstance(row, dict) else {"unreadable": row} for row in rows]


def _missing(seen: Seen) -> bool:
    return seen.total is not None and len(seen.rows) < seen.total


def _identity(row: Json) -> str:
    return str(row.get("emailAddress") or row.get("id") or json.dumps(row, sort_keys=True)).lower()
