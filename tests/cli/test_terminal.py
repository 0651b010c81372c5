"""What commands print is whole on a terminal of eighty columns: what is cut off cannot be copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import terminal
from runbook_lib.model import Status

KEY, RUN = "a-tenant-with-a-rather-long-name", "20261123T030340Z-6c59"
STEPS = {f"{number:02}_step": "pending" for number in range(9)}


def test_a_table_of_results_cuts_off_neither_tenant_nor_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    terminal.print_results([TenantResult(KEY, tmp_path / KEY / RUN, Status.PENDING, steps=STEPS)], as_json=False)
    shown = capsys.readouterr().out
    first = "".join(line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│"))
    assert first == KEY
    assert f" {RUN} " in shown
    assert f"Runs lie in {tmp_path}, by tenant." in shown
    assert "…" not in shown.replace("… pending", "")


def test_the_bar_shows_both_times_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with terminal.progress(100, 9) as show:
        show({"event": "step", "tenant": "northwind", "step": "08_report", "outcome": "unknown"})
        show({"event": "tenant", "tenant": "northwind", "outcome": "unknown"})
    assert "…" not in capsys.readouterr().err
