from datetime import UTC, datetime

import pytest

from runbook_lib.sandbox.exchange.zones import from_graph, instant, parse, preferred, to_graph, zone
from runbook_lib.sandbox.faults import GraphError


@pytest.mark.parametrize(
    ("local", "zone_name", "utc"),
    [
        # Berlin: 29 March 2026 two o'clock becomes three, 25 October three o'clock becomes two.
        ("2026-03-29T01:59:00", "Europe/Berlin", "2026-03-29T00:59:00"),
        ("2026-03-29T03:00:00", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-10-25T01:59:00", "Europe/Berlin", "2026-10-24T23:59:00"),
        ("2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00"),
        ("2026-10-25T03:00:00", "W. Europe Standard Time", "2026-10-25T02:00:00"),
        # Pacific: 8 March 2026 two o'clock becomes three, 1 November two o'clock becomes one.
        ("2026-03-08T01:59:00", "Pacific Standard Time", "2026-03-08T09:59:00"),
        ("2026-03-08T03:00:00", "Pacific Standard Time", "2026-03-08T10:00:00"),
        ("2026-11-01T00:59:00", "Pacific Standard Time", "2026-11-01T07:59:00"),
        ("2026-11-01T02:00:00", "Pacific Standard Time", "2026-11-01T10:00:00"),
        ("2026-11-01T02:00:00", "America/Los_Angeles", "2026-11-01T10:00:00"),
    ],
)
def test_wall_clocks_are_right_on_both_sides_of_a_change(local: str, zone_name: str, utc: str) -> None:
    moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert from_graph({"dateTime": local, "timeZone": zone_name}) == (moment, zone_name)
    assert to_graph(moment, zone_name) == {"dateTime": f"{local}.0000000", "timeZone": zone_name}


def test_an_hour_that_does_not_exist_is_read_as_if_the_clock_had_not_been_changed_yet() -> None:
    assert parse("2026-03-29T02:30:00", "Europe/Berlin") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-23T09:00:00.0000000", 9),
        ("2026-11-23T09:00:00Z", 9),
        ("2026-11-23T09:00:00+02:00", 7),
        ("2026-11-23T09:00", 9),
        ("2026-11-23", 0),
    ],
)
def test_times_are_read_in_every_form_that_clients_send(text: str, hour: int) -> None:
    assert parse(text) == datetime(2026, 11, 23, hour, tzinfo=UTC)


@pytest.mark.parametrize("name", ["utc", "UTC", "Etc/UTC", "pacific standard time", "GMT Standard Time"])
def test_zone_names_are_known_in_any_case(name: str) -> None:
    assert zone(name) is not None


@pytest.mark.parametrize("name", ["", "Mars Standard Time", "../../etc/passwd", "UTC+1", "Pacific"])
def test_an_unknown_zone_is_refused_as_outlook_does(name: str) -> None:
    with pytest.raises(GraphError) as refusal:
        zone(name)
    assert (refusal.value.status, refusal.value.code) == (400, "TimeZoneNotSupportedException")
    assert f"'{name}'" in refusal.value.message


@pytest.mark.parametrize(
    "value",
    [
        *(None, "2026-11-23T09:00:00", [], {}, {"dateTime": None}, {"dateTime": 5}, {"dateTime": "soon"}),
        *({"dateTime": "0001-01-01T00:00:00"}, {"dateTime": "9999-12-31T23:59:59", "timeZone": "Europe/Berlin"}),
        *({"dateTime": "2026-11-23T25:00:00"}, {"dateTime": "2026-11-23T09:00:00", "timeZone": 1}),
    ],
)
def test_what_is_no_time_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_graph(value)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", "UTC"),
        ('outlook.timezone="Pacific Standard Time"', "Pacific Standard Time"),
        ("outlook.timezone=Europe/Berlin", "Europe/Berlin"),
        ('odata.maxpagesize=5, Outlook.TimeZone = "Europe/Berlin"', "Europe/Berlin"),
    ],
)
def test_the_prefer_header_chooses_the_zone_of_the_answer(header: str, name: str) -> None:
    assert preferred({"prefer": header}) == name


def test_moments_have_seven_digits() -> None:
    assert instant(datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)) == "2026-11-23T09:00:00.1234560Z"
