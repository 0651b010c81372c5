"""Step 5: were both consent screens accepted?"""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.model import Raw, Rows, Status, Tenant, check
from runbook_lib.steps import grants
from runbook_lib.steps.grants import Line

CALLS = grants.CALLS
read = grants.read


@dataclass(frozen=True, slots=True)
class Consent:
    """What the two consent screens should have granted, line by line."""

    raw: Raw
    lines: tuple[Line, ...]


def parse(raw: Raw, tenant: Tenant) -> Consent:  # noqa: ARG001 - steps parse alike
    """Name what the answers hold."""
    return Consent(raw, grants.lines(raw))


@check(
    "consent-complete",
    "Both consent screens were accepted",
    looks=("service_principal", "app_role_assignments", "delegated_grants"),
    remedy="Repeat steps 3 to 5 with a fresh activation link and press Accept on both screens.",
)
def consent_complete(facts: Consent) -> Rows:
    """Name a half consent: the first screen grants openid and email, the second the application permissions."""
    missing = {
        kind: [line.name for line in facts.lines if line.required and line.kind == kind and line.status != Status.PASS]
        for kind in ("delegated", "application")
    }
    wanted = {
        kind: sum(line.required and line.kind == kind for line in facts.lines) for kind in ("delegated", "application")
    }
    if not any(missing.values()):
        yield "consent", Status.PASS, "all documented permissions are granted"
    elif not facts.raw["service_principal"].rows:
        yield "consent", Status.FAIL, "no consent: Cronofy's application is not in this tenant"
    elif len(missing["application"]) == wanted["application"] and not missing["delegated"]:
        saw = "half consent: the first screen was accepted, the second was not; all application permissions are missing"
        yield "consent", Status.FAIL, saw
    else:
        yield (
            "consent",
            Status.FAIL,
            f"incomplete; missing: {', '.join([*missing['application'], *missing['delegated']])}",
        )
