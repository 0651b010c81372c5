"""`runbook doctor`: what works, what is missing, how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.terminal import AsJson, console, person, print_json, say

if TYPE_CHECKING:
    from runbook_lib.model import Finding


def doctor(
    tenant: Annotated[str, typer.Argument(help="Tenant key; without it only this computer and the network.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what works tonight, what is missing, and how to get it; the exit code is the worst that was seen."""
    from dataclasses import asdict

    from runbook_lib import model
    from runbook_lib.runs import folder
    from runbook_lib.setup import doctor as visits

    visit = visits.Visit(folder.home("parameters"), tenant, person(), lambda prompt: say(str(prompt)))
    found = list(visits.examine(visit))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print_findings(found)
    raise typer.Exit(model.worst(one.status for one in found).exit_code)


def _print_findings(found: list[Finding]) -> None:
    from rich.table import Table

    from runbook_lib.display.cards import status_words

    table = Table("about", "")
    for heading in ("saw", "what to do"):
        table.add_column(heading, overflow="fold")  # an id or a path that is cut off is of no use
    for one in found:
        about = one.subject if one.subject.lower().startswith(one.check) else f"{one.check}: {one.subject}".rstrip(": ")
        table.add_row(about, status_words(one.status), one.saw, one.remedy)
    console().print(table, markup=False)
