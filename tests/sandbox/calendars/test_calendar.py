import pytest

from runbook_lib.sandbox.world.keys import Credentials
from tests.sandbox.outlook import (
    ADELE,
    DIEGO,
    ROOM,
    Outlook,
    faults,
    inviting,
    meeting,
    monday,
    query,
    refused,
    unsaid,
    view,
)

WEEK = ("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z")


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


@pytest.mark.parametrize("name", ["id", "address", "upper", "alias"])
def test_a_mailbox_is_named_by_id_or_any_address(outlook: Outlook, name: str) -> None:
    keys = {
        "id": outlook.box(ADELE).user_id,
        "address": ADELE,
        "upper": ADELE.upper(),
        "alias": "adele@contoso.onmicrosoft.com",
    }
    calendar = outlook.get(f"/users/{keys[name]}/calendar")
    assert calendar["owner"] == {"name": "Adele Vance", "address": ADELE}
    assert list(faults(calendar, "calendar")) == []
    assert unsaid(calendar, "calendar") == set()


def test_the_context_repeats_the_user_as_the_client_wrote_it(outlook: Outlook) -> None:
    context = outlook.get(f"/users/{ADELE}/calendar")["@odata.context"]
    assert context == "https://graph.example/v1.0/$metadata#users('adele%40contoso.example')/calendar/$entity"


@pytest.mark.parametrize(
    ("key", "state", "answer"),
    [
        ("nobody@contoso.example", "ok", (404, "ErrorInvalidUser")),
        ("00000000-1111-2222-3333-444444444444", "ok", (404, "ErrorInvalidUser")),
        (ROOM, "missing", (404, "ResourceNotFound")),
        (ROOM, "on-premises", (404, "MailboxNotEnabledForRESTAPI")),
        (ROOM, "policy-blocked", (403, "ErrorAccessDenied")),
    ],
)
@pytest.mark.parametrize("tail", ["calendar", "calendars", "events", "mailboxSettings", "calendarView"])
def test_a_mailbox_out_of_reach_says_why(
    outlook: Outlook, key: str, state: str, answer: tuple[int, str], tail: str
) -> None:
    outlook.box(ROOM).state = state
    assert refused(outlook.ask("GET", f"/users/{key}/{tail}")) == answer


def test_a_user_without_a_mailbox_is_no_unknown_user(outlook: Outlook) -> None:
    user_id = outlook.box(ROOM).user_id
    del outlook.tenant.mailboxes[ROOM]
    assert refused(outlook.ask("GET", f"/users/{user_id}/calendar")) == (404, "ResourceNotFound")


def test_an_access_policy_speaks_of_itself_and_binds_only_the_apps_it_names(outlook: Outlook) -> None:
    outlook.box(ROOM).state = "policy-blocked"
    body = outlook.ask("GET", f"/users/{ROOM}/calendar").body
    assert isinstance(body, dict)
    assert "[RAOP] : Blocked by tenant configured AppOnly AccessPolicy settings." in body["error"]["message"]
    outlook.tenant.modes["access_policy"] = ["cronofy-enterprise"]
    assert outlook.ask("GET", f"/users/{ROOM}/calendar").status == 403
    outlook.tenant.modes["access_policy"] = ["cronofy-individual"]
    assert outlook.ask("GET", f"/users/{ROOM}/calendar").status == 200


@pytest.mark.parametrize(
    ("address", "answer"), [(DIEGO, (403, "ErrorAccessDenied")), (ROOM, (404, "ErrorItemNotFound"))]
)
def test_a_signed_in_user_opens_only_the_own_calendar(outlook: Outlook, address: str, answer: tuple[int, str]) -> None:
    user = outlook.signed_in(ADELE, "Calendars.ReadWrite", "Calendars.Read.Shared")
    assert user.get("/me/calendar")["owner"]["address"] == ADELE
    assert user.get(f"/users/{ADELE}/calendar")["name"] == "Calendar"
    assert refused(user.ask("GET", f"/users/{address}/calendar")) == answer


def test_me_is_for_users(outlook: Outlook) -> None:
    assert refused(outlook.ask("GET", "/me/calendar")) == (400, "BadRequest")


def test_a_calendar_is_found_by_its_id_and_by_no_other(outlook: Outlook) -> None:
    own, other = (outlook.get(f"/users/{address}/calendars")["value"][0]["id"] for address in (ADELE, DIEGO))
    assert outlook.get(f"/users/{ADELE}/calendars/{own}")["isDefaultCalendar"] is True
    assert outlook.get(f"/users/{ADELE}/calendars/{own}/events")["value"] == []
    assert refused(outlook.ask("GET", f"/users/{ADELE}/calendars/{other}")) == (404, "ErrorItemNotFound")


