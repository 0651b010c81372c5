"""What `runbook demo` and `runbook sandbox` say can be copied: no path or command is broken in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import demo, sandbox
from runbook_lib.cli.demo import Demo
from runbook_lib.model import Status

HERE = Path("/srv") / "a-folder-with-a-long-name" / "and another one" / "outputs"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen, or a pipe, that has no room for any of these lines."""
    monkeypatch.setenv("COLUMNS", "30")


def test_the_sandbox_s_addresses_and_commands_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    pages = "https://localhost:8443/rehearsal/of/some/longer/address"
    sandbox._tell({"login": "https://localhost:8443", "rehearsal": pages})
    said = capsys.readouterr().out.splitlines()
    assert f"The change to rehearse in a browser: {pages}" in said
    assert "Addresses, tenants and credentials: runbook sandbox --describe" in said
    assert any(line.endswith("in another terminal: runbook run contoso") for line in said)


def test_the_demo_s_pages_and_surprises_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    results = (
        TenantResult("contoso", folder=HERE / "contoso" / "[1]", outcome=Status.PASS),
        TenantResult("fabrikam", error="it broke"),
    )
    foretold = {key: {"outcome": "pass", "shows": "done and healthy"} for key in ("contoso", "fabrikam")}
    demo._print_demo(Demo(results, foretold, HERE / "_portfolio" / "report.html"))
    said = capsys.readouterr().out.splitlines()
    assert f"  contoso: {HERE / 'contoso' / '[1]' / 'data' / 'report.html'}" in said
    assert f"  all tenants: {HERE / '_portfolio' / 'report.html'}" in said
    assert "✗ fabrikam did not come out as foretold (pass)." in said
    assert not any(line.startswith("  fabrikam") for line in said)


def test_the_demo_s_tables_stay_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data" / "tables" / "07_sync.room_counts.csv"
    path.parent.mkdir(parents=True)
    path.write_text("state,rooms\nmapped but not proved [and more words],250\n", encoding="utf-8")
    done = TenantResult("northwind", folder=tmp_path, outcome=Status.FAIL)
    demo._print_demo(Demo((done,), {"northwind": {"outcome": "fail", "shows": "250 [rooms]"}}, HERE))
    said = capsys.readouterr().out
    assert "\nnorthwind: 250 [rooms]\n" in said
    assert "mapped but not proved [and more words]   250\n" in said
