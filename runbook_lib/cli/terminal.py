"""What every command says and shows on the terminal: tables, one JSON document, a progress bar."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.model import Json

if TYPE_CHECKING:
    from rich.console import Console

    from runbook_lib.batch.pool import TenantResult

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Tenants under way at a time.", show_default="as many as cores and memory carry"),
]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONGEST_TABLE = 50
"""More tenants than this are counted, and only those listed that somebody has to look at."""


def console(*, stderr: bool = False) -> Console:
    """Return where people read: standard output, or standard error for what is not a result.

    Names come from tenants and archives: none of them may move the cursor, or retitle the window.
    """
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False)
    render = screen.render_str
    screen.render_str = lambda text, **how: render(CONTROL.sub("", text), **how)  # type: ignore[method-assign]
    return screen


def say(*lines: str, error: bool = True) -> None:
    """Print lines for people: on standard error, or on standard output what is a result."""
    console(stderr=error).print("\n".join(lines), markup=False, soft_wrap=True)


def speak_utf_8() -> None:
    """Write UTF-8 wherever our words go: a pipe or file on Windows would refuse signs that its code page lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def print_json(value: object) -> None:
    """Print one JSON document."""
    from runbook_lib.runs import folder

    sys.stdout.write(folder.to_json(value).decode())


@contextmanager
def progress(tenants: int, steps: int) -> Iterator[Callable[[Json], None]]:
    """Show a bar over all notebooks on standard error, and give what moves it on."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    counts = TextColumn(
        "{task.fields[done]} of {task.fields[tenants]} tenants, {task.fields[bad]} bad, {task.fields[rate]}"
    )
    columns = (TextColumn("{task.description}"), BarColumn(10), counts, TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as progress:
        bar = progress.add_task("notebooks", total=tenants * steps, tenants=tenants, done=0, bad=0, rate="")
        left: dict[str, int] = {}
        task = progress.tasks[0]

        def show(event: Json) -> None:
            key = event["tenant"]
            if event["event"] == "step":
                left[key] = left.get(key, steps) - 1
                progress.update(bar, advance=1, description=f"{key} {event['step'][:2]} {event['outcome']}")
            elif event["event"] == "tenant":  # steps that were not run are over too
                done, bad = (
                    task.fields["done"] + 1,
                    task.fields["bad"] + (event["outcome"] in (None, "fail", "unknown")),
                )
                rate = f"{60 * done / max(task.elapsed or 0, 0.1):.0f}/min"
                progress.update(bar, advance=left.get(key, steps), done=done, bad=bad, rate=rate)
            elif event["event"] == "straggler":
                progress.console.print(f"{key} has been at it for {event['seconds']:.0f} s, now in {event['step']}.")

        yield show


def _result_row(result: TenantResult) -> Json:
    return {
        "tenant": result.key,
        "outcome": str(result.outcome) if result.outcome else "broke",
        "exit_code": result.exit_code,
        "error": result.error,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "folder": str(result.folder) if result.folder else "",
        "report": str(result.folder / "data" / "report.html") if result.folder else "",
    }


def print_results(results: list[TenantResult], as_json: bool) -> None:
    """Print what became of every tenant, as a table or as one JSON document."""
    from rich.table import Column, Table

    from runbook_lib.display.cards import status_words
    from runbook_lib.runs import folder

    if as_json:
        print_json([_result_row(result) for result in results])
        return
    screen = console()
    table = Table(Column("tenant", overflow="fold"), "outcome", "steps", "seconds", Column("run", no_wrap=True))
    shown = results if len(results) <= LONGEST_TABLE else [one for one in results if one.exit_code in (1, 2, 3, 4)]
    for result in shown:
        steps = " ".join(f"{step[:2]}:{outcome}" for step, outcome in result.steps.items())
        words = status_words(result.outcome) if result.outcome and not result.error else "✗ broke"
        table.add_row(result.key, words, steps, f"{result.seconds:.0f}", result.folder.name if result.folder else "")
    screen.print(table)
    screen.print(f"Runs lie in {folder.home('outputs')}, by tenant.", markup=False, soft_wrap=True)
    if len(shown) < len(results):
        screen.print(f"{len(results) - len(shown)} more of {len(results)} passed, or wait for people.")
    for result in results:
        if result.error:
            screen.print(f"{result.key}: {result.error}", markup=False, soft_wrap=True)


def person() -> bool:
    """Return whether somebody is here to answer."""
    return bool(sys.stdin and sys.stdin.isatty())  # there is none at all without a console
