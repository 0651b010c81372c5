"""Preflight: older integrations, impostors, licences and policy."""

from __future__ import annotations

import pytest

from runbook_lib.checks import judge
from runbook_lib.model import Json, Look, Status
from runbook_lib.steps import preflight
from tests.steps.facts import TENANT, look, refused

ENTERPRISE: Json = {
    "id": "sp",
    "appId": TENANT.cronofy_app,
    "displayName": "Cronofy Enterprise for Office 365",
    "accountEnabled": True,
    "verifiedPublisher": {"displayName": "Cronofy Ltd"},
}


def found(**changes: Look) -> dict[tuple[str, str], tuple[Status, str]]:
    raw = {
        "organization": look("organization", {"id": TENANT.tenant_id}),
        "domains": look("domains", {"id": TENANT.domain, "isVerified": True}),
        "admin_roles": look("admin_roles"),
        "service_principal": look("service_principal"),
        "delegated_grants": look("delegated_grants"),
        "cronofy_apps": look("cronofy_apps", ENTERPRISE),
        "delegated_grants sp": look("delegated_grants"),
        "licences": look("licences"),
        "consent_policy": look("consent_policy", {"id": "authorizationPolicy"}),
        "rooms": look("rooms", {"emailAddress": "adams@contoso.example"}),
        "app_role_assignments": look("app_role_assignments"),
        "exchange": refused("exchange"),
        "limit_confirmed": look("access-limited"),
        **changes,
    }
    before = preflight.parse(raw, TENANT)[-1]
    return {(one.check, one.subject): (one.status, one.saw) for one in judge(before)}


def test_an_impostor_with_the_right_name_and_another_id_fails() -> None:
    twin = ENTERPRISE | {"id": "sp2", "appId": "deadbeef-0000-4000-8000-000000000000", "verifiedPublisher": None}
    raw = {"cronofy_apps": look("a", twin, ENTERPRISE), "delegated_grants sp2": look("g")}
    apps = preflight.parse({**BASE, **raw}, TENANT)[-1]
    statuses = [(one.status, one.saw) for one in judge(apps) if one.check == "cronofy-apps-known"]
    assert [status for status, _ in statuses] == [Status.FAIL, Status.PASS]
    assert "another application has the same name" in statuses[0][1]
    assert "not verified" in statuses[0][1]


BASE = {
    "organization": look("organization", {"id": TENANT.tenant_id}),
    "domains": look("domains"),
    "admin_roles": look("admin_roles"),
    "service_principal": look("service_principal"),
    "delegated_grants": look("delegated_grants"),
    "delegated_grants sp": look("delegated_grants"),
    "licences": look("licences"),
    "consent_policy": look("consent_policy"),
    "rooms": look("rooms"),
    "app_role_assignments": look("app_role_assignments"),
    "exchange": refused("exchange"),
    "limit_confirmed": look("access-limited"),
}


def test_a_first_connection_finds_nothing_to_object_to() -> None:
    statuses = found(cronofy_apps=look("cronofy_apps"))
    assert statuses["cronofy-apps-known", "Cronofy"][0] is Status.PASS
    assert statuses["cronofy-apps-enabled", "Cronofy"][0] is Status.NOT_APPLICABLE
    assert statuses["no-personal-consents", "Cronofy"][0] is Status.NOT_APPLICABLE


def test_a_disabled_application_fails() -> None:
    disabled = look("cronofy_apps", ENTERPRISE | {"accountEnabled": False})
    assert found(cronofy_apps=disabled)["cronofy-apps-enabled", ENTERPRISE["displayName"]][0] is Status.FAIL


EVERYBODY = {"principalId": None, "scope": " openid email"}


def own(user: str, scope: str) -> dict[str, str]:
    """Return what a user consented to for himself."""
    return {"principalId": user, "scope": scope}


@pytest.mark.parametrize(
    ("grants", "status", "says"),
    [
        (look("g", EVERYBODY), Status.PASS, "0 user(s)"),
        (look("g", EVERYBODY, own("a", "openid email")), Status.PASS, "0 user(s)"),
        (look("g", EVERYBODY, own("a", "openid Mail.Read")), Status.PENDING, "1 user(s)"),
        (look("g", own("a", "openid"), own("a", "email"), own("b", "openid")), Status.PENDING, "2 user(s)"),
        (refused("g"), Status.UNKNOWN, "could not be read"),
    ],
)
def test_leftover_consents_of_users_are_counted(grants: Look, status: Status, says: str) -> None:
    name = str(ENTERPRISE["displayName"])
    seen = found(**{"delegated_grants sp": grants})["no-personal-consents", name]
    assert seen[0] is status
    assert says in seen[1]


