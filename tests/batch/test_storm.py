"""A fault storm over all sandbox tenants ends with the same findings as a calm run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests

from runbook_lib.checks import judge
from runbook_lib.cli import demo
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.model import Finding, Tenant
from runbook_lib.sandbox import faults
from runbook_lib.sandbox.faults import Fault
from runbook_lib.steps import permissions, preflight
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.sync import checks as sync

if TYPE_CHECKING:
    from runbook_lib.sandbox.server import Sandbox
    from runbook_lib.sandbox.world.world import World

STORM = [
    Fault("429", 0.06, retry_after="1"),
    Fault("429", 0.04, retry_after="0.249"),
    Fault("429", 0.03, retry_after=None),
    Fault("503", 0.06, retry_after=None),
    Fault("504", 0.03, retry_after=None),
    Fault("reset", 0.03),
    Fault("truncated", 0.04),
    Fault("expired", 0.03),
    Fault("slow", 0.02, ms=20),
]
"""About 30 of 100 calls go wrong, in every way that the sandbox knows."""


def findings(tenant: Tenant, http: requests.Session, world: World, statuses: Counter[int]) -> set[Finding]:
    """Return what all steps that read the tenant find; waiting moves the sandbox's clock, which is ours too."""

    def sleep(seconds: float) -> None:
        world.offset += timedelta(seconds=seconds)

    steps = (preflight, permissions, access)
    calls = {call for step in (*steps, sync) for call in step.CALLS}
    credential = entra.sign_in(tenant, calls, http, attended=False, show=lambda _: None)
    graph = Graph(tenant, credential, http, clock=world.now, sleep=sleep, deadline_seconds=3600)
    raws = [(step, step.read(graph, tenant)) for step in steps] + [(sync, sync.read(graph, tenant, {}))]
    statuses.update(row["status"] for row in graph.log)
    facts = [step.parse(raw, tenant) for step, raw in raws]
    return {one for fact in facts for one in judge(*(fact if isinstance(fact, tuple) else (fact,)))}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("key", sorted(demo.tenants()))
def test_a_storm_changes_no_finding(
    sandbox: Sandbox, tenant: Callable[..., Tenant], http: requests.Session, key: str, seed: int
) -> None:
    calm, storm = Counter[int](), Counter[int]()
    expected = findings(tenant(key), http, sandbox.world, calm)
    faults.faults_of(sandbox.world).order(STORM, seed=seed)
    try:
        assert findings(tenant(key), http, sandbox.world, storm) == expected
    finally:
        faults.faults_of(sandbox.world).clear()
    assert set(calm) <= {200, 403, 404}
    assert sum(storm.values()) > sum(calm.values()) + 2, "the storm hit nothing"
