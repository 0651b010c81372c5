from typing import Any

import pytest

from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.outlook import ADELE, DIEGO, OTHER_ROOM, ROOM, Outlook, faults, inviting, meeting, monday, refused

ASK = f"/users/{ADELE}/calendar/getSchedule"


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


def question(
    *addresses: str, start: str = "2026-11-23T08:00:00", end: str = "2026-11-23T12:00:00", **more: Any
) -> Json:
    zone = more.pop("zone", "UTC")
    times = {"startTime": {"dateTime": start, "timeZone": zone}, "endTime": {"dateTime": end, "timeZone": zone}}
    return {"schedules": list(addresses), **times, **more}


def ask(outlook: Outlook, *addresses: str, prefer: str = "", **more: Any) -> list[Json]:
    answer = outlook.post(ASK, question(*addresses, **more), 200, prefer=prefer)
    assert answer["@odata.context"].endswith("/$metadata#Collection(microsoft.graph.scheduleInformation)")
    rows: list[Json] = answer["value"]
    assert [fault for row in rows for fault in faults(row, "scheduleInformation")] == []
    return rows


def test_addresses_are_answered_in_order_and_as_they_were_written(outlook: Outlook) -> None:
    addresses = [ROOM.upper(), ADELE, "Room-Baker@Contoso.example"]
    assert [row["scheduleId"] for row in ask(outlook, *addresses)] == addresses


def test_a_booked_room_is_busy_once_it_has_answered(outlook: Outlook) -> None:
    outlook.post(f"/users/{DIEGO}/events", inviting(ROOM))
    assert ask(outlook, ROOM)[0]["availabilityView"] == "00000000"
    outlook.later(2)
    room = ask(outlook, ROOM)[0]
    assert room["availabilityView"] == "00220000"
    times = {"start": "2026-11-23T09:00:00.0000000", "end": "2026-11-23T10:00:00.0000000"}
    assert room["scheduleItems"] == [
        {"status": "busy", **{name: {"dateTime": text, "timeZone": "UTC"} for name, text in times.items()}}
    ]


def test_one_sees_what_ones_own_calendar_holds_and_of_others_only_when(outlook: Outlook) -> None:
    body = meeting(location={"displayName": "Harry's Bar"}, sensitivity="private")
    for address in (ADELE, DIEGO):
        outlook.post(f"/users/{address}/events", body)
    own, other = (row["scheduleItems"][0] for row in ask(outlook, ADELE, DIEGO))
    assert (
        own.items() >= {"subject": "Planning", "location": "Harry's Bar", "isPrivate": True, "status": "busy"}.items()
    )
    assert set(other) == {"status", "start", "end"}


@pytest.mark.parametrize(
    ("status", "digit"), [("free", "0"), ("tentative", "1"), ("busy", "2"), ("oof", "3"), ("workingElsewhere", "0")]
)
def test_every_status_has_its_digit_and_is_listed(outlook: Outlook, status: str, digit: str) -> None:
    outlook.post(f"/users/{DIEGO}/events", meeting(showAs=status))
    row = ask(outlook, DIEGO, availabilityViewInterval=60)[0]
    assert (row["availabilityView"], row["scheduleItems"][0]["status"]) == (f"0{digit}00", status)


@pytest.mark.parametrize(("interval", "slots"), [("15", 16), (60, 4), (None, 8), (5, 48), (240, 1)])
def test_the_interval_may_be_text_or_number_and_is_thirty_by_default(
    outlook: Outlook, interval: object, slots: int
) -> None:
    assert len(ask(outlook, ROOM, availabilityViewInterval=interval)[0]["availabilityView"]) == slots


def test_names_in_the_body_are_read_in_any_case(outlook: Outlook) -> None:
    body = {name[0].upper() + name[1:]: value for name, value in question(ROOM, AvailabilityViewInterval="60").items()}
    assert outlook.post(ASK, body, 200)["value"][0]["availabilityView"] == "0000"


def test_times_come_in_the_preferred_zone(outlook: Outlook) -> None:
    outlook.post(f"/users/{DIEGO}/events", meeting())
    item = ask(outlook, DIEGO, prefer='outlook.timezone="Pacific Standard Time"')[0]["scheduleItems"][0]
    assert item["start"] == {"dateTime": "2026-11-23T01:00:00.0000000", "timeZone": "Pacific Standard Time"}


