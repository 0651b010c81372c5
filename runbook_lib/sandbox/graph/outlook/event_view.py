"""A kept event as Graph shows it: in the wanted zone, with or without body, a series as its occurrences."""

import html
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

from runbook_lib.sandbox.exchange.freebusy import Block
from runbook_lib.sandbox.exchange.series import between, visible
from runbook_lib.sandbox.exchange.zones import instant, preferred, to_graph, zone
from runbook_lib.sandbox.graph.routes import Call
from runbook_lib.sandbox.world.state import Json, Mailbox

PLAIN = re.compile(r"<(head|style|script)\b.*?</\1>|<[^>]+>", re.DOTALL | re.IGNORECASE)
HEAD = '<html><head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>'
# An event's properties in the order of Exchange's answers; the schema's cancelledOccurrences comes only when selected.
ORDER = (
    *("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "transactionId"),
    *("originalStartTimeZone", "originalEndTimeZone", "iCalUId", "reminderMinutesBeforeStart", "isReminderOn"),
    *("hasAttachments", "subject", "bodyPreview", "importance", "sensitivity", "isAllDay", "isCancelled"),
    *("isOrganizer", "responseRequested", "seriesMasterId", "showAs", "type", "webLink", "onlineMeetingUrl"),
    *("isOnlineMeeting", "onlineMeetingProvider", "allowNewTimeProposals", "isDraft", "hideAttendees"),
    *("responseStatus", "body", "start", "end", "location", "locations", "recurrence", "attendees", "organizer"),
    "onlineMeeting",
)
# Calendars.ReadBasic shows neither of these (Microsoft Graph permissions reference).
BODY = ("body", "bodyPreview")


def row(call: Call, event: Json) -> Json:
    """The event as the caller may and wants to see it: zone and body type of its Prefer header, its permissions."""
    shown = _shown(event, preferred(call.headers), call.headers.get("prefer", ""))
    if not call.caller.permissions & {"Calendars.Read", "Calendars.ReadWrite"}:
        for name in BODY:
            del shown[name]
    return shown


def _shown(event: Json, zone_name: str, prefer: str) -> Json:
    text, location = _as_text(event["body"]), dict(event["location"])
    made = {
        "createdDateTime": instant(event["createdDateTime"]),
        "lastModifiedDateTime": instant(event["lastModifiedDateTime"]),
        "bodyPreview": text[:255],
        "webLink": f"https://outlook.office365.com/owa/?itemid={quote(event['id'])}&exvsurl=1&path=/calendar/item",
        "body": _body(event["body"], text, prefer),
        "start": _time(event, "start", zone_name),
        "end": _time(event, "end", zone_name),
        "location": location,
        "locations": [location] if location["displayName"] else [],
    }
    shown = {name: made[name] if name in made else event[name] for name in ORDER}
    first = {"originalStart": instant(event["start"])} if event["type"] == "occurrence" else {}
    return {"@odata.etag": f'W/"{event["changeKey"]}"', **shown, **first}


def _as_text(body: Json) -> str:
    content: str = body["content"]
    return content if body["contentType"] == "text" else html.unescape(PLAIN.sub("", content)).strip()


def _body(body: Json, text: str, prefer: str) -> Json:
    """Exchange keeps bodies as HTML documents and makes text of them only when asked."""
    if re.search(r'outlook\.body-content-type\s*=\s*"?text', prefer, re.IGNORECASE):
        return {"contentType": "text", "content": text}
    content = html.escape(body["content"], quote=False) if body["contentType"] == "text" else body["content"]
    whole = content if re.search("<html", content, re.IGNORECASE) else f"{HEAD}\r\n{content}\r\n</body></html>"
    return {"contentType": "html", "content": whole if content else ""}


def _time(event: Json, name: str, zone_name: str) -> Json:
    """An all-day event keeps its dates whatever zone is asked for (recorded in 2026)."""
    shown = to_graph(event[name], "UTC" if event["isAllDay"] else zone_name)
    return shown | {"timeZone": zone_name}


def blocks(box: Mailbox, after: datetime, before: datetime, zone_name: str) -> list[Block]:
    """What the calendar holds between two moments, in order; an all-day event covers its dates in the asked zone."""
    day = timedelta(days=1)  # more than any zone is away from UTC
    held = (each for event in visible(box) for each in between(event, after - day, before + day))
    found = (_block(each, zone(zone_name)) for each in held)
    return sorted((each for each in found if each.overlaps(after, before)), key=lambda each: (each.start, each.end))


def _block(event: Json, asked: ZoneInfo) -> Block:
    start, end = event["start"], event["end"]
    if event["isAllDay"]:
        start, end = start.replace(tzinfo=asked).astimezone(UTC), end.replace(tzinfo=asked).astimezone(UTC)
    private = event["sensitivity"] == "private"
    return Block(start, end, event["showAs"], event["subject"], event["location"]["displayName"], private)