@pytest.mark.parametrize(
    ("policies", "status"),
    [
        ([preflight.ANYBODY], Status.PENDING),
        ([preflight.ANYBODY.lower()], Status.PENDING),
        (["m" + preflight.ANYBODY[1:]], Status.PENDING),
        (["ManagePermissionGrantsForSelf.microsoft-user-default-recommended"], Status.PASS),
        (["managePermissionGrantsForSelf.Microsoft-User-Default-Low"], Status.PASS),
        (["ManagePermissionGrantsForSelf.anything-goes"], Status.UNKNOWN),
        (["ManagePermissionGrantsForSelf."], Status.UNKNOWN),
        (["ManagePermissionGrantsForOwnedResource.microsoft-all"], Status.PASS),
        ([], Status.PASS),
    ],
)
def test_a_policy_that_lets_everybody_consent_is_a_warning_and_an_own_one_was_not_looked_at(
    policies: list[str], status: Status
) -> None:
    for more in ([], ["ManagePermissionGrantsForOwnedResource.x"]):
        assigned = {"permissionGrantPoliciesAssigned": [*policies, *more]}
        row: Json = {"id": "authorizationPolicy", "defaultUserRolePermissions": assigned}
        seen = found(consent_policy=look("consent_policy", row))
        assert {one for (check, _), (one, _) in seen.items() if check == "consent-restricted"} == {status}


@pytest.mark.parametrize("row", [{"id": "x"}, {"id": "x", "defaultUserRolePermissions": None}, {"id": None}])
def test_a_policy_that_cannot_be_read_is_not_one_that_allows_nothing(row: Json) -> None:
    seen = found(consent_policy=look("consent_policy", row))
    statuses = {one for (check, _), (one, _) in seen.items() if check == "consent-restricted"}
    assert Status.UNKNOWN in statuses


P2 = {"servicePlanName": "AAD_PREMIUM_P2", "provisioningStatus": "Success"}
SKUS = [
    ({"capabilityStatus": "Enabled", "servicePlans": [P2]}, "30 days"),
    ({"capabilityStatus": "enabled", "servicePlans": [P2]}, "30 days"),
    ({"capabilityStatus": "Warning", "servicePlans": [P2]}, "30 days"),
    ({"servicePlans": [{**P2, "servicePlanName": "aad_premium"}]}, "30 days"),
    ({"capabilityStatus": "Suspended", "servicePlans": [P2]}, "7 days"),
    ({"capabilityStatus": "LockedOut", "servicePlans": [P2]}, "7 days"),
    ({"capabilityStatus": "Deleted", "servicePlans": [P2]}, "7 days"),
    ({"capabilityStatus": "Nobody knows", "servicePlans": [P2]}, "7 days"),
    ({"capabilityStatus": "Enabled", "servicePlans": [{**P2, "provisioningStatus": "Disabled"}]}, "7 days"),
]


@pytest.mark.parametrize(("sku", "days"), SKUS)
def test_a_licence_that_lapsed_or_is_switched_off_keeps_no_logs(sku: Json, days: str) -> None:
    other: Json = {"capabilityStatus": "Enabled", "servicePlans": [{"servicePlanName": "EXCHANGE_S_STANDARD"}]}
    for rows in ([sku], [other, sku], [sku, other]):
        (_, saw) = found(licences=look("licences", *rows))["log-retention-known", "audit log"]
        assert days in saw


@pytest.mark.parametrize(
    ("plans", "says"),
    [
        ([{"servicePlanName": "AAD_PREMIUM"}], "30 days"),
        ([{"servicePlanName": "EXCHANGE_S_STANDARD"}], "7 days"),
        ([], "7 days"),
    ],
)
def test_the_licence_tells_how_long_the_log_is_kept(plans: list[Json], says: str) -> None:
    saw = found(licences=look("licences", {"servicePlans": plans}))["log-retention-known", "audit log"][1]
    assert says in saw


@pytest.mark.parametrize(("rooms", "status"), [([{"emailAddress": "a@b"}], Status.PASS), ([], Status.UNKNOWN)])
def test_no_visible_room_is_not_no_room(rooms: list[Json], status: Status) -> None:
    assert found(rooms=look("rooms", *rooms))["rooms-listed", "rooms"][0] is status


def test_what_could_not_be_read_is_unknown() -> None:
    statuses = found(cronofy_apps=refused("a"), licences=refused("a"), consent_policy=refused("a"), rooms=refused("a"))
    assert {status for (check, _), (status, _) in statuses.items() if check != "pairs-noted"} == {Status.UNKNOWN}


SPACES = (
    {"id": "1", "name": "Adams", "email": "adams@contoso.example"},
    {"id": "2", "name": "Baker", "calendar": "Baker"},
    {"id": "3", "name": "Annex"},
)


@pytest.mark.parametrize(
    ("spaces", "status", "says"),
    [
        ({"spaces": look("spaces", *SPACES)}, Status.PASS, "2 of 3 spaces have a calendar"),
        ({"spaces": refused("spaces")}, Status.UNKNOWN, "was refused"),
        ({"spaces": look("spaces", *SPACES, total=9, complete=False)}, Status.UNKNOWN, "3 of 9"),
        ({}, Status.NOT_APPLICABLE, "note the pairs by hand"),
    ],
)
def test_the_pairs_of_space_and_calendar_are_noted_or_asked_for(
    spaces: dict[str, Look], status: Status, says: str
) -> None:
    seen = found(**spaces)["pairs-noted", "SpaceIQ"]
    assert seen[0] is status
    assert says in seen[1]
