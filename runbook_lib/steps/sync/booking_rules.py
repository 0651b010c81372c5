"""Step 7, the rules by which a room answers bookings: does one of them keep it from ever accepting?

Meanings: https://learn.microsoft.com/powershell/module/exchangepowershell/set-calendarprocessing (read 2026-11-22).
"""

from __future__ import annotations

from runbook_lib.steps.sync.answers import Rules

SHORTEST = 30
"""Minutes of an ordinary meeting: a room that takes only shorter ones is of no use."""


def blocked(rules: Rules) -> str:
    """Return the setting that keeps the room from accepting an ordinary booking, and what it does; empty when none."""
    automatic, ahead, longest = (
        rules.automate_processing,
        rules.booking_window_in_days,
        rules.maximum_duration_in_minutes,
    )
    if automatic and automatic.lower() != "autoaccept":
        return f"AutomateProcessing is {automatic}: the room never answers"
    if ahead is not None and ahead < 1:
        return f"BookingWindowInDays is {ahead}: nothing can be booked ahead"
    if longest and longest < SHORTEST:
        return f"MaximumDurationInMinutes is {longest}: longer meetings are declined"
    if rules.all_book_in_policy is False and not rules.book_in_policy:
        becomes = "wait for a delegate" if rules.all_request_in_policy else "are declined"
        return f"AllBookInPolicy is off: bookings {becomes}"
    return ""


def unread(rules: Rules | None) -> bool:
    """Tell whether a rule is missing that was to be read; an answer of the first script has one rule alone."""
    if rules is None or not rules.automate_processing:
        return True
    others = (rules.booking_window_in_days, rules.maximum_duration_in_minutes, rules.all_book_in_policy)
    return any(one is None for one in others) and any(one is not None for one in others)
