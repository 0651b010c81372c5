"""Times as Outlook writes them: dateTime strings without an offset, beside a Windows or IANA zone name."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel.core import get_global

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.world.state import Json

# Exchange stores nothing outside these years (it names 1 September 4500 as the last day of a series).
YEARS = range(1601, 4501)


@cache
def _names() -> dict[str, str]:
    """Every name that Outlook understands, in lower case, to its IANA name; Windows names by Unicode's CLDR."""
    windows = {name.lower(): iana for name, iana in get_global("windows_zone_mapping").items()}
    return {name.lower(): name for name in available_timezones()} | windows


def zone(name: str) -> ZoneInfo:
    """The zone of a Windows name ("Pacific Standard Time") or an IANA name, in any case.

    Raises GraphError 400 TimeZoneNotSupportedException, as Outlook does instead of falling back.
    """
    known = _names().get(name.lower())
    if known is None:
        message = f"A valid TimeZone value must be specified. The following TimeZone value is not supported: '{name}'."
        raise GraphError(400, "TimeZoneNotSupportedException", message)
    return ZoneInfo(known)


def parse(text: str, zone_name: str = "UTC") -> datetime:
    """The moment (UTC) of an ISO 8601 text; the zone counts only when the text has no offset of its own.

    Raises ValueError for a text that is no time, or a year that Exchange cannot store.
    """
    moment = datetime.fromisoformat(text)
    if moment.year not in YEARS:
        raise ValueError(f"year out of range: {text!r}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone(zone_name))).astimezone(UTC)


def from_graph(value: Any) -> tuple[datetime, str]:
    """The moment and the zone name of a dateTimeTimeZone; property names in any case, no zone means UTC.

    Raises ValueError when it is not one, GraphError for an unknown zone.
    """
    if not isinstance(value, dict):
        raise ValueError("not a dateTimeTimeZone")
    found = {str(key).lower(): item for key, item in value.items()}
    text, zone_name = found.get("datetime"), found.get("timezone") or "UTC"
    if not isinstance(text, str) or not isinstance(zone_name, str):
        raise ValueError("not a dateTimeTimeZone")
    return parse(text, zone_name), zone_name


def to_graph(moment: datetime, zone_name: str) -> Json:
    """A dateTimeTimeZone: seven fractional digits and no offset."""
    local = moment.astimezone(zone(zone_name))
    return {"dateTime": local.strftime("%Y-%m-%dT%H:%M:%S.%f0"), "timeZone": zone_name}


def instant(moment: datetime) -> str:
    """A moment as Outlook's DateTimeOffset properties print it: UTC, seven fractional digits, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def preferred(headers: Mapping[str, str]) -> str:
    """The zone name that `Prefer: outlook.timezone="..."` asks for, else UTC; GraphError when it is unknown."""
    found = re.search(r'outlook\.timezone\s*=\s*"?([^",;]+)"?', headers.get("prefer", ""), re.IGNORECASE)
    name = found[1].strip() if found else "UTC"
    zone(name)
    return name
