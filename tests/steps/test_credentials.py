"""Step 4: may the administrator consent?"""

from __future__ import annotations

import pytest

from runbook_lib.checks import judge
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
