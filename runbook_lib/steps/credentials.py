"""Step 4: may the named administrator grant what Cronofy asks for?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from runbook_lib import forms, vendors
from runbook_lib.checks import Rows, check
from runbook_lib.display.cards import Card
from runbook_lib.errors import UsageError
from runbook_lib.forms import GRAPH, Text
from runbook_lib.model import Answer, Raw, Status, Tenant

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph
    from runbook_lib.notebook.prompts import Prompt

CALLS = ("admin_roles",)
CORRECT = "Correct admin in the tenant file: the account that will sign in at step 4."


@dataclass(frozen=True, slots=True)
class Role:
    """One directory role; Graph withholds its name from some sign-ins."""

    __pydantic_config__ = GRAPH
    id: Text
    role_template_id: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class AdminRoles:
    """The administrator's active directory roles: template id -> name."""

    raw: Raw
    admin: str
    roles: dict[str, str]


def intended(tenant: Tenant) -> Callable[[str], str]:
    """Return what keeps the account that signs in, or raises UsageError when the tenant file means another one."""

    def keep(typed: str) -> str:
        if typed.strip().lower() != tenant.admin.lower():
            raise UsageError(
                f"The tenant file says {tenant.admin}, and that is whose roles were checked.",
                "Sign in with that account; if another one is to, correct the file and run this notebook again.",
            )
        return tenant.admin

    return keep


def known_error(typed: str) -> str:
    """Return the AADSTS number in what was typed, a whole error box included; raise UsageError when there is none.

    Ids and times of such a box hold digits too: without AADSTS before it, a number counts when it is the only one.
    """
    named = re.search(r"AADSTS\W{0,3}(\d{4,8})(?!\d)", typed, re.IGNORECASE)
    alone = re.findall(r"(?<![\w.:+-])\d{4,8}(?![\w:+-])", typed)
    if named:
        return named[1]
    if len(set(alone)) != 1:
        raise UsageError("There is no error number in this.", "Enter the digits behind AADSTS, or leave it empty.")
    return str(alone[0])


def explain(code: Prompt) -> Card:
    """Return what the sign-in error that was entered mostly means, and what to do next."""
    number = code.result.value if isinstance(code.result, Answer) else ""
    if not number:
        return Card("Sign-in", {"error": "no error"})
    hint: dict[str, str] = vendors.facts()["sign_in_errors"].get(int(number), {})
    lines = {
        "cause": hint.get("cause", "not one that this runbook knows"),
        "what to do": hint.get("remedy", "Read Microsoft's page about it."),
        "Microsoft's page": f"https://login.microsoftonline.com/error?code={number}",
    }
    return Card(f"AADSTS{number}", lines)


def read(graph: Graph, tenant: Tenant) -> Raw:
    """Ask for the directory roles of the administrator named in the tenant file."""
    look = graph.look("admin_roles", user=tenant.admin)
    if look.error.startswith(f"{HTTPStatus.NOT_FOUND:d} "):
        why = f"There is no account {tenant.admin} in this tenant."
        look = replace(look, refusal=why, remedy=CORRECT)
    return {"admin_roles": look}


def parse(raw: Raw, tenant: Tenant) -> AdminRoles:
    """Name the roles; objects whose name Graph withheld keep their id."""
    answers = forms.reading(raw)
    roles = answers.rows("admin_roles", Role)
    held = {one.role_template_id or one.id: one.display_name or "name withheld" for one in roles}
    return AdminRoles(answers, tenant.admin, held)


@check(
    "admin-can-consent",
    "The administrator of step 4 holds an active role that may grant Graph application permissions",
    looks=("admin_roles",),
    remedy="Activate Global Administrator (Cronofy's documented minimum) or Privileged Role Administrator for this "
    "account before step 4; with PIM an eligible role must be activated first.",
    link="https://entra.microsoft.com/#view/Microsoft_AAD_IAM/RolesManagementMenuBlade/~/AllRoles",
)
def admin_can_consent(facts: AdminRoles) -> Rows:
    """Look for a consenting role; its absence is a warning, because custom roles and PIM are not seen here."""
    consenting: dict[str, str] = vendors.facts()["consenting_roles"]
    held = [consenting[template] for template in facts.roles if template in consenting]
    others = ", ".join(sorted(facts.roles.values())) or "none"
    if held:
        yield facts.admin, Status.PASS, f"holds {', '.join(sorted(held))}"
    else:
        yield facts.admin, Status.PENDING, f"no consenting role is active; active roles: {others}"
