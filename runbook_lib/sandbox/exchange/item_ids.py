"""Identifiers as Exchange makes them: items, occurrences, calendars, change keys and iCalendar UIDs."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

HEAD = b"\x00\x03\x24\x00"  # what makes every id start with AAMk
ITEM, FOLDER = b"\x00\x46\x00", b"\x00\x2e\x00"  # each is followed by an entry id of 70 and of 46 bytes
STORE = bytes.fromhex("000000001a447390aa6611cd9bc800aa002fc45a")
CALENDAR = b"\x00\x00\x00\x00\x01\x0d\x00\x00"
PLAIN_LENGTH = len(HEAD) + 36 + len(ITEM) + 70
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # added to, because fromtimestamp fails for early years on Windows
STORABLE = range(-400 * 365 * 86400, 2600 * 365 * 86400)  # seconds from 1970: all that Exchange can store, and more


def calendar_id(mailbox: str) -> str:
    """The id of the default calendar of a mailbox, which is known by its user's object id."""
    folder = uuid5(UUID(mailbox), "calendar").bytes
    return _text(HEAD + mailbox.encode() + FOLDER + STORE + b"\x01\x00" + folder + CALENDAR)


def new_item_id(mailbox: str) -> str:
    """A fresh id for an event in a mailbox."""
    folder = uuid5(UUID(mailbox), "calendar").bytes
    entry = STORE + b"\x07\x00" + folder + CALENDAR + uuid4().bytes + CALENDAR
    return _text(HEAD + mailbox.encode() + ITEM + entry)


def occurrence_id(master: str, start: datetime) -> str:
    """The id of the occurrence of a series that starts then."""
    return _text(_bytes(master) + ((start - EPOCH) // timedelta(seconds=1)).to_bytes(8, "big", signed=True))


def taken_apart(item: str) -> tuple[str, datetime | None]:
    """The id of the event itself and, for an occurrence, its start. ValueError for what Exchange never made."""
    raw = _bytes(item)
    if len(raw) not in (PLAIN_LENGTH, PLAIN_LENGTH + 8) or not raw.startswith(HEAD):
        raise ValueError("Id is malformed.")
    event, stamp = _text(raw[:PLAIN_LENGTH]), raw[PLAIN_LENGTH:]
    if not stamp:
        return event, None
    seconds = int.from_bytes(stamp, "big", signed=True)
    if seconds not in STORABLE:
        raise ValueError("Id is malformed.")
    return event, EPOCH + timedelta(seconds=seconds)


def new_change_key() -> str:
    """A fresh version stamp of an item."""
    return base64.b64encode(uuid4().bytes + uuid4().bytes[:6]).decode()


def new_uid(created: datetime) -> str:
    """A fresh iCalUId: the same in the organizer's and in every attendee's copy of a meeting."""
    ticks = (created - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    stamp = ticks.to_bytes(8, "little").hex().upper()
    return f"040000008200E00074C5B7101A82E00800000000{stamp}000000000000000010000000{uuid4().hex.upper()}"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    """The bytes of an id in the URL-safe alphabet, strictly. ValueError when it is none."""
    try:
        return base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as fault:
        raise ValueError("Id is malformed.") from fault
