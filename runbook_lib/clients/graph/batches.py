"""One question about many mailboxes: $batch of single reads, and free/busy in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from runbook_lib import forms
from runbook_lib.clients.graph.answers import Reply, reply
from runbook_lib.clients.graph.budget import concerns_the_app
from runbook_lib.clients.graph.paging import Ask, Seen, rows_of
from runbook_lib.clients.graph.throttle import LIMITS, Throttle, retry_after
from runbook_lib.clients.http import THREADS
from runbook_lib.errors import CloudError, Forbidden, GraphError, UsageError
from runbook_lib.model import Json

LONGEST_WINDOW = timedelta(days=62)
INTERVALS = range(5, 1441)
"""Minutes that one letter of an availability view may stand for."""
NO_ASKER = "Sign in with an account that has a mailbox in Exchange Online, or check that the rooms have theirs there."
Body = Callable[[Sequence[str]], Json]
"""Makes the body of getSchedule for some mailboxes."""
KEPT = ("scheduleId", "availabilityView", "error")
KEPT_OF_ITEM = ("start", "end", "status")


def get_each(ask: Ask, throttle: Throttle, clock: Callable[[], datetime], paths: Sequence[str]) -> list[Reply | None]:
    """GET all `paths` through $batch, in order; None for what stayed throttled or broken until patience ended.

    https://learn.microsoft.com/graph/json-batching: at most 20 in one, each with its own status and Retry-After.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        batches = pool.map(partial(_batch, ask, throttle, clock), _chunks(paths, LIMITS["batch"]))
        return [one for batch in batches for one in batch]


def _batch(ask: Ask, throttle: Throttle, clock: Callable[[], datetime], paths: Sequence[str]) -> list[Reply | None]:
    done: dict[str, Reply] = {}
    waiting = {str(number): path for number, path in enumerate(paths)}
    for tries in count():
        requests = [{"id": key, "method": "GET", "url": path} for key, path in waiting.items()]
        responses = _responses(ask("/$batch", {"requests": requests}))
        got = {one.id: reply(one.status, one.headers or {}, one.body) for one in responses}
        done |= {key: one for key, one in got.items() if not one.transient}
        busy = [one for key, one in got.items() if one.transient and key in waiting]
        waiting = {key: path for key, path in waiting.items() if key not in done}
        if not waiting:
            break
        pauses = [pause for one in busy if (pause := retry_after(one.headers, clock())) is not None]
        problem = GraphError("Some of a batch stayed unanswered.", status=503, code="unanswered")
        try:
            everywhere = any(concerns_the_app(one.headers) for one in busy)
            throttle.hold(problem, tries, max(pauses, default=None), all_tenants=everywhere)
        except CloudError:
            break
    return [done.get(str(number)) for number in range(len(paths))]


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request of a batch."""

    id: str
    status: int
    headers: dict[str, str] | None = None
    body: Any = None


def _responses(answer: Json) -> tuple[Response, ...]:
    said = answer.get("responses")
    found, off = forms.read("$batch", said if isinstance(said, list) else [said], Response)
    if off:
        raise GraphError(f"Microsoft Graph answered otherwise than asked: {off[0].saw}.", status=200, code="unreadable")
    return found


def question(start: datetime, end: datetime, interval_minutes: int) -> Body:
    """Return what makes getSchedule's body for some mailboxes; times in UTC.

    Raises UsageError for what Graph would refuse whole: https://learn.microsoft.com/graph/api/calendar-getschedule
    """
    if not timedelta(0) < end - start < LONGEST_WINDOW or interval_minutes not in INTERVALS:
        raise UsageError("Free/busy is asked for less than 62 days, in intervals of 5 to 1440 minutes.")

    def body(mailboxes: Sequence[str]) -> Json:
        return {
            "schedules": list(mailboxes),
            "startTime": _in_utc(start),
            "endTime": _in_utc(end),
            "availabilityViewInterval": interval_minutes,
        }

    return body


def read_schedules(ask: Ask, askers: Sequence[str], body: Body, mailboxes: Sequence[str]) -> Seen:
    """Return the free/busy of `mailboxes`, times and states only, through the first of `askers` that is able to ask.

    `askers` are paths of getSchedule: the mailbox in it must itself be one that Graph can open, whatever it asks
    about. Raises Forbidden when all are refused.
    """
    if not mailboxes:
        return Seen(total=0)
    first, *others = _chunks(mailboxes, LIMITS["schedules"])
    for asker in askers:
        try:
            rows = _schedules(ask, asker, body, first)
            break
        except GraphError as error:
            if error.status not in (403, 404):
                raise
            unable = error
    else:
        if isinstance(unable, Forbidden):
            raise unable
        return Seen(refusal=(f"No mailbox could ask for free/busy ({len(askers)} tried): {unable.message}", NO_ASKER))
    with ThreadPoolExecutor(LIMITS["mailbox_at_once"]) as pool:
        for more in pool.map(partial(_schedules, ask, asker, body), others):
            rows += more
    by_name = {row["scheduleId"].lower(): row for row in rows if isinstance(row.get("scheduleId"), str)}
    found = [by_name[mailbox.lower()] for mailbox in mailboxes if mailbox.lower() in by_name]
    nameless = [row for row in rows if not isinstance(row.get("scheduleId"), str)]
    return Seen([*found, *nameless], len(mailboxes), len(found) == len(mailboxes))


def _schedules(ask: Ask, asker: str, body: Body, mailboxes: Sequence[str]) -> list[Json]:
    """Ask about one chunk; a chunk that is refused as a whole is halved until the bad address stands alone."""
    try:
        answer = ask(asker, body(mailboxes), {"Prefer": 'outlook.timezone="UTC"'})
    except GraphError as refused:
        if refused.status != 400:
            raise
        if len(mailboxes) == 1:
            error = {"responseCode": refused.code, "message": refused.message}
            return [{"scheduleId": mailboxes[0], "error": error}]
        half = len(mailboxes) // 2
        return _schedules(ask, asker, body, mailboxes[:half]) + _schedules(ask, asker, body, mailboxes[half:])
    return [_times_only(row) for row in rows_of(answer)]


def _times_only(row: Json) -> Json:
    items = row.get("scheduleItems") or []
    if not isinstance(items, list):
        return {**_keep(row, KEPT), "scheduleItems": "unreadable"}
    kept = [_keep(item, KEPT_OF_ITEM) if isinstance(item, dict) else None for item in items]
    return {**_keep(row, KEPT), "scheduleItems": kept}


def _keep(row: Mapping[str, object], names: Sequence[str]) -> Json:
    return {name: row[name] for name in names if name in row}


def _in_utc(moment: datetime) -> Json:
    return {"dateTime": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}


def _chunks(many: Sequence[str], size: int) -> list[Sequence[str]]:
    return [many[first : first + size] for first in range(0, len(many), size)]
