"""Faults on order and documented throttles, over the network; and the endpoints that give the orders."""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from starlette.requests import Request

from runbook_lib.sandbox import control
from runbook_lib.sandbox import faults as sandbox_faults
from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.faults import Fault, Faults, GraphError
from runbook_lib.sandbox.server import Sandbox
from tests.sandbox.asking import VERIFIER, tenant_of

Get = Callable[[str], requests.Response]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def order(sandbox: Sandbox, session: requests.Session) -> Iterator[Callable[..., requests.Response]]:
    """Order faults through the control endpoint; all end with the test."""

    def send(**body: Any) -> requests.Response:
        return session.post(f"{sandbox.url}/sandbox/faults", json=body, timeout=10)

    yield send
    send()


@pytest.fixture
def get(sandbox: Sandbox, session: requests.Session) -> Get:
    """GET from Graph as the verifier app of contoso."""
    tenant = tenant_of(sandbox.world)
    roles = ["Organization.Read.All", "User.Read.All", "Calendars.ReadBasic.All"]
    token = tokens.access_token(sandbox.world, tenant, tenant.apps[VERIFIER], roles)

    def send(path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        return session.get(f"{sandbox.url}/v1.0{path}", headers=headers, timeout=10)

    return send


@pytest.mark.parametrize(("retry_after", "header"), [("3", "3"), ("0.249", "0.249"), (2, "2"), (None, None)])
def test_a_429_has_whole_fractional_or_no_retry_after(
    retry_after: str | int | None, header: str | None, get: Get, order: Any
) -> None:
    order(kind="429", retry_after=retry_after)
    response = get("/organization")
    assert (response.status_code, response.json()["error"]["code"]) == (429, "TooManyRequests")
    assert response.headers.get("Retry-After") == header


@pytest.mark.parametrize(
    ("kind", "status", "error"), [("503", 503, "serviceNotAvailable"), ("504", 504, "UnknownError")]
)
def test_the_service_can_be_away(kind: str, status: int, error: str, get: Get, order: Any) -> None:
    order(kind=kind, retry_after=None)
    response = get("/organization")
    assert (response.status_code, response.json()["error"]["code"]) == (status, error)


def test_a_fault_happens_as_often_as_it_was_ordered(get: Get, order: Any) -> None:
    order(kind="503", count=2)
    assert [get("/organization").status_code for _ in range(3)] == [503, 503, 200]


def test_an_expired_token_once_is_401_once(get: Get, order: Any) -> None:
    order(kind="expired", count=1)
    first = get("/organization")
    assert (first.status_code, first.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert "authorization_uri" in first.headers["WWW-Authenticate"]
    assert get("/organization").status_code == 200


def test_a_reset_breaks_the_connection_and_the_server_lives_on(get: Get, order: Any) -> None:
    order(kind="reset", count=1)
    with pytest.raises(requests.ConnectionError):
        get("/organization")
    assert get("/organization").status_code == 200


def test_a_truncated_body_ends_before_its_length(get: Get, order: Any) -> None:
    order(kind="truncated", count=1)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        get("/organization")
    assert get("/organization").status_code == 200


def test_a_slow_answer_comes_late_but_right(get: Get, order: Any) -> None:
    order(kind="slow", ms=300, count=1)
    started = time.monotonic()
    assert get("/organization").status_code == 200
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(("tenant", "hit"), [("contoso", True), ("CONTOSO.example", True), ("fabrikam", False)])
def test_a_fault_can_be_aimed_at_a_tenant(tenant: str, hit: bool, get: Get, order: Any) -> None:
    order(kind="503", tenant=tenant)
    assert (get("/organization").status_code == 503) is hit


def test_a_fault_can_be_aimed_at_a_path(get: Get, order: Any) -> None:
    order(kind="503", path="/USERS")
    assert get("/users").status_code == 503
    assert get("/organization").status_code == 200


def test_faults_leave_sign_in_alone_unless_asked(
    sandbox: Sandbox, session: requests.Session, get: Get, order: Any
) -> None:
    discovery = f"{sandbox.url}/contoso.example/v2.0/.well-known/openid-configuration"
    order(kind="503")
    assert session.get(discovery, timeout=10).status_code == 200
    order(kind="503", where="token")
    token = f"{sandbox.url}/contoso.example/oauth2/v2.0/token"
    assert session.post(token, data={"grant_type": "client_credentials"}, timeout=10).status_code == 503
    assert get("/organization").status_code == 200


def test_the_same_seed_chooses_the_same_victims() -> None:
    def victims(seed: int) -> list[bool]:
        faults = Faults()
        faults.order([Fault("503", rate=0.3)], seed=seed)
        return [faults.draw("graph", (), "/x") is not None for _ in range(200)]

    assert victims(7) == victims(7)
    assert victims(7) != victims(8)
    assert 30 < sum(victims(7)) < 90


def test_four_calls_run_at_one_mailbox_and_a_fifth_is_refused(get: Get, order: Any) -> None:
    order(latency_ms=400, faults=[])
    paths = ["/users/adele@contoso.example/calendar"] * 8 + ["/users/diego@contoso.example/calendar"]
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        responses = list(pool.map(get, paths))
    statuses = [response.status_code for response in responses]
    assert statuses[-1] == 200, "another mailbox has four places of its own"
    assert statuses.count(200) == 5
    refused = next(response for response in responses if response.status_code == 429)
    assert refused.json()["error"]["code"] == "ApplicationThrottled"
    assert refused.json()["error"]["message"] == "Application is over its MailboxConcurrency limit."
    assert float(refused.headers["Retry-After"]) > 0
    assert get(paths[0]).status_code == 200, "the places are free again"


def test_the_directory_has_no_places(get: Get, order: Any) -> None:
    order(latency_ms=200, faults=[])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {response.status_code for response in pool.map(get, ["/organization"] * 8)} == {200}


def test_ten_thousand_requests_in_ten_minutes_are_all_that_a_mailbox_takes() -> None:
    faults, key = Faults(), ("tenant", "app", "mailbox")
    for number in range(10_000):
        faults.admit("mailbox", key, NOON + timedelta(milliseconds=number))
    with pytest.raises(GraphError) as refusal:
        faults.admit("mailbox", key, NOON + timedelta(seconds=30))
    assert (refusal.value.status, refusal.value.code) == (429, "ApplicationThrottled")
    assert 560 <= int(refusal.value.headers["Retry-After"]) <= 571
    faults.admit("mailbox", ("tenant", "app", "another"), NOON)
    faults.admit("mailbox", key, NOON + timedelta(minutes=11))


@pytest.mark.parametrize("impatient", [True, False])
def test_a_refused_request_counts_too(impatient: bool) -> None:
    faults, key = Faults(), ("tenant", "app")
    for second in range(5):
        faults.admit("reports", key, NOON + timedelta(seconds=second))
    if impatient:
        with pytest.raises(GraphError):
            faults.admit("reports", key, NOON + timedelta(seconds=9))
    later = NOON + timedelta(seconds=10, milliseconds=1)
    with pytest.raises(GraphError) if impatient else contextlib.nullcontext():
        faults.admit("reports", key, later)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "earthquake"},
        {"kind": "429", "rate": 2},
        {"kind": "429", "count": -1},
        {"kind": "429", "where": "moon"},
        {"kind": "429", "colour": "red"},
        {"kind": "429", "rate": "often"},
        {"faults": [{}]},
        {"faults": 5},
        {"latency_ms": "long"},
        {"seed": []},
    ],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_refused(body: dict[str, Any], order: Any, get: Get) -> None:
    assert order(**body).status_code == 400
    assert get("/organization").status_code == 200


