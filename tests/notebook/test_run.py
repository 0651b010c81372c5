"""Start and finish a step: the run it joins, the gates, the record it leaves."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import settings, vendors
from runbook_lib.errors import ArchiveError, GateClosed, UsageError
from runbook_lib.model import AccessLimit, Confirmation, Finding, Look, Status, Tenant
from runbook_lib.notebook import prompts, run
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.steps import connect, disconnect, tables
from tests.steps.facts import TENANT, look

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
FINE = Finding("c", "s", Status.PASS, "saw")


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tenant]:
    """Serve `contoso` from here instead of a file; tests change it under that key."""
    served = {"contoso": TENANT}

    def load(_: Path, key: str, now: datetime) -> Tenant:
        return served[key]

    monkeypatch.setattr(settings, "load", load)
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    monkeypatch.setenv("RUNBOOK_UNATTENDED", "1")
    monkeypatch.delenv("RUNBOOK_OVERRIDE", raising=False)
    return served


def test_steps_join_the_run_that_is_open(tenant: dict[str, Tenant]) -> None:
    first = run.start("00_preflight", "contoso")
    run.finish(first, (FINE,))
    second = run.start("02_connect", "contoso")
    assert second.folder == first.folder
    assert list(second.records) == ["00_preflight"]
    assert "00 ✓ pass" in str(second)


def test_a_sealed_run_is_closed_and_a_new_one_begins(tenant: dict[str, Tenant]) -> None:
    first = run.start("00_preflight", "contoso")
    (first.folder / "tagmanifest-sha256.txt").touch()
    with pytest.raises(UsageError, match="sealed"):
        run.start("02_connect", "contoso", first.folder.name)
    assert run.start("02_connect", "contoso").folder != first.folder


@pytest.mark.parametrize("run_id", ["20991231T000000Z-abcd", "../contoso", "."])
def test_a_run_that_is_not_there_is_told_with_those_that_are(tenant: dict[str, Tenant], run_id: str) -> None:
    here = run.start("00_preflight", "contoso").folder.name
    with pytest.raises(UsageError, match="There is no run") as raised:
        run.start("00_preflight", "contoso", run_id)
    assert here in raised.value.remedy


def test_an_unknown_step_is_told_with_the_steps_there_are(tenant: dict[str, Tenant]) -> None:
    with pytest.raises(UsageError) as raised:
        run.start("10_party", "contoso")
    assert "06_access" in raised.value.remedy


def test_a_closed_gate_leaves_a_pending_record_unattended(tenant: dict[str, Tenant]) -> None:
    with pytest.raises(GateClosed, match="before-snapshot") as raised:
        run.start("01_disconnect", "contoso")
    assert raised.value.exit_code == 5
    (folder,) = run_folders.runs(run_folders.home("outputs"), "contoso")
    record = records.latest(folder)["01_disconnect"]
    assert record.outcome is Status.PENDING
    assert "before-snapshot" in record.waiting


def test_a_closed_gate_only_speaks_when_somebody_is_there(
    tenant: dict[str, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNBOOK_UNATTENDED")
    monkeypatch.setenv("RUNBOOK_ATTENDED", "1")
    with pytest.raises(GateClosed):
        run.start("01_disconnect", "contoso")
    assert records.latest(run_folders.runs(run_folders.home("outputs"), "contoso")[0]) == {}


def test_an_override_opens_the_gate_and_is_recorded(tenant: dict[str, Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OVERRIDE", "agreed with Robin")
    opened = run.start("01_disconnect", "contoso")
    run.finish(opened, (FINE,))
    assert records.latest(opened.folder)["01_disconnect"].override == "agreed with Robin"


def test_an_override_where_no_gate_is_closed_is_not_claimed(
    tenant: dict[str, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_OVERRIDE", "agreed with Robin")
    assert run.start("00_preflight", "contoso").override == ""


LIMITED = Confirmation("access-limited", "", True, "Megan", NOW, "tenant file")


@pytest.mark.parametrize(
    ("limit", "confirmed", "opens"),
    [
        (AccessLimit(), False, False),
        (AccessLimit("application-access-policy"), False, False),
        (AccessLimit("application-access-policy"), True, True),
        (AccessLimit("rbac"), True, True),
        (AccessLimit("none", reason="small tenant"), False, False),
        (AccessLimit("none", reason="small tenant", approved_by="Robin"), False, True),
        (AccessLimit("none"), True, False),
    ],
)
def test_step_5_wants_the_limit_in_place_or_waived_by_name(
    tenant: dict[str, Tenant], limit: AccessLimit, confirmed: bool, opens: bool
) -> None:
    known = {"access-limited": LIMITED} if confirmed else {}
    tenant["contoso"] = replace(TENANT, access_limit=limit, confirmations=known)
    if opens:
        assert run.start("05_permissions", "contoso").look == 1
    else:
        with pytest.raises(GateClosed, match="before the consent"):
            run.start("05_permissions", "contoso")


def test_a_limit_confirmed_in_preflight_opens_the_gate_of_step_5(
    tenant: dict[str, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant["contoso"] = replace(TENANT, access_limit=AccessLimit("application-access-policy"))
    monkeypatch.setenv("RUNBOOK_ATTENDED", "1")
    monkeypatch.delenv("RUNBOOK_UNATTENDED")
    here = run.start("00_preflight", "contoso")
    limited = run.attest(here, "access-limited", "It is limited.")
    with pytest.raises(GateClosed):
        run.start("05_permissions", "contoso")
    limited.accept("", "Megan")
    run.finish(here, limited)
    with pytest.raises(GateClosed, match=r"Step 5 comes after step 4, .* 04_credentials\.ipynb"):
        run.start("05_permissions", "contoso")
    for step in ("01_disconnect", "02_connect", "03_activate", "04_credentials"):
        run.finish(run.start(step, "contoso"), (FINE,))
    assert run.start("05_permissions", "contoso").folder == here.folder


@pytest.mark.parametrize(("status", "opens"), [(Status.FAIL, False), (Status.UNKNOWN, True), (Status.PASS, True)])
def test_step_7_wants_step_6_not_failed(tenant: dict[str, Tenant], status: Status, opens: bool) -> None:
    review = run.start("06_access", "contoso")
    run.finish(review, (replace(FINE, status=status),))
    if opens:
        run.start("07_sync", "contoso")
        return
    with pytest.raises(GateClosed):
        run.start("07_sync", "contoso")
    run.finish(run.start("06_access", "contoso"), (FINE,))
    run.start("07_sync", "contoso")


def test_a_step_leaves_its_record_its_raw_answers_and_its_tables(tenant: dict[str, Tenant]) -> None:
    here = run.start("06_access", "contoso")
    raw = {"rooms": Look("rooms", NOW, ({"id": 1},), 5, False)}
    done = prompts.attest(TENANT, "access-reviewed", "I looked.")
    card = run.finish(here, raw, (FINE,), tables.to_do([FINE]), done)
    data = here.folder / "data"
    assert sorted(str(path.relative_to(data)) for path in data.rglob("*.*")) == [
        "06_access.json",
        "06_access.raw.json",
        str(Path("tables/06_access.to_do.csv")),
    ]
    record = records.latest(here.folder)["06_access"]
    assert card.status is record.outcome is Status.PENDING
    assert record.raw_sha256 == hashlib.sha256((data / "06_access.raw.json").read_bytes()).hexdigest()
    assert record.looks == (
        {"name": "rooms", "call": "rooms", "rows": 1, "total": 5, "complete": False, "refusal": ""},
    )
    assert record.tables == ("tables/06_access.to_do.csv",)
    assert record.operator["attended"] is False
    assert record.versions["papermill"]
    assert record.how_to["read"]


def test_the_report_repeats_what_the_run_came_to(tenant: dict[str, Tenant]) -> None:
    run.finish(run.start("06_access", "contoso"), (replace(FINE, status=Status.UNKNOWN),))
    card = run.finish(run.start("08_report", "contoso"))
    assert card.status is Status.UNKNOWN
    assert "close the run: runbook seal contoso" in str(card)
    assert "09_portfolio" not in str(card), "the other tenants are none of this one's business"


def test_a_second_look_stands_beside_the_first(tenant: dict[str, Tenant]) -> None:
    for _ in range(2):
        here = run.start("06_access", "contoso")
        run.finish(here, {"rooms": Look("rooms", NOW)}, (FINE,))
    names = sorted(path.name for path in (here.folder / "data").glob("*.json"))
    assert names == ["06_access.2.json", "06_access.2.raw.json", "06_access.json", "06_access.raw.json"]


def test_finishing_twice_is_refused_and_changes_nothing(tenant: dict[str, Tenant]) -> None:
    here = run.start("06_access", "contoso")
    run.finish(here, (FINE,))
    with pytest.raises(ArchiveError, match="never overwritten"):
        run.finish(here, (replace(FINE, status=Status.FAIL),))
    assert records.latest(here.folder)["06_access"].outcome is Status.PASS


def test_the_card_says_that_a_rehearsal_is_no_evidence(tenant: dict[str, Tenant]) -> None:
    tenant["contoso"] = replace(TENANT, cloud=replace(TENANT.cloud, name="lab", microsoft=False))
    assert "rehearsal, not audit evidence" in str(run.start("00_preflight", "contoso"))


def test_what_a_tenant_is_called_is_escaped(tenant: dict[str, Tenant]) -> None:
    tenant["contoso"] = replace(TENANT, name="<i>Contoso</i>")
    shown: dict[str, Any] = run.start("00_preflight", "contoso")._repr_mimebundle_()
    assert "<i>" not in shown["text/html"]
    assert json.dumps(shown)


def test_the_outage_runs_from_the_confirmed_deletion_to_the_confirmed_booking_test(tenant: dict[str, Tenant]) -> None:
    at = datetime(2026, 11, 20, 21, 5, tzinfo=UTC)
    known = {
        "disconnected": Confirmation("disconnected", "", True, "Sam", at, "tenant file"),
        "booking-tested": Confirmation("booking-tested", "", True, "Sam", at + timedelta(minutes=95), "tenant file"),
    }
    tenant["contoso"] = replace(TENANT, confirmations=known)
    run.finish(run.start("00_preflight", "contoso"), (FINE,))
    before = run.start("01_disconnect", "contoso")
    assert "outage" not in str(before)
    run.finish(before, run.attest(before, "disconnected", "Gone."))
    during = run.start("07_sync", "contoso")
    assert "from 2026-11-20 21:05 UTC: room booking is still down" in str(during)
    run.finish(during, run.attest(during, "booking-tested", "Works."))
    assert "outage: 1 h 35 min, from 2026-11-20 21:05 UTC\n" in str(run.start("08_report", "contoso")) + "\n"


def test_an_earlier_steps_answers_are_at_hand_or_asked_for(tenant: dict[str, Tenant]) -> None:
    first = run.start("00_preflight", "contoso")
    raw = {"rooms": Look("rooms", NOW, ({"id": "1"},), 1)}
    run.finish(first, raw, (FINE,))
    second = run.start("01_disconnect", "contoso")
    assert run.raw_of(second, "00_preflight") == raw
    with pytest.raises(UsageError, match="holds no answers of 05_permissions"):
        run.raw_of(second, "05_permissions")
    card = disconnect.go_or_no_go(TENANT, second.records["00_preflight"], raw)
    assert card.status is Status.PASS
    assert "1 of 1 that Graph shows" in str(card)


@pytest.mark.parametrize("status", [Status.FAIL, Status.UNKNOWN, Status.PENDING])
def test_preflight_with_open_points_is_no_go(tenant: dict[str, Tenant], status: Status) -> None:
    first = run.start("00_preflight", "contoso")
    run.finish(first, {"rooms": Look("rooms", NOW, refusal="no")}, (replace(FINE, status=status),))
    second = run.start("01_disconnect", "contoso")
    card = disconnect.go_or_no_go(TENANT, second.records["00_preflight"], run.raw_of(second, "00_preflight"))
    assert card.status is Status.FAIL
    assert f"1 {status}" in str(card)
    assert "could not be counted" in str(card)


def test_links_lead_into_the_portal_of_the_tenants_cloud(tenant: dict[str, Tenant]) -> None:
    facts = connect.parse({"organization": look("o", {"id": "other"}), "domains": look("d")}, TENANT)
    global_links = {one.link for one in run.judge(run.start("02_connect", "contoso"), facts)}
    tenant["contoso"] = replace(TENANT, cloud=vendors.clouds()["gcc-high"])
    links = {one.link for one in run.judge(run.start("02_connect", "contoso"), facts)}
    assert {link.partition("/#")[0] for link in global_links} == {"https://entra.microsoft.com"}
    assert {link.partition("/#")[0] for link in links} == {"https://entra.microsoft.us"}
