"""All tenants on one page: worst first, none hidden, each need once, and links that lead somewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from runbook_lib.model import Finding, Status
from runbook_lib.report import page as report_page
from runbook_lib.report import processes, standing, story
from runbook_lib.runs import folder as run_folders
from tests.fake_runs import NOW, SANDBOX, TENANT, add, complete, lines, new_run, passing
from tests.page import Page


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Four tenants: one done, one failed, one damaged, one whose newest run is not its best."""
    root = tmp_path / "outputs"
    done = new_run(root, "done")
    complete(done, tenant={**TENANT, "key": "done"})
    report_page.write(done, report_page.read(done))
    for key in ("failed", "failed-too"):
        folder = new_run(root, key)
        complete(folder, tenant={**TENANT, "key": key}, cloud=SANDBOX)
        failed = Finding("rooms-readable", "room1", Status.FAIL, "no mailbox", "Give it one.", "https://example.com/")
        add(folder, "07_sync", failed, look=2, tenant={**TENANT, "key": key}, cloud=SANDBOX)
    complete(new_run(root, "damaged"))
    (root / "damaged" / "20261122T180000Z-abcd" / "data" / "03_activate.json").write_text("{")
    complete(new_run(root, "again"))
    add(new_run(root, "again", NOW + timedelta(days=1)), "00_preflight", passing())
    (root / "README.md").write_text("what is here")
    (root / "_portfolio").mkdir()
    return root


def test_the_portfolio_has_a_line_per_tenant_worst_first_and_hides_none(outputs: Path) -> None:
    found = lines(report_page.tenants(report_page.portfolio(outputs, ["done", "never"], NOW + timedelta(days=2))))
    assert [(one["tenant"], one["outcome"]) for one in found] == [
        ("failed", "✗ fail"),
        ("failed-too", "✗ fail"),
        ("damaged", "? unknown"),
        ("again", "… pending"),
        ("never", "… pending"),
        ("done", "✓ pass"),
    ]
    line = {one["tenant"]: one for one in found}
    assert line["failed"]["what is open"] == f"Not so: {story.question('rooms-readable')}"
    assert "03_activate.json is not a complete record" in line["damaged"]["what is open"]
    assert line["damaged"]["what is open"].endswith(")")
    assert line["again"]["steps"] == "1 of 8"
    assert line["again"]["what is open"].endswith("and 4 more")
    assert line["done"]["last looked"] == "2026-11-22 18:37 UTC, 1 d 23 h ago"
    assert line["never"]["last looked"] == "never"


