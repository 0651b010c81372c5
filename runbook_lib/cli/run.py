"""`runbook run`: the notebooks for one tenant, several, or all."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli import notify
from runbook_lib.cli.terminal import AsJson, Jobs, print_results, progress
from runbook_lib.errors import UsageError

if TYPE_CHECKING:
    from runbook_lib.batch.plan import Crew


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
    as_json: AsJson = False,
) -> None:
    """Run the notebooks for one tenant, several, or all, a process each; nothing prompts."""
    from runbook_lib.batch import plan as batch_plan
    from runbook_lib.batch import pool

    if override:
        os.environ["RUNBOOK_OVERRIDE"] = override
    if resume:
        if tenants or all_tenants or steps or pilot or only_failed:
            raise UsageError("A resumed batch has its tenants and steps already.", "Say only: runbook run --resume")
        plan = batch_plan.interrupted()
    else:
        keys = _keys(tenants or [], all_tenants, only_failed)
        plan = batch_plan.plan(keys, pool.chosen_steps(_words(steps)), _words(pilot))
    crew = _crew(scheduler, plan.since, jobs) if scheduler else None
    with progress(len(plan.keys), len(plan.steps)) as show:
        results = batch_plan.run(plan, jobs=jobs, on_event=show, resume=resume, crew=crew)
    print_results(results, as_json)
    notify.after_batch([one.key for one in results])
    raise typer.Exit(pool.exit_code(results))


def _crew(scheduler: str, since: str, jobs: int | None) -> Crew:
    from runbook_lib.batch.cluster import driver as cluster

    if jobs:
        remedy = "Start each with: dask worker --nworkers 1 --nthreads N"
        raise UsageError("--jobs is for this machine; a worker takes a tenant for each of its threads.", remedy)
    return partial(cluster.run, address=scheduler, since=since)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _keys(tenants: list[str], all_tenants: bool, only_failed: bool) -> list[str]:
    from runbook_lib import settings
    from runbook_lib.batch import plan as batch_plan
    from runbook_lib.runs import folder

    keys = settings.keys(folder.home("parameters")) if all_tenants else list(dict.fromkeys(tenants))
    if not keys:
        raise UsageError("No tenant is named.", "Name tenants (runbook run contoso), or use --all.")
    if only_failed and not (keys := batch_plan.unfit(keys)):
        raise UsageError("None of these tenants failed.", "Leave --only-failed out to run them all the same.")
    return keys
