"""The archived raw answers are judged again, offline."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import checks, settings
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import recheck
from runbook_lib.model import Status, Tenant, Waiver
from runbook_lib.notebook import run
from runbook_lib.runs import record as records
from runbook_lib.steps.access import checks as access
from tests.steps.facts import TENANT
from tests.steps.test_grants import ALL_ROLES, BOTH, WORK_HOURS, raw, role

EXTRA = Waiver("no-extra-permissions", "Calendars.ReadWrite.All (application)", "a pilot", "Robin", date(2099, 1, 1))


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    known = replace(TENANT, exceptions=(EXTRA,))
    monkeypatch.setattr(settings, "load", lambda *_: known)
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    monkeypatch.setenv("RUNBOOK_UNATTENDED", "1")
    return known


@pytest.fixture
def folder(tenant: Tenant) -> Path:
    here = run.start("06_access", "contoso")
    answers = raw([*ALL_ROLES, role(WORK_HOURS)], BOTH)
    run.finish(here, answers, run.judge(here, *access.parse(answers, tenant)))
    return here.folder


def test_the_raw_answers_lead_to_the_recorded_findings_again(folder: Path) -> None:
    record = records.latest(folder)["06_access"]
    assert len(record.findings) > 6
    assert Status.ACCEPTED in {one.status for one in record.findings}
    assert recheck.recheck(folder) == ()
    assert recheck.again(folder, record) == record.findings


def test_a_check_that_judges_otherwise_by_now_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stricter(_: Any) -> checks.Rows:
        yield "Cronofy Enterprise for Office 365", Status.FAIL, "not on the list"

    stands = checks.CHECKS["cronofy-present"]
    monkeypatch.setitem(checks.CHECKS, "cronofy-present", replace(stands, rows=stricter))
    (one,) = recheck.recheck(folder)
    assert (one.record, one.check) == ("06_access", "cronofy-present")
    assert (one.recorded, one.now) == ("pass: enabled", "fail: not on the list")


def test_a_finding_that_was_changed_in_the_record_is_shown(folder: Path) -> None:
    path = folder / "data" / "06_access.json"
    path.write_text(path.read_text().replace('"saw": "enabled"', '"saw": "fine"'))
    (one,) = recheck.recheck(folder)
    assert one.recorded == "pass: fine"


def test_damaged_raw_answers_are_named(folder: Path) -> None:
    (folder / "data" / "06_access.raw.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"06_access\.raw\.json"):
        recheck.recheck(folder)


def test_a_tenant_comes_back_from_a_record_as_far_as_it_was_kept(tenant: Tenant, folder: Path) -> None:
    revived = settings.revive(records.latest(folder)["06_access"].settings)
    assert replace(revived, confirmations=tenant.confirmations) == tenant
    assert datetime.now(UTC).date() < revived.exceptions[0].until
