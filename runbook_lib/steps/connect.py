"""Step 2: the domain that is typed into SpaceIQ, against the tenant's verified domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_lib import forms
from runbook_lib.checks import Rows, check
from runbook_lib.errors import UsageError
from runbook_lib.forms import GRAPH, Text
from runbook_lib.model import Raw, Status, Tenant

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph

CALLS = ("organization", "domains")


@dataclass(frozen=True, slots=True)
class Organization:
    """The tenant that answers."""

    id: Text


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain of the tenant."""

    __pydantic_config__ = GRAPH
    id: Text
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Domains:
    """The domain we mean to type, and the domains of the tenant by name: verified or not."""

    raw: Raw
    intended: str
    tenant_id: str
    answered_by: tuple[str, ...]
    verified: dict[str, bool]


def intended(tenant: Tenant) -> Callable[[str], str]:
    """Return what keeps the domain typed into SpaceIQ, or raises UsageError when the tenant file means another one."""

    def keep(typed: str) -> str:
        if typed.strip().lower() != tenant.domain:
            raise UsageError(
                f"The tenant file says {tenant.domain}, and that is what the checks look at.",
                "Type the same domain in both places; if the file is wrong, correct it and run this notebook again.",
            )
        return tenant.domain

    return keep


def read(graph: Graph, tenant: Tenant) -> Raw:  # noqa: ARG001 - steps read alike
    """Ask for the organization and its domains."""
    return {name: graph.look(name) for name in CALLS}


def parse(raw: Raw, tenant: Tenant) -> Domains:
    """Name what the answers hold."""
    answers = forms.reading(raw)
    return Domains(
        answers,
        tenant.domain,
        tenant.tenant_id,
        tuple(row.id for row in answers.rows("organization", Organization)),
        {row.id.lower(): row.is_verified for row in answers.rows("domains", Domain)},
    )


@check(
    "tenant-intended",
    "The answers come from the tenant of the tenant file",
    looks=("organization",),
    remedy="Stop. Correct tenant_id in the tenant file, or sign in to the right tenant.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/TenantOverview.ReactView",
)
def tenant_intended(facts: Domains) -> Rows:
    """Compare the organization's id with the tenant file's."""
    for found in facts.answered_by:
        same = found.lower() == facts.tenant_id
        yield found, Status.PASS if same else Status.FAIL, "as intended" if same else f"expected {facts.tenant_id}"


@check(
    "domain-verified",
    "The domain for SpaceIQ is a verified domain of the tenant",
    looks=("domains",),
    remedy="Type a verified domain of this tenant into SpaceIQ, and write it as domain in the tenant file.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/DomainsList.ReactView",
)
def domain_verified(facts: Domains) -> Rows:
    """Look the intended domain up among the tenant's."""
    others = ", ".join(sorted(name for name, verified in facts.verified.items() if verified)) or "none"
    match facts.verified.get(facts.intended):
        case True:
            yield facts.intended, Status.PASS, "verified"
        case False:
            yield facts.intended, Status.FAIL, "in the tenant, but not verified"
        case None:
            yield facts.intended, Status.FAIL, f"not a domain of this tenant; verified: {others}"
