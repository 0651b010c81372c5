import base64

import pytest

from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.outlook import ADELE, DIEGO, ROOM, Outlook, faults, inviting, meeting, monday, query, refused

EVENTS = f"/users/{ADELE}/events"
WINDOW = query(startDateTime="2026-11-23T00:00:00Z", endDateTime="2026-11-30T00:00:00Z")
HOST = "https://graph.example/v1.0"


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


def first(outlook: Outlook, address: str = ADELE) -> tuple[list[Json], str]:
    return follow(outlook, f"{HOST}/users/{address}/calendarView/delta{WINDOW}")


def follow(outlook: Outlook, link: str) -> tuple[list[Json], str]:
    """All rows of a round and the link of the next one."""
    rows: list[Json] = []
    while True:
        page = outlook.get(link.removeprefix(HOST))
        assert page["@odata.context"] == f"{HOST}/$metadata#Collection(event)"
        rows += page["value"]
        if "@odata.deltaLink" in page:
            return rows, page["@odata.deltaLink"]
        link = page["@odata.nextLink"]


def removed(event: Json) -> Json:
    return {"id": event["id"], "@removed": {"reason": "deleted"}}


def test_the_first_round_gives_the_whole_view_in_pages(outlook: Outlook) -> None:
    for hour in range(23):
        outlook.post(EVENTS, meeting(f"2026-11-23T{hour:02}:00:00", f"2026-11-23T{hour:02}:30:00"))
    outlook.post(EVENTS, meeting("2026-12-24T09:00:00", "2026-12-24T10:00:00"))
    rows, _ = first(outlook)
    assert len({row["id"] for row in rows}) == len(rows) == 23
    assert [fault for row in rows for fault in faults(row, "event")] == []
    page = outlook.get(f"/users/{ADELE}/calendarView/delta(){WINDOW}", prefer="odata.maxpagesize=5")
    assert len(page["value"]) == 5


def test_a_later_round_gives_what_was_made_changed_and_removed(outlook: Outlook) -> None:
    kept, changed, gone = (outlook.post(EVENTS, meeting()) for _ in range(3))
    _, link = first(outlook)
    assert follow(outlook, link)[0] == []
    outlook.ask("PATCH", f"{EVENTS}/{changed['id']}", {"subject": "Changed"})
    outlook.ask("DELETE", f"{EVENTS}/{gone['id']}")
    new = outlook.post(EVENTS, meeting())
    rows, link = follow(outlook, link)
    assert [row["id"] for row in rows] == [changed["id"], gone["id"], new["id"]]
    assert (rows[0]["subject"], rows[1]) == ("Changed", removed(gone))
    assert kept["id"] not in {row["id"] for row in rows}
    assert follow(outlook, link)[0] == []


def test_a_change_between_two_pages_belongs_to_the_next_round(outlook: Outlook) -> None:
    for _ in range(11):
        outlook.post(EVENTS, meeting())
    page = outlook.get(f"/users/{ADELE}/calendarView/delta{WINDOW}")
    late = outlook.post(EVENTS, meeting())
    rest, link = follow(outlook, page["@odata.nextLink"])
    assert len(page["value"]) + len(rest) == 11
    assert [row["id"] for row in follow(outlook, link)[0]] == [late["id"]]


def test_what_leaves_the_window_is_removed_from_the_view(outlook: Outlook) -> None:
    event = outlook.post(EVENTS, meeting())
    _, link = first(outlook)
    later = meeting("2026-12-24T09:00:00", "2026-12-24T10:00:00")
    outlook.ask("PATCH", f"{EVENTS}/{event['id']}", {name: later[name] for name in ("start", "end")})
    assert follow(outlook, link)[0] == [removed(event)]


def test_a_room_shows_its_answer_as_a_change_and_a_refused_request_never(outlook: Outlook) -> None:
    _, link = first(outlook, ROOM)
    outlook.post(EVENTS, inviting(ROOM))
    outlook.post(EVENTS, inviting(ROOM))
    assert follow(outlook, link)[0] == []
    outlook.later(2)
    assert [row["responseStatus"]["response"] for row in follow(outlook, link)[0]] == ["accepted"]


def test_a_deleted_occurrence_is_removed(outlook: Outlook) -> None:
    daily = {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered", "numberOfOccurrences": 2}}
    outlook.post(EVENTS, meeting(recurrence=daily))
    rows, link = first(outlook)
    assert len(rows) == 2
    outlook.ask("DELETE", f"{EVENTS}/{rows[0]['id']}")
    assert removed(rows[0]) in follow(outlook, link)[0]


def token_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("token", ["", "x", token_of("{}"), token_of("[1]"), token_of('{"mailbox": 1}'), "é"])
@pytest.mark.parametrize("name", ["$deltatoken", "$skiptoken"])
def test_a_token_that_is_none_asks_for_a_full_sync(outlook: Outlook, name: str, token: str) -> None:
    reply = outlook.ask("GET", f"/users/{ADELE}/calendarView/delta?{name}={token}")
    assert refused(reply) == (410, "SyncStateNotFound")


def test_a_token_of_another_mailbox_or_of_the_future_asks_for_a_full_sync(outlook: Outlook) -> None:
    _, link = first(outlook)
    token = link.partition("deltatoken=")[2]
    reply = outlook.ask("GET", f"/users/{DIEGO}/calendarView/delta?$deltatoken={token}")
    assert refused(reply) == (410, "SyncStateNotFound")
    state = base64.urlsafe_b64decode(token + "==").decode()
    future = token_of(state.replace('"since": ', '"since": 99'))
    reply = outlook.ask("GET", f"/users/{ADELE}/calendarView/delta?$deltatoken={future}")
    assert refused(reply) == (410, "SyncStateNotFound")


@pytest.mark.parametrize("option", ["select", "filter", "orderby", "top", "expand", "search"])
def test_no_other_options_go_with_change_tracking(outlook: Outlook, option: str) -> None:
    reply = outlook.ask("GET", f"/users/{ADELE}/calendarView/delta{WINDOW}&${option}=subject")
    assert refused(reply) == (400, "ErrorInvalidUrlQuery")


def test_the_first_round_needs_a_window(outlook: Outlook) -> None:
    assert refused(outlook.ask("GET", f"/users/{ADELE}/calendarView/delta")) == (400, "ErrorInvalidParameter")