@pytest.mark.parametrize("permission", ["MailboxSettings.Read", "Place.Read.All", "Calendars.Read.All"])
def test_a_calendar_needs_a_calendar_permission(outlook: Outlook, permission: str) -> None:
    assert refused(outlook.only(permission).ask("GET", f"/users/{ADELE}/calendar")) == (403, "ErrorAccessDenied")


# calendarView


@pytest.mark.parametrize(
    "tail", ["", "?startDateTime=2026-11-23", "?endDateTime=2026-11-23", "?$top=5", "?startDateTime=&endDateTime="]
)
def test_a_view_needs_both_ends_of_its_window(outlook: Outlook, tail: str) -> None:
    assert refused(outlook.ask("GET", f"/users/{ADELE}/calendarView{tail}")) == (400, "ErrorInvalidParameter")


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("soon", "2026-11-23", "ErrorInvalidParameter"),
        ("2026-11-23T00:00:00+05:30".replace("+", " "), "2026-11-24", "ErrorInvalidParameter"),  # a plus not encoded
        ("2026-11-24", "2026-11-23", "ErrorInvalidParameter"),
        ("2021-11-01", "2026-11-23", "ErrorInvalidRequest"),  # more than 1825 days
    ],
)
def test_a_window_that_makes_no_sense_is_refused(outlook: Outlook, start: str, end: str, code: str) -> None:
    assert refused(outlook.ask("GET", view(f"/users/{ADELE}", start, end))) == (400, code)


@pytest.mark.parametrize(
    ("start", "end", "number"),
    [
        ("2026-11-23T09:30:00Z", "2026-11-23T09:31:00Z", 1),
        ("2026-11-23T10:00:00Z", "2026-11-24", 0),
        ("2026-11-22", "2026-11-23T09:00:00", 0),
        ("2026-11-23T10:30:00+01:00", "2026-11-23T12:00:00+01:00", 1),
        ("2026-11-23T11:00:00+01:00", "2026-11-23T12:00:00+01:00", 0),
    ],
)
def test_a_view_holds_what_overlaps_its_window(outlook: Outlook, start: str, end: str, number: int) -> None:
    outlook.post(f"/users/{ADELE}/events", meeting())
    assert len(outlook.get(view(f"/users/{ADELE}", start, end))["value"]) == number


