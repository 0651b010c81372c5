"""The `runbook` command: every option, every exit code, every word to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json

if TYPE_CHECKING:
    from rich.console import Console

    from runbook_lib.batch import TenantResult
    from runbook_lib.demo import Demo

app = typer.Typer(
    name="runbook",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Reconnect SpaceIQ to Office 365 calendars, step by step or for many tenants.\n\n"
    "Exit codes: 0 pass, 1 the runbook broke, 2 wrong usage, 3 fail, 4 unknown, 5 pending; "
    "the worst wins in the order 1, 3, 4, 5.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
CORES = os.cpu_count() or 1
Jobs = Annotated[int, typer.Option(min=1, help="Tenants at a time.")]
SANDBOX_PORT = 8443


def main() -> None:
    """Run the command; an error is two sentences on standard error and its documented exit code."""
    try:
        app()
    except RunbookError as error:
        _console(stderr=True).print(
            "\n".join(error._render_traceback_()), markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(error.exit_code)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _print_json(value: object) -> None:
    from runbook_lib import records

    sys.stdout.write(records.to_json(value).decode())


@app.command()
def run(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys: the names of files in parameters/.")] = None,
    all_tenants: Annotated[bool, typer.Option("--all", help="Every tenant file in parameters/.")] = False,
    steps: Annotated[str, typer.Option(help="Only these steps, for example 06,07.")] = "",
    jobs: Jobs = CORES,
    override: Annotated[str, typer.Option(help="Open closed gates; the reason is recorded.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the notebooks for one tenant, several, or all, a process each; nothing prompts."""
    from runbook_lib import batch, records, settings

    keys = settings.keys(records.home("parameters")) if all_tenants else list(dict.fromkeys(tenants or []))
    if not keys:
        raise UsageError("No tenant is named.", "Name tenants (runbook run contoso), or use --all.")
    if override:
        os.environ["RUNBOOK_OVERRIDE"] = override
    chosen = batch.chosen_steps([word.strip() for word in steps.split(",") if word.strip()])
    with _progress(len(keys), len(chosen)) as show:
        results = batch.run(keys, chosen, jobs=jobs, on_event=show)
    _print_results(results, as_json)
    raise typer.Exit(batch.exit_code(results))


@contextmanager
def _progress(tenants: int, steps: int) -> Iterator[Callable[[Json], None]]:
    """Show a bar over all notebooks on standard error, and give what moves it on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True)) as progress:
        bar = progress.add_task("notebooks", total=tenants * steps)
        left: dict[str, int] = {}

        def show(event: Json) -> None:
            key = event["tenant"]
            if event["event"] == "step":
                left[key] = left.get(key, steps) - 1
                progress.update(bar, advance=1, description=f"{key} {event['step'][:2]} {event['outcome']}")
            elif event["event"] == "tenant":  # steps that were not run are over too
                progress.update(bar, advance=left.get(key, steps))

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


def _print_results(results: list[TenantResult], as_json: bool) -> None:
    from rich.table import Table

    from runbook_lib.cards import status_words

    if as_json:
        _print_json([_result_row(result) for result in results])
        return
    console = _console()
    table = Table("tenant", "outcome", "steps", "seconds", "run's folder")
    for result in results:
        steps = " ".join(f"{step[:2]}:{outcome}" for step, outcome in result.steps.items())
        words = status_words(result.outcome) if result.outcome and not result.error else "✗ broke"
        table.add_row(result.key, words, steps, f"{result.seconds:.0f}", str(result.folder or ""))
    console.print(table)
    for result in results:
        if result.error:
            console.print(f"{result.key}: {result.error}", markup=False, soft_wrap=True)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Loopback port to serve on; 0 takes a free one.")] = SANDBOX_PORT,
    state: Annotated[Path, typer.Option(help="Folder for certificates and the cloud file.")] = Path(".sandbox"),
    manual: Annotated[bool, typer.Option(help="People approve sign-ins on pages instead of at once.")] = False,
    describe: Annotated[
        bool, typer.Option(help="Print one JSON with addresses, tenants and credentials, and stop.")
    ] = False,
) -> None:
    """Serve the rehearsal cloud (Entra sign-in and Graph) on loopback until stopped."""
    from runbook_lib.sandbox import server

    if describe:
        _print_json(server.describe(state, port=port))
        return
    server.run_forever(state, port=port, auto_approve=not manual)


@app.command()
def status(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys; none means all that have runs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every tenant's newest run and its outcome; the exit code is the worst of them."""
    from runbook_lib import records
    from runbook_lib.cards import status_words

    outputs = records.home("outputs")
    keys = tenants or [path.name for path in sorted(outputs.glob("[!_.]*")) if records.runs(outputs, path.name)]
    rows, codes = [], set()
    for key in keys:
        folders = records.runs(outputs, key)
        if not folders:
            raise UsageError(f"{key} has no run in {outputs}.", f"Run it first: runbook run {key}")
        latest = records.latest(folders[-1])
        outcome = records.outcome(latest)
        codes.add(outcome.exit_code)
        steps = {step: str(record.outcome) for step, record in latest.items()}
        sealed = records.is_sealed(folders[-1])
        rows.append({"tenant": key, "run": folders[-1].name, "outcome": str(outcome), "sealed": sealed, "steps": steps})
        rows[-1]["shown"] = status_words(outcome)
    _print_status(rows, as_json)
    raise typer.Exit(min(codes - {0}, default=0))


