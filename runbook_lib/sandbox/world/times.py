"""Times as scenarios and Graph write them."""

import re
from datetime import datetime, timedelta

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def graph_time(moment: datetime) -> str:
    """A moment as Graph's directory answers print it: UTC, whole seconds, Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(text: str) -> timedelta:
    """A length of time such as 90m, 6h or 30d. ValueError for anything else."""
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if match is None:
        raise ValueError(f"not a time like 90m, 6h or 30d: {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