def test_many_tenants_are_read_by_several_processes_and_stand_where_they_stand_alone(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["done", "failed", "damaged", "never", "again"]
    alone = standing.standings(outputs, keys)
    read_here: list[str] = []
    monkeypatch.setattr(story, "read", read_here.append)
    monkeypatch.setattr(standing, "MANY", len(keys))
    monkeypatch.setattr(standing, "AT_ONCE", 2)
    assert standing.standings(outputs, keys) == alone
    assert read_here == []


def test_a_tenant_that_cannot_be_read_stops_no_other(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(root: Path, key: str) -> list[Path]:
        if key == "failed":
            raise PermissionError(13, "Permission denied", str(root / key))
        return found(root, key)

    found = run_folders.runs
    monkeypatch.setattr(run_folders, "runs", runs)
    one, two = standing.standings(outputs, ["failed", "done"])
    assert (one.outcome, one.began) == (Status.UNKNOWN, True)
    assert one.reasons == f"{outputs / 'failed'} cannot be read: Permission denied"
    assert two.outcome is Status.PASS


@pytest.mark.parametrize("content", ["{", '{\n "outcome": "splendid"\n}'])
def test_a_damaged_run_before_hides_no_newer_one(outputs: Path, content: str) -> None:
    (before, _) = run_folders.runs(outputs, "again")
    (before / "data" / "00_preflight.json").write_text(content)
    again = standing.standing(outputs, "again")
    assert again.outcome is Status.PENDING
    assert again.changed[0].startswith("the run before cannot be compared: 00_preflight.json is not a complete record")


def test_a_reader_that_is_killed_is_made_up_for(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def broken() -> Iterator[Executor]:
        with processes.helpers() as executor:
            with suppress(BrokenExecutor):
                executor.submit(os._exit, 9).result()
            yield executor

    alone = standing.standings(outputs, ["done", "failed"])
    monkeypatch.setattr(standing, "MANY", 2)
    monkeypatch.setattr(standing, "processes", SimpleNamespace(helpers=broken))
    assert standing.standings(outputs, ["done", "failed"]) == alone


def test_all_tenants_together_stand_where_the_worst_one_stands(outputs: Path) -> None:
    assert report_page.portfolio(outputs, [], NOW).outcome is Status.FAIL


def test_the_same_need_of_several_tenants_is_one_line(outputs: Path) -> None:
    first, *_ = lines(report_page.all_to_do(report_page.portfolio(outputs, [], NOW)))
    assert (first["status"], first["tenants"], first["who"]) == ("✗ fail", "2", "failed, failed-too")
    assert (first["what to do"], first["where"]) == ("Give it one.", "https://example.com/")


def test_the_portfolio_page_links_to_pages_that_are_there(outputs: Path) -> None:
    folder = new_run(outputs, "_portfolio", NOW + timedelta(days=2))
    path = report_page.write_portfolio(folder, report_page.portfolio(outputs, [], NOW + timedelta(days=2)))
    page = Page(path.read_text())
    pages = [link for link in page.links if "report" in link]
    assert [(path.parent / unquote(link)).resolve() for link in pages] == [
        outputs / "done" / "20261122T180000Z-abcd" / "data" / "report.html"
    ]
    assert page.rows["tenants"] == 6
    assert "2 of 5 tenants: rehearsal, not audit evidence" in page.text


def test_the_portfolio_links_to_the_newest_page_of_the_newest_run(outputs: Path) -> None:
    newer = outputs / "again" / "20261123T180000Z-abcd"
    for _ in range(10):
        report_page.write(newer, report_page.read(newer))
    [link] = [one.page for one in report_page.portfolio(outputs, [], NOW).standings if one.key == "again"]
    assert link.endswith("again/20261123T180000Z-abcd/data/report.10.html")


def test_a_portfolio_of_microsoft_s_cloud_alone_carries_no_stamp(tmp_path: Path) -> None:
    complete(new_run(tmp_path))
    page = Page(
        report_page.write_portfolio(
            new_run(tmp_path, "_portfolio"), report_page.portfolio(tmp_path, [], NOW)
        ).read_text()
    )
    assert "rehearsal" not in page.text


def test_a_portfolio_of_rehearsals_alone_is_stamped_as_a_whole(tmp_path: Path) -> None:
    for key in ("one", "two"):
        complete(new_run(tmp_path, key), tenant={**TENANT, "key": key}, cloud=SANDBOX)
    page = Page(
        report_page.write_portfolio(
            new_run(tmp_path, "_portfolio"), report_page.portfolio(tmp_path, [], NOW)
        ).read_text()
    )
    assert "All tenants: rehearsal, not audit evidence" in page.text


def test_no_tenant_at_all_is_an_empty_page_and_no_error(tmp_path: Path) -> None:
    nothing = report_page.portfolio(tmp_path / "absent", [], NOW)
    assert nothing.outcome is Status.UNKNOWN
    folder = new_run(tmp_path, "_portfolio")
    assert "There is no tenant" in Page(report_page.write_portfolio(folder, nothing).read_text()).text


def test_a_key_with_odd_signs_cannot_leave_the_outputs_folder_or_the_page(outputs: Path) -> None:
    folder = new_run(outputs, 'a"onclick=x b%2e')
    complete(folder)
    report_page.write(folder, report_page.read(folder))
    page = Page(
        report_page.write_portfolio(new_run(outputs, "_p"), report_page.portfolio(outputs, [], NOW)).read_text()
    )
    assert page.handlers == []
    [link] = [link for link in page.links if "onclick" in link]
    assert unquote(link) == f'../../../a"onclick=x b%2e/{folder.name}/data/report.html'
