"""The `status` command: where every tenant stands, filtered by reason or by change."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.terminal import LONGEST_TABLE, AsJson, console, print_json, say
from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Status, worst

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_lib.report.standing import Standing

IN_FULL = 20
"""Of so many tenants every change is told; of more only the steps that came out otherwise, which is read quickly."""


def status(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys; none means all that have runs.")] = None,
    reason: Annotated[str, typer.Option(help="Only tenants with these words in one of their open points.")] = "",
    changed: Annotated[
        bool, typer.Option("--changed", help="Only tenants of which a step came out otherwise than last time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every tenant's newest run, its outcome and what changed; the exit code is the worst outcome."""
    from runbook_lib.runs import folder

    outputs = folder.home("outputs")
    standings = [
        one
        for one in _standings(outputs, tenants)
        if (not changed or one.changed) and (not reason or one.found(reason))
    ]
    rows = sorted((_row(one, reason) for one in standings), key=lambda row: row["outcome"].rank)
    for row in rows if len(rows) <= IN_FULL else ():
        row["changed"] = _changes(outputs, row) or row["changed"]
    if as_json:
        print_json(rows)
    else:
        _print(rows, reason)
    if strangers := [words for one in standings for words in folder.strangers(outputs, one.key, datetime.now(UTC))]:
        say(*strangers)
    raise typer.Exit(min({row["outcome"].exit_code for row in rows} - {0}, default=0))


def _standings(outputs: Path, tenants: list[str] | None) -> list[Standing]:
    from runbook_lib.report.standing import standings

    everyone = [path.name for path in sorted(outputs.glob("[!_.]*")) if path.is_dir()]
    found = standings(outputs, tenants or everyone)
    for one in found if tenants else ():
        if not one.began:
            raise UsageError(f"{one.key} has no run in {outputs}.", f"Run it first: runbook run {one.key}")
    return [one for one in found if one.began]


def _row(one: Standing, reason: str) -> Json:
    from runbook_lib.runs.folder import JUDGED

    recorded = [outcome for step, outcome in one.steps.items() if step in JUDGED]
    needs = [f"{point.need}: {point.about}" if point.about else point.need for point in one.found(reason)]
    return {
        "tenant": one.key,
        "run": one.run,
        "outcome": worst(recorded) if recorded else one.outcome,
        "sealed": one.sealed,
        "steps": dict(one.steps),
        "changed": list(one.changed),
        "open": list(dict.fromkeys(needs)),
    }


def _changes(outputs: Path, row: Json) -> list[str]:
    from runbook_lib.report import changes

    return changes.words(outputs / row["tenant"] / row["run"]) if row["steps"] else []


def _print(rows: list[Json], reason: str) -> None:
    from rich.table import Column, Table

    from runbook_lib.display.cards import status_words

    table = Table(Column("tenant", overflow="fold"), Column("newest run", no_wrap=True), "outcome", "sealed", "steps")
    for row in rows[:LONGEST_TABLE]:
        steps = " ".join(f"{step[:2]}:{outcome}" for step, outcome in row["steps"].items())
        table.add_row(row["tenant"], row["run"], status_words(row["outcome"]), "yes" if row["sealed"] else "no", steps)
    counts = Counter(row["outcome"] for row in rows)
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Status if counts[outcome])
    more = f"; the first {LONGEST_TABLE} are shown: --json has all" if len(rows) > LONGEST_TABLE else ""
    words = [f"{len(rows)} tenants: {tally or 'none'}{more}"]
    for row in rows[:LONGEST_TABLE]:
        words += [f"{row['tenant']} since its previous run: {change}" for change in row["changed"]]
        words += [f"{row['tenant']}: {need}" for need in row["open"]] if reason else []
    screen = console()
    screen.print(table)
    screen.print("\n".join(words), markup=False, soft_wrap=True)
