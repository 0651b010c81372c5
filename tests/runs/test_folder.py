"""Where runs lie: whose folders they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.clients.graph.budget import Budget
from runbook_lib.errors import ArchiveError
from runbook_lib.notebook import error_log
from runbook_lib.runs import folder, lock

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _generous() -> Iterator[None]:
    """Have the system take away no permission by itself."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(("above", "made"), [(0o755, 0o700), (0o700, 0o700), (0o775, 0o770), (0o777, 0o770)])
def test_folders_are_for_their_user_alone_unless_a_team_shares_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: int, made: int
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(above)
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(outputs))
    run = folder.new_run(outputs / "contoso", NOW)
    error_log.logged(run, "07_sync", ValueError("x"))
    Budget(outputs / "_budgets" / "app.json").close(NOW, NOW + timedelta(seconds=1))
    with lock.only_one(outputs / "fabrikam"):
        pass
    found = {one: stat.S_IMODE(one.stat().st_mode) for one in outputs.rglob("*") if one.is_dir()}
    assert set(found.values()) == {made}
    assert {one.name for one in found} >= {"contoso", "fabrikam", "_logs", "_budgets", run.name, "data"}


def test_outputs_that_are_not_there_yet_are_made_for_their_user_alone(tmp_path: Path) -> None:
    folder.new_run(tmp_path / "not" / "there" / "contoso", NOW)
    tmp_path.chmod(0o755)
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "not", tmp_path / "not" / "there")} == {0o700}


def test_a_run_is_never_made_in_place_of_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "abcd")
    folder.new_run(tmp_path, NOW)
    with pytest.raises(ArchiveError):
        folder.new_run(tmp_path, NOW)
