"""Meetings between mailboxes: requests travel, rooms answer by their rules, cancellations follow.

Nothing runs in the background. A copy on its way carries the moment of its arrival (`_due`), a cancelled one that of
the cancellation (`_gone`); `settle`, called by every look into a calendar, lets happen what is past. What was removed
stays behind as `_removed`, so that delta queries can tell.
"""

import copy
from datetime import datetime, timedelta

from runbook_lib.sandbox.exchange import item_ids
from runbook_lib.sandbox.exchange.booking_rules import answer, dressed
from runbook_lib.sandbox.exchange.event_body import NEVER, new, touch, write
from runbook_lib.sandbox.exchange.series import find, visible
from runbook_lib.sandbox.exchange.zones import instant, to_graph
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState

PENDING = ("_due", "_gone")


def book(
    tenant: TenantState,
    organizer: str,
    room: str,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    subject: str = "",
    transaction_id: str | None = None,
) -> Json:
    """Book a room for somebody, as a calendar service does it: the organizer's event, which the room answers later.

    `organizer` and `room` are ids, sign-in names or addresses. GraphError 404 when one of them has no mailbox.
    """
    boxes = [find(tenant, key) for key in (organizer, room)]
    if boxes[0] is None or boxes[1] is None:
        raise GraphError(404, "ErrorInvalidUser", f"The requested user '{room if boxes[0] else organizer}' is invalid.")
    name = tenant.users[boxes[1].user_id]["displayName"]
    body = {
        "subject": subject,
        "start": to_graph(start, "UTC"),
        "end": to_graph(end, "UTC"),
        "location": {"displayName": name, "locationEmailAddress": boxes[1].smtp, "locationType": "conferenceRoom"},
        "attendees": [{"type": "resource", "emailAddress": {"name": name, "address": boxes[1].smtp}}],
        "transactionId": transaction_id,
    }
    return create(tenant, boxes[0], body, now)


def create(tenant: TenantState, owner: Mailbox, body: Json, now: datetime) -> Json:
    """Put an event into its owner's calendar and invite its attendees.

    The same body with the same transactionId gives the event that is there already; another body with it is refused.
    """
    token = body.get("transactionId")
    known = next((each for each in visible(owner) if token and each["transactionId"] == token), None)
    if known is not None:
        if known["_request"] == body:
            return known
        reason = "The TransactionId specified in the request has already been used to create a different event."
        raise GraphError(400, "ErrorDuplicateTransactionId", f"Your request can't be completed. {reason}")
    event = new(tenant, owner, body, now) | {"_request": body}
    owner.events[event["id"]] = event
    _invite(tenant, owner, event, now)
    return event


def change(tenant: TenantState, owner: Mailbox, event: Json, body: Json, now: datetime) -> None:
    """Change an event. An organizer's change of time or people goes to the attendees, who answer again."""
    after = copy.deepcopy(event)
    write(tenant, after, body)
    touch(after, now)
    moved = any(after[name] != event[name] for name in ("start", "end", "recurrence", "attendees"))
    if moved and event["isOrganizer"]:
        for attendee in after["attendees"]:
            attendee["status"] = {"response": "none", "time": NEVER}
        for _, old in _copies(tenant, event):
            _remove(old, now)
        _invite(tenant, owner, after, now)
    event |= after


def delete(tenant: TenantState, event: Json, now: datetime) -> None:
    """Remove an event: an organizer's attendees get a cancellation, an attendee's organizer gets a refusal."""
    _remove(event, now)
    if not event["isOrganizer"]:
        _report(tenant, event, "declined", now)
        return
    for _, each in _copies(tenant, event):
        each["_gone"] = now + delay(tenant)


def delete_occurrence(tenant: TenantState, master: Json, start: datetime, now: datetime) -> None:
    """Take one occurrence out of a series, in all calendars if the organizer does it."""
    others = [each for _, each in _copies(tenant, master)] if master["isOrganizer"] else []
    for each in [master, *others]:
        each.setdefault("_cancelled", set()).add(start)
        touch(each, now)


