"""What must be so before a step begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbook_lib.model import Confirmation, Status, Tenant
from runbook_lib.runs.folder import JUDGED, STEPS
from runbook_lib.runs.record import Record

IN_ORDER = ("01_disconnect", "02_connect", "03_activate", "04_credentials", "05_permissions")
"""What people do one after the other in SpaceIQ and in the browser; everything else may be looked at any time."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a step wants, in a few words, and what tells in a sentence that it is not so; an open gate says nothing."""

    wants: str
    closed: Callable[[Tenant, Mapping[str, Record]], str]


def _snapshot(_: Tenant, records: Mapping[str, Record]) -> str:
    if "00_preflight" in records:
        return ""
    return "Step 1 wants the before-snapshot of 00_preflight: after the deletion nobody can take it any more."


def _limit(tenant: Tenant, records: Mapping[str, Record]) -> str:
    limit, words = tenant.access_limit, [*said(records), *tenant.confirmations.values()]
    confirmed = any(one.key == "access-limited" and one.confirmed for one in words)
    waived = limit.mode == "none" and limit.reason and limit.approved_by
    if waived or (limit.mode in ("application-access-policy", "rbac") and confirmed):
        return ""
    return (
        "Step 5 wants Cronofy's access limited and tested before the consent: name the limit under access_limit in the "
        "tenant file and confirm it in 00_preflight, or set mode none there with reason and approved_by."
    )


def _review(_: Tenant, records: Mapping[str, Record]) -> str:
    review = records.get("06_access")
    if review is None or review.outcome is not Status.FAIL:
        return ""
    return "Step 7 wants step 6 not failed: its to-do list says what to correct, then run 06_access again."


GATES: Mapping[str, Gate] = {
    "01_disconnect": Gate("the before-snapshot of the preflight", _snapshot),
    "05_permissions": Gate("Cronofy's access limited and tested, or the limit waived by name", _limit),
    "07_sync": Gate("step 6 not failed", _review),
}


def said(records: Mapping[str, Record]) -> tuple[Confirmation, ...]:
    """Return what people confirmed in these records."""
    return tuple(one for record in records.values() for one in record.confirmations)


def closed(step: str, tenant: Tenant, records: Mapping[str, Record], *, attended: bool) -> str:
    """Return the sentence that keeps `step` closed, or nothing.

    A person does steps 1 to 5 in their order. A batch looks at what is there, in any order.
    """
    late = step in IN_ORDER[1:] and attended
    before = IN_ORDER[IN_ORDER.index(step) - 1] if late else ""
    if before and before not in records:
        return f"{_number(step)} comes after {_number(before).lower()}, which has no record yet: open {before}.ipynb."
    return GATES[step].closed(tenant, records) if step in GATES else ""


def _number(step: str) -> str:
    return STEPS[step].partition(".")[0]


def of_next(step: str, tenant: Tenant, records: Mapping[str, Record]) -> str:
    """Return what the step after this one wants besides this one's record, and whether that is so; else nothing."""
    following = next_step(step)
    if following not in GATES or step in ("00_preflight", "06_access"):  # what these record decides it
        return f"wants {GATES[following].wants}" if following in GATES else ""
    shut = GATES[following].closed(tenant, records)
    return f"wants {GATES[following].wants}: {'not so yet' if shut else 'so'}"


def next_step(step: str) -> str:
    """Return the tenant's step after this one, or nothing after the report."""
    after = list(STEPS)[list(STEPS).index(step) + 1 :]
    return after[0] if step in JUDGED else ""
