"""What all tenants' processes may ask together: counted once, and told to wait once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from runbook_lib.clients.graph import budget
from runbook_lib.clients.graph.budget import Budget
from tests.fakes import CLIENT, Clock, answer, error, scripted, sent

GOOD = answer({"value": []})
APP = {"Retry-After": "20", "x-ms-throttle-scope": f"Application/Read/{CLIENT}"}
ONE_TENANT = {"Retry-After": "20", "x-ms-throttle-scope": f"Tenant_Application/Read/{CLIENT}/1111"}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have every Graph made from now on share its budget, as the processes of a batch do."""
    monkeypatch.setenv(budget.VARIABLE, str(tmp_path / "budgets"))
    return tmp_path / "budgets" / f"{CLIENT}.json"


def test_of_many_who_ask_at_once_as_many_get_their_turn_as_there_are(tmp_path: Path) -> None:
    clock, gate = Clock(), threading.Barrier(8)

    def ask(_: int) -> list[float]:
        gate.wait()
        return [Budget(tmp_path / "b.json", most=100).take(clock(), 1) for _ in range(25)]

    with ThreadPoolExecutor(8) as pool:
        waits = [wait for found in pool.map(ask, range(8)) for wait in found]
    assert waits.count(0.0) == 100
    assert set(waits) == {0.0, 10.0}


def test_a_new_window_begins_with_nothing_asked(tmp_path: Path) -> None:
    clock, own = Clock(), Budget(tmp_path / "b.json", most=3)
    assert [own.take(clock(), 2), own.take(clock(), 2), own.take(clock(), 1)] == [0.0, 10.0, 0.0]
    clock.sleep(4)
    assert own.take(clock(), 1) == 6.0
    clock.sleep(6)
    assert [own.take(clock(), 2), own.take(clock(), 1)] == [0.0, 0.0]


def test_what_is_larger_than_the_whole_budget_still_goes_out_alone(tmp_path: Path) -> None:
    assert Budget(tmp_path / "b.json", most=3).take(Clock()(), 20) == 0.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"begun": 17',
        b"[]",
        b'{"asked": 9, "unknown": 1}',
        b'{"begun": null, "asked": 1, "closed_until": 0}',
        b"\xff",
    ],
)
def test_a_file_that_was_cut_short_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    assert Budget(tmp_path / "b.json", most=1).take(Clock()(), 1) == 0.0
    assert json.loads((tmp_path / "b.json").read_bytes())["asked"] == 1


def test_what_one_tenant_is_told_for_the_app_the_others_wait_for(shared: Path) -> None:
    first, _, its = scripted(error(429, headers=APP), GOOD)
    other, cloud, clock = scripted(GOOD)
    first.look("domains")
    assert its.slept == [20.0]
    other.look("domains")
    assert clock.slept == [20.0]
    assert len(cloud.requests) == 1
    assert shared.is_file()


@pytest.mark.usefixtures("shared")
def test_what_one_tenant_is_told_for_itself_is_no_business_of_the_others() -> None:
    first, _, _ = scripted(error(429, headers=ONE_TENANT), GOOD)
    other, _, clock = scripted(GOOD)
    first.look("domains")
    other.look("domains")
    assert clock.slept == []


@pytest.mark.usefixtures("shared")
def test_the_others_are_told_even_by_one_who_gives_up() -> None:
    first, _, _ = scripted(error(429, headers={**APP, "Retry-After": "5000"}), deadline_seconds=60)
    other, cloud, _ = scripted(GOOD, deadline_seconds=60)
    assert first.look("domains").refusal
    assert other.look("domains").refusal
    assert cloud.requests == []


def test_a_batch_counts_as_what_is_in_it(shared: Path) -> None:
    def respond(request: requests.PreparedRequest) -> requests.Response:
        asked = sent(request)["requests"]
        return answer({"responses": [{"id": one["id"], "status": 200, "body": {}} for one in asked]})

    graph, _, _ = scripted(respond)
    graph.look_each("room_calendar", [f"room{number}@contoso.example" for number in range(30)])
    assert json.loads(shared.read_bytes())["asked"] == 30


def test_a_person_s_own_notebook_shares_nothing(tmp_path: Path) -> None:
    graph, _, _ = scripted(GOOD)
    graph.look("domains")
    assert budget.of(CLIENT) is None
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_was_put_back_does_not_hold_everybody_up(tmp_path: Path) -> None:
    clock, own = Clock(), Budget(tmp_path / "b.json", most=1)
    own.take(clock() + timedelta(hours=1), 1)
    assert own.take(clock(), 1) == 0.0


@pytest.mark.usefixtures("shared")
def test_no_answer_closes_the_app_for_longer_than_a_quarter_of_an_hour() -> None:
    first, _, _ = scripted(error(429, headers={**APP, "Retry-After": "99999999"}))
    other, cloud, clock = scripted(GOOD, deadline_seconds=3600)
    assert first.look("domains").refusal
    other.look("domains")
    assert clock.slept[0] == pytest.approx(budget.LONGEST_SECONDS)
    assert len(cloud.requests) == 1


def test_a_pause_of_years_that_stands_in_the_file_is_one_of_a_quarter_of_an_hour(tmp_path: Path) -> None:
    clock, own = Clock(), Budget(tmp_path / "b.json")
    far = clock().timestamp() + 10**8
    own.path.write_text(json.dumps({"begun": 0, "asked": 0, "closed_until": far}))
    assert own.take(clock(), 1) == budget.LONGEST_SECONDS
    clock.sleep(budget.LONGEST_SECONDS)
    assert own.take(clock(), 1) == 0.0


@pytest.mark.usefixtures("shared")
def test_who_waits_in_vain_reads_until_when_and_in_which_file(shared: Path) -> None:
    first, _, _ = scripted(error(429, headers={**APP, "Retry-After": "5000"}), deadline_seconds=60)
    other, _, _ = scripted(GOOD, deadline_seconds=60)
    assert first.look("domains").refusal
    told = other.look("domains").refusal
    assert "All tenants wait until" in told
    assert str(shared) in told
