"""A mailbox's calendar: its properties, and the view of the events between two moments."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from runbook_lib.sandbox.exchange.item_ids import calendar_id
from runbook_lib.sandbox.exchange.meetings import settle
from runbook_lib.sandbox.exchange.series import between, visible
from runbook_lib.sandbox.exchange.zones import parse, preferred
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.outlook.event_view import row
from runbook_lib.sandbox.graph.outlook.mailboxes import context, mailbox_route, opened
from runbook_lib.sandbox.graph.routes import Call, Reply
from runbook_lib.sandbox.world.state import Json, Mailbox

LONGEST_VIEW = timedelta(days=1825)  # observed in 2026; no page says so
EVENTS = replace(answers.OUTLOOK, options=answers.OUTLOOK.options - {"$search", "$skiptoken"})


@mailbox_route("GET", "/calendar", page="calendar-get", omits="other calendars than the default one")
def get_calendar(call: Call) -> Reply:
    """The default calendar: the cheapest proof that a mailbox can be reached."""
    return answers.entity(call, _calendar(call, opened(call)), "calendar", context(call, "calendar"))


@mailbox_route("GET", "/calendars", page="user-list-calendars", omits="other calendars than the default one")
def list_calendars(call: Call) -> Reply:
    """The mailbox's calendars: the default one alone."""
    return answers.collection(call, [_calendar(call, opened(call))], "calendar", context(call, "calendars"), EVENTS)


@mailbox_route("GET", "/calendars/{calendar}", like="/calendar", page="calendar-get")
def get_calendar_by_id(call: Call) -> Reply:
    """The calendar of that id, which is the default one or none."""
    return answers.entity(call, _calendar(call, chosen(call)), "calendar", context(call, "calendars"))


@mailbox_route(
    *("GET", "/calendarView", "/calendar/calendarView", "/calendars/{calendar}/calendarView"),
    page="calendar-list-calendarview",
    omits="$search, $expand; with Prefer: outlook.timezone, $filter compares times of that zone",
)
def list_calendar_view(call: Call) -> Reply:
    """The events between startDateTime and endDateTime, latest first, a series as its occurrences."""
    box = chosen(call)
    return events_reply(call, viewed(box, *window(call)), "calendarView")


def chosen(call: Call) -> Mailbox:
    """The opened mailbox, up to date. GraphError 404 for a calendar it has not, 400 for an unknown preferred zone."""
    box = opened(call)
    preferred(call.headers)
    if call.params.get("calendar", wanted := calendar_id(box.user_id)) != wanted:
        raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
    settle(call.tenant, box, call.world.now())
    return box


def viewed(box: Mailbox, after: datetime, before: datetime) -> list[Json]:
    """Events and occurrences that overlap after..before, latest first; an all-day event counts as its days in UTC."""
    return latest_first([each for event in visible(box) for each in between(event, after, before)])


def latest_first(events: list[Json]) -> list[Json]:
    """Events in the order in which Outlook lists them when nobody asks for another (reported in 2019)."""
    return sorted(events, key=lambda event: (event["start"], event["id"]), reverse=True)


def events_reply(call: Call, events: list[Json], tail: str) -> Reply:
    """A page of events: ten unless asked for more, a thousand at most (greater numbers are taken as that)."""
    if (asked := call.query.get("$top", "")).isdecimal() and int(asked) > 1000:
        call = replace(call, query={**call.query, "$top": "1000"})
    rows = [row(call, event) for event in events]
    return applied(call, answers.collection(call, rows, "event", context(call, tail), EVENTS))


def applied(call: Call, reply: Reply) -> Reply:
    """The reply with the note that the wanted time zone was used."""
    if "outlook.timezone" in call.headers.get("prefer", "").lower():
        reply.headers["Preference-Applied"] = f'outlook.timezone="{preferred(call.headers)}"'
    return reply


def window(call: Call) -> tuple[datetime, datetime]:
    """startDateTime and endDateTime of the query (UTC without an offset). GraphError 400 when they make no window."""
    query = {name.lower(): text for name, text in call.query.items()}
    if not {"startdatetime", "enddatetime"} <= query.keys():
        rule = "a time window specified by the query string parameters StartDateTime and EndDateTime."
        raise GraphError(400, "ErrorInvalidParameter", f"This request requires {rule}")
    try:
        after, before = parse(query["startdatetime"]), parse(query["enddatetime"])
    except ValueError as fault:
        message = "The value of parameter 'StartDateTime'/'EndDateTime' is invalid."
        raise GraphError(400, "ErrorInvalidParameter", message) from fault
    if before < after:
        raise GraphError(400, "ErrorInvalidParameter", "The end of the time window lies before its start.")
    if before - after > LONGEST_VIEW:
        message = f"The time window is longer than {LONGEST_VIEW.days} days."
        raise GraphError(400, "ErrorInvalidRequest", message)
    return after, before


def _calendar(call: Call, box: Mailbox) -> Json:
    """The calendar's properties. No mailbox here has a Teams licence, so no online meeting provider is allowed."""
    own: dict[str, Any] = {"name": call.tenant.users[box.user_id]["displayName"], "address": box.smtp}
    return {
        "id": calendar_id(box.user_id),
        "name": "Calendar",
        "color": "auto",
        "hexColor": "",
        "isDefaultCalendar": True,
        "changeKey": calendar_id(box.user_id)[-32:],
        "canShare": True,
        "canViewPrivateItems": True,
        "canEdit": True,
        "allowedOnlineMeetingProviders": [],
        "defaultOnlineMeetingProvider": "unknown",
        "isTallyingResponses": True,
        "isRemovable": False,
        "owner": own,
    }
