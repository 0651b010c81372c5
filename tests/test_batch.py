"""The batch: a process per tenant, and no tenant harms another."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from runbook_lib import batch, records
from runbook_lib.batch import TenantResult
from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Status

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


def stand_in(key: str, steps: Sequence[str], events: Connection, words: Path) -> None:
    """Behave as the key says, in the place of a tenant's notebooks."""
    if key == "hangs":
        time.sleep(600)
    if key == "dies":
        words.write_text("out of memory")
        os.kill(os.getpid(), signal.SIGKILL)
    events.send({"event": "begun", "tenant": key, "folder": "somewhere"})
    events.send({"event": "step", "tenant": key, "step": steps[0], "outcome": "pass"})
    events.send({"event": "ended", "tenant": key, "outcome": "pass", "error": "", "error_exit": 0})


def test_a_tenant_that_hangs_dies_or_has_a_bad_file_holds_nobody_up(
    homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "run_tenant", stand_in)
    events: list[Json] = []
    keys = ["hangs", "typo", "dies", "fine"]
    results = batch.run(keys, ["00_preflight"], jobs=2, on_event=events.append, deadline_seconds=4)
    found = {one.key: one for one in results}
    assert [one.key for one in results] == keys
    assert "took too long" in found["hangs"].error
    assert "ended unexpectedly (exit code -9). out of memory" in found["dies"].error
    assert "'tenant_id' is missing" in found["typo"].error
    assert (found["fine"].outcome, found["fine"].error) == (Status.PASS, "")
    assert {key: one.exit_code for key, one in found.items()} == {"hangs": 1, "typo": 2, "dies": 1, "fine": 0}
    assert {event["tenant"] for event in events if event["event"] == "tenant"} == {"hangs", "dies", "fine"}


def test_a_tenant_without_certificate_breaks_in_words_and_still_has_a_report(homes: Path) -> None:
    (result,) = batch.run(["nobody"], ["00_preflight", "01_disconnect", "08_report"], jobs=1, on_event=lambda _: None)
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
    assert batch.exit_code(results) == code


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["7"], ("07_sync",)),
        (["07", "06_access"], ("06_access", "07_sync")),
        ([], batch.TENANT_STEPS),
    ],
)
def test_steps_are_named_by_number_or_name_and_keep_their_order(words: list[str], steps: tuple[str, ...]) -> None:
    assert batch.chosen_steps(words) == steps


@pytest.mark.parametrize("word", ["10", "sync", "07_", "-1", "09"])
def test_a_step_that_is_not_there_is_told_with_those_there_are(word: str) -> None:
    with pytest.raises(UsageError) as raised:
        batch.chosen_steps([word])
    assert "07_sync" in raised.value.remedy


def test_every_step_has_its_notebook() -> None:
    assert sorted(records.STEPS) == sorted(path.stem for path in batch.NOTEBOOKS.glob("*.ipynb"))
