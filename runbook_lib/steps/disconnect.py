"""Step 1: go or no go, and what the deletion takes away until the last step is done."""

from __future__ import annotations

from runbook_lib.display.cards import Card
from runbook_lib.model import Raw, Status, Tenant
from runbook_lib.runs.record import Record

BLOCKING = (Status.FAIL, Status.UNKNOWN, Status.PENDING)


def go_or_no_go(tenant: Tenant, preflight: Record, raw: Raw) -> Card:
    """Return what preflight came to, what the deletion affects, and how to go back; the status is the decision."""
    statuses = [one.status for one in preflight.findings] + [one.status for one in preflight.confirmations]
    waiting = [status.value for status in statuses if status in BLOCKING]
    held = ", ".join(f"{waiting.count(word)} {word}" for word in dict.fromkeys(waiting))
    rooms = raw["rooms"]
    lines = {
        "decision": "NO GO: settle preflight's to-do list first" if waiting else "GO",
        "preflight": f"{preflight.finished:%Y-%m-%d %H:%M} UTC, {held or 'nothing open'}",
        "goes down": "SpaceIQ receives no free/busy and books no room until step 7 has proved the sync",
        "rooms affected": "could not be counted" if rooms.refusal else f"{rooms.population} that Graph shows",
        "stays": "Outlook and Teams book rooms as before; bookings already in the calendars stay there",
        "not documented": "whether SpaceIQ keeps its pairs of space and calendar; ask Eptura, and note the pairs first",
        "way back": "none by undo: the integration is connected again by steps 2 to 7, with a fresh activation mail",
        "change": f"{tenant.change.ticket or 'no ticket'}, approved by {tenant.change.approved_by or 'nobody named'}",
    }
    return Card("Before you delete", lines, Status.FAIL if waiting else Status.PASS)
