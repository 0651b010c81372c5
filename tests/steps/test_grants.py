"""The scope truth table, and what steps 5 and 6 conclude from it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import vendors
from runbook_lib.checks import judge
from runbook_lib.model import Json, Look, Status
from runbook_lib.steps import permissions
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.access import grants, revoke
from tests.steps.facts import TENANT, look, refused

GRAPH, EXCHANGE = "graph-object-id", "exchange-object-id"
NAMES = {one.id: one.name for one in vendors.permissions()}
APPLICATION = [one.id for one in vendors.permissions() if one.kind == "application"]
WORK_HOURS = "d91697b0-a708-4c11-a712-8fb2dc081aa2"
"""Calendars.ReadWrite.All: by its name a calendar permission, by its meaning work hours and locations."""

RESOURCES = {
    f"resource {GRAPH}": look(
        "resource",
        {
            "id": GRAPH,
            "appId": "00000003-0000-0000-c000-000000000000",
            "displayName": "Microsoft Graph",
            "appRoles": [{"id": i, "value": NAMES[i]} for i in APPLICATION]
            + [{"id": WORK_HOURS, "value": "Calendars.ReadWrite.All"}],
            "oauth2PermissionScopes": [{"id": one.id, "value": one.name} for one in vendors.permissions()],
        },
    ),
    f"resource {EXCHANGE}": look(
        "resource",
        {
            "id": EXCHANGE,
            "appId": "00000002-0000-0ff1-ce00-000000000000",
            "displayName": "Office 365 Exchange Online",
            "appRoles": [{"id": "dc890d15-9560-4a4c-9b7f-a736ec74ec40", "value": "full_access_as_app"}],
            "oauth2PermissionScopes": [],
        },
    ),
}


def role(role_id: str, resource: str = GRAPH) -> Json:
    return {"appRoleId": role_id, "resourceId": resource, "createdDateTime": "2026-11-20T21:10:00Z"}


def delegated(scope: str, user: str | None = None) -> Json:
    kind = "Principal" if user else "AllPrincipals"
    return {"scope": scope, "consentType": kind, "principalId": user, "resourceId": GRAPH}


NO_KEYS: Json = {"keyCredentials": [], "passwordCredentials": []}


def raw(roles: list[Json], scopes: list[Json]) -> Mapping[str, Look]:
    return RESOURCES | {
        "service_principal": look(
            "service_principal",
            {"id": "sp", "displayName": "Cronofy Enterprise for Office 365", "accountEnabled": True} | NO_KEYS,
        ),
        "app_role_assignments": look("app_role_assignments", *roles),
        "delegated_grants": look("delegated_grants", *scopes),
        "consent_audit": look("consent_audit"),
        "last_use": look("last_use"),
        "owners": look("owners"),
        "rooms": look("rooms"),
        "exchange": refused("exchange"),
        "limit_confirmed": look("access-limited"),
    }


ALL_ROLES = [role(one) for one in APPLICATION]
BOTH = [delegated(" openid email")]


def table(roles: list[Json], scopes: list[Json]) -> dict[str, tuple[str, Status]]:
    return {line.name: (line.granted, line.status) for line in grants.lines(raw(roles, scopes))}


def test_what_is_documented_and_granted_passes_under_its_real_name() -> None:
    lines = grants.lines(raw(ALL_ROLES, BOTH))
    assert [(line.documented, line.name, line.kind, line.granted) for line in lines] == [
        ("User.Read.All", "User.Read.All", "application", "yes"),
        ("Organization.Read.All", "Organization.Read.All", "application", "yes"),
        ("Places.Read.All", "Place.Read.All", "application", "yes"),
        ("Calendars.ReadWrite", "Calendars.ReadWrite", "application", "yes"),
        ("", "openid", "delegated", "yes"),
        ("", "email", "delegated", "yes"),
    ]
    assert lines[2].remark == "the how-to writes Places.Read.All"
    assert {line.status for line in lines} == {Status.PASS}


def test_a_role_with_a_similar_name_does_not_stand_in_for_the_required_one() -> None:
    found = table([role(one) for one in APPLICATION[:3]] + [role(WORK_HOURS)], BOTH)
    assert found["Calendars.ReadWrite"] == ("no", Status.FAIL)
    assert found["Calendars.ReadWrite.All"] == ("yes", Status.FAIL)


def test_the_right_role_id_on_another_resource_is_not_the_required_permission() -> None:
    found = grants.lines(raw([role(one, EXCHANGE) for one in APPLICATION], BOTH))
    assert all(line.granted == "no" for line in found if line.required and line.kind == "application")
    assert sum(line.extra for line in found) == 4


def test_extra_grants_are_listed_with_resource_and_holder() -> None:
    lines = grants.lines(
        raw(
            [*ALL_ROLES, role("dc890d15-9560-4a4c-9b7f-a736ec74ec40", EXCHANGE), role("unheard-of")],
            [*BOTH, delegated("Mail.Read", user="user-7")],
        )
    )
    assert [(line.name, line.resource, line.granted) for line in lines if line.extra] == [
        ("full_access_as_app", "Office 365 Exchange Online", "yes"),
        ("role unheard-of", "Microsoft Graph", "yes"),
        ("Mail.Read", "Microsoft Graph", "yes, for user user-7"),
    ]


def test_the_default_role_is_no_permission() -> None:
    assert len(grants.lines(raw([*ALL_ROLES, role(grants.DEFAULT_ROLE)], BOTH))) == 6


def test_a_delegated_grant_for_one_user_is_not_tenant_wide() -> None:
    assert table(ALL_ROLES, [delegated("openid email", user="u")])["openid"] == ("for 1 user(s) only", Status.FAIL)


@pytest.mark.parametrize(
    ("roles", "scopes", "status", "says"),
    [
        (ALL_ROLES, BOTH, Status.PASS, "all documented permissions"),
        ([], BOTH, Status.FAIL, "half consent"),
        (ALL_ROLES[:3], BOTH, Status.FAIL, "incomplete; missing: Calendars.ReadWrite"),
        ([], [], Status.FAIL, "incomplete; missing: User.Read.All"),
    ],
)
def test_step_5_names_a_half_consent(roles: list[Json], scopes: list[Json], status: Status, says: str) -> None:
    finding = judge(permissions.parse(raw(roles, scopes), TENANT))[0]
    assert finding.status is status
    assert finding.saw.startswith(says)


def test_without_cronofy_in_the_tenant_step_5_says_so() -> None:
    empty = ("service_principal", "app_role_assignments", "delegated_grants")
    nothing = {**raw([], []), **{name: look(name) for name in empty}}
    finding = judge(permissions.parse(nothing, TENANT))[0]
    assert (finding.status, finding.saw.startswith("nobody consented yet")) == (Status.PENDING, True)
    found = {one.status for one in judge(access.parse(nothing, TENANT)[0]) if one.check != "no-extra-permissions"}
    assert found == {Status.PENDING, Status.NOT_APPLICABLE}


def test_grants_that_could_not_be_read_are_unknown_and_the_others_are_still_judged() -> None:
    blind = {**raw(ALL_ROLES, []), "delegated_grants": refused("delegated_grants")}
    found = {(one.check, one.subject): one.status for one in judge(access.parse(blind, TENANT)[0])}
    assert found["application-permissions-granted", "Calendars.ReadWrite"] is Status.PASS
    assert found["delegated-permissions-granted", "delegated_grants"] is Status.UNKNOWN
    assert found["no-extra-permissions", "delegated_grants"] is Status.UNKNOWN
    assert {line.granted for line in access.parse(blind, TENANT)[0].lines if line.kind == "delegated"} == {"not seen"}


def test_a_disabled_application_fails_step_6() -> None:
    row = {"id": "sp", "displayName": "Cronofy", "accountEnabled": False}
    facts, _ = access.parse({**raw(ALL_ROLES, BOTH), "service_principal": look("service_principal", row)}, TENANT)
    assert {one.check: one.saw for one in judge(facts)}["cronofy-present"] == "disabled"


@pytest.mark.parametrize(
    ("last", "status", "says"),
    [
        ("2026-11-20T23:00:00Z", Status.PASS, "last signed in on 2026-11-20 23:00 UTC"),
        ("2026-11-20T20:00:00Z", Status.PENDING, "before the grant"),
        (None, Status.PENDING, "no sign-in on record"),
    ],
)
def test_a_sign_in_after_the_grant_shows_that_cronofy_is_in_use(last: str | None, status: Status, says: str) -> None:
    rows = [{"lastSignInActivity": {"lastSignInDateTime": last}}] if last else []
    facts, _ = access.parse({**raw(ALL_ROLES, BOTH), "last_use": look("last_use", *rows)}, TENANT)
    (finding,) = [one for one in judge(facts) if one.check == "cronofy-in-use"]
    assert finding.status is status
    assert says in finding.saw


def test_a_permission_carries_microsofts_grading_where_there_is_one() -> None:
    levels = {line.name: line.level for line in grants.lines(raw([*ALL_ROLES, role(WORK_HOURS)], BOTH))}
    assert (levels["Calendars.ReadWrite"], levels["Calendars.ReadWrite.All"], levels["openid"]) == (3, None, None)


@pytest.mark.parametrize("answer", [refused("resource"), look("resource"), look("resource", {"id": GRAPH})])
def test_a_resource_that_was_not_seen_makes_its_grants_unknown_and_never_an_extra_or_a_removal(answer: Look) -> None:
    blind = {**raw([*ALL_ROLES, role("unheard-of")], BOTH), f"resource {GRAPH}": answer}
    facts, _ = access.parse(blind, TENANT)
    required = [line for line in facts.lines if line.required]
    assert {line.status for line in required} == {Status.UNKNOWN}
    found = [one for one in judge(facts) if one.check == "no-extra-permissions"]
    assert {one.status for one in found} == {Status.UNKNOWN}
    assert len({one.subject for one in found}) == len(found)
    assert len([one for one in found if not one.subject.startswith("resource ")]) == 7
    assert revoke.plan(blind, TENANT, attended=True) == ()


@pytest.mark.parametrize("other", ["00000000-0000-0000-0000-00000000000f", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_a_role_on_a_resource_that_was_not_seen_leaves_only_its_own_id_open(other: str) -> None:
    blind = {**raw([role(other), role(APPLICATION[0])], BOTH), f"resource {GRAPH}": refused("resource")}
    found = {line.name: line.status for line in grants.lines(blind) if line.required and line.kind == "application"}
    assert found.pop(NAMES[APPLICATION[0]]) is Status.UNKNOWN
    assert set(found.values()) == {Status.FAIL}


@pytest.mark.parametrize("name", grants.NO_DATA)
def test_scopes_of_openid_connect_open_no_data_and_are_not_removed(name: str) -> None:
    of = raw(ALL_ROLES, [delegated(" openid email"), delegated(name, user="u")])
    facts, _ = access.parse(of, TENANT)
    found = {one.subject: one.status for one in judge(facts) if one.check == "no-extra-permissions"}
    assert Status.FAIL not in found.values()
    assert Status.PASS in found.values()
    assert revoke.plan(of, TENANT, attended=True) == ()


def test_two_grants_of_one_name_are_two_subjects() -> None:
    mail = "810c84a8-4a9e-49e6-bf7d-12d183f40d01"
    of = dict(
        raw([*ALL_ROLES, role(mail), role(mail, EXCHANGE)], [*BOTH, *(delegated("Mail.Read", user=u) for u in "uv")])
    )
    for name in (GRAPH, EXCHANGE):
        (row,) = of[f"resource {name}"].rows
        of[f"resource {name}"] = look(
            "resource", {**row, "appRoles": [*row["appRoles"], {"id": mail, "value": "Mail.Read"}]}
        )
    facts, _ = access.parse(of, TENANT)
    found = [one.subject for one in judge(facts) if one.check == "no-extra-permissions"]
    assert sorted(found) == [
        "Mail.Read (application)",
        f"Mail.Read (application, Office 365 Exchange Online {EXCHANGE})",
        "Mail.Read (delegated, user u)",
        "Mail.Read (delegated, user v)",
    ]


ROLES, SCOPES = (
    st.lists(st.sampled_from([*ALL_ROLES, role(WORK_HOURS), role("new")]), max_size=8),
    st.lists(
        st.sampled_from(
            [delegated(" openid email"), delegated("openid"), delegated("Mail.Read"), delegated("email", "u")]
        ),
        max_size=3,
    ),
)
RANK = {status: rank for rank, status in enumerate(Status)}


def verdicts(roles: list[Json], scopes: list[Json]) -> dict[tuple[str, str], Status]:
    """Return what step 6 says of the permissions."""
    facts, _ = access.parse(raw(roles, scopes), TENANT)
    return {(one.check, one.subject): one.status for one in judge(facts)}


@given(ROLES, SCOPES, st.randoms())
@hypothesis.settings(deadline=None, max_examples=40)
def test_the_order_of_grants_changes_no_verdict(roles: list[Json], scopes: list[Json], random: Random) -> None:
    before = verdicts(roles, scopes)
    random.shuffle(roles)
    random.shuffle(scopes)
    assert verdicts(roles, scopes) == before


@given(ROLES, SCOPES, st.sampled_from([role(WORK_HOURS), role("new")]))
@hypothesis.settings(deadline=None, max_examples=40)
def test_one_more_extra_makes_no_verdict_better(roles: list[Json], scopes: list[Json], more: Json) -> None:
    before, after = verdicts(roles, scopes), verdicts([*roles, more], scopes)
    assert all(RANK[after[key]] <= RANK[status] for key, status in before.items() if key in after)
    assert Status.FAIL in {status for (check, _), status in after.items() if check == "no-extra-permissions"}


@given(ROLES, SCOPES, st.sampled_from(["app_role_assignments", "delegated_grants", "service_principal"]))
@hypothesis.settings(deadline=None, max_examples=40)
def test_a_lost_answer_passes_nothing_that_did_not_pass(roles: list[Json], scopes: list[Json], lost: str) -> None:
    before = verdicts(roles, scopes)
    facts, _ = access.parse({**raw(roles, scopes), lost: refused(lost)}, TENANT)
    passed = {(one.check, one.subject) for one in judge(facts) if one.status is Status.PASS}
    assert passed <= {key for key, status in before.items() if status is Status.PASS}


KEY = {"keyId": "k-1", "displayName": "added by hand", "endDateTime": "2028-11-20T00:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "owners", "status", "says"),
    [
        ({}, [], Status.PASS, "no key was added"),
        ({"passwordCredentials": [KEY]}, [], Status.FAIL, "secret added by hand, until 2028-11-20"),
        ({"keyCredentials": [KEY, KEY | {"keyId": "k-2"}]}, [], Status.FAIL, "certificate added by hand"),
        ({"keyCredentials": None}, [], Status.UNKNOWN, "did not show"),
        ({}, [{"id": "o", "userPrincipalName": "eve@contoso.example"}], Status.FAIL, "may add a key"),
        ({}, [{"id": "o", "displayName": None, "userPrincipalName": None}], Status.FAIL, "may add a key"),
    ],
)
def test_a_key_or_an_owner_of_cronofy_s_application_is_found(
    changes: Json, owners: list[Json], status: Status, says: str
) -> None:
    (row,) = raw(ALL_ROLES, BOTH)["service_principal"].rows
    of = {
        **raw(ALL_ROLES, BOTH),
        "service_principal": look("sp", {**row, **changes}),
        "owners": look("owners", *owners),
    }
    found = [one for one in judge(access.parse(of, TENANT)[0]) if one.check == "no-own-keys"]
    assert {one.status for one in found} == {status}
    assert len(found) == max(1, len(owners), len(changes.get("keyCredentials") or ()))
    assert says in found[0].saw


def test_who_added_a_key_is_named_as_far_as_the_log_tells() -> None:
    act = {
        "id": "r",
        "activityDisplayName": "Add service principal credentials",
        "activityDateTime": "2026-11-20T21:10:00Z",
        "initiatedBy": {"user": {"userPrincipalName": "eve@contoso.example"}},
        "targetResources": [{"id": "sp"}],
    }
    (row,) = raw(ALL_ROLES, BOTH)["service_principal"].rows
    of = {**raw(ALL_ROLES, BOTH), "service_principal": look("sp", {**row, "passwordCredentials": [KEY]})}
    for acts, says in (([act], "eve@contoso.example on 2026-11-20"), ([], "does not show who")):
        facts, _ = access.parse({**of, "consent_audit": look("consent_audit", *acts)}, TENANT)
        assert [says in one.saw for one in judge(facts) if one.check == "no-own-keys"] == [True]


def test_owners_that_could_not_be_read_are_not_none() -> None:
    facts, _ = access.parse({**raw(ALL_ROLES, BOTH), "owners": refused("owners")}, TENANT)
    assert {one.status for one in judge(facts) if one.check == "no-own-keys"} == {Status.UNKNOWN}
