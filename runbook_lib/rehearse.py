"""The commands that need the sandbox cloud: `runbook demo` and `runbook sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Json
from runbook_lib.terminal import AsJson, Jobs, print_json, print_results, progress, say

if TYPE_CHECKING:
    from runbook_lib.demo import Demo

STATE = Path(__file__).resolve().parent.parent / ".sandbox"
SANDBOX_PORT = 8443
NARROW = ("documented", "permission", "kind", "required", "granted", "extra", "status")
SHOWN = (
    ("adatum", "06_access.scopes", NARROW),
    ("fabrikam", "06_access.scopes", NARROW),
    ("northwind", "07_sync.room_counts", ()),
)
"""What the demo shows on the terminal: tenant, table, and those of its columns that fit (none named: all)."""


def sandbox(
    port: Annotated[int, typer.Option(help="Loopback port to serve on; 0 takes a free one.")] = SANDBOX_PORT,
    state: Annotated[Path, typer.Option(help="Folder for certificates and the cloud file.")] = STATE,
    manual: Annotated[bool, typer.Option(help="People approve sign-ins on pages instead of at once.")] = False,
    latency_ms: Annotated[float, typer.Option(min=0, help="Milliseconds that every answer takes longer.")] = 0,
    tenants: Annotated[
        int, typer.Option(min=0, help="Generated tenants gen-0001 and so on, beside the scenarios.")
    ] = 0,
    rooms: Annotated[int, typer.Option(min=0, help="Rooms of each generated tenant.")] = 50,
    plain_http: Annotated[
        bool, typer.Option(help="Serve without TLS, for clients behind an adapter of their own.")
    ] = False,
    describe: Annotated[
        bool, typer.Option(help="Print one JSON with addresses, tenants and credentials, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the rehearsal cloud (Entra sign-in, Graph, SpaceIQ) on loopback until stopped."""
    from runbook_lib.sandbox import server
    from runbook_lib.sandbox.lock import StateInUseError

    if describe:
        print_json(server.describe(state, port=port))
        return
    try:
        server.run_forever(
            state,
            port=port,
            auto_approve=not manual,
            latency_ms=latency_ms,
            generated=tenants,
            rooms=rooms,
            tls=not plain_http,
            on_ready=print_json if as_json else _tell,
        )
    except StateInUseError as error:
        raise UsageError(str(error), "Give another folder with --state, or stop that server first.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"Port {port} cannot be served on: {why}.", "Give another one with --port.") from error


def _tell(description: Json) -> None:
    """Say where the sandbox is and how to go on."""
    say(
        f"The sandbox cloud serves {description['login']} until you press Ctrl+C.",
        f"Tenant files name it as {STATE.name}/cloud.yaml; in another terminal: runbook run contoso",
        f"The change to rehearse in a browser: {description['rehearsal']}",
        "(its certificate is this sandbox's own; let the browser go on to localhost)",
        "Addresses, tenants and credentials: runbook sandbox --describe",
        error=False,
    )


def demo(jobs: Jobs = None, as_json: AsJson = False) -> None:
    """Serve the sandbox cloud, run every notebook for its tenants, seal, and show what came out.

    The exit code is 0 when each tenant came out as its scenario foretells, else 1.
    """
    from runbook_lib import batch
    from runbook_lib import demo as rehearsal
    from runbook_lib.sandbox.lock import StateInUseError

    try:
        with progress(len(rehearsal.tenants()), len(batch.TENANT_STEPS)) as show:
            done = rehearsal.run(STATE, jobs=jobs, on_event=show)
    except StateInUseError as error:
        raise RunbookError(str(error), "Stop that sandbox, or use it: runbook run contoso") from error
    print_results(list(done.results), as_json)
    if not as_json:
        _print_demo(done)
    raise typer.Exit(1 if done.surprises else 0)


def _print_demo(done: Demo) -> None:
    from runbook_lib import tables

    folders = {result.key: result.folder for result in done.results if result.folder}
    for key, name, columns in SHOWN:
        path = folders[key] / "data" / "tables" / f"{name}.csv" if key in folders else Path()
        if path.is_file():
            frame = tables.read_csv(path)
            shown = frame[list(columns) or frame.columns].to_string(index=False)
            say(f"\n{key}: {done.foretold[key]['shows']}", shown, error=False)
    say(
        "\nThis was a rehearsal on the sandbox cloud, not audit evidence. Pages to open in a browser:",
        *(f"  {key}: {folder / 'data' / 'report.html'}" for key, folder in folders.items()),
        f"  all tenants: {done.portfolio}",
        *(f"✗ {key} did not come out as foretold ({done.foretold[key]['outcome']})." for key in done.surprises),
        error=False,
    )
