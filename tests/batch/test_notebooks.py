"""Every notebook, for every sandbox tenant, through papermill: the whole runbook from end to end."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from runbook_lib.batch import pool
from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import demo
from runbook_lib.display import frames
from runbook_lib.evidence import verify
from runbook_lib.model import Status
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.sandbox import server
from runbook_lib.steps.sync.checks import NOT_LOOKED
from tests.page import Page

CHECKOUT = Path(__file__).resolve().parents[2]
EVIL = "<img src=x onerror=alert(1)>"
"""What somebody in the tenant contoso calls a room and its building."""


@dataclass(frozen=True)
class Archive:
    root: Path
    results: dict[str, TenantResult]

    def folder(self, key: str) -> Path:
        folder = self.results[key].folder
        assert folder is not None
        return folder

    def table(self, key: str, name: str) -> frames.Table:
        return frames.read_csv(self.folder(key) / "data" / "tables" / f"{name}.csv")

    def status_of(self, key: str, step: str) -> Status:
        return records.latest(self.folder(key))[step].outcome


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Run the demo's tenants once, from copies of their files, one with an evil room, and keep the sandbox up."""
    root = tmp_path_factory.mktemp("runbook")
    shutil.copytree(CHECKOUT / "parameters", root / "parameters")
    with pytest.MonkeyPatch.context() as patch, server.serving(root / ".sandbox") as sandbox:
        next(iter(sandbox.world.tenants["contoso"].rooms.values())).update(displayName=EVIL, building=EVIL)
        patch.setenv("RUNBOOK_PARAMETERS", str(root / "parameters"))
        patch.setenv("RUNBOOK_OUTPUTS", str(root / "outputs"))
        results = pool.run(list(demo.tenants()), pool.TENANT_STEPS, jobs=2, on_event=lambda _: None)
        yield Archive(root, {one.key: one for one in results})


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("key", "foretold"), [(key, one["outcome"]) for key, one in demo.tenants().items()])
def test_each_tenant_comes_out_as_its_scenario_foretells(archive: Archive, key: str, foretold: str) -> None:
    result = archive.results[key]
    assert result.error == ""
    assert result.outcome == foretold
    assert list(result.steps) == list(pool.TENANT_STEPS)


def test_the_healthy_tenant_passes_every_step(archive: Archive) -> None:
    assert set(archive.results["contoso"].steps.values()) == {"pass"}
    assert set(archive.table("contoso", "06_access.scopes")["status"]) == {"✓ pass"}


def test_a_half_consent_shows_in_step_5_and_in_the_scope_table(archive: Archive) -> None:
    consent = records.latest(archive.folder("fabrikam"))["05_permissions"]
    assert next(one.saw for one in consent.findings if one.status is Status.FAIL).startswith("half consent")
    granted = archive.table("fabrikam", "06_access.scopes").set_index("permission")["granted"].to_dict()
    assert granted == {
        "User.Read.All": "no",
        "Organization.Read.All": "no",
        "Place.Read.All": "no",
        "Calendars.ReadWrite": "no",
        "openid": "yes",
        "email": "yes",
    }
    assert archive.status_of("fabrikam", "07_sync") is Status.PENDING


def test_extra_permissions_of_every_kind_are_in_the_scope_table(archive: Archive) -> None:
    frame = archive.table("adatum", "06_access.scopes")
    assert list(frame[frame["required"] == "yes"]["granted"]) == ["yes"] * 6
    extra = frame[frame["extra"] == "yes"]
    assert {"Mail.ReadWrite", "Calendars.ReadWrite.All", "full_access_as_app"} <= set(extra["permission"])
    assert "Office 365 Exchange Online" in set(extra["resource"])
    assert any(granted.startswith("yes, for user") for granted in extra["granted"])


def test_all_250_rooms_are_in_the_table_each_with_its_state(archive: Archive) -> None:
    frame = archive.table("northwind", "07_sync.rooms")
    counts = archive.table("northwind", "07_sync.room_counts").set_index("state")["rooms"].to_dict()
    assert len(frame) == len(set(frame["email"])) == 252
    assert counts.pop("all rooms seen") == "250 of 250"
    assert counts.pop("of them known to Exchange alone") == "2 more"
    assert sum(map(int, counts.values())) == 252
    assert {"mapped but not proved", "not mapped", "duplicate", "booking blocked", "outside the limit"} < set(counts)
    assert {"hidden", "not in the cloud", "no mailbox"} < set(counts)
    assert NOT_LOOKED not in {*frame["spaceiq"], *frame["exchange"]}


