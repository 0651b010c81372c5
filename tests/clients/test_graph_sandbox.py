"""Graph's own habits, as the sandbox has them: paging, refusals, throttles, faults, mailboxes that cannot be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests

from runbook_lib import vendors
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.errors import Unreachable
from runbook_lib.model import Tenant
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world.state import Json, TenantState
from tests.fakes import Clock

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
END = START + timedelta(hours=8)
MakeGraph = Callable[..., Graph]


@pytest.fixture
def signed_in(sandbox: Sandbox, tenant: Callable[..., Tenant], http: requests.Session) -> MakeGraph:
    """Return what signs in to Contoso by certificate and gives its Graph; when it sleeps, both clocks are moved."""

    def make(*calls: str, **options: float) -> Graph:
        known = tenant()
        credential = entra.sign_in(known, calls, http, attended=False, show=print)
        clock = Clock()

        def sleep(seconds: float) -> None:
            clock.sleep(seconds)
            sandbox.world.offset += timedelta(seconds=seconds)

        return Graph(known, credential, http, clock=clock, sleep=sleep, **options)  # type: ignore[arg-type]

    return make


def furnish(contoso: TenantState, number: int) -> None:
    """Give the tenant this many rooms."""
    one = next(iter(contoso.rooms.values()))
    contoso.rooms.clear()
    for count in range(number):
        key, address = f"room-{count:04d}", f"room{count:04d}@contoso.example"
        contoso.rooms[key] = {**one, "id": key, "emailAddress": address, "displayName": key}


@pytest.mark.parametrize("number", [0, 99, 100, 101, 250])
def test_every_room_is_listed(contoso: TenantState, signed_in: MakeGraph, number: int) -> None:
    furnish(contoso, number)
    look = signed_in("rooms").look("rooms")
    assert (look.population, look.complete) == (f"{number} of {number}", True)
    assert len({row["emailAddress"] for row in look.rows}) == number


@pytest.mark.parametrize(("number", "seen"), [(100, "100 of ?"), (250, "100 of 250")])
def test_a_tenant_that_ignores_skip_shows_how_many_rooms_are_missing(
    contoso: TenantState, signed_in: MakeGraph, number: int, seen: str
) -> None:
    furnish(contoso, number)
    contoso.modes["places"] = "ignore-skip-app-only"
    look = signed_in("rooms").look("rooms")
    assert (look.population, look.complete) == (seen, False)


def test_long_lists_of_the_directory_are_read_to_the_end_with_their_count(
    contoso: TenantState, signed_in: MakeGraph
) -> None:
    one = next(iter(contoso.service_principals.values()))
    for count in range(230):
        key = f"00000000-0000-0000-0001-{count:012d}"
        contoso.service_principals[key] = {**one, "id": key, "appId": key, "displayName": f"Cronofy {count}"}
    graph = signed_in("cronofy_apps")
    look = graph.look("cronofy_apps")
    assert look.complete
    assert look.total == len(look.rows) >= 231
    assert len(graph.log) == 3


CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
ASKED = {
    "admin_roles": {"user": "admin@contoso.example"},
    "service_principal": {"app": CRONOFY},
    "consent_audit": {"since": "2020-01-01T00:00:00Z"},
    "last_use": {"app": CRONOFY},
    "own_registrations": {"name": "Contoso Facilities Dashboard"},
}


@pytest.mark.parametrize(
    "call", [name for name, call in vendors.calls().items() if call.paging in ("link", "skip", "one")]
)
def test_every_question_of_the_runbook_is_answered_with_its_least_permission(
    contoso: TenantState, signed_in: MakeGraph, call: str
) -> None:
    (cronofy,) = (one["id"] for one in contoso.service_principals.values() if one["appId"] == CRONOFY)
    graph = signed_in(call)
    look = graph.look(call, **ASKED.get(call, {"id": cronofy}))
    asked = vendors.calls()[call].permission(app_only=True)
    some = look.rows != () or call == "owners"  # the sandbox's service principals have none
    assert (some, look.refusal == "") == (bool(asked), bool(asked))


def test_an_app_that_is_not_there_is_no_error(signed_in: MakeGraph) -> None:
    look = signed_in("service_principal").look("service_principal", app="55555555-5555-5555-5555-555555555555")
    assert (look.rows, look.complete, look.refusal) == ((), True, "")


@pytest.mark.parametrize("call", ["domains", "rooms"])
def test_a_permission_that_was_not_granted_is_named(contoso: TenantState, signed_in: MakeGraph, call: str) -> None:
    contoso.app_role_assignments.clear()
    look = signed_in(call).look(call)
    assert f"lacks the application permission {vendors.calls()[call].application}" in look.refusal
    assert vendors.calls()[call].why in look.refusal
    assert (look.rows, look.complete) == ((), False)


def test_a_licence_that_the_tenant_lacks_is_told_from_a_permission(contoso: TenantState, signed_in: MakeGraph) -> None:
    contoso.premium = False
    look = signed_in("last_use").look("last_use", app=CRONOFY)
    assert "no Microsoft Entra ID P1 or P2 licence" in look.refusal
    assert (look.rows, look.complete) == ((), False)


def test_reports_are_asked_no_faster_than_microsoft_allows(signed_in: MakeGraph) -> None:
    graph = signed_in("consent_audit")
    for _ in range(12):
        assert graph.look("consent_audit", since="2020-01-01T00:00:00Z").refusal == ""
    assert [row["status"] for row in graph.log] == [200] * 12


@pytest.mark.parametrize(
    "fault",
    [
        Fault("429", count=3),
        Fault("429", count=3, retry_after="0.249"),
        Fault("429", count=3, retry_after=None),
        Fault("503", count=3, retry_after=None),
        Fault("504", count=3),
        Fault("reset", count=2),
        Fault("truncated", count=2),
        Fault("expired", count=1),
    ],
    ids=["429", "429 with a fraction", "429 without a time", "503", "504", "reset", "truncated", "expired"],
)
def test_what_passes_is_sat_out(sandbox: Sandbox, signed_in: MakeGraph, fault: Fault) -> None:
    graph = signed_in("rooms")
    times = fault.count
    sandbox.world.faults.order([fault])
    assert graph.look("rooms").population == "12 of 12"
    assert len(graph.log) == 1 + (times or 0)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(Fault("reset"), Unreachable), (Fault("truncated"), Unreachable)],
    ids=["reset", "truncated"],
)
def test_what_stays_is_an_error(sandbox: Sandbox, signed_in: MakeGraph, fault: Fault, raised: type[Exception]) -> None:
    graph = signed_in("rooms")
    sandbox.world.faults.order([fault])
    with pytest.raises(raised):
        graph.look("rooms")
    assert len(graph.log) == 5


def test_a_storm_that_outlasts_the_deadline_costs_the_look(sandbox: Sandbox, signed_in: MakeGraph) -> None:
    graph = signed_in("rooms", deadline_seconds=30)
    sandbox.world.faults.order([Fault("429", retry_after="1")])
    look = graph.look("rooms")
    assert re.search("429 TooManyRequests|within 30 seconds", look.refusal)
    assert (look.complete, bool(look.remedy)) == (False, True)
    assert 8 <= len(graph.log) <= 30


def addresses(contoso: TenantState) -> list[str]:
    return [str(room["emailAddress"]) for room in contoso.rooms.values()]


def test_each_room_answers_for_itself(contoso: TenantState, signed_in: MakeGraph) -> None:
    rooms = addresses(contoso)
    for room, state in zip(rooms, ["on-premises", "policy-blocked", "missing"], strict=False):
        contoso.mailboxes[room.lower()].state = state
    look = signed_in("room_calendar").look_each("room_calendar", rooms * 5)
    assert [row["key"] for row in look.rows] == rooms * 5
    assert [row["status"] for row in look.rows[:4]] == [404, 403, 404, 200]
    codes = [row["body"]["error"]["code"] for row in look.rows[:3]]
    assert codes == ["MailboxNotEnabledForRESTAPI", "ErrorAccessDenied", "ResourceNotFound"]
    assert Counter(row["status"] for row in look.rows) == {200: 45, 404: 10, 403: 5}


def test_batches_that_collide_at_a_mailbox_are_answered_in_the_end(
    sandbox: Sandbox, contoso: TenantState, signed_in: MakeGraph
) -> None:
    sandbox.world.faults.latency_ms = 5
    rooms = addresses(contoso)[:1] * 100
    look = signed_in("room_calendar").look_each("room_calendar", rooms)
    assert [row["status"] for row in look.rows] == [200] * 100


def schedule_of(look_rows: tuple[Json, ...]) -> list[str]:
    return [str(row["scheduleId"]).lower() for row in look_rows]


def test_free_busy_of_many_rooms_comes_through_a_room_that_can_ask(
    sandbox: Sandbox, contoso: TenantState, signed_in: MakeGraph
) -> None:
    sandbox.world.faults.latency_ms = 5
    rooms = addresses(contoso)
    contoso.mailboxes[rooms[0].lower()].state = "on-premises"
    contoso.mailboxes[rooms[1].lower()].state = "policy-blocked"
    look = signed_in("free_busy").look_schedules("free_busy", rooms, START, END)
    assert schedule_of(look.rows) == [room.lower() for room in rooms]
    assert look.complete
    assert "error" in look.rows[0]
    able = [row for row in look.rows if "error" not in row]
    assert len(able) >= 10
    assert all(len(row["availabilityView"]) == 16 for row in able)
    assert all(set(item) <= {"start", "end", "status"} for row in look.rows for item in row["scheduleItems"])


def test_an_address_without_a_mailbox_is_an_error_of_its_own(contoso: TenantState, signed_in: MakeGraph) -> None:
    rooms = [*addresses(contoso)[:2], "nobody@contoso.example"]
    look = signed_in("free_busy").look_schedules("free_busy", rooms, START, END)
    assert schedule_of(look.rows) == [room.lower() for room in rooms]
    assert ["error" in row for row in look.rows] == [False, False, True]


def test_no_word_of_a_meeting_and_no_token_gets_into_log_or_rows(
    contoso: TenantState, signed_in: MakeGraph, http: requests.Session
) -> None:
    tokens: set[str] = set()
    http.hooks["response"] = [lambda answer, **_: tokens.add(str(answer.request.headers.get("Authorization")))]
    graph = signed_in("free_busy")
    look = graph.look_schedules("free_busy", addresses(contoso), START - timedelta(days=7), END + timedelta(days=7))
    kept = str(graph.log) + str(look)
    assert "subject" not in kept
    assert "location" not in kept
    secrets = [token.removeprefix("Bearer ") for token in tokens if token.startswith("Bearer ")]
    assert secrets
    assert not any(secret in kept for secret in secrets)
