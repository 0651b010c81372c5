"""Who granted what: records of the audit log, read by name and correlation whatever their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib import forms
from runbook_lib.checks import judge
from runbook_lib.model import Finding, Json, Look, Status
from runbook_lib.steps import permissions
from runbook_lib.steps.access import audit_log, grants
from tests.steps.facts import NOW, TENANT, look
from tests.steps.test_grants import ALL_ROLES, BOTH, EXCHANGE, GRAPH, delegated, raw

AT = "2026-11-20T21:10:00.1234567Z"
ROLE, SCOPE = "Add app role assignment to service principal", "Add delegated permission grant"


def changed(**values: str) -> list[Json]:
    return [
        {"displayName": name.replace("_", "."), "oldValue": None, "newValue": f'"{value}"'}
        for name, value in values.items()
    ]


def record(activity: str, properties: list[Json], target: str = GRAPH, **more: Any) -> Json:
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


def acts_of(*rows: Json, app_id: str = "") -> tuple[audit_log.Event, ...]:
    """Return the acts about `sp` that the records come to."""
    return audit_log.events(forms.rows_of(look("a", *rows), audit_log.Record), "sp", app_id)


def line(kind: str, name: str, id_: str = "", resource: str = GRAPH, user: str = "") -> grants.Line:
    """Return a line of the truth table, as far as the log is asked about it."""
    return grants.Line("", name, "", kind, True, "yes", Status.PASS, id=id_, resource_id=resource, user=user)


def test_the_records_of_one_consent_are_one_act() -> None:
    (act,) = acts_of(role("Place.Read.All"), scope(" openid email"), consent())
    assert (act.by, act.by_person, act.admin_consent, act.amended) == (TENANT.admin, True, True, False)
    assert set(act.permissions) == {"Place.Read.All", "openid", "email"}
    assert act.at == datetime(2026, 11, 20, 21, 10, 0, 123456, tzinfo=UTC)


def test_the_order_of_records_and_of_properties_does_not_matter() -> None:
    rows = [role("Place.Read.All"), scope(" openid email"), consent()]
    for row in rows:
        row["targetResources"][0]["modifiedProperties"].reverse()
        row["targetResources"].reverse()
    (turned,) = acts_of(*reversed(rows))
    (straight,) = acts_of(role("Place.Read.All"), scope(" openid email"), consent())
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
    assert acts_of(row) == ()


def test_of_an_amended_consent_only_what_is_new_was_granted_by_it() -> None:
    amended = "[[Scope: openid email]] => [[Scope: openid email Mail.Read]]; "
    (act,) = acts_of(scope(" openid email Mail.Read", " openid email"), consent(amended))
    assert act.permissions == ("Mail.Read",)
    assert act.amended


def test_a_grant_by_a_program_names_the_program() -> None:
    program: Json = {"initiatedBy": {"user": None, "app": {"displayName": "Tenant Automation"}}}
    acts = acts_of(role("Mail.ReadWrite", **program))
    assert (acts[0].by, acts[0].by_person) == ("Tenant Automation", False)
    assert audit_log.who(acts, line("application", "Mail.ReadWrite")) == "the application Tenant Automation"
    assert audit_log.who(acts, line("application", "Mail.Read")) == ""


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


ROLE_ID = "ef54d2bf-783f-4e0f-bca1-3210c0444d99"
GIVEN = audit_log.Given("application", "Calendars.ReadWrite", GRAPH, ROLE_ID)
SCOPED = audit_log.Given("delegated", "Calendars.ReadWrite", GRAPH, "", "AllPrincipals")


@pytest.mark.parametrize(
    ("given", "about", "same"),
    [
        (GIVEN, line("application", "Calendars.ReadWrite", ROLE_ID), True),
        (GIVEN, line("application", "Calendars.ReadWrite", ROLE_ID.upper()), True),
        (GIVEN, line("application", "Calendars.ReadWrite", "another-id"), False),
        (GIVEN, line("application", "Calendars.ReadWrite", ROLE_ID, resource=EXCHANGE), False),
        (GIVEN, line("delegated", "Calendars.ReadWrite"), False),
        (SCOPED, line("application", "Calendars.ReadWrite", ROLE_ID), False),
        (SCOPED, line("delegated", "Calendars.ReadWrite"), True),
        (SCOPED, line("delegated", "Calendars.ReadWrite", user="u"), False),
        (replace(SCOPED, consent_type="Principal", user="u"), line("delegated", "Calendars.ReadWrite"), False),
        (replace(SCOPED, consent_type="Principal", user="u"), line("delegated", "Calendars.ReadWrite", user="u"), True),
        (
            replace(SCOPED, consent_type="Principal", user="u"),
            line("delegated", "Calendars.ReadWrite", user="v"),
            False,
        ),
        (replace(GIVEN, id="", resource_id=""), line("application", "Calendars.ReadWrite", ROLE_ID), True),
    ],
)
def test_an_act_granted_a_line_by_kind_resource_id_and_for_whom_never_by_the_name_alone(
    given: audit_log.Given, about: grants.Line, same: bool
) -> None:
    assert given.is_for(about) is same


def test_a_user_s_own_consent_does_not_make_the_administrator_s_one_fail() -> None:
    own = scope(" openid email")
    own["targetResources"][0]["modifiedProperties"].append(
        {"displayName": "DelegatedPermissionGrant.ConsentType", "oldValue": None, "newValue": '"Principal"'}
    )
    eve = own | {
        "initiatedBy": {"user": {"userPrincipalName": "eve@contoso.example"}},
        "correlationId": "c2",
        "id": "e",
    }
    later = eve | {"activityDateTime": "2026-11-21T21:10:00Z"}
    for rows in ([later], [later, eve], [eve, later]):
        found = judged(look("a", *EVERYTHING, scope(" openid email"), *rows))
        assert [(one.status, one.subject) for one in found] == [(Status.PASS, TENANT.admin)]


CARRIERS = [
    [role("Mail.Read"), consent()],
    [record(ROLE, changed(AppRole_Value="Mail.Read"), target="x"), consent()],
    [record(ROLE, changed(AppRole_Value="Mail.Read", ServicePrincipal_AppId="APP-1"), target="x")],
    [record(ROLE, changed(AppRole_Value="Mail.Read"), target="x"), role("Other.Read")],
]


@pytest.mark.parametrize("rows", CARRIERS, ids=["object id", "consent", "application id", "another record"])
def test_the_application_is_known_wherever_an_act_names_it(rows: list[Json]) -> None:
    for order in (rows, rows[::-1]):
        (act,) = acts_of(*order, app_id="app-1")
        assert "Mail.Read" in act.permissions


def test_what_another_application_got_under_the_same_correlation_id_is_not_ours() -> None:
    theirs = record(ROLE, changed(ServicePrincipal_ObjectID="theirs", AppRole_Value="Mail.Read"))
    (act,) = acts_of(theirs, role("Place.Read.All"), consent())
    assert act.permissions == ("Place.Read.All",)


def test_an_amended_consent_that_also_removed_the_old_grant_is_amended() -> None:
    removed = record(audit_log.REMOVED, changed(ServicePrincipal_ObjectID="sp"))
    (act,) = acts_of(removed, scope(" openid email"), consent())
    assert act.amended
    assert acts_of(removed) == ()


NAMELESS: list[Json] = [
    {"user": None, "app": None},
    {},
    {"user": {"id": "u-1", "userPrincipalName": None, "displayName": None}, "app": None},
    {"user": {"id": "u-1", "userPrincipalName": ""}},
    {"user": None, "app": {"displayName": None, "appId": None, "servicePrincipalId": None}},
]


@pytest.mark.parametrize("by", NAMELESS, ids=range(len(NAMELESS)))
def test_who_the_log_does_not_name_is_unknown_with_the_ids_it_has(by: Json) -> None:
    rows = [row | {"initiatedBy": by} for row in [*EVERYTHING, scope(" openid email"), consent()]]
    (finding,) = judged(look("a", *rows))
    assert finding.status is Status.UNKNOWN
    assert "does not name who did it" in finding.saw
    assert ("u-1" in finding.saw) == bool(by.get("user"))
    assert "program" not in finding.saw


@pytest.mark.parametrize(
    ("ago", "status"),
    [
        (timedelta(seconds=40), Status.PENDING),
        (timedelta(minutes=59, seconds=59), Status.PENDING),
        (timedelta(hours=1), Status.UNKNOWN),
        (timedelta(hours=1, minutes=59), Status.UNKNOWN),
        (timedelta(hours=2), Status.FAIL),
    ],
)
def test_a_grant_that_the_log_shows_and_the_list_does_not_is_late_then_unknown_then_missing(
    ago: timedelta, status: Status
) -> None:
    at = {"activityDateTime": (NOW - ago).isoformat()}
    audit = look("a", *(row | at for row in [*EVERYTHING, scope(" openid email"), consent()]))
    facts = permissions.parse({**raw([], BOTH), "consent_audit": audit}, TENANT)
    assert {one.status for one in judge(facts) if one.check == "consent-complete"} == {status}


def test_a_record_that_cannot_be_read_is_named_and_the_others_count() -> None:
    strange = record(ROLE, changed(ServicePrincipal_ObjectID="sp")) | {"targetResources": "text", "id": "strange"}
    found = judged(look("a", *EVERYTHING, scope(" openid email"), strange))
    assert {one.status for one in found} == {Status.PASS, Status.UNKNOWN}
    assert any("strange" in one.subject for one in found)


def test_grants_given_by_one_person_one_by_one_are_each_matched() -> None:
    rows = [row | {"correlationId": f"c{number}", "id": f"r{number}"} for number, row in enumerate(EVERYTHING)]
    found = judged(look("a", *rows, scope(" openid email")))
    assert {one.status for one in found} == {Status.PASS}


def test_an_impostor_s_application_role_is_not_excused_by_a_delegated_scope_of_its_name() -> None:
    eve: Json = {"initiatedBy": {"user": {"userPrincipalName": "eve@contoso.example"}}}
    roles = [row | eve for row in EVERYTHING]
    later = scope(" Calendars.ReadWrite") | {"activityDateTime": "2026-11-21T21:10:00Z", "correlationId": "c2"}
    found = judged(
        look("a", *roles, scope(" openid email"), later),
        delegated_grants=look("d", *BOTH, delegated("Calendars.ReadWrite")),
    )
    assert (Status.FAIL, "eve@contoso.example") in [(one.status, one.subject) for one in found]
