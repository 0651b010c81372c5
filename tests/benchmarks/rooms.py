"""Step 7 for very many rooms: our reading, the straightforward loop, and the limit that latency and concurrency set.

    python -m tests.benchmarks.rooms --rooms 10000 --latency 80

The sandbox cloud runs in a process of its own, on the same cores. The loop asks one request after the other and is
timed on a part of the rooms, then extrapolated; the limit is calls times latency over the concurrency allowed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.clients import http as clients_http
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.graph.throttle import LIMITS
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.display import frames
from runbook_lib.model import Cloud, Json, SignIn, SpaceSource, Tenant
from runbook_lib.sandbox import server
from runbook_lib.steps import tables
from runbook_lib.steps.sync import checks as sync
from runbook_lib.steps.sync import pictures

TENANT = "gen-0001"
SAMPLE = 400
"""Rooms on which the loop is timed."""


def serve(state: Path, rooms: int, latency: float, ready: Any) -> None:
    """Serve the sandbox until the process is ended."""
    server.run_forever(state, port=0, generated=1, rooms=rooms, latency_ms=latency, on_ready=ready.send)


@contextmanager
def cloud(rooms: int, latency: float) -> Iterator[Tenant]:
    """Give the tenant file of a sandbox tenant with so many rooms, while its cloud runs beside us."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / ".sandbox"
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(state, rooms, latency, there))
        process.start()
        try:
            told = here.recv()
            os.environ[spaceiq.TOKEN] = next(one["spaceiq_token"] for one in told["tenants"] if one["key"] == TENANT)
            yield described(told, state)
        finally:
            process.terminate()
            process.join()


def described(told: Json, state: Path) -> Tenant:
    """Return the tenant file for the sandbox that told this of itself."""
    own = next(one for one in told["tenants"] if one["key"] == TENANT)
    url, verifier = told["graph"], told["apps"]["verifier"]
    return Tenant(
        key=TENANT,
        name=own["name"],
        tenant_id=own["id"],
        domain=own["domains"][0],
        admin=f"admin@{own['domains'][0]}",
        cloud=Cloud("sandbox", url, url, microsoft=False, ca_file=state / "ca.pem"),
        sign_in=SignIn("certificate", verifier["client_id"], state / "verifier.pem"),
        cronofy_app="10bb7e5b-b80b-4e6e-a209-f78581dbc79e",
        spaceiq=SpaceSource("graphql", None, {}, own["name"], f"{url}/queries", "Bearer"),
    )


def looped(door: Graph, emails: list[str]) -> float:
    """Return the seconds that one request after the other takes for free/busy, extrapolated from a part."""
    begin = datetime.now(UTC).replace(microsecond=0)
    part = emails[:SAMPLE]
    started = time.perf_counter()
    for email in part:
        door.look_schedules("free_busy", [email], begin, begin + timedelta(days=1))
    return (time.perf_counter() - started) * len(emails) / len(part)


def compare(rooms: int, latency: float) -> None:
    """Run both ways once and print what they took, beside the limit and the sizes."""
    with cloud(rooms, latency) as tenant, clients_http.session(tenant.cloud) as http:
        door = Graph(tenant, entra.sign_in(tenant, sync.CALLS, http, attended=False, show=print), http)
        started = time.perf_counter()
        listed = door.look("rooms")
        begin = datetime.now(UTC).replace(microsecond=0)
        emails = [row["emailAddress"] for row in listed.rows]
        door.look_schedules("free_busy", emails, begin, begin + timedelta(days=1))
        graph_alone = time.perf_counter() - started
        calls = -(-rooms // LIMITS["places_page"]) + 1
        chunks = -(-rooms // LIMITS["schedules"])
        limit = (calls + -(-chunks // LIMITS["mailbox_at_once"])) * latency / 1000
        started = time.perf_counter()
        raw = sync.read(door, tenant, {})
        whole = time.perf_counter() - started
        started = time.perf_counter()
        facts = sync.parse(raw, tenant)
        frame = tables.rooms(facts)
        judged = time.perf_counter() - started
        loop = looped(door, emails)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        f"{len(facts.rooms)} rooms, {len(facts.spaces)} spaces, {latency:.0f} ms latency",
        f"limit for listing and free/busy   {limit:8.1f} s",
        f"ours, listing and free/busy       {graph_alone:8.1f} s   {graph_alone / limit:.2f} times the limit",
        f"the loop, free/busy alone         {loop:8.1f} s   {loop / graph_alone:.0f} times ours",
        f"ours, with SpaceIQ's spaces       {whole:8.1f} s",
        f"joining, judging and the table    {judged:8.1f} s",
        f"memory at the most                {memory:8.0f} MB",
        f"table in the notebook             {len(frames.html(frame)) / 1024:8.0f} kB",
        f"picture of buildings              {len(pictures.rooms(facts).svg) / 1024:8.0f} kB",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    """Read the command line and compare."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rooms", type=int, default=10_000)
    parse.add_argument("--latency", type=float, default=80, help="milliseconds that a call waits")
    asked = parse.parse_args()
    compare(asked.rooms, asked.latency)


if __name__ == "__main__":
    main()
