"""`runbook status`: everybody's standing, searched by reason and by change."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.model import Finding, Json, Status
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from tests.fake_runs import NOW, TENANT, add, complete, new_run, passing

MAILBOX = Finding("rooms-readable", "room1", Status.FAIL, "no mailbox behind it", "Give it one.")


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three tenants with two runs each: one stays well, one gets worse, one was bad before as well."""
    root = tmp_path / "outputs"
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(root))
    for key, before, now in (("well", False, False), ("worse", False, True), ("bad", True, True)):
        for day, failed in enumerate((before, now)):
            folder = new_run(root, key, NOW + timedelta(days=day))
            complete(folder, tenant={**TENANT, "key": key})
            if failed:
                add(folder, "07_sync", MAILBOX, look=2, tenant={**TENANT, "key": key})
    (root / "_portfolio").mkdir()
    return root


def told(*options: str, code: int) -> list[Json]:
    done = CliRunner().invoke(main.app, ["status", "--json", *options])
    assert done.exit_code == code, done.output
    found: list[Json] = json.loads(done.stdout)
    return found


def test_everybody_is_there_worst_first(outputs: Path) -> None:
    rows = told(code=3)
    assert [(row["tenant"], row["outcome"]) for row in rows] == [("bad", "fail"), ("worse", "fail"), ("well", "pass")]
    assert rows[1]["steps"]["07_sync"] == "fail"
    assert any("was pass, is fail" in change for change in rows[1]["changed"])


@pytest.mark.parametrize(
    ("options", "tenants", "code"),
    [
        (["--changed"], ["worse"], 3),
        (["--reason", "MAILBOX no"], ["bad", "worse"], 3),
        (["--reason", "mailbox licence"], [], 0),
        (["--reason", "mailbox", "--changed", "bad", "worse"], ["worse"], 3),
        (["well"], ["well"], 0),
    ],
)
def test_tenants_are_found_by_reason_and_by_change(
    outputs: Path, options: list[str], tenants: list[str], code: int
) -> None:
    assert [row["tenant"] for row in told(*options, code=code)] == tenants


def test_the_reason_that_was_found_is_shown(outputs: Path) -> None:
    shown = CliRunner().invoke(main.app, ["status", "--reason", "mailbox"]).output
    assert "2 tenants: 2 fail" in shown
    assert shown.count(": room1") == 2


def test_a_damaged_record_is_an_open_point_and_hides_nobody(outputs: Path) -> None:
    (outputs / "well" / f"{NOW + timedelta(days=1):%Y%m%dT%H%M%SZ}-abcd" / "data" / "03_activate.json").write_text("{")
    rows = {row["tenant"]: row for row in told(code=3)}
    assert rows["well"]["outcome"] == "unknown"
    assert "03_activate.json is not a complete record" in rows["well"]["open"][0]


def test_a_tenant_without_a_run_is_named(outputs: Path) -> None:
    done = CliRunner().invoke(main.app, ["status", "nobody"])
    assert "nobody has no run" in str(done.exception)


def test_outcomes_are_read_from_the_newest_look_without_the_rest_of_the_record(outputs: Path) -> None:
    folder = run_folders.runs(outputs, "bad")[-1]
    assert records.outcomes(folder) == {step: record.outcome for step, record in records.latest(folder).items()}
    path = folder / "data" / "07_sync.2.json"
    path.write_bytes(path.read_bytes()[:2000])
    assert records.outcomes(folder)["07_sync"] is Status.FAIL


def test_a_record_in_another_layout_is_read_whole(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "00_preflight", passing())
    path = folder / "data" / "00_preflight.json"
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    assert records.outcomes(folder) == {"00_preflight": Status.PASS}


def test_a_copy_beside_the_runs_is_named_once_and_not_counted(outputs: Path) -> None:
    newest = run_folders.runs(outputs, "well")[-1]
    shutil.copytree(newest, outputs / "well" / f"{newest.name} - Copy")
    done = CliRunner().invoke(main.app, ["status", "well"])
    assert done.stderr.count(f"well/{newest.name} - Copy looks like a copy of a run") == 1
    assert told("well", code=0)[0]["run"] == newest.name