def test_an_all_day_event_is_matched_as_a_day_of_utc_and_shown_on_its_date(outlook: Outlook) -> None:
    tokyo = "Tokyo Standard Time"
    outlook.post(f"/users/{ADELE}/events", meeting("2026-11-24T00:00:00", "2026-11-25T00:00:00", tokyo, isAllDay=True))
    found = outlook.get(
        view(f"/users/{ADELE}", "2026-11-24T23:00:00Z", "2026-11-25T23:00:00Z"), prefer=f'outlook.timezone="{tokyo}"'
    )
    assert found["value"][0]["start"] == {"dateTime": "2026-11-24T00:00:00.0000000", "timeZone": tokyo}
    assert outlook.get(view(f"/users/{ADELE}", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"))["value"] == []


def test_a_view_pages_by_ten_and_its_links_lead_through_everything(outlook: Outlook) -> None:
    for hour in range(23):
        outlook.post(f"/users/{ADELE}/events", meeting(f"2026-11-23T{hour:02}:00:00", f"2026-11-23T{hour:02}:30:00"))
    page = outlook.get(view(f"/users/{ADELE}", *WEEK))
    sizes, starts = [len(page["value"])], [event["start"]["dateTime"] for event in page["value"]]
    while "@odata.nextLink" in page:
        link = page["@odata.nextLink"]
        assert "skip=" in link
        page = outlook.get(link.removeprefix("https://graph.example/v1.0"))
        sizes.append(len(page["value"]))
        starts += [event["start"]["dateTime"] for event in page["value"]]
    assert sizes == [10, 10, 3]
    assert starts == sorted(starts, reverse=True)
    assert len(set(starts)) == 23


@pytest.mark.parametrize(("top", "number"), [(5, 5), (1000, 12), (999_999, 12)])
def test_a_page_may_be_chosen_and_a_greater_one_than_the_greatest_does_no_harm(
    outlook: Outlook, top: int, number: int
) -> None:
    for hour in range(12):
        outlook.post(f"/users/{ADELE}/events", meeting(f"2026-11-23T{hour:02}:00:00", f"2026-11-23T{hour:02}:30:00"))
    assert len(outlook.get(view(f"/users/{ADELE}", *WEEK, top=top))["value"]) == number


def test_a_view_takes_the_usual_options(outlook: Outlook) -> None:
    for hour, subject in ((9, "First"), (7, "Second"), (8, "Third")):
        times = (f"2026-11-23T{hour:02}:00:00", f"2026-11-23T{hour:02}:30:00")
        outlook.post(f"/users/{ADELE}/events", meeting(*times) | {"subject": subject})
    rows = outlook.get(view(f"/users/{ADELE}", *WEEK, orderby="start/dateTime", select="subject"))["value"]
    assert [row["subject"] for row in rows] == ["Second", "Third", "First"]
    assert set(rows[0]) == {"@odata.etag", "id", "subject"}
    rows = outlook.get(view(f"/users/{ADELE}", *WEEK, filter="startswith(subject,'Th')", count="true"))
    assert (rows["@odata.count"], rows["value"][0]["subject"]) == (1, "Third")
    rows = outlook.get(view(f"/users/{ADELE}", *WEEK, filter="start/dateTime lt '2026-11-23T08:00'"))["value"]
    assert [row["subject"] for row in rows] == ["Second"]


@pytest.mark.parametrize(
    "option", ["$select=nothing", "$filter=nothing eq 1", "$search=x", "$top=-1", "$orderby=nothing"]
)
def test_unknown_properties_and_options_are_refused(outlook: Outlook, option: str) -> None:
    address = view(f"/users/{ADELE}", *WEEK)
    assert outlook.ask("GET", f"{address}&{option}").status == 400


def test_the_preferred_zone_is_used_and_acknowledged(outlook: Outlook) -> None:
    outlook.post(f"/users/{ADELE}/events", meeting())
    reply = outlook.ask("GET", view(f"/users/{ADELE}", *WEEK), prefer='outlook.timezone="Europe/Berlin"')
    assert isinstance(reply.body, dict)
    assert reply.body["value"][0]["start"] == {"dateTime": "2026-11-23T10:00:00.0000000", "timeZone": "Europe/Berlin"}
    assert reply.headers["Preference-Applied"] == 'outlook.timezone="Europe/Berlin"'
    wrong = outlook.ask("GET", view(f"/users/{ADELE}", *WEEK), prefer='outlook.timezone="Mars"')
    assert refused(wrong) == (400, "TimeZoneNotSupportedException")


@pytest.mark.parametrize("tail", ["calendarView", "calendar/calendarView"])
def test_a_series_is_viewed_as_its_occurrences(outlook: Outlook, tail: str) -> None:
    daily = {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered", "numberOfOccurrences": 3}}
    master = outlook.post(f"/users/{ADELE}/events", meeting(recurrence=daily))
    rows = outlook.get(f"/users/{ADELE}/{tail}{query(startDateTime=WEEK[0], endDateTime=WEEK[1])}")["value"]
    assert [row["start"]["dateTime"][:10] for row in rows] == ["2026-11-25", "2026-11-24", "2026-11-23"]
    assert {(row["type"], row["seriesMasterId"], row["recurrence"]) for row in rows} == {
        ("occurrence", master["id"], None)
    }
    assert [fault for row in rows for fault in faults(row, "event")] == []
    assert outlook.get(f"/users/{ADELE}/events/{rows[0]['id']}")["start"] == rows[0]["start"]


def test_basic_permission_shows_no_bodies(outlook: Outlook) -> None:
    outlook.post(f"/users/{ADELE}/events", meeting(body={"contentType": "text", "content": "secret plan"}))
    shown = outlook.only("Calendars.ReadBasic.All").get(view(f"/users/{ADELE}", *WEEK))["value"][0]
    assert {"body", "bodyPreview"}.isdisjoint(shown)
    assert (
        outlook.only("Calendars.Read").get(view(f"/users/{ADELE}", *WEEK))["value"][0]["bodyPreview"] == "secret plan"
    )


def test_a_room_shows_its_bookings_in_its_own_view(outlook: Outlook) -> None:
    outlook.post(f"/users/{ADELE}/events", inviting(ROOM))
    outlook.later(2)
    assert len(outlook.get(view(f"/users/{ROOM}", *WEEK))["value"]) == 1


# mailboxSettings


@pytest.mark.parametrize(("address", "purpose"), [(ROOM, "room"), (ADELE, "user")])
def test_the_purpose_of_a_mailbox_is_a_setting(outlook: Outlook, address: str, purpose: str) -> None:
    settings = outlook.get(f"/users/{address}/mailboxSettings")
    assert settings["userPurpose"] == purpose
    assert list(faults(settings, "mailboxSettings")) == []
    assert unsaid(settings, "mailboxSettings") == set()
    assert outlook.get(f"/users/{address}/mailboxSettings/userPurpose")["value"] == purpose
    assert outlook.get(f"/users/{address}/mailboxSettings/WorkingHours")["startTime"] == "08:00:00.0000000"


def test_settings_need_their_own_permission(outlook: Outlook) -> None:
    caller = outlook.only("Calendars.ReadWrite", "Place.Read.All", "User.Read.All")
    assert refused(caller.ask("GET", f"/users/{ROOM}/mailboxSettings")) == (403, "ErrorAccessDenied")


def test_an_unknown_setting_is_no_segment(outlook: Outlook) -> None:
    assert refused(outlook.ask("GET", f"/users/{ROOM}/mailboxSettings/colour")) == (400, "BadRequest")
