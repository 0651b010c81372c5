"""What leaves the archive: the change ticket's text and the Excel workbook."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.display import frames
from runbook_lib.evidence import seal, verify
from runbook_lib.model import Finding, Status
from runbook_lib.report import page as report_page
from runbook_lib.report import story, ticket
from tests.fake_runs import NOW, SAID, SANDBOX, TENANT, add, complete, new_run, passing, payload, rooms


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run."""
    return new_run(tmp_path / "outputs")


def test_the_ticket_says_who_what_when_and_what_is_left(run: Path) -> None:
    complete(run, confirmations=(SAID,))
    add(run, "06_access", Finding("x", "Mail.Read", Status.FAIL, "granted", "Remove it."), look=2)
    words = ticket.text(report_page.read(run))
    for line in (
        "CHG-1: SpaceIQ to Office 365 calendars through Microsoft Graph, Contoso Ltd",
        f"Tenant {TENANT['tenant_id']} (contoso.example), run contoso/{run.name}",
        "Outcome: fail. 1 not as documented. 8 of 8 steps have a record.",
        "From 2026-11-22 18:00 to 2026-11-22 18:37 UTC",
        "Planned by: nobody is named",
        "Approved by: nobody is named",
        "Executed by: dana; Dana Admin",
        "Four eyes: not shown",
        "- Step 6. Review Cronofy's access: fail",
        "Left to do: 1",
        "- fail: Not so: x (Mail.Read). Remove it",
    ):
        assert line in words.splitlines(), line
    assert "rehearsal" not in words


def test_the_ticket_of_a_rehearsal_says_so_and_lists_no_more_than_it_can_hold(run: Path) -> None:
    many = [Finding("x", str(one), Status.FAIL, "no", f"Remedy {one}.") for one in range(30)]
    add(run, "06_access", *many, cloud=SANDBOX)
    words = ticket.text(report_page.read(run))
    assert "SANDBOX: rehearsal, not audit evidence" in words
    assert words.count("- fail: ") == ticket.MOST
    assert f"- and {37 - ticket.MOST} more: see report.html" in words


def test_a_tenant_name_begins_no_line_of_its_own(run: Path) -> None:
    add(run, "06_access", passing(), tenant={**TENANT, "name": "Contoso\nOutcome: pass. Nothing is left to do"})
    lines = ticket.text(report_page.read(run)).splitlines()
    assert [line for line in lines if line.startswith("Outcome: ")] == [
        "Outcome: pending. " + story.summary(report_page.read(run))
    ]


def test_the_page_shows_the_ticket_escaped(run: Path) -> None:
    add(run, "06_access", passing(), tenant={**TENANT, "name": "<script>alert(1)</script>"})
    page = report_page.write(run, report_page.read(run)).read_text()
    assert "through Microsoft Graph, &lt;script&gt;" in page
    assert "<script>alert" not in page


def test_the_workbook_holds_every_row_and_runs_no_formula(run: Path) -> None:
    add(run, "07_sync", passing("c", "=1+1\x07"), frames=(rooms(300, name="=cmd()"),))
    book = report_page.workbook(report_page.read(run))
    read = pd.read_excel(BytesIO(book), sheet_name=None, dtype=str)
    assert {"to_do", "difference", "steps", "scopes", "rooms", "unseen", "findings", "requests"} <= set(read)
    assert len(read["rooms"]) == 300
    with zipfile.ZipFile(BytesIO(book)) as parts:
        assert [name for name in parts.namelist() if b"<f>" in parts.read(name)] == []
    assert read["findings"]["about"][0] == "'=1+1"


def test_a_sealed_run_is_exported_beside_the_archive_and_nothing_is_overwritten(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.chdir(tmp_path)
    complete(run)
    seal.seal(run, clock=lambda: NOW)
    before = payload(run)
    assert CliRunner().invoke(main.app, ["export", "contoso"]).exit_code == 0
    book = tmp_path / f"contoso-{run.name}.xlsx"
    assert len(pd.read_excel(book, sheet_name="steps")) == 8
    assert payload(run) == before
    assert verify.verify(run) == ()
    refused = CliRunner().invoke(main.app, ["export", "contoso", "--to", str(book)])
    assert "is there already" in str(refused.exception)


def test_a_table_without_rows_is_a_sheet_with_its_columns() -> None:
    book = frames.workbook([frames.table("empty", [], ["one", "two"])])
    assert list(pd.read_excel(BytesIO(book), sheet_name="empty").columns) == ["one", "two"]
