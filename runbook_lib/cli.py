"""The `runbook` command: every option, every exit code, every word to the terminal."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib import rehearse
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json
from runbook_lib.terminal import AsJson, Jobs, console, print_json, print_results, progress

app = typer.Typer(
    name="runbook",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # half of the start would go into importing what makes help colourful
    help="Reconnect SpaceIQ to Office 365 calendars, step by step or for many tenants.\n\n"
    "Exit codes: 0 pass, 1 the runbook broke, 2 wrong usage, 3 fail, 4 unknown, 5 pending; "
    "the worst wins in the order 1, 3, 4, 5.",
)


def main() -> None:
    """Run the command; an error is two sentences on standard error and its documented exit code."""
    try:
        app()
    except RunbookError as error:
        console(stderr=True).print("\n".join(error._render_traceback_()), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


@app.command()
def run(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys: the names of files in parameters/.")] = None,
    all_tenants: Annotated[bool, typer.Option("--all", help="Every tenant file in parameters/.")] = False,
    steps: Annotated[str, typer.Option(help="Only these steps, for example 06,07.")] = "",
    jobs: Jobs = None,
    override: Annotated[str, typer.Option(help="Open closed gates; the reason is recorded.")] = "",
    pilot: Annotated[
        str, typer.Option(help="These tenants first; the others only if all of these come out well.")
    ] = "",
    only_failed: Annotated[bool, typer.Option(help="Of these tenants, those whose newest run is no good.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the newest batch, however it was cut short.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the notebooks for one tenant, several, or all, a process each; nothing prompts."""
    from runbook_lib import batch, overnight, processes

    if override:
        os.environ["RUNBOOK_OVERRIDE"] = override
    if resume:
        if tenants or all_tenants or steps or pilot or only_failed:
            raise UsageError("A resumed batch has its tenants and steps already.", "Say only: runbook run --resume")
        plan = overnight.interrupted()
    else:
        keys = _keys(tenants or [], all_tenants, only_failed)
        plan = overnight.plan(keys, batch.chosen_steps(_words(steps)), _words(pilot))
    with progress(len(plan.keys), len(plan.steps)) as show:
        results = overnight.run(plan, jobs=jobs or processes.default_jobs(), on_event=show, resume=resume)
    print_results(results, as_json)
    raise typer.Exit(batch.exit_code(results))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _keys(tenants: list[str], all_tenants: bool, only_failed: bool) -> list[str]:
    from runbook_lib import overnight, records, settings

    keys = settings.keys(records.home("parameters")) if all_tenants else list(dict.fromkeys(tenants))
    if not keys:
        raise UsageError("No tenant is named.", "Name tenants (runbook run contoso), or use --all.")
    if only_failed and not (keys := overnight.unfit(keys)):
        raise UsageError("None of these tenants failed.", "Leave --only-failed out to run them all the same.")
    return keys


