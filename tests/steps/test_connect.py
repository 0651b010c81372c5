"""Step 2: the domain, and the tenant it belongs to."""

from __future__ import annotations

import pytest

from runbook_lib.checks import judge
from runbook_lib.model import Json, Status
from runbook_lib.steps import connect
from tests.steps.facts import TENANT, look, refused


def outcome(domains: list[Json], organization: str = TENANT.tenant_id) -> dict[str, Status]:
    raw = {"organization": look("organization", {"id": organization}), "domains": look("domains", *domains)}
    return {one.check: one.status for one in judge(connect.parse(raw, TENANT))}


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ([{"id": "Contoso.example", "isVerified": True}], Status.PASS),
        ([{"id": "contoso.example", "isVerified": False}], Status.FAIL),
        ([{"id": "contoso.onmicrosoft.com", "isVerified": True}], Status.FAIL),
        ([], Status.FAIL),
    ],
)
def test_only_a_verified_domain_of_the_tenant_passes(domains: list[Json], expected: Status) -> None:
    assert outcome(domains)["domain-verified"] is expected


def test_answers_of_another_tenant_fail() -> None:
    assert outcome([])["tenant-intended"] is Status.PASS
    assert outcome([], "99999999-2222-3333-4444-555555555555")["tenant-intended"] is Status.FAIL


def test_domains_that_could_not_be_read_are_unknown() -> None:
    raw = {"organization": look("organization", {"id": TENANT.tenant_id}), "domains": refused("domains")}
    found = {one.check: one for one in judge(connect.parse(raw, TENANT))}
    assert found["domain-verified"].status is Status.UNKNOWN
    assert found["domain-verified"].remedy == "Grant the permission."
