"""Step 7, the rules by which a room answers bookings: does one of them keep it from ever accepting?

Meanings: https://learn.microsoft.com/powershell/module/exchangepowershell/set-calendarprocessing (read 2026-11-22).
"""

from __future__ import annotations

from runbook_lib.model import Json

SHORTEST = 30
"""Minutes of an ordinary meeting: a room that takes only shorter ones is of no use."""


def blocked(rules: Json) -> str:
    """Return the setting that keeps the room from accepting an ordinary booking, and what it does; empty when none."""
    automatic = str(rules.get("AutomateProcessing") or "")
    longest = _number(rules, "MaximumDurationInMinutes", 0)
    if automatic and automatic != "AutoAccept":
        return f"AutomateProcessing is {automatic}: the room never answers"
    if _number(rules, "BookingWindowInDays", 180) < 1:
        return "BookingWindowInDays is 0: nothing can be booked ahead"
    if 0 < longest < SHORTEST:
        return f"MaximumDurationInMinutes is {longest}: longer meetings are declined"
    if _is_off(rules, "AllBookInPolicy") and not rules.get("BookInPolicy"):
        waits = not _is_off(rules, "AllRequestInPolicy") and "AllRequestInPolicy" in rules
        return f"AllBookInPolicy is off: bookings {'wait for a delegate' if waits else 'are declined'}"
    return ""


def _number(rules: Json, name: str, usual: int) -> int:
    text = str(rules.get(name, usual))
    return int(text) if text.isdecimal() else usual


def _is_off(rules: Json, name: str) -> bool:
    return str(rules.get(name, True)).lower() == "false"
