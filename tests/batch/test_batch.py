"""The batch: a process per tenant, and no tenant harms another."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from runbook_lib import settings
from runbook_lib.batch import plan as batch_plan
from runbook_lib.batch import pool, tenant
from runbook_lib.batch.pool import TenantResult
from runbook_lib.errors import ArchiveError, RunbookError, UsageError
from runbook_lib.model import Json, Status
from runbook_lib.runs import folder
from runbook_lib.sandbox import server
from tests import nightly

STEPS = ("00_preflight", "06_access", "08_report")

TENANT_FILE = """\
name: {key}
tenant_id: 11111111-2222-3333-4444-555555555555
domain: {key}.example
admin: admin@{key}.example
cloud: cloud.yaml
sign_in: {{method: certificate, client_id: 11111111-2222-3333-4444-666666666666, certificate: {key}.pem}}
"""


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepare tenant files of a cloud that answers nobody."""
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / "cloud.yaml").write_text(
        "name: x\nlogin: https://localhost:9\ngraph: https://localhost:9\n"
    )
    for key in ("hangs", "dies", "fine", "nobody"):
        (tmp_path / "parameters" / f"{key}.yaml").write_text(TENANT_FILE.format(key=key))
    (tmp_path / "parameters" / "typo.yaml").write_text("name: typo\n")
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path / "parameters"))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


def stand_in(key: str, steps: Sequence[str], _since: str, events: Connection) -> None:
    """Behave as the key says, in the place of a tenant's notebooks."""
    if key == "hangs":
        events.send({"event": "at", "tenant": key, "step": steps[0]})
        time.sleep(600)
    if key == "dies":
        os.write(2, b"out of memory\n")
        os.kill(os.getpid(), signal.SIGKILL)
    events.send({"event": "begun", "tenant": key, "folder": "somewhere"})
    events.send({"event": "step", "tenant": key, "step": steps[0], "outcome": "pass"})
    events.send({"event": "ended", "tenant": key, "outcome": "pass", "error": "", "error_exit": 0})


def test_a_tenant_that_hangs_dies_or_has_a_bad_file_holds_nobody_up(
    homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_tenant", stand_in)
    events: list[Json] = []
    keys = ["hangs", "typo", "dies", "fine"]
    results = pool.run(keys, ["00_preflight"], jobs=2, on_event=events.append, deadline_seconds=15)
    found = {one.key: one for one in results}
    assert [one.key for one in results] == keys
    assert "took too long in 00_preflight" in found["hangs"].error
    assert "ended unexpectedly (exit code -9). out of memory" in found["dies"].error
    assert "'tenant_id' is missing" in found["typo"].error
    assert (found["fine"].outcome, found["fine"].error) == (Status.PASS, "")
    assert {key: one.exit_code for key, one in found.items()} == {"hangs": 1, "typo": 2, "dies": 1, "fine": 0}
    assert {event["tenant"] for event in events if event["event"] == "tenant"} == {"hangs", "dies", "fine"}


def test_a_tenant_without_certificate_breaks_in_words_and_still_has_a_report(homes: Path) -> None:
    (result,) = pool.run(["nobody"], ["00_preflight", "01_disconnect", "08_report"], jobs=1, on_event=lambda _: None)
    assert result.outcome is None or result.error
    assert "nobody.pem" in result.error
    assert result.exit_code == 2
    assert result.folder is not None
    data = result.folder / "data"
    assert (data / "00_preflight.broken.ipynb").is_file()
    assert not (data / "00_preflight.json").exists()
    assert not list(result.folder.glob(".executing-*"))
    assert "nobody.pem" in (data / "batch.json").read_text()
    assert "Traceback" not in (data / "00_preflight.broken.ipynb").read_text()


def result(outcome: Status | None = None, error: str = "", error_exit: int = 1) -> TenantResult:
    return TenantResult("t", outcome=outcome, error=error, error_exit=error_exit)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result(Status.PASS), result(Status.ACCEPTED)], 0),
        ([result(Status.PASS), result(Status.PENDING)], 5),
        ([result(Status.PENDING), result(Status.UNKNOWN)], 4),
        ([result(Status.UNKNOWN), result(Status.FAIL), result(Status.PENDING)], 3),
        ([result(Status.FAIL), result(error="broke")], 1),
        ([result(error="bad file", error_exit=2)], 2),
        ([result(error="bad file", error_exit=2), result(Status.PASS)], 1),
        ([result()], 1),
    ],
)
def test_the_worst_exit_code_wins(results: list[TenantResult], code: int) -> None:
    assert pool.exit_code(results) == code


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["7"], ("07_sync",)),
        (["07", "06_access"], ("06_access", "07_sync")),
        ([], pool.TENANT_STEPS),
    ],
)
def test_steps_are_named_by_number_or_name_and_keep_their_order(words: list[str], steps: tuple[str, ...]) -> None:
    assert pool.chosen_steps(words) == steps


