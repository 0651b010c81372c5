"""`runbook sandbox`: serve the rehearsal cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.demo import STATE
from runbook_lib.cli.terminal import AsJson, print_json, say
from runbook_lib.errors import UsageError
from runbook_lib.model import Json

SANDBOX_PORT = 8443


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
    from runbook_lib.sandbox.server import StateInUseError

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
