"""The limit from end to end: Graph of the sandbox cloud, its Exchange's answer from a file, findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from runbook_lib.checks import judge
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.model import AccessLimit, Finding, Status, Tenant
from runbook_lib.sandbox.exchange import answers
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.steps import ews
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.access import limit

Look = Callable[[str], dict[str, list[Finding]]]


@pytest.fixture
def look(sandbox: Sandbox, tenant: Callable[..., Tenant], http: requests.Session, tmp_path: Path) -> Look:
    """Return what reads and judges a sandbox tenant as 06_access does: look("contoso"), findings by check."""

    def look(key: str) -> dict[str, list[Finding]]:
        answers.write_answers(sandbox.world, tmp_path)
        known = tenant(key)
        decided = AccessLimit(
            "application-access-policy", group=f"cronofy-rooms@{known.domain}", outsiders=(known.admin,)
        )
        known = replace(known, access_limit=decided, exchange_answer=tmp_path / f"{key}.json")
        calls = (*access.CALLS, *limit.CALLS)
        graph = Graph(known, entra.sign_in(known, calls, http, attended=False, show=print), http)
        raw = {**access.read(graph, known), **limit.read(graph, known)}
        found: dict[str, list[Finding]] = {}
        for one in judge(limit.parse(raw, known), ews.parse(raw, known)):
            found.setdefault(one.check, []).append(one)
        return found

    return look


def failed(found: dict[str, list[Finding]]) -> dict[str, int]:
    """Return how many findings of each check are neither passed nor beside the point."""
    fine = (Status.PASS, Status.NOT_APPLICABLE)
    counts = {check: sum(one.status not in fine for one in rows) for check, rows in found.items()}
    return {check: count for check, count in counts.items() if count}


def test_the_healthy_tenant_is_limited(look: Look) -> None:
    found = look("contoso")
    assert failed(found) == {}
    assert len(found["rooms-inside"]) == 12


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("adatum", {"no-wider-grant": 1, "outsiders-refused": 1, "limit-before-consent": 1, "ews-off": 1}),
        ("northwind", {"rooms-inside": 9}),  # three outside the group, six without a mailbox in Exchange Online
        ("proseware", {"rooms-inside": 2, "no-impersonation": 1}),  # one outside the group, one that Graph did not list
        ("tailspin", {"policy-restricts": 1, "outsiders-refused": 1}),
        ("wingtip", {"limit-took-effect": 1, "limit-before-consent": 1}),
        (
            "litware",  # nothing is done yet, and there are no rooms
            {
                **{"policy-restricts": 1, "outsiders-refused": 1, "ews-off": 1},
                **{"group-usable": 1, "group-holds-rooms-only": 1, "rooms-inside": 1},
            },
        ),
    ],
)
def test_each_scenario_s_trap_is_seen_and_nothing_else(look: Look, key: str, expected: dict[str, int]) -> None:
    assert failed(look(key)) == expected