@pytest.mark.parametrize("word", ["10", "sync", "07_", "-1", "09"])
def test_a_step_that_is_not_there_is_told_with_those_there_are(word: str) -> None:
    with pytest.raises(UsageError) as raised:
        pool.chosen_steps([word])
    assert "07_sync" in raised.value.remedy


def test_every_step_has_its_notebook() -> None:
    assert sorted(folder.STEPS) == sorted(path.stem for path in tenant.NOTEBOOKS.glob("*.ipynb"))


def tell_random(key: str, _steps: Sequence[str], _since: str, events: Connection) -> None:
    """Say which random numbers the tenant's notebook would get, and whether another one's variable is there."""
    import random

    import numpy

    from runbook_lib.batch.engine import kernel as engine

    with engine._process_as_it_was():
        numbers = f"{random.random()} {numpy.random.random()} {os.environ.get('LEFT')}"
    os.environ["LEFT"] = key
    events.send(tenant.ended(key, None, RunbookError(numbers)))


def test_no_tenant_gets_the_random_numbers_or_the_environment_of_another(
    homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_tenant", tell_random)
    monkeypatch.setattr(pool, "file_is_sound", lambda _: True)
    keys = [f"tenant-{number}" for number in range(8)]
    told = [one.error.split() for one in pool.run(keys, STEPS, jobs=3, on_event=lambda _: None)]
    assert len({one for one, _, _ in told}) == len({two for _, two, _ in told}) == len(keys)
    assert {left for _, _, left in told} == {"None"}


@pytest.mark.timeout(900)
def test_of_fifty_tenants_none_has_a_word_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path / "parameters"))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    with server.serving(tmp_path / ".sandbox", generated=50, rooms=2):
        keys = nightly.tenant_files(tmp_path / ".sandbox", tmp_path / "parameters")
        results = pool.run(keys, STEPS, jobs=8, on_event=lambda _: None)
    assert [one.error for one in results if one.error] == []
    ids = {key: settings.load(tmp_path / "parameters", key).tenant_id for key in keys}
    canaries = {word.encode(): key for key in keys for word in (key, ids[key])}
    for key in keys:
        seen = set[str]()
        for path in (tmp_path / "outputs" / key).rglob("*"):
            found = re.findall(
                rb"gen-\d{4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", path.read_bytes() if path.is_file() else b""
            )
            seen |= {canaries[word] for word in found if word in canaries}
        assert seen == {key}


def test_an_outputs_folder_that_cannot_be_written_is_told_in_words(homes: Path) -> None:
    (homes / "outputs").write_text("a file is in the way")
    plan = batch_plan.plan(["nobody"], ["00_preflight"], [])
    with pytest.raises(ArchiveError, match="cannot be written") as raised:
        batch_plan.run(plan, jobs=1, on_event=lambda _: None)
    assert "RUNBOOK_OUTPUTS" in raised.value.remedy
