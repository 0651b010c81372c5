"""How a room answers a meeting request: Exchange's resource booking attendant, by the room's settings.

The keys are parameters of Set-CalendarProcessing; defaults and meanings are those of its page
(https://learn.microsoft.com/powershell/module/exchange/set-calendarprocessing).
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

from runbook_lib.sandbox.exchange import recurrence
from runbook_lib.sandbox.exchange.series import between
from runbook_lib.sandbox.world.state import Json

Answer = Literal["accepted", "declined", "tentativelyAccepted"]
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def answer(rules: Json, request: Json, calendar: list[Json], now: datetime) -> Answer:
    """The room's answer to a request, given the other events in its calendar.

    Occurrences of a series that clash within what the rules allow are noted in the request's `_cancelled`.
    """
    window = timedelta(days=rules.get("BookingWindowInDays", 180))
    longest = timedelta(minutes=rules.get("MaximumDurationInMinutes", 1440))
    if request["start"] > now + window or (longest and request["end"] - request["start"] > longest):
        return "declined"
    if request["recurrence"] and _series_is_refused(rules, request["recurrence"], now + window):
        return "declined"
    if not rules.get("AllowConflicts") and not _fits(rules, request, calendar, now + window):
        return "declined"
    if not rules.get("AllBookInPolicy", True):
        return "tentativelyAccepted" if rules.get("AllRequestInPolicy") else "declined"
    return "accepted"


def _series_is_refused(rules: Json, series: Json, horizon: datetime) -> bool:
    """A series that ends behind the horizon is declined as a whole, unless only its later part is to be lost."""
    if not rules.get("AllowRecurringMeetings", True):
        return True
    return bool(rules.get("EnforceSchedulingHorizon", True)) and recurrence.last_date(series) > horizon.date()


def _fits(rules: Json, request: Json, calendar: list[Json], horizon: datetime) -> bool:
    """Whether the room is free, or for a series: free often enough."""
    wanted = list(between(request, LONG_AGO, max(horizon, request["end"])))
    taken = [each for each in wanted if any(_clash(each, other) for other in calendar)]
    if not taken:
        return True
    share = 100 * len(taken) / len(wanted)
    if not request["recurrence"] or share > rules.get("ConflictPercentageAllowed", 0):
        return False
    request["_cancelled"] = {each["start"] for each in taken}
    return bool(len(taken) <= rules.get("MaximumConflictInstances", len(taken)))


def _clash(wanted: Json, other: Json) -> bool:
    return other["showAs"] != "free" and any(True for _ in between(other, wanted["start"], wanted["end"]))


def dressed(rules: Json, copy: Json) -> Json:
    """What the room keeps of the meeting: by default the organizer's name for a subject, no text, no private flag."""
    name = copy["organizer"]["emailAddress"]["name"]
    subject = "" if rules.get("DeleteSubject", True) else copy["subject"]
    kept: Json = {"subject": f"{name} {subject}".strip() if rules.get("AddOrganizerToSubject", True) else subject}
    if rules.get("DeleteComments", True):
        kept["body"] = {"contentType": "html", "content": ""}
    if rules.get("RemovePrivateProperty", True):
        kept["sensitivity"] = "normal"
    return kept
