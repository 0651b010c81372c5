"""Step 6, opt-in: remove what Cronofy holds and nobody documents. The one place that changes a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import forms
from runbook_lib.errors import CloudError, Forbidden, UsageError
from runbook_lib.model import Answer, Confirmation, Raw, Tenant
from runbook_lib.runs import writes
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.access import grants
from runbook_lib.steps.access.grants import Grant

if TYPE_CHECKING:
    from runbook_lib.clients.graph.client import Graph
    from runbook_lib.notebook.prompts import Prompt

CALLS = ("organization", "remove_app_role", "narrow_grant", "remove_grant")


@dataclass(frozen=True, slots=True)
class Removal:
    """One permission to take away, and what became of it; `subject` is what the finding calls it."""

    subject: str
    resource: str
    grant: Grant
    outcome: str = "not removed"


def plan(raw: Raw, tenant: Tenant, *, attended: bool) -> tuple[Removal, ...]:
    """Return what may be removed: every extra with somebody there to decide, else only what the tenant file names.

    What nobody can tell is never in it, nor a scope that opens no data.
    """
    extra = [one for one in grants.extras(grants.held(raw)) if one.held_by and not grants.opens_no_data(one)]
    chosen = [one for one in extra if attended or one.subject in tenant.revoke]
    return tuple(Removal(one.subject, one.resource, one) for one in chosen)


def word(tenant: Tenant, planned: tuple[Removal, ...], *, attended: bool) -> str:
    """Return the word that stands in the form: nobody attending, naming the grants in the tenant file is the word."""
    return tenant.domain if planned and not attended else ""


def typed(tenant: Tenant) -> Callable[[str], str]:
    """Return what accepts the tenant's domain as the word that starts the removal, and nothing else."""

    def keep(text: str) -> str:
        if text.strip().lower() != tenant.domain:
            raise UsageError("That is not the tenant's domain, so nothing is removed.", f"Type {tenant.domain}.")
        return tenant.domain

    return keep


def carry_out(
    planned: Iterable[Removal],
    go: Prompt,
    sign_in: Callable[[tuple[str, ...]], Graph],
    raw: Raw,
    folder: Path | None = None,
) -> tuple[Removal, ...]:
    """Remove the planned grants one by one if the word was given, and return what became of each.

    Each is noted in the run's `folder` before it is tried and after.

    Signs in anew, with the permission to change, only when there is something to remove. What is gone already counts
    as removed; a refusal leaves the rest untouched and says why.
    """
    planned = tuple(planned)
    if not planned or not (isinstance(go.result, Answer) and go.result.value):
        return planned
    writer, outcomes = sign_in(CALLS), dict[str, str]()
    for one in planned:  # a delegated grant is narrowed once, whatever goes out of it
        if one.grant.held_by not in outcomes:
            outcomes[one.grant.held_by] = _outcome(writer, one.grant, planned, raw, folder)
    return tuple(replace(one, outcome=outcomes[one.grant.held_by]) for one in planned)


def _outcome(writer: Graph, grant: Grant, planned: tuple[Removal, ...], raw: Raw, folder: Path | None) -> str:
    """Make one change and say what became of it; whatever goes wrong leaves the outcomes of the others standing."""
    going = ", ".join(one.subject for one in planned if one.grant.held_by == grant.held_by)
    noted = writes.writing(folder, "06_access", "revoke", grant.held_by, going) if folder else nullcontext()
    try:
        with noted as write:
            changed = _changed(writer, grant, planned, raw)
            if write:
                write.answer["changed"] = changed
    except Forbidden as refused:
        return f"refused: {refused}"
    except CloudError as problem:
        return f"not known to be removed: {problem}"
    return "removed" if changed else "was gone already"


def _changed(writer: Graph, grant: Grant, planned: tuple[Removal, ...], raw: Raw) -> bool:
    """Take one grant away, or what of it is planned to go, and return whether there was something to take."""
    if grant.kind == "application":
        own_id = forms.rows_of(raw["service_principal"], grants.Principal)[0].id
        return writer.change("remove_app_role", id=own_id, assignment=grant.held_by)
    return _narrow(writer, grant, planned, raw)


def _narrow(writer: Graph, grant: Grant, planned: tuple[Removal, ...], raw: Raw) -> bool:
    """Leave in the grant what is not planned to go; with nothing left the grant itself goes."""
    going = {one.grant.name for one in planned if one.grant.held_by == grant.held_by}
    rows = forms.rows_of(raw["delegated_grants"], grants.Delegated)
    row = next(row for row in rows if row.id == grant.held_by)
    staying = [name for name in row.scopes if name not in going]
    if staying:
        return writer.change("narrow_grant", {"scope": " ".join(staying)}, grant=grant.held_by)
    return writer.change("remove_grant", grant=grant.held_by)


def read_again(
    graph: Graph, tenant: Tenant, raw: Raw, done: Iterable[Removal], said: Iterable[Confirmation] = ()
) -> Raw:
    """Return fresh answers when something was removed, else the ones there are."""
    return access.read(graph, tenant, said) if any(one.outcome == "removed" for one in done) else raw
