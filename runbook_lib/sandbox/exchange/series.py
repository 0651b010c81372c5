"""Recurring events as their occurrences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from runbook_lib.sandbox.exchange import item_ids, recurrence
from runbook_lib.sandbox.exchange.event_body import home_zone
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState


def visible(box: Mailbox) -> list[Json]:
    """The events in a calendar: not those still on their way there, not those already gone."""
    return [event for event in box.events.values() if "_due" not in event and not event.get("_removed")]


def between(event: Json, after: datetime, before: datetime) -> Iterator[Json]:
    """The event, or the occurrences of a series, as far as they overlap after..before."""
    if not event["recurrence"]:
        if (event["start"] < before and event["end"] > after) or after <= event["start"] == event["end"] < before:
            yield event
        return
    times = (event["start"], event["end"])
    for start, end in recurrence.occurrences(event["recurrence"], *times, home_zone(event), after, before):
        if start not in event.get("_cancelled", ()):
            yield occurrence(event, start, end)


def occurrence(master: Json, start: datetime, end: datetime) -> Json:
    """One occurrence of a series as an event of its own."""
    own = {"id": item_ids.occurrence_id(master["id"], start), "start": start, "end": end, "type": "occurrence"}
    return master | own | {"seriesMasterId": master["id"], "recurrence": None}


def find(tenant: TenantState, key: str) -> Mailbox | None:
    """The mailbox of a user's object id, sign-in name or any of its addresses; None when there is none."""
    user = tenant.users.get(key.lower())
    address = (user["mail"] or user["userPrincipalName"]) if user else key
    box = tenant.mailboxes.get(address.lower())
    if box is None and user is None:
        named = (each for each in tenant.users.values() if key.lower() in _names(each))
        box = next((tenant.mailboxes.get((each["mail"] or "").lower()) for each in named), None)
    return box


def _names(user: Json) -> list[str]:
    return [name.lower().removeprefix("smtp:") for name in [user["userPrincipalName"], *user["proxyAddresses"]]]
