"""Who granted what: records of the audit log, read by name and correlation whatever their order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib.checks import judge
from runbook_lib.model import Finding, Json, Look, Status
from runbook_lib.steps import permissions
from runbook_lib.steps.access import audit_log
from tests.steps.facts import NOW, TENANT, look
from tests.steps.test_grants import ALL_ROLES, BOTH, raw

AT = "2026-11-20T21:10:00.1234567Z"
ROLE, SCOPE = "Add app role assignment to service principal", "Add delegated permission grant"


def changed(**values: str) -> list[Json]:
    return [
        {"displayName": name.replace("_", "."), "oldValue": None, "newValue": f'"{value}"'}
        for name, value in values.items()
    ]


def record(activity: str, properties: list[Json], target: str = "graph", **more: Any) -> Json:
    return {
        "id": activity,
        "correlationId": "c1",
        "result": "success",
        "activityDisplayName": activity,
        "activityDateTime": AT,
        "initiatedBy": {"user": {"userPrincipalName": TENANT.admin}, "app": None},
        "targetResources": [
            {"id": target, "modifiedProperties": properties},
            {"id": "other", "modifiedProperties": []},
        ],
        **more,
    }


def role(value: str, **more: Any) -> Json:
    return record(ROLE, changed(ServicePrincipal_ObjectID="sp", AppRole_Value=value), **more)


def consent(permissions_: str = "[] => [[Scope: openid email]]; ") -> Json:
    return record(
        audit_log.CONSENT,
        changed(ConsentAction_Permissions=permissions_, ConsentContext_IsAdminConsent="True"),
        target="sp",
    )


def scope(new: str, old: str | None = None) -> Json:
    row = record(SCOPE, changed(ServicePrincipal_ObjectID="sp"))
    row["targetResources"][0]["modifiedProperties"].insert(
        0, {"displayName": "DelegatedPermissionGrant.Scope", "oldValue": old and f'"{old}"', "newValue": f'"{new}"'}
    )
    return row


def test_the_records_of_one_consent_are_one_act() -> None:
    (act,) = audit_log.events(look("a", role("Place.Read.All"), scope(" openid email"), consent()), "sp")
    assert (act.by, act.by_person, act.admin_consent, act.amended) == (TENANT.admin, True, True, False)
    assert set(act.permissions) == {"Place.Read.All", "openid", "email"}
    assert act.at == datetime(2026, 11, 20, 21, 10, 0, 123456, tzinfo=UTC)


def test_the_order_of_records_and_of_properties_does_not_matter() -> None:
    rows = [role("Place.Read.All"), scope(" openid email"), consent()]
    for row in rows:
        row["targetResources"][0]["modifiedProperties"].reverse()
        row["targetResources"].reverse()
    (turned,) = audit_log.events(look("a", *reversed(rows)), "sp")
    (straight,) = audit_log.events(look("a", role("Place.Read.All"), scope(" openid email"), consent()), "sp")
    assert set(turned.permissions) == set(straight.permissions)
    assert turned.by == straight.by


@pytest.mark.parametrize(
    "row",
    [
        record(ROLE, changed(ServicePrincipal_ObjectID="another", AppRole_Value="Mail.Read")),
        role("Mail.Read", result="failure"),
        record("Remove app role assignment from service principal", changed(ServicePrincipal_ObjectID="sp")),
        {"id": "bare", "activityDisplayName": ROLE, "result": "success"},
    ],
)
def test_what_granted_nothing_to_this_application_is_no_act(row: Json) -> None:
    assert audit_log.events(look("a", row), "sp") == ()


def test_of_an_amended_consent_only_what_is_new_was_granted_by_it() -> None:
    amended = "[[Scope: openid email]] => [[Scope: openid email Mail.Read]]; "
    (act,) = audit_log.events(look("a", scope(" openid email Mail.Read", " openid email"), consent(amended)), "sp")
    assert act.permissions == ("Mail.Read",)
    assert act.amended


def test_a_grant_by_a_program_names_the_program() -> None:
    program: Json = {"initiatedBy": {"user": None, "app": {"displayName": "Tenant Automation"}}}
    acts = audit_log.events(look("a", role("Mail.ReadWrite", **program)), "sp")
    assert (acts[0].by, acts[0].by_person) == ("Tenant Automation", False)
    assert audit_log.who(acts, "Mail.ReadWrite") == "the application Tenant Automation"
    assert audit_log.who(acts, "Mail.Read") == ""


def judged(audit: Look, **changes: Look) -> list[Finding]:
    facts = permissions.parse({**raw(ALL_ROLES, BOTH), "consent_audit": audit, **changes}, TENANT)
    return [one for one in judge(facts) if one.check == "consent-by-planned-admin"]


EVERYTHING = [
    role(name) for name in ("User.Read.All", "Organization.Read.All", "Place.Read.All", "Calendars.ReadWrite")
]


def test_the_planned_administrators_consent_passes_whatever_the_case_of_his_name() -> None:
    upper = {"initiatedBy": {"user": {"userPrincipalName": TENANT.admin.upper()}, "app": None}}
    rows = [row | upper for row in [*EVERYTHING, scope(" openid email"), consent()]]
    (finding,) = judged(look("a", *rows))
    assert (finding.status, finding.subject) == (Status.PASS, TENANT.admin.upper())


def test_somebody_elses_consent_fails() -> None:
    other = {"initiatedBy": {"user": {"userPrincipalName": "eve@contoso.example"}, "app": None}}
    rows = [row | other for row in [*EVERYTHING, scope(" openid email")]]
    (finding,) = judged(look("a", *rows))
    assert finding.status is Status.FAIL
    assert f"planned was {TENANT.admin}" in finding.saw


def test_a_program_that_granted_what_is_needed_fails() -> None:
    program: Json = {"initiatedBy": {"user": None, "app": {"displayName": "Script"}}}
    rows = [row | program for row in [*EVERYTHING, scope(" openid email")]]
    (finding,) = judged(look("a", *rows))
    assert finding.status is Status.FAIL
    assert "as a program" in finding.saw


def test_what_the_log_no_longer_holds_is_unknown_with_the_retention() -> None:
    (finding,) = judged(look("a"))
    assert finding.status is Status.UNKNOWN
    assert "7 days on Entra ID Free and 30 days" in finding.saw


def test_a_log_that_lags_is_pending_until_a_time() -> None:
    minutes_ago = (NOW - timedelta(minutes=10)).isoformat()
    fresh = look("app_role_assignments", *[one | {"createdDateTime": minutes_ago} for one in ALL_ROLES])
    (finding,) = judged(look("a"), app_role_assignments=fresh)
    assert finding.status is Status.PENDING
    assert "2026-11-22 21:50 UTC" in finding.saw


def test_with_nothing_granted_the_question_does_not_arise() -> None:
    (finding,) = judged(look("a"), app_role_assignments=look("x"), delegated_grants=look("x"))
    assert finding.status is Status.NOT_APPLICABLE