def _print_status(rows: list[Json], as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        _print_json([{name: value for name, value in row.items() if name != "shown"} for row in rows])
        return
    table = Table("tenant", "newest run", "outcome", "sealed", "steps")
    for row in rows:
        steps = " ".join(f"{step[:2]}:{outcome}" for step, outcome in row["steps"].items())
        table.add_row(row["tenant"], row["run"], row["shown"], "yes" if row["sealed"] else "no", steps)
    _console().print(table)


def _folder(target: str) -> Path:
    """Return the run's folder for a path, `tenant/run`, or a tenant (its newest run)."""
    from runbook_lib import records

    outputs = records.home("outputs")
    for path in (Path(target), outputs / target):
        if (path / "data").is_dir():
            return path
    newest = records.runs(outputs, target)
    if newest:
        return newest[-1]
    raise UsageError(f"{target} is neither a run's folder nor a tenant with runs.", f"Runs are kept in {outputs}.")


Target = Annotated[str, typer.Argument(help="A run's folder, tenant/run, or a tenant (its newest run).")]


@app.command()
def seal(target: Target, as_json: AsJson = False) -> None:
    """Close a run: list every file with its SHA-256, so that any later change shows."""
    from runbook_lib import evidence

    folder = evidence.seal(_folder(target), clock=lambda: datetime.now(UTC))
    row = {"folder": str(folder), "seal_sha256": evidence.seal_hash(folder)}
    if as_json:
        _print_json(row)
    else:
        _console().print(f"Sealed {row['folder']}\nSHA-256 of the seal, for the change ticket: {row['seal_sha256']}")


@app.command()
def verify(target: Target, as_json: AsJson = False) -> None:
    """Prove that nothing in a sealed run was changed, removed, added or renamed; exit code 3 when something was."""
    from dataclasses import asdict

    from runbook_lib import evidence

    folder = _folder(target)
    faults = evidence.verify(folder)
    if as_json:
        _print_json({"folder": str(folder), "intact": not faults, "faults": [asdict(fault) for fault in faults]})
    else:
        console = _console()
        for fault in faults:
            console.print(f"✗ {fault.kind}: {fault.path} {fault.detail}", markup=False, soft_wrap=True)
        if not faults:
            console.print(f"✓ {folder} is as it was sealed. Seal: {evidence.seal_hash(folder)}", soft_wrap=True)
    raise typer.Exit(3 if faults else 0)


@app.command()
def recheck(target: Target, as_json: AsJson = False) -> None:
    """Judge a run's raw answers again, offline, with this version's checks; exit code 3 when a finding differs."""
    from dataclasses import asdict

    from runbook_lib import recheck as judged

    folder = _folder(target)
    differences = judged.recheck(folder)
    if as_json:
        _print_json(
            {"folder": str(folder), "same": not differences, "differences": [asdict(one) for one in differences]}
        )
    else:
        console = _console()
        for one in differences:
            words = f"✗ {one.record} {one.check} {one.subject}\n  recorded: {one.recorded}\n  now:      {one.now}"
            console.print(words, markup=False, soft_wrap=True)
        if not differences:
            console.print(f"✓ the raw answers in {folder} still lead to every recorded finding.", soft_wrap=True)
    raise typer.Exit(3 if differences else 0)


@app.command()
def demo(jobs: Jobs = CORES, as_json: AsJson = False) -> None:
    """Serve the sandbox cloud, run every notebook for its tenants, seal, and show what came out.

    The exit code is 0 when each tenant came out as its scenario foretells, else 1.
    """
    from runbook_lib import batch
    from runbook_lib import demo as rehearsal

    root = Path(__file__).resolve().parent.parent
    with _progress(len(rehearsal.tenants()), len(batch.TENANT_STEPS)) as show:
        done = rehearsal.run(root / ".sandbox", jobs=jobs, on_event=show)
    _print_results(list(done.results), as_json)
    if not as_json:
        _print_demo(done)
    raise typer.Exit(1 if done.surprises else 0)


def _print_demo(done: Demo) -> None:
    from runbook_lib import tables

    console = _console()
    shown = (("adatum", "06_access.scopes"), ("fabrikam", "06_access.scopes"), ("northwind", "07_sync.room_counts"))
    folders = {result.key: result.folder for result in done.results if result.folder}
    for key, name in shown:
        path = folders[key] / "data" / "tables" / f"{name}.csv" if key in folders else Path()
        if path.is_file():
            console.print(f"\n{key}, {name}: {done.foretold[key]['shows']}")
            console.print(tables.read_csv(path).to_string(index=False), markup=False, soft_wrap=True)
    console.print("\nThis was a rehearsal on the sandbox cloud, not audit evidence. Pages to open in a browser:")
    for key, folder in folders.items():
        console.print(f"  {key}: {folder / 'data' / 'report.html'}", markup=False, soft_wrap=True)
    console.print(f"  all tenants: {done.portfolio}", markup=False, soft_wrap=True)
    for key in done.surprises:
        console.print(f"✗ {key} did not come out as foretold ({done.foretold[key]['outcome']}).", markup=False)
