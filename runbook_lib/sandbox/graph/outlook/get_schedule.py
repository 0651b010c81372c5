"""getSchedule: free/busy of up to twenty addresses at once (https://learn.microsoft.com/graph/api/calendar-getschedule)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook_lib.sandbox.exchange.freebusy import Block, availability_view, merged
from runbook_lib.sandbox.exchange.meetings import settle
from runbook_lib.sandbox.exchange.series import find
from runbook_lib.sandbox.exchange.zones import from_graph, preferred, to_graph
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata.answers import nested
from runbook_lib.sandbox.graph.outlook.calendar import applied, chosen
from runbook_lib.sandbox.graph.outlook.event_view import blocks
from runbook_lib.sandbox.graph.outlook.mailboxes import mailbox_route
from runbook_lib.sandbox.graph.routes import Call, Reply
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState

MOST_ADDRESSES = 20
# "Less than 62 days", the page says; Exchange's message names 62 as the limit.
LONGEST_WINDOW = timedelta(days=62)
INTERVALS = range(5, 1441)
WINDOW = "FreeBusyViewOptions.TimeWindow"


@dataclass(frozen=True)
class Question:
    """What the client asked: addresses, the window (UTC), its zone, the length of a slot."""

    addresses: list[str]
    start: datetime
    end: datetime
    zone_name: str
    interval: timedelta


@mailbox_route(
    "POST",
    "/calendar/getSchedule",
    "/calendar/graph.getSchedule",
    page="calendar-getschedule",
    omits="$select, as the service",
)
def get_schedule(call: Call) -> Reply:
    """Free/busy per address; the mailbox in the URL only asks. One bad address does not spoil the others."""
    asking = chosen(call)
    question = _question(call)
    _check(question, call.tenant)
    answers = [_schedule(call, asking, question, address) for address in question.addresses]
    return applied(call, nested(call, {"value": answers}, "Collection(microsoft.graph.scheduleInformation)"))


def _question(call: Call) -> Question:
    """Read the body; names in any case, the interval also as text. GraphError 400 for what cannot be read."""
    if not isinstance(call.body, dict):
        raise GraphError(400, "BadRequest", "Empty Payload. JSON content expected.")
    body = {str(name).lower(): value for name, value in call.body.items()}
    addresses = body.get("schedules")
    if not isinstance(addresses, list) or not all(isinstance(each, str) for each in addresses):
        raise _unreadable("schedules")
    try:
        start, zone_name = from_graph(body.get("starttime"))
        end, _ = from_graph(body.get("endtime"))
    except ValueError as fault:
        raise _bad_window() from fault
    return Question(addresses, start, end, zone_name, _interval(body.get("availabilityviewinterval")))


def _interval(value: Any) -> timedelta:
    if value is None:
        return timedelta(minutes=30)
    if not isinstance(value, bool) and re.fullmatch(r"-?\d{1,9}", str(value)):
        return timedelta(minutes=int(value))
    raise _unreadable("availabilityViewInterval")


def _unreadable(name: str) -> GraphError:
    return GraphError(400, "RequestBodyRead", f"The value of '{name}' cannot be converted to the expected type.")


def _bad_window() -> GraphError:
    return GraphError(400, "ErrorInvalidTimeInterval", f"The time duration specified for {WINDOW} is invalid.")


def _check(question: Question, tenant: TenantState) -> None:
    """The limits on the whole call; every code and message but the one for no address was recorded from the service."""
    count = sum(len(_members(tenant, address)) or 1 for address in question.addresses)
    if not count:
        raise GraphError(400, "ErrorMailboxDataArrayEmpty", "There are no target users in the EmailAddress array.")
    if count > MOST_ADDRESSES:
        sizes = f"The allowed size = {MOST_ADDRESSES}; the actual size = {count}."
        message = f"There are too many target users in the EmailAddress array. {sizes}"
        raise GraphError(400, "ErrorMailboxDataArrayTooBig", message)
    length = question.end - question.start
    if length <= timedelta():
        raise _bad_window()
    if length >= LONGEST_WINDOW:
        limit = f"The allowed limit = {LONGEST_WINDOW.days} days; the actual limit = {length.days} days."
        message = f"The requested time duration specified for {WINDOW} is too long. {limit}"
        raise GraphError(400, "ErrorTimeIntervalTooBig", message)
    minutes = question.interval // timedelta(minutes=1)
    if minutes not in INTERVALS or question.interval > length:
        rule = "Specify an interval that is less than the free/busy time window and  between 5 and 1440 minutes."
        message = f"The specified merged free/busy interval is not valid. {rule}"
        raise GraphError(400, "ErrorInvalidMergedFreeBusyInterval", message)


def _members(tenant: TenantState, address: str) -> list[str]:
    """The addresses in a room list, which is a distribution list to Exchange; none for any other address."""
    lists = {smtp.lower(): members for smtp, members in tenant.room_list_members.items()}
    return lists.get(address.lower(), [])


def _schedule(call: Call, asking: Mailbox, question: Question, address: str) -> Json:
    """One address's scheduleInformation."""
    if members := _members(call.tenant, address):
        boxes = [box for member in members if (box := _reachable(call, member))]
        views = [_view(_blocks(box, question), question) for box in boxes]
        return {"scheduleId": address, "availabilityView": merged(views), "scheduleItems": []}
    box = _reachable(call, address)
    if box is None:
        return {"scheduleId": address, "error": _fault(call.tenant, address)}
    found = _blocks(box, question)
    zone_name = preferred(call.headers)
    return {
        "scheduleId": address,
        "availabilityView": _view(found, question),
        "scheduleItems": [_item(block, zone_name, detailed=box is asking) for block in found],
        "workingHours": box.work_hours,
    }


def _reachable(call: Call, address: str) -> Mailbox | None:
    """The cloud mailbox of an address, up to date; an access policy does not hide its free/busy."""
    box = find(call.tenant, address) if "@" in address else None
    if box is None or box.state in ("missing", "on-premises"):
        return None
    settle(call.tenant, box, call.world.now())
    return box


def _fault(tenant: TenantState, address: str) -> Json:
    """5009 for an address that nobody has (recorded 2021), 5016 for a user without a cloud mailbox (recorded 2026)."""
    if find(tenant, address) is not None:
        return {"message": "Proxy web request failed.", "responseCode": "5016"}
    message = f"Unable to resolve e-mail address {address} to an Active Directory object."
    return {"message": message, "responseCode": "5009"}


def _blocks(box: Mailbox, question: Question) -> list[Block]:
    return blocks(box, question.start, question.end, question.zone_name)


def _view(found: list[Block], question: Question) -> str:
    return availability_view(found, question.start, question.end, question.interval)


def _item(block: Block, zone_name: str, *, detailed: bool) -> Json:
    """Others see the time and the status only, by Exchange's default permission on a calendar; one's own shows all."""
    details = {"isPrivate": block.private, "subject": block.subject, "location": block.location} if detailed else {}
    times = {"start": to_graph(block.start, zone_name), "end": to_graph(block.end, zone_name)}
    return {**details, "status": block.status, **times}
