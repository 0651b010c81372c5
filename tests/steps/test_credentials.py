"""Step 4: may the administrator consent?"""

from __future__ import annotations

import pytest

from runbook_lib.checks import judge
from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Status
from runbook_lib.steps import credentials
from tests.steps.facts import TENANT, look

GLOBAL = {"id": "1", "displayName": "Global Administrator", "roleTemplateId": "62e90394-69f5-4237-9190-012177145e10"}
PRIVILEGED = {"id": "2", "displayName": "P", "roleTemplateId": "e8611ab8-c189-46e8-94e1-60213ab1f814"}
APPLICATION = {
    "id": "3",
    "displayName": "Application Administrator",
    "roleTemplateId": "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
}


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([GLOBAL], Status.PASS),
        ([APPLICATION, PRIVILEGED], Status.PASS),
        ([APPLICATION], Status.PENDING),  # may grant delegated permissions only
        ([{"id": "4"}], Status.PENDING),  # Graph withheld name and template
        ([], Status.PENDING),  # a warning: PIM and custom roles are not seen
    ],
)
def test_only_a_role_that_grants_graph_application_permissions_passes(roles: list[Json], expected: Status) -> None:
    (finding,) = judge(credentials.parse({"admin_roles": look("admin_roles", *roles)}, TENANT))
    assert (finding.subject, finding.status) == ("dana@contoso.example", expected)


BOX = (
    "Request Id: 0a0b0c0d-0eab-4f4a-8a8b-0c0d0e0f1a1b Correlation Id: 1e2f3a4b-6ed6-4911-ae0e-2c3d4e5f6a7b "
    "Timestamp: 2026-11-22T21:14:03Z Message: "
)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("50105", "50105"),
        ("  error code: 650052.", "650052"),
        ("AADSTS900941", "900941"),
        ("aadsts 9002313: malformed", "9002313"),
        (f"{BOX}AADSTS900941: an administrator is needed", "900941"),
        (f"{BOX}AADSTS50105", "50105"),
        ("AADSTS7000222: expired on 2026-11-22 (AADSTS50012)", "7000222"),
    ],
)
def test_the_number_is_the_one_behind_aadsts(typed: str, number: str) -> None:
    assert credentials.known_error(typed) == number


@pytest.mark.parametrize(
    "typed", ["", "no number", BOX, "2026-11-22", "50105 or 50126", "1e2f3a4b-6ed6-4911-ae0e-2c3d"]
)
def test_a_box_without_a_number_of_its_own_is_asked_for_again(typed: str) -> None:
    with pytest.raises(UsageError, match="no error number"):
        credentials.known_error(typed)