@pytest.mark.parametrize(
    ("zone", "day", "slots"),
    [
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-11-23", 24),
        ("Pacific Standard Time", "2026-11-01", 25),
        ("Pacific Standard Time", "2026-03-08", 23),
    ],
)
def test_a_day_has_as_many_hours_as_its_zone_gives_it(outlook: Outlook, zone: str, day: str, slots: int) -> None:
    window = {"start": f"{day}T00:00:00", "end": f"{day}T23:59:59", "zone": zone}
    assert len(ask(outlook, ROOM, availabilityViewInterval=60, **window)[0]["availabilityView"]) == slots


def test_a_meeting_stays_at_its_wall_clock_when_the_clocks_change(outlook: Outlook) -> None:
    weekly = {
        "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["sunday"]},
        "range": {"type": "noEnd", "startDate": "2026-10-18"},
    }
    body = meeting("2026-10-18T09:00:00", "2026-10-18T10:00:00", "Europe/Berlin", recurrence=weekly)
    outlook.post(f"/users/{DIEGO}/events", body)
    row = ask(outlook, DIEGO, start="2026-10-18T00:00:00", end="2026-10-26T00:00:00")[0]
    assert [item["start"]["dateTime"][:16] for item in row["scheduleItems"]] == ["2026-10-18T07:00", "2026-10-25T08:00"]


def test_an_all_day_event_covers_the_day_of_the_asked_zone(outlook: Outlook) -> None:
    outlook.post(f"/users/{DIEGO}/events", meeting("2026-11-24T00:00:00", "2026-11-25T00:00:00", isAllDay=True))
    window = {"start": "2026-11-23T00:00:00", "end": "2026-11-26T00:00:00", "zone": "Pacific Standard Time"}
    row = ask(outlook, DIEGO, availabilityViewInterval=1440, **window)[0]
    assert row["availabilityView"] == "020"
    assert row["scheduleItems"][0]["start"] == {"dateTime": "2026-11-24T08:00:00.0000000", "timeZone": "UTC"}


def test_working_hours_are_those_of_the_mailbox(outlook: Outlook) -> None:
    hours = ask(outlook, ROOM)[0]["workingHours"]
    assert hours["timeZone"] == {"name": "Pacific Standard Time"}
    assert (hours["startTime"], hours["endTime"], len(hours["daysOfWeek"])) == (
        "08:00:00.0000000",
        "17:00:00.0000000",
        5,
    )


def test_a_room_list_counts_and_is_answered_as_one(outlook: Outlook) -> None:
    outlook.post(f"/users/{ADELE}/events", inviting(ROOM))
    outlook.later(2)
    rows = ask(outlook, "rooms-building-1@contoso.example", availabilityViewInterval=60)
    assert rows == [{"scheduleId": "rooms-building-1@contoso.example", "availabilityView": "0200", "scheduleItems": []}]


@pytest.mark.parametrize(
    ("state", "address", "code"),
    [
        ("ok", "nobody@contoso.example", "5009"),
        ("ok", "not an address", "5009"),
        ("on-premises", ROOM, "5016"),
        ("missing", ROOM, "5016"),
    ],
)
def test_a_bad_address_spoils_only_its_own_row(outlook: Outlook, state: str, address: str, code: str) -> None:
    outlook.box(ROOM).state = state
    good, bad = ask(outlook, OTHER_ROOM, address)
    assert good["availabilityView"] == "00000000"
    assert set(bad) == {"scheduleId", "error"}
    assert bad["error"]["responseCode"] == code


