"""Who may call what: the table against Microsoft's own, and the refusals in each workload's words."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.sandbox.graph import access, routes
from runbook_lib.sandbox.world import catalogue
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking, code
from tests.sandbox.csdl import reference

SCHEMES = {"delegated": "DelegatedWork", "application": "Application"}
TABLE = catalogue.load_yaml(Path(access.__file__).with_name("permissions.yaml"))
CALLS = [(call, row) for row in TABLE["calls"] for call in row["calls"]]


@pytest.fixture(scope="module")
def microsoft() -> dict[tuple[str, str], dict[str, dict[str, bool]]]:
    """Microsoft's table: (method, path) -> scheme -> permission -> whether it is the least."""
    found: dict[Any, Any] = defaultdict(lambda: defaultdict(dict))
    table = json.loads(reference("permissions.json").read_text(encoding="utf-8"))
    for name, permission in table["permissions"].items():
        for paths in permission["pathSets"]:
            for path, text in paths["paths"].items():
                least = (re.search(r"least=([\w,]+)", text) or ["", ""])[1].split(",")
                for method in paths["methods"]:
                    for scheme in paths["schemeKeys"]:
                        found[method, path.lower()][scheme][name] = scheme in least
    return found


@pytest.mark.parametrize(("call", "row"), CALLS)
def test_our_table_says_what_microsofts_says(call: str, row: Any, microsoft: Any) -> None:
    method, path = call.split(" ")
    theirs = microsoft[method, path.lower()]
    for kind, scheme in SCHEMES.items():
        ours = [*row.get("all", []), *row.get("both", row.get(kind, []))]
        assert set(ours) == set(theirs[scheme]), kind
        least = [theirs[scheme][name] for name in ours if name not in row.get("all", [])]
        assert least == sorted(least, reverse=True), f"{kind}: the least permission stands first"


def test_what_we_accept_beyond_the_table_has_its_reason() -> None:
    assert all(row["added"]["why"] for _, row in CALLS if "added" in row)


def test_every_route_has_its_row() -> None:
    assert {route.permission for route in routes.ROUTES} <= set(access.requirements())


READING = sorted({(r.permission, r.template) for r in routes.ROUTES if r.method == "GET" and "{" not in r.template})


@pytest.mark.parametrize(("permission", "template"), READING)
def test_a_token_without_permissions_reads_nothing(permission: str, template: str, world: World) -> None:
    delegated = template.startswith("/me")
    nobody = Asking(world, "contoso", [] if not delegated else ["openid"], user="adele" if delegated else None)
    version = "" if any(r.template == template and "v1.0" in r.versions for r in routes.ROUTES) else "/beta"
    assert nobody.get(f"{version}{template}").status_code == 403, permission


@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("/domains", "Domain.Read.All"),
        ("/servicePrincipals", "Application.Read.All"),
        ("/oauth2PermissionGrants", "Directory.Read.All"),
        ("/places/microsoft.graph.room", "Place.Read.All"),
        ("/subscribedSkus", "LicenseAssignment.Read.All"),
        ("/policies/authorizationPolicy", "Policy.Read.All"),
        ("/identity/conditionalAccess/policies", "Policy.Read.All"),
        ("/auditLogs/directoryAudits", "AuditLog.Read.All"),
        ("/directoryRoles", "RoleManagement.Read.Directory"),
        ("/users/adele@contoso.example/calendar", "Calendars.ReadBasic.All"),
        ("/users/adele@contoso.example/mailboxSettings", "MailboxSettings.Read"),
    ],
)
def test_the_least_permission_is_enough_and_another_is_not(path: str, least: str, world: World) -> None:
    assert Asking(world, "contoso", [least]).get(path).status_code == 200
    assert Asking(world, "contoso", ["Mail.ReadWrite"]).get(path).status_code == 403


@pytest.mark.parametrize("trap", ["Calendars.ReadWrite.All", "Calendars.Read.All"])
def test_the_work_hours_roles_open_no_calendar(trap: str, world: World) -> None:
    response = Asking(world, "contoso", [trap]).get("/users/adele@contoso.example/calendar")
    assert code(response) == (403, "ErrorAccessDenied")


def test_a_role_of_the_application_does_not_serve_a_user_and_the_reverse(world: World) -> None:
    as_user = Asking(world, "contoso", ["Calendars.ReadBasic.All"], user="adele")
    as_app = Asking(world, "contoso", ["Calendars.ReadBasic"])
    assert code(as_user.get("/me/calendar")) == (403, "ErrorAccessDenied")
    assert code(as_app.get("/users/adele@contoso.example/calendar")) == (403, "ErrorAccessDenied")


def test_reports_name_the_permission_that_is_missing(world: World) -> None:
    response = Asking(world, "contoso", ["User.Read.All"]).get("/auditLogs/directoryAudits")
    assert code(response) == (403, "Authentication_MSGraphPermissionMissing")
    assert "AuditLog.Read.All" in response.json()["error"]["message"]


def test_a_user_without_a_reports_role_is_refused_although_the_scope_is_there(world: World) -> None:
    response = Asking(world, "contoso", ["AuditLog.Read.All"], user="adele").get("/auditLogs/directoryAudits")
    assert code(response) == (403, "Authentication_RequestFromUnsupportedUserRole")
    admin = Asking(world, "contoso", ["AuditLog.Read.All"], user="admin")
    assert admin.get("/auditLogs/directoryAudits").status_code == 200


def test_conditional_access_refuses_in_its_own_words(world: World) -> None:
    path = "/identity/conditionalAccess/policies"
    assert code(Asking(world, "contoso", ["User.Read.All"]).get(path)) == (403, "AccessDenied")
    assert code(Asking(world, "contoso", ["Policy.Read.All"], user="adele").get(path)) == (403, "AccessDenied")


def test_the_eligibility_list_names_every_scope_that_would_do(world: World) -> None:
    response = Asking(world, "contoso", []).get("/roleManagement/directory/roleEligibilityScheduleInstances")
    assert code(response) == (403, "PermissionScopeNotGranted")
    assert "RoleEligibilitySchedule.Read.Directory," in response.json()["error"]["message"]


def test_user_read_reads_oneself_and_nobody_else(world: World) -> None:
    adele = Asking(world, "contoso", ["User.Read"], user="adele")
    assert adele.get("/me").json()["userPrincipalName"] == "adele@contoso.example"
    assert adele.get("/users/adele@contoso.example").status_code == 200
    assert code(adele.get("/users/diego@contoso.example")) == (403, "Authorization_RequestDenied")
    assert code(adele.get("/users")) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize("permissions", [["AppRoleAssignment.ReadWrite.All"], ["Application.Read.All"]])
def test_giving_a_role_needs_both_permissions(permissions: list[str], world: World) -> None:
    asking = Asking(world, "contoso", permissions)
    client = next(iter(asking.tenant.service_principals))
    response = asking.send("POST", f"/servicePrincipals/{client}/appRoleAssignments", json={})
    assert code(response) == (403, "Authorization_RequestDenied")
