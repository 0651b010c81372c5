"""Changes to a calendar view since the last look (https://learn.microsoft.com/graph/api/event-delta)."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from urllib.parse import quote

from runbook_lib.sandbox.exchange.event_body import mark
from runbook_lib.sandbox.exchange.item_ids import occurrence_id
from runbook_lib.sandbox.exchange.series import between
from runbook_lib.sandbox.exchange.zones import instant, parse
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.outlook.calendar import applied, chosen, window
from runbook_lib.sandbox.graph.outlook.event_view import row
from runbook_lib.sandbox.graph.outlook.mailboxes import mailbox_route
from runbook_lib.sandbox.graph.routes import Call, Reply
from runbook_lib.sandbox.world.state import Json, Mailbox

PAGE = 10
REFUSED = frozenset({"$orderby", "$filter", "$select", "$expand", "$search", "$top"})


@dataclass(frozen=True)
class Round:
    """What a token carries: the mailbox and window of the first call, which changes are new, how many were sent."""

    mailbox: str
    after: str
    before: str
    since: int
    until: int
    sent: int = 0


@mailbox_route(
    *("GET", "/calendarView/delta", "/calendarView/delta()", "/calendar/calendarView/delta"),
    *("/calendar/calendarView/delta()", "/calendars/{calendar}/calendarView/delta"),
    page="event-delta",
    omits="the series beside its occurrences; Outlook's tokens expire, these do not",
)
def list_calendar_changes(call: Call) -> Reply:
    """The first round gives the whole view, a later one what was made, changed or removed since its token."""
    box = chosen(call)
    if refused := sorted(REFUSED & call.query.keys()):
        rule = "The following parameters are not supported with change tracking over the 'CalendarView' resource"
        raise GraphError(400, "ErrorInvalidUrlQuery", f"{rule}: '{', '.join(refused)}'.")
    token = call.query.get("$deltatoken", call.query.get("$skiptoken"))
    state = _first(call, box) if token is None else _opened(token, box)
    changes, size = _changes(call, box, state), _page_size(call)
    sent = state.sent + size
    body: Json = {"@odata.context": f"{call.base}/$metadata#Collection(event)"}
    if sent < len(changes):
        body["@odata.nextLink"] = _link(call, "$skiptoken", replace(state, sent=sent))
    else:
        body["@odata.deltaLink"] = _link(call, "$deltatoken", replace(state, since=state.until, until=0, sent=0))
    return applied(call, Reply(200, body | {"value": changes[state.sent : sent]}))


def _first(call: Call, box: Mailbox) -> Round:
    after, before = window(call)
    return Round(box.user_id, instant(after), instant(before), since=0, until=mark())


def _opened(token: str, box: Mailbox) -> Round:
    """The round of a token. GraphError 410 for one of another mailbox, of an earlier sandbox, or of nobody."""
    now = mark()
    try:
        state = Round(**json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4))))
        known = state.mailbox == box.user_id and max(state.since, state.until) < now and state.sent >= 0
        parse(state.after), parse(state.before)
    except (ValueError, TypeError):
        known = False
    if not known:
        raise GraphError(410, "SyncStateNotFound", "The sync state is not found; start over with a full sync.")
    return state if state.until else replace(state, until=now)


def _changes(call: Call, box: Mailbox, state: Round) -> list[Json]:
    """The rows of the round, oldest change first."""
    new = [each for each in box.events.values() if state.since < each["_seq"] < state.until and "_due" not in each]
    window = parse(state.after), parse(state.before)
    rows: list[Json] = []
    for event in sorted(new, key=lambda event: event["_seq"]):
        found = [] if "_removed" in event else list(between(event, *window))
        rows += [row(call, each) for each in found]
        if state.since:
            gone = [occurrence_id(event["id"], start) for start in sorted(event.get("_cancelled", ()))]
            gone += [] if found else [event["id"]]
            rows += [{"id": each, "@removed": {"reason": "deleted"}} for each in gone]
    return rows


def _page_size(call: Call) -> int:
    wish = re.search(r'odata\.maxpagesize\s*=\s*"?(\d{1,4})', call.headers.get("prefer", ""), re.IGNORECASE)
    return max(int(wish[1]), 1) if wish else PAGE


def _link(call: Call, name: str, state: Round) -> str:
    token = urlsafe_b64encode(json.dumps(asdict(state)).encode()).decode().rstrip("=")
    return f"{call.base}{quote(call.path, safe='/()@:$%')}?{name}={token}"