def test_the_state_names_what_is_in_force(sandbox: Sandbox, session: requests.Session, order: Any) -> None:
    order(faults=[{"kind": "503", "rate": 0.5, "tenant": "contoso"}], seed=3)
    state = session.get(f"{sandbox.url}/sandbox/state", timeout=10).json()
    assert (state["faults"][0]["rate"], state["seed"]) == (0.5, 3)
    assert "contoso" in state["tenants"]
    order()
    assert session.get(f"{sandbox.url}/sandbox/state", timeout=10).json()["faults"] == []


def test_the_clock_goes_forward_and_tokens_grow_old(sandbox: Sandbox, session: requests.Session, get: Get) -> None:
    answer = session.post(f"{sandbox.url}/sandbox/clock", json={"seconds": 7200}, timeout=10)
    assert answer.json()["advanced_seconds"] == 7200
    assert get("/organization").status_code == 401
    assert session.post(f"{sandbox.url}/sandbox/clock", json={"seconds": -5}, timeout=10).status_code == 400


def test_a_reset_puts_everything_back(sandbox: Sandbox, session: requests.Session, get: Get, order: Any) -> None:
    order(kind="503")
    tenant_of(sandbox.world).organization["displayName"] = "Changed"
    session.post(f"{sandbox.url}/sandbox/clock", json={"seconds": 100}, timeout=10)
    state = session.post(f"{sandbox.url}/sandbox/reset", timeout=10).json()
    assert (state["faults"], state["advanced_seconds"]) == ([], 0)
    assert get("/organization").json()["value"][0]["displayName"] == "Contoso"


def test_the_log_tells_of_requests_and_never_of_tokens(sandbox: Sandbox, session: requests.Session, get: Get) -> None:
    get("/organization?$select=id")
    log = session.get(f"{sandbox.url}/sandbox/log", timeout=10)
    assert any("/v1.0/organization" in entry["url"] and entry["status"] == 200 for entry in log.json()["log"])
    assert "Bearer" not in log.text
    assert "eyJ" not in log.text


def test_approval_can_be_switched(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.url}/sandbox/approve"
    assert session.post(url, json={"auto": False}, timeout=10).json()["approve"]["auto"] is False
    assert session.post(url, json={"nonsense": 1}, timeout=10).status_code == 400
    assert session.post(url, json={"auto": True}, timeout=10).json()["approve"]["auto"] is True


def test_an_unknown_control_lists_those_that_exist(sandbox: Sandbox, session: requests.Session) -> None:
    response = session.get(f"{sandbox.url}/sandbox/nothing", timeout=10)
    assert response.status_code == 404
    assert "POST /sandbox/faults" in response.json()["controls"]
    assert session.post(f"{sandbox.url}/sandbox/clock", data="[]", timeout=10).status_code == 400


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("::1", True), ("192.0.2.7", False), ("", False)])
def test_orders_come_from_this_machine_only(host: str, here: bool) -> None:
    request = Request({"type": "http", "client": (host, 1) if host else None})
    assert control.from_here(request) is here


def test_a_reset_outside_a_server_is_an_error_and_not_silence() -> None:
    async def nothing() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(ConnectionResetError):
        asyncio.run(sandbox_faults.abort(Request({"type": "http"}, nothing)))