@app.command()
def status(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys; none means all that have runs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every tenant's newest run, its outcome and what changed; the exit code is the worst outcome."""
    from runbook_lib import difference, records
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
        rows[-1] |= {"changed": difference.words(folders[-1]) if latest else [], "shown": status_words(outcome)}
    _print_status(rows, as_json)
    raise typer.Exit(min(codes - {0}, default=0))


def _print_status(rows: list[Json], as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        print_json([{name: value for name, value in row.items() if name != "shown"} for row in rows])
        return
    table = Table("tenant", "newest run", "outcome", "sealed", "steps")
    for row in rows:
        steps = " ".join(f"{step[:2]}:{outcome}" for step, outcome in row["steps"].items())
        table.add_row(row["tenant"], row["run"], row["shown"], "yes" if row["sealed"] else "no", steps)
    changes = [f"{row['tenant']} since its previous run: {change}" for row in rows for change in row["changed"]]
    screen = console()
    screen.print(table)
    screen.print("\n".join(changes), markup=False, soft_wrap=True)


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


@app.command(name="open")
def open_(
    tenant: Annotated[str, typer.Argument(help="Tenant key: the name of a file in parameters/.")],
    browser: Annotated[bool, typer.Option(help="Open a browser, or only say the address.")] = True,
    port: Annotated[int, typer.Option(help="Loopback port of JupyterLab, or the next free one.")] = 8888,
    take_over: Annotated[bool, typer.Option(help="Go on where somebody else has the run open.")] = False,
) -> None:
    """Work on a tenant in JupyterLab: its open run, or a new one, from the next step on."""
    from runbook_lib import lab

    def tell(words: str) -> None:
        console(stderr=True).print(words, markup=False, soft_wrap=True)

    lab.work(tenant, browser=browser, port=port, take_over=take_over, tell=tell)


@app.command()
def seal(
    target: Target,
    key: Annotated[Path | None, typer.Option(help="Sign with this SSH key; default: RUNBOOK_SIGNING_KEY.")] = None,
    share: Annotated[
        bool, typer.Option("--shareable", help="Write a copy without people's names, of a sealed run as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Close a run: list every file with its SHA-256, so that any later change shows."""
    from runbook_lib import evidence, lab, records, shareable

    folder, by = _folder(target).resolve(), evidence.trust(key=key)
    if not (share and records.is_sealed(folder)):
        lab.check_closed(folder)
        evidence.seal(folder, clock=lambda: datetime.now(UTC), by=by)
    number, proofs = evidence.seal_hash(folder), evidence.proofs(folder, by)
    place = records.home("outputs") / "_shareable" / folder.parent.name / folder.name
    copy = str(shareable.write(folder, place)) if share else ""
    if as_json:
        print_json({"folder": str(folder), "seal_sha256": number, "proofs": proofs, "shareable": copy})
    else:
        words = (f"Sealed {folder}", f"SHA-256 of the seal, for the change ticket: {number}", *proofs)
        words = (*words, f"Copy without names: {copy}") if copy else words
        console().print("\n".join(words), markup=False, soft_wrap=True)


@app.command()
def verify(
    target: Target,
    signers: Annotated[
        Path | None, typer.Option(help="Whose signatures count; default: RUNBOOK_ALLOWED_SIGNERS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing in a sealed run was changed, removed, added or renamed; exit code 3 when something was."""
    from dataclasses import asdict

    from runbook_lib import evidence

    folder, by = _folder(target), evidence.trust(signers=signers)
    faults, proofs = evidence.verify(folder, by), evidence.proofs(folder, by)
    if as_json:
        listed = [asdict(fault) for fault in faults]
        print_json({"folder": str(folder), "intact": not faults, "faults": listed, "proofs": proofs})
    else:
        words = [f"✗ {fault.kind}: {fault.path} {fault.detail}" for fault in faults]
        whole = words or [f"✓ {folder} is as it was sealed. Seal: {evidence.seal_hash(folder)}"]
        console().print("\n".join([*whole, *proofs]), markup=False, soft_wrap=True)
    raise typer.Exit(3 if faults else 0)


@app.command()
def export(
    target: Target,
    to: Annotated[Path | None, typer.Option(help="The file; default: TENANT-RUN.xlsx in this folder.")] = None,
) -> None:
    """Write a run's tables into one Excel workbook, outside the run's folder."""
    from runbook_lib import records, report

    folder = _folder(target).resolve()
    path = to or Path(f"{folder.parent.name}-{folder.name}.xlsx")
    if path.exists():
        raise UsageError(f"{path} is there already.", "Name another file with --to.")
    records.write_new(path, report.workbook(report.read(folder)))
    console().print(f"Wrote {path}", markup=False, soft_wrap=True)


@app.command()
def recheck(target: Target, as_json: AsJson = False) -> None:
    """Judge a run's raw answers again, offline, with this version's checks; exit code 3 when a finding differs."""
    from dataclasses import asdict

    from runbook_lib import recheck as judged

    folder = _folder(target)
    differences = judged.recheck(folder)
    if as_json:
        print_json(
            {"folder": str(folder), "same": not differences, "differences": [asdict(one) for one in differences]}
        )
    else:
        screen = console()
        for one in differences:
            words = f"✗ {one.record} {one.check} {one.subject}\n  recorded: {one.recorded}\n  now:      {one.now}"
            screen.print(words, markup=False, soft_wrap=True)
        if not differences:
            screen.print(f"✓ the raw answers in {folder} still lead to every recorded finding.", soft_wrap=True)
    raise typer.Exit(3 if differences else 0)


app.command()(rehearse.demo)
app.command()(rehearse.sandbox)
