"""The audit log and the sign-in reports: filters, licence, kinds of sign-in, and their own throttle."""

from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.times import graph_time
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code, tenant_of

CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
AUDITS = "/auditLogs/directoryAudits"


@pytest.fixture
def auditor(world: World) -> Asking:
    return Asking(world, "contoso", ["AuditLog.Read.All"])


def values(asking: Asking, path: str) -> list[dict[str, Any]]:
    response = asking.get(path)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["value"]
    return rows


def signed_in(asking: Asking, kind: str, hours_ago: int, app_id: str = CRONOFY) -> dict[str, Any]:
    """Add a sign-in to the log."""
    row = shape("signIn", id=f"{kind}-{hours_ago}", appId=app_id, signInEventTypes=[kind], userId="")
    row["createdDateTime"] = graph_time(asking.world.now() - timedelta(hours=hours_ago))
    asking.tenant.sign_ins.append(row)
    return row


def test_the_log_is_newest_first_and_tells_of_the_scenarios_consents(auditor: Asking) -> None:
    entries = values(auditor, AUDITS)
    moments = [entry["activityDateTime"] for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert {"Consent to application", "Add app role assignment to service principal"} <= {
        entry["activityDisplayName"] for entry in entries
    }


def test_the_log_can_be_filtered_as_its_page_says(auditor: Asking) -> None:
    now = auditor.world.now()
    recent = graph_time(now - timedelta(days=3))
    found = values(auditor, f"{AUDITS}?$filter=activityDateTime ge {recent} and category eq 'ApplicationManagement'")
    assert found
    assert all(entry["activityDateTime"] >= recent for entry in found)
    begun = values(auditor, f"{AUDITS}?$filter=startswith(activityDisplayName,'Consent to')")
    assert {entry["activityDisplayName"] for entry in begun} == {"Consent to application"}
    client = begun[0]["targetResources"][0]["id"]
    by_target = values(auditor, f"{AUDITS}?$filter=targetResources/any(t:t/id eq '{client}')")
    assert begun[0]["id"] in {entry["id"] for entry in by_target}


@pytest.mark.parametrize(
    "text", ["activityDateTime gt 2026-01-01", "category ne 'x'", "contains(category,'x')", "result eq 'x'"]
)
def test_operators_that_the_page_does_not_list_are_refused(text: str, auditor: Asking) -> None:
    assert auditor.get(f"{AUDITS}?$filter={text}").status_code == 400


def test_an_entry_is_found_by_its_id(auditor: Asking) -> None:
    entry = values(auditor, f"{AUDITS}?$top=1")[0]
    assert auditor.get(f"{AUDITS}/{entry['id']}").json()["id"] == entry["id"]
    assert code(auditor.get(f"{AUDITS}/nothing")) == (404, "Request_ResourceNotFound")


def test_entries_may_take_their_time_to_appear(auditor: Asking) -> None:
    auditor.tenant.modes["audit_seconds"] = 10 * 24 * 3600
    seen = {entry["activityDisplayName"] for entry in values(auditor, AUDITS)}
    auditor.tenant.modes["audit_seconds"] = 0
    assert len(values(auditor, AUDITS)) > len(seen)


def free_tenant(world: World) -> str:
    return next(key for key in world.keys() if not tenant_of(world, key).premium)  # noqa: SIM118 - no mapping


@pytest.mark.parametrize("path", ["/auditLogs/signIns", "/beta/reports/servicePrincipalSignInActivities"])
def test_sign_in_reports_need_a_premium_licence(path: str, world: World) -> None:
    asking = Asking(world, free_tenant(world), ["AuditLog.Read.All"])
    response = asking.get(path)
    assert code(response) == (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")
    assert response.json()["error"]["message"] == "Neither tenant is B2C or tenant doesn't have premium license"


def test_the_audit_log_needs_no_licence(world: World) -> None:
    assert Asking(world, free_tenant(world), ["AuditLog.Read.All"]).get(AUDITS).status_code == 200


def test_v1_shows_users_only_and_none_of_betas_properties(auditor: Asking) -> None:
    auditor.tenant.sign_ins.clear()
    signed_in(auditor, "servicePrincipal", 1)
    mine = signed_in(auditor, "interactiveUser", 2)
    rows = values(auditor, "/auditLogs/signIns")
    assert [row["id"] for row in rows] == [mine["id"]]
    assert "signInEventTypes" not in rows[0]
    refused = auditor.get("/auditLogs/signIns?$filter=signInEventTypes/any(t:t eq 'servicePrincipal')")
    assert "Could not find a property named 'signInEventTypes'" in refused.json()["error"]["message"]


def test_beta_shows_the_kind_that_the_filter_names(auditor: Asking) -> None:
    auditor.tenant.sign_ins.clear()
    theirs, mine = signed_in(auditor, "servicePrincipal", 1), signed_in(auditor, "interactiveUser", 2)
    signed_in(auditor, "servicePrincipal", 3, app_id="00000000-0000-0000-0000-000000000009")
    path = "/beta/auditLogs/signIns"
    assert [row["id"] for row in values(auditor, path)] == [mine["id"]]
    kind = "signInEventTypes/any(t: t eq 'servicePrincipal')"
    found = values(auditor, f"{path}?$filter=appId eq '{CRONOFY}' and {kind}")
    assert [row["id"] for row in found] == [theirs["id"]]
    assert auditor.get(f"{path}/{theirs['id']}").status_code == 200
    mixed = "signInEventTypes/any(t: t eq 'servicePrincipal' or t eq 'interactiveUser')"
    assert code(auditor.get(f"{path}?$filter={mixed}")) == (400, "BadRequest")


def test_activity_is_the_last_sign_in_of_each_kind(auditor: Asking) -> None:
    auditor.tenant.sign_ins.clear()
    own = signed_in(auditor, "servicePrincipal", 5)
    signed_in(auditor, "servicePrincipal", 50)
    delegated = signed_in(auditor, "nonInteractiveUser", 2)
    path = f"/beta/reports/servicePrincipalSignInActivities?$filter=appId eq '{CRONOFY}'"
    row = values(auditor, path)[0]
    assert row["applicationAuthenticationClientSignInActivity"]["lastSignInDateTime"] == own["createdDateTime"]
    assert row["delegatedClientSignInActivity"]["lastSignInRequestId"] == delegated["id"]
    assert row["lastSignInActivity"]["lastSignInDateTime"] == delegated["createdDateTime"]


def test_the_sixth_report_within_ten_seconds_is_throttled(auditor: Asking) -> None:
    assert [auditor.get(AUDITS).status_code for _ in range(5)] == [200] * 5
    refused = auditor.get("/auditLogs/signIns")
    assert code(refused) == (429, "TooManyRequests")
    assert 1 <= int(refused.headers["retry-after"]) <= 11
    assert auditor.get("/subscribedSkus").status_code == 403, "other calls are not reports"
    auditor.world.offset += timedelta(seconds=11)
    assert auditor.get(AUDITS).status_code == 200


def test_another_tenant_has_a_throttle_of_its_own(auditor: Asking) -> None:
    for _ in range(6):
        auditor.get(AUDITS)
    assert Asking(auditor.world, "fabrikam", ["AuditLog.Read.All"]).get(AUDITS).status_code == 200
