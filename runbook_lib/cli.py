"""The `runbook` command: every option, every exit code, every word to the terminal."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib import keep, prepare, register, rehearse, status, tell
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.keep import Target, run_folder
from runbook_lib.terminal import AsJson, Jobs, console, print_json, print_results, progress, speak_utf_8

if TYPE_CHECKING:
    from runbook_lib.overnight import Crew

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
    speak_utf_8()
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
    scheduler: Annotated[
        str, typer.Option(help="Run on the workers of this Dask scheduler, for example tls://host:8786.")
    ] = "",
    archive: Annotated[
        str, typer.Option(help="Workers share no folder: runs go to this archive, for example az://CONTAINER/PATH.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run the notebooks for one tenant, several, or all, a process each; nothing prompts."""
    from runbook_lib import batch, overnight

    if archive and not scheduler:
        raise UsageError("--archive is for workers of a --scheduler.", "Run without it, then: runbook push --to URL")
    if override:
        os.environ["RUNBOOK_OVERRIDE"] = override
    if resume:
        if tenants or all_tenants or steps or pilot or only_failed:
            raise UsageError("A resumed batch has its tenants and steps already.", "Say only: runbook run --resume")
        plan = overnight.interrupted()
    else:
        keys = _keys(tenants or [], all_tenants, only_failed)
        plan = overnight.plan(keys, batch.chosen_steps(_words(steps)), _words(pilot))
    crew = _crew(scheduler, archive, plan.since, jobs) if scheduler else None
    with progress(len(plan.keys), len(plan.steps)) as show:
        results = overnight.run(plan, jobs=jobs, on_event=show, resume=resume, crew=crew)
    print_results(results, as_json)
    tell.after_batch([one.key for one in results])
    raise typer.Exit(batch.exit_code(results))


def _crew(scheduler: str, archive: str, since: str, jobs: int | None) -> Crew:
    from runbook_lib import cluster

    if jobs:
        remedy = "Start each with: dask worker --nworkers 1 --nthreads N"
        raise UsageError("--jobs is for this machine; a worker takes a tenant for each of its threads.", remedy)
    return partial(cluster.run, address=scheduler, archive=archive, since=since)


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


app.command()(status.status)


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


app.command()(keep.seal)
app.command()(keep.verify)
app.command()(keep.push)


@app.command()
def export(
    target: Target,
    to: Annotated[Path | None, typer.Option(help="The file; default: TENANT-RUN.xlsx in this folder.")] = None,
) -> None:
    """Write a run's tables into one Excel workbook, outside the run's folder."""
    from runbook_lib import records, report

    folder = run_folder(target).resolve()
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

    folder = run_folder(target)
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


app.command()(prepare.new)
app.command()(register.app)
app.command()(prepare.doctor)
app.command()(prepare.signout)
app.command()(rehearse.demo)
app.command()(rehearse.sandbox)
app.command()(tell.oscal)
app.command()(tell.notify)