def test_what_we_may_not_see_is_unknown_with_the_permission_that_would_tell(archive: Archive) -> None:
    record = records.latest(archive.folder("woodgrove"))["07_sync"]
    assert record.outcome is Status.UNKNOWN
    assert "Place.Read.All" in " ".join(one.saw + one.remedy for one in record.findings)


def test_no_notebook_ended_in_an_error_but_where_a_gate_is_closed(archive: Archive) -> None:
    for key in archive.results:
        for path in sorted((archive.folder(key) / "data").glob("*.ipynb")):
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            errors = [out for cell in notebook.cells for out in cell.get("outputs", ()) if out.output_type == "error"]
            record = records.latest(archive.folder(key))[path.stem]
            assert [out.ename for out in errors] == (["GateClosed"] if record.waiting else []), path
            assert not path.name.endswith(".broken.ipynb")


def test_a_notebook_that_nbconvert_made_a_page_of_shows_the_results_and_runs_nothing_a_tenant_wrote(
    archive: Archive,
) -> None:
    exporter = HTMLExporter()  # type: ignore[no-untyped-call, unused-ignore]
    html, _ = exporter.from_filename(str(archive.folder("contoso") / "data" / "07_sync.ipynb"))
    page = Page(html)
    for email in archive.table("contoso", "07_sync.rooms")["email"]:
        assert email in page.text.replace(" ", "")  # a long name may wrap at its signs
    assert page.text.count(EVIL) >= 2, "the room and its building"
    assert page.handlers == []
    pictures = re.findall(r'<img [^>]*src="([^"]*)"', html)
    assert page.tags["img"] == len(pictures) == 1
    drawn = base64.b64decode(pictures[0].removeprefix("data:image/svg+xml;base64,")).decode()
    assert EVIL in Page(drawn).text
    assert Page(drawn).tags["img"] == 0


def test_an_unattended_run_confirms_only_what_the_tenant_file_holds(archive: Archive) -> None:
    for key in archive.results:
        for record in records.all_records(archive.folder(key)):
            assert {one.source for one in record.confirmations if one.confirmed} <= {"tenant file"}
    assert archive.status_of("fabrikam", "06_access") is Status.FAIL


def test_every_request_of_a_record_has_its_request_id(archive: Archive) -> None:
    requests = [one for record in records.all_records(archive.folder("northwind")) for one in record.requests]
    assert len(requests) > 20
    assert all(one["request_id"] for one in requests)


def test_stock_tools_verify_the_archive_and_notice_one_byte(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(archive.folder("contoso"), folder)
    check = ["sha256sum", "--quiet", "-c", "manifest-sha256.txt"]
    subprocess.run(check, cwd=folder, check=True)
    assert verify.verify(folder) == ()
    path = folder / "data" / "06_access.json"
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 1
    assert "06_access.json" in " ".join(str(fault) for fault in verify.verify(folder))


def test_every_page_and_bag_of_a_rehearsal_says_so(archive: Archive) -> None:
    for key in archive.results:
        page = (archive.folder(key) / "data" / "report.html").read_text(encoding="utf-8")
        assert "rehearsal, not audit evidence" in page
        assert "rehearsal, not audit evidence" in (archive.folder(key) / "bag-info.txt").read_text(encoding="utf-8")


def test_the_demo_s_page_shows_its_tenants_and_no_other_and_is_all_rehearsal(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(archive.root / "parameters"))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(archive.root / "outputs"))
    assert (archive.root / "parameters" / "relecloud.yaml").is_file()
    page = demo.portfolio(demo.tenants()).read_text(encoding="utf-8")
    for key, one in demo.tenants().items():
        assert key in page
        assert one["outcome"] in page
    assert "relecloud" not in page
    assert "All tenants: rehearsal, not audit evidence" in page
    assert os.environ["RUNBOOK_PARAMETERS"] == str(archive.root / "parameters")


def test_plain_papermill_runs_a_notebook_without_our_command(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    subprocess.run(
        [sys.executable, "-m", "papermill", "notebooks/06_access.ipynb", str(out), "-p", "tenant", "contoso"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        env={
            **os.environ,
            "RUNBOOK_PARAMETERS": str(archive.root / "parameters"),
            "RUNBOOK_OUTPUTS": str(archive.root / "outputs"),
        },
    )
    assert "Place.Read.All" in json.dumps(json.loads(out.read_text(encoding="utf-8")))
    newest = run_folders.runs(archive.root / "outputs", "contoso")[-1]
    assert records.latest(newest)["06_access"].outcome is Status.PASS
