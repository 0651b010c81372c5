"""In batch and with somebody at the screen, the same tenant state leads to the same findings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_lib import settings
from runbook_lib.model import Finding, Tenant
from runbook_lib.notebook import run
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.steps import connect, credentials, permissions, preflight
from runbook_lib.steps.access import checks as access

if TYPE_CHECKING:
    from runbook_lib.sandbox.server import Sandbox

STEPS = {
    "00_preflight": preflight,
    "02_connect": connect,
    "04_credentials": credentials,
    "05_permissions": permissions,
    "06_access": access,
}


@pytest.mark.parametrize("key", ["contoso", "fabrikam", "adatum", "woodgrove", "proseware", "litware"])
def test_attended_or_not_the_findings_are_the_same(
    sandbox: Sandbox, tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    monkeypatch.setattr(settings, "load", lambda *_: tenant(key))
    monkeypatch.setenv("RUNBOOK_OVERRIDE", "the gates are not what is compared")
    found: dict[str, dict[str, tuple[Finding, ...]]] = {}
    for mode in ("UNATTENDED", "ATTENDED"):
        monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / mode))
        with monkeypatch.context() as patch:
            patch.setenv(f"RUNBOOK_{mode}", "1")
            found[mode] = evening(key, sandbox)
    assert found["ATTENDED"] == found["UNATTENDED"]
    assert set(found["ATTENDED"]) == set(STEPS)


def evening(key: str, sandbox: Sandbox) -> dict[str, tuple[Finding, ...]]:
    """Go through the steps that judge, and return what each recorded."""
    for name, step in STEPS.items():
        sandbox.world.offset += timedelta(
            seconds=30
        )  # else the limit of five reports in ten seconds would be waited for
        here = run.start(name, key)
        graph = run.sign_in(here, step.CALLS)
        raw = step.read(graph, here.tenant)
        facts = step.parse(raw, here.tenant)
        run.finish(here, raw, run.judge(here, *(facts if isinstance(facts, tuple) else (facts,))))
    (folder,) = run_folders.runs(run_folders.home("outputs"), key)
    return {step: record.findings for step, record in records.latest(folder).items()}
