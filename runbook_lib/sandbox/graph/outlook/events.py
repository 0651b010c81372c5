"""Events of a calendar: list, read, create, change, delete, cancel and answer them."""

from datetime import datetime
from typing import Any

from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.exchange.item_ids import calendar_id, taken_apart
from runbook_lib.sandbox.exchange.series import between, visible
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.outlook.calendar import EVENTS, applied, chosen, events_reply, latest_first, window
from runbook_lib.sandbox.graph.outlook.event_view import row
from runbook_lib.sandbox.graph.outlook.mailboxes import context, mailbox_route
from runbook_lib.sandbox.graph.routes import Call, Reply
from runbook_lib.sandbox.world.state import Json, Mailbox

LISTS = ("/events", "/calendar/events", "/calendars/{calendar}/events")
ITEMS = tuple(f"{tail}/{{event}}" for tail in LISTS)
RESPONSES = {"accept": "accepted", "decline": "declined", "tentativelyAccept": "tentativelyAccepted"}


@mailbox_route("GET", *LISTS, page="user-list-events", omits="$search, $expand")
def list_events(call: Call) -> Reply:
    """Single events and series as such, latest first."""
    return events_reply(call, latest_first(visible(chosen(call))), "events")


@mailbox_route("POST", *LISTS, page="user-post-events", omits="attachments, extensions, online meetings")
def create_event(call: Call) -> Reply:
    """Create an event and invite its attendees; rooms answer some seconds later."""
    box = chosen(call)
    event = meetings.create(call.tenant, box, _body(call), call.world.now())
    return _answer(call, box, event, status=201)


@mailbox_route("GET", *ITEMS, page="event-get", omits="$expand")
def get_event(call: Call) -> Reply:
    """One event, or one occurrence of a series."""
    box = chosen(call)
    return _answer(call, box, _found(call, box))


@mailbox_route("PATCH", *ITEMS, page="event-update", omits="exceptions to a series")
def update_event(call: Call) -> Reply:
    """Change an event; attendees change their own copy only."""
    box = chosen(call)
    event = _whole(_found(call, box), "changed")
    meetings.change(call.tenant, box, event, _body(call), call.world.now())
    return _answer(call, box, event)


@mailbox_route("DELETE", *ITEMS, page="event-delete")
def delete_event(call: Call) -> Reply:
    """Delete an event; an organizer's attendees get a cancellation."""
    box = chosen(call)
    _delete(call, box, _found(call, box))
    return Reply(204)


@mailbox_route("POST", *(f"{item}/cancel" for item in ITEMS), page="event-cancel", omits="the comment")
def cancel_event(call: Call) -> Reply:
    """Cancel a meeting, which only its organizer can."""
    box = chosen(call)
    event = _found(call, box)
    if not event["isOrganizer"]:
        raise _refused("You need to be an organizer to cancel a meeting.")
    _delete(call, box, event)
    return Reply(202)


def _respond(call: Call) -> Reply:
    """Accept, decline or tentatively accept a meeting, by the last segment of the path."""
    box = chosen(call)
    event = _whole(_found(call, box), "answered")
    if event["isOrganizer"]:
        raise _refused("You can't respond to this meeting because you're the meeting organizer.")
    action = call.path.rstrip("/").rpartition("/")[2].rpartition(".")[2].lower()
    response = next(answer for name, answer in RESPONSES.items() if name.lower() == action)
    meetings.respond(call.tenant, event, response, call.world.now())
    return Reply(202)


for _action in RESPONSES:
    mailbox_route(
        *("POST", *(f"{item}/{_action}" for item in ITEMS)),
        like="/events/{id}/cancel",
        page=f"event-{_action.lower()}",
        omits="comment, proposedNewTime; the organizer always learns the answer",
    )(_respond)


@mailbox_route("GET", "/events/{event}/instances", like="/events/{event}", page="event-list-instances", omits="$expand")
def list_instances(call: Call) -> Reply:
    """The occurrences of a series between startDateTime and endDateTime."""
    box = chosen(call)
    event = _whole(_found(call, box), "listed")
    found = list(between(event, *window(call))) if event["recurrence"] else []
    return events_reply(call, latest_first(found), f"events('{event['id']}')/instances")


def _body(call: Call) -> Json:
    if not isinstance(call.body, dict):
        raise GraphError(400, "BadRequest", "Empty Payload. JSON content expected.")
    return call.body


def _found(call: Call, box: Mailbox) -> Json:
    """The event or occurrence that the URL names. GraphError 400 for no id at all, 404 for one that is not there."""
    try:
        identity, start = taken_apart(call.params["event"])
    except ValueError as fault:
        raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.") from fault
    event = next((each for each in visible(box) if each["id"] == identity), None)
    if event is not None and start is not None:
        event = _occurrence(event, start)
    if event is None:
        raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
    return event


def _occurrence(master: Json, start: datetime) -> Json | None:
    end = start + (master["end"] - master["start"])
    return next((each for each in between(master, start, end) if each["start"] == start), None)


def _whole(event: Json, done: str) -> Json:
    if event["type"] == "occurrence":
        raise _refused(f"The sandbox knows no exceptions: a single occurrence cannot be {done}.")
    return event


def _delete(call: Call, box: Mailbox, event: Json) -> None:
    now = call.world.now()
    if event["type"] == "occurrence":
        meetings.delete_occurrence(call.tenant, box.events[event["seriesMasterId"]], event["start"], now)
    else:
        meetings.delete(call.tenant, event, now)


def _refused(reason: str) -> GraphError:
    return GraphError(400, "ErrorInvalidRequest", f"Your request can't be completed. {reason}")


def _answer(call: Call, box: Mailbox, event: Json, status: int = 200) -> Reply:
    """One event with the links to its calendar that Graph adds."""
    calendar = f"{call.base}/users('{box.user_id}')/calendars('{calendar_id(box.user_id)}')"
    links: dict[str, Any] = {
        "calendar@odata.associationLink": f"{calendar}/$ref",
        "calendar@odata.navigationLink": calendar,
    }
    reply = answers.entity(call, row(call, event), "event", context(call, "events"), status=status, rules=EVENTS)
    if isinstance(reply.body, dict) and "$select" not in call.query:
        reply.body |= links
    if status == 201:
        reply.headers["Location"] = f"{call.base}/users('{box.user_id}')/events('{event['id']}')"
    return applied(call, reply)