@pytest.mark.parametrize("state", ["policy-blocked", "hidden"])
def test_free_busy_of_a_blocked_or_hidden_room_is_told(outlook: Outlook, state: str) -> None:
    outlook.box(ROOM).state = state
    assert ask(outlook, ROOM)[0]["availabilityView"] == "00000000"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (question(*[f"x{n}@contoso.example" for n in range(21)]), "ErrorMailboxDataArrayTooBig"),
        # five rooms in one list and four in the other
        (
            question("rooms-building-1@contoso.example", "rooms-building-2@contoso.example", *[ROOM] * 12),
            "ErrorMailboxDataArrayTooBig",
        ),
        (question(), "ErrorMailboxDataArrayEmpty"),
        (question(ROOM, end="2026-11-23T08:00:00"), "ErrorInvalidTimeInterval"),
        (question(ROOM, end="2026-11-22T08:00:00"), "ErrorInvalidTimeInterval"),
        (question(ROOM, start="soon"), "ErrorInvalidTimeInterval"),
        (question(ROOM) | {"endTime": None}, "ErrorInvalidTimeInterval"),
        (question(ROOM, end="2027-01-24T08:00:00"), "ErrorTimeIntervalTooBig"),  # 62 days
        (question(ROOM, end="2027-03-24T08:00:00"), "ErrorTimeIntervalTooBig"),
        (question(ROOM, availabilityViewInterval=4), "ErrorInvalidMergedFreeBusyInterval"),
        (
            question(ROOM, availabilityViewInterval=1441, end="2026-11-30T08:00:00"),
            "ErrorInvalidMergedFreeBusyInterval",
        ),
        (question(ROOM, availabilityViewInterval=-30), "ErrorInvalidMergedFreeBusyInterval"),
        (question(ROOM, end="2026-11-23T08:29:00"), "ErrorInvalidMergedFreeBusyInterval"),  # shorter than the default
        (question(ROOM, availabilityViewInterval="often"), "RequestBodyRead"),
        (question(ROOM, availabilityViewInterval=True), "RequestBodyRead"),
        (question(ROOM) | {"schedules": ROOM}, "RequestBodyRead"),
        (question(ROOM) | {"schedules": [5]}, "RequestBodyRead"),
        (question(ROOM, zone="Mars Standard Time"), "TimeZoneNotSupportedException"),
        ({}, "RequestBodyRead"),
        (None, "BadRequest"),
    ],
)
def test_what_breaks_a_limit_is_refused_with_exchanges_code(outlook: Outlook, body: Json | None, code: str) -> None:
    assert refused(outlook.ask("POST", ASK, body)) == (400, code)


@pytest.mark.parametrize(
    "body",
    [
        question(*[f"x{n}@contoso.example" for n in range(20)]),
        question(ROOM, end="2027-01-24T07:59:00"),
        question(ROOM, end="2026-11-23T08:30:00"),
        question(ROOM, availabilityViewInterval=1440, end="2026-11-24T08:00:00"),
    ],
)
def test_what_reaches_a_limit_is_answered(outlook: Outlook, body: Json) -> None:
    assert outlook.ask("POST", ASK, body).status == 200


def test_a_message_names_the_limit_and_the_size(outlook: Outlook) -> None:
    reply = outlook.ask("POST", ASK, question(ROOM, end="2027-02-21T08:00:00"))
    assert isinstance(reply.body, dict)
    assert reply.body["error"]["message"].endswith("The allowed limit = 62 days; the actual limit = 90 days.")


def test_the_asking_mailbox_must_be_reachable_itself(outlook: Outlook) -> None:
    outlook.box(ADELE).state = "on-premises"
    assert refused(outlook.ask("POST", ASK, question(ROOM))) == (404, "MailboxNotEnabledForRESTAPI")


@pytest.mark.parametrize("permission", ["Calendars.ReadBasic.All", "Calendars.Read", "Calendars.ReadWrite"])
def test_each_calendar_role_is_enough(outlook: Outlook, permission: str) -> None:
    assert outlook.only(permission).ask("POST", ASK, question(ROOM)).status == 200


@pytest.mark.parametrize(
    "permission", ["Calendars.ReadWrite.All", "Calendars.Read.All", "Place.Read.All", "Calendars.ReadBasicX"]
)
def test_other_roles_are_not(outlook: Outlook, permission: str) -> None:
    assert refused(outlook.only(permission).ask("POST", ASK, question(ROOM))) == (403, "ErrorAccessDenied")


def test_a_signed_in_user_asks_for_rooms_through_the_own_mailbox(outlook: Outlook) -> None:
    user = outlook.signed_in(ADELE, "Calendars.ReadBasic")
    assert user.post("/me/calendar/getSchedule", question(ROOM), 200)["value"][0]["availabilityView"] == "00000000"
    assert user.post("/me/calendar/microsoft.graph.getschedule", question(ROOM), 200)["value"]
    assert refused(user.ask("POST", f"/users/{DIEGO}/calendar/getSchedule", question(ROOM))) == (
        403,
        "ErrorAccessDenied",
    )