def respond(tenant: TenantState, event: Json, response: str, now: datetime) -> None:
    """An attendee's answer; a declined event leaves the attendee's calendar."""
    event["responseStatus"] = {"response": response, "time": instant(now)}
    event["showAs"] = event["_intended"] if response == "accepted" else "tentative"
    touch(event, now)
    if response == "declined":
        _remove(event, now)
    _report(tenant, event, response, now)


def delay(tenant: TenantState) -> timedelta:
    """How long a meeting message is under way (mode `room_answer_seconds`)."""
    return timedelta(seconds=tenant.modes.get("room_answer_seconds", 2))


def settle(tenant: TenantState, box: Mailbox, now: datetime) -> None:
    """Let everything happen that has happened by now in this calendar and in those of its unanswered meetings."""
    waiting = [event for event in visible(box) if event["isOrganizer"] and event["attendees"]]
    boxes = {box.smtp: box} | {other.smtp: other for event in waiting for other, _ in _copies(tenant, event)}
    for each in boxes.values():
        past = [(event[key], key, event) for event in each.events.values() for key in PENDING if key in event]
        for when, key, event in sorted((step for step in past if step[0] <= now), key=lambda step: step[:2]):
            del event[key]
            if key == "_due":
                _arrive(tenant, each, event, when)
            else:
                _remove(event, when)


def _invite(tenant: TenantState, owner: Mailbox, event: Json, now: datetime) -> None:
    """Send a copy to every attendee with a mailbox here; Exchange sends none to the organizer."""
    for attendee in event["attendees"]:
        box = tenant.mailboxes.get(attendee["emailAddress"]["address"].lower())
        if box is None or box is owner or box.state in ("missing", "on-premises"):
            continue
        own = {
            "id": item_ids.new_item_id(box.user_id),
            "isOrganizer": False,
            "transactionId": None,
            "responseStatus": {"response": "notResponded", "time": NEVER},
            "showAs": "tentative",
            "_intended": event["showAs"],
            "_organizer": owner.smtp.lower(),
            "_attendee": box.smtp.lower(),
            "_due": now + delay(tenant),
        }
        sent = copy.deepcopy(event) | own
        box.events[sent["id"]] = sent


def _arrive(tenant: TenantState, box: Mailbox, request: Json, when: datetime) -> None:
    """A meeting request reaches a calendar: people find it tentative, a room that processes requests answers."""
    request["createdDateTime"] = when
    touch(request, when)
    processing = box.booking.get("AutomateProcessing", "AutoUpdate")
    if processing == "None":
        del box.events[request["id"]]
    if processing != "AutoAccept":
        return
    others = [event for event in visible(box) if event["iCalUId"] != request["iCalUId"]]
    response = answer(box.booking, request, others, when)
    request |= dressed(box.booking, request)
    respond(tenant, request, response, when)
    if response == "declined":
        del box.events[request["id"]]  # nobody has ever seen it there


def _copies(tenant: TenantState, event: Json) -> list[tuple[Mailbox, Json]]:
    """The attendees' copies of an organizer's event, also those still under way."""
    addresses = (attendee["emailAddress"]["address"].lower() for attendee in event["attendees"])
    boxes = [tenant.mailboxes[address] for address in addresses if address in tenant.mailboxes]
    return [
        (box, each)
        for box in boxes
        for each in box.events.values()
        if each["iCalUId"] == event["iCalUId"] and not each["isOrganizer"] and "_removed" not in each
    ]


def _remove(event: Json, now: datetime) -> None:
    event["_removed"] = True
    touch(event, now)


def _report(tenant: TenantState, sent: Json, response: str, when: datetime) -> None:
    """The response reaches the organizer, who sees it beside the attendee."""
    for event in visible(tenant.mailboxes[sent["_organizer"]]):
        for attendee in event["attendees"] if event["iCalUId"] == sent["iCalUId"] else ():
            if attendee["emailAddress"]["address"].lower() == sent["_attendee"]:
                attendee["status"] = {"response": response, "time": instant(when)}
                touch(event, when)
