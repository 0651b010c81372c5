"""What a client writes about an event, checked as Exchange checks it, and the event that the sandbox keeps of it.

A kept event is Graph-shaped JSON whose start, end, createdDateTime and lastModifiedDateTime are datetimes (UTC; an
all-day event floats and is kept as midnights of UTC). Keys with an underscore are the sandbox's own and never leave it.
"""

import copy
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.sandbox.exchange import item_ids, recurrence
from runbook_lib.sandbox.exchange.zones import from_graph, zone
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState

NEVER = "0001-01-01T00:00:00Z"
# What a client may write, with Exchange's value when it does not; a value must be of the same type.
SIMPLE: Json = {
    "subject": "",
    "importance": "normal",
    "sensitivity": "normal",
    "showAs": "busy",
    "isAllDay": False,
    "isReminderOn": True,
    "reminderMinutesBeforeStart": 15,
    "responseRequested": True,
    "allowNewTimeProposals": True,
    "hideAttendees": False,
    "categories": [],
}
ENUMERATIONS = {
    "importance": ("low", "normal", "high"),
    "sensitivity": ("normal", "personal", "private", "confidential"),
    "showAs": ("unknown", "free", "tentative", "busy", "oof", "workingElsewhere"),
}
# What only the server sets; a client's value is taken without effect, as is an online meeting (no Teams licence).
FIXED: Json = {
    "hasAttachments": False,
    "isCancelled": False,
    "isOrganizer": True,
    "isDraft": False,
    "seriesMasterId": None,
    "onlineMeetingUrl": None,
    "isOnlineMeeting": False,
    "onlineMeetingProvider": "unknown",
    "onlineMeeting": None,
    "responseStatus": {"response": "organizer", "time": NEVER},
}
NOWHERE: Json = {
    "displayName": "",
    "locationType": "default",
    "uniqueIdType": "unknown",
    "address": {},
    "coordinates": {},
}
OTHERS = (
    *("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "iCalUId", "bodyPreview", "type", "webLink"),
    *("originalStart", "originalStartTimeZone", "originalEndTimeZone", "organizer", "locations", "calendar"),
    *("cancelledOccurrences", "attachments", "extensions", "instances", "exceptionOccurrences"),
    *("singleValueExtendedProperties", "multiValueExtendedProperties"),
)
COMPLEX = ("transactionId", "body", "location", "attendees", "start", "end", "recurrence")
NAMES = {name.lower(): name for name in (*SIMPLE, *FIXED, *OTHERS, *COMPLEX)}
_sequence = count(1)


def touch(event: Json, now: datetime) -> None:
    """Stamp a change, so that etags differ and delta queries see it."""
    event |= {"lastModifiedDateTime": now, "changeKey": item_ids.new_change_key(), "_seq": next(_sequence)}


def mark() -> int:
    """A number greater than the `_seq` of every change so far and smaller than that of every later one."""
    return next(_sequence)


def person(tenant: TenantState, address: str, name: str | None = None) -> Json:
    """An emailAddress, with the directory's display name when none is given."""
    box = tenant.mailboxes.get(address.lower())
    return {"name": name or (tenant.users[box.user_id]["displayName"] if box else address), "address": address}


def new(tenant: TenantState, owner: Mailbox, body: Json, now: datetime) -> Json:
    """The event that a client's body makes in its owner's calendar. GraphError 400 when Exchange would refuse it."""
    if not {"start", "end"} <= {NAMES.get(key.lower()) for key in body}:
        raise invalid()
    event: Json = copy.deepcopy(SIMPLE | FIXED) | {
        "id": item_ids.new_item_id(owner.user_id),
        "iCalUId": item_ids.new_uid(now),
        "createdDateTime": now,
        "organizer": {"emailAddress": person(tenant, owner.smtp)},
        "transactionId": None,
        "body": {"contentType": "html", "content": ""},
        "location": NOWHERE,
        "attendees": [],
        "recurrence": None,
    }
    write(tenant, event, body)
    touch(event, now)
    return event


def invalid() -> GraphError:
    """Exchange's answer to times and recurrences that make no sense (recorded in 2020 for an end before the start)."""
    return GraphError(400, "ErrorPropertyValidationFailure", "At least one property failed validation.")


def unreadable(name: str) -> GraphError:
    """The answer to a value of the wrong type."""
    return GraphError(400, "RequestBodyRead", f"The value of '{name}' cannot be converted to the expected type.")


def write(tenant: TenantState, event: Json, body: Json) -> None:
    """Put a client's values into an event. GraphError 400 when Exchange would refuse them."""
    given = _named(body)
    for name in SIMPLE.keys() & given.keys():
        event[name] = _simple(name, given[name])
    if given.get("transactionId") is not None:
        event["transactionId"] = _text("transactionId", given["transactionId"])
    if given.get("body") is not None:
        event["body"] = _content(given["body"])
    if "location" in given:
        event["location"] = _location(given["location"] or NOWHERE)
    if "attendees" in given:
        event["attendees"] = [_attendee(tenant, each) for each in _items("attendees", given["attendees"] or [])]
    _write_times(event, given)


def _named(body: Json) -> Json:
    """The body with Graph's spelling of the names; annotations are dropped, unknown names refused."""
    for key in body:
        if "@" not in key and key.lower() not in NAMES:
            rule = "Make sure to only use property names that are defined by the type."
            message = f"The property '{key}' does not exist on type 'microsoft.graph.event'. {rule}"
            raise GraphError(400, "RequestBodyRead", message)
    return {NAMES[key.lower()]: value for key, value in body.items() if "@" not in key}


def _simple(name: str, value: Any) -> Any:
    usual = SIMPLE[name]
    if value is None:
        return copy.copy(usual)
    if name in ENUMERATIONS:
        return _one_of(name, value, ENUMERATIONS[name])
    if type(value) is not type(usual):
        raise unreadable(name)
    return [_text(name, each) for each in value] if isinstance(value, list) else value


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    found = next((each for each in allowed if each.lower() == _text(name, value).lower()), None)
    if found is None:
        raise unreadable(name)
    return found


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise unreadable(name)
    return value


def _items(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise unreadable(name)
    return value


def _fields(name: str, value: Any) -> Json:
    if not isinstance(value, dict):
        raise unreadable(name)
    return value


def _content(value: Any) -> Json:
    fields = _fields("body", value)
    kind = _one_of("body", fields.get("contentType") or "text", ("text", "html"))
    return {"contentType": kind, "content": _text("body", fields.get("content") or "")}


def _location(value: Any) -> Json:
    fields = _fields("location", value)
    if fields is NOWHERE:
        return NOWHERE
    name = _text("location", fields.get("displayName") or "")
    extra = {key: fields[key] for key in ("locationEmailAddress", "locationUri") if fields.get(key)}
    kind = fields.get("locationType") or "default"
    whole = {"displayName": name, "locationType": kind, "uniqueId": name, "uniqueIdType": "private", **extra}
    return {key: _text("location", each) for key, each in whole.items()} | {
        key: _fields("location", fields.get(key) or {}) for key in ("address", "coordinates")
    }


def _attendee(tenant: TenantState, value: Any) -> Json:
    """An attendee who has not answered yet. ErrorInvalidRecipients without a usable address (recorded in 2020)."""
    email = _fields("attendees", _fields("attendees", value).get("emailAddress") or {})
    address = email.get("address")
    if not isinstance(address, str) or "@" not in address:
        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
    kind = _one_of("attendees", value.get("type") or "required", ("required", "optional", "resource"))
    status = {"response": "none", "time": NEVER}
    name = _text("attendees", email.get("name") or "")
    return {"type": kind, "status": status, "emailAddress": person(tenant, address, name)}


def _write_times(event: Json, given: Json) -> None:
    """Set start, end and recurrence, which depend on each other."""
    for name in ("start", "end"):
        if name in given:
            _write_time(event, name, given[name])
    if event["start"] > event["end"]:
        raise invalid()
    if event["isAllDay"] and event["end"] - event["start"] < timedelta(days=1):
        raise _refused("The duration of an event marked as All day must be at least 24 hours.")
    if "recurrence" in given:
        event["recurrence"] = None if given["recurrence"] is None else _series(event, given["recurrence"])
    event["type"] = "seriesMaster" if event["recurrence"] else "singleInstance"


def _write_time(event: Json, name: str, value: Any) -> None:
    try:
        moment, zone_name = from_graph(value)
    except ValueError as fault:
        raise invalid() from fault
    if event["isAllDay"]:
        local = moment.astimezone(zone(zone_name))
        if local.time() != time.min:
            raise _refused(f"The Event.{name.capitalize()} property for an all-day event needs to be set to midnight.")
        moment = local.replace(tzinfo=UTC)
    event |= {name: moment, f"original{name.capitalize()}TimeZone": zone_name}


def _refused(reason: str) -> GraphError:
    return GraphError(400, "ErrorInvalidRequest", f"Your request can't be completed. {reason}")


def _series(event: Json, value: Any) -> Json:
    """The checked recurrence; the event itself moves to the first occurrence."""
    zone_name = event["originalStartTimeZone"]
    try:
        series = recurrence.checked(value, event["start"].astimezone(home_zone(event)), zone_name)
        zone(series["range"]["recurrenceTimeZone"])
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise invalid() from fault
    always = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    times = recurrence.occurrences(series, event["start"], event["end"], home_zone(event), *always)
    event["start"], event["end"] = next(times)
    return series


def home_zone(event: Json) -> ZoneInfo:
    """The zone whose wall clock the event follows: its own, or UTC for an all-day event, which follows none."""
    return zone("UTC" if event["isAllDay"] else event["originalStartTimeZone"])
