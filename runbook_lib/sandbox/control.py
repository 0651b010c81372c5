"""The sandbox's own controls under /sandbox/: state, faults, clock, log, reset. JSON, and from this machine only."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runbook_lib.sandbox.faults import Fault, faults_of
from runbook_lib.sandbox.world.state import Json
from runbook_lib.sandbox.world.world import World


def state(world: World, _: Json) -> Json:
    """What is in force: time, tenants, faults, how pages are approved."""
    faults = faults_of(world)
    return {
        "now": world.now().isoformat(),
        "advanced_seconds": world.offset.total_seconds(),
        "tenants": world.keys(),
        "faults": [vars(fault) for fault in faults.faults],
        "seed": faults.seed,
        "latency_ms": faults.latency_ms,
        "approve": vars(world.approval),
    }


def order_faults(world: World, body: Json) -> Json:
    """Replace the faults in force by one (its fields are the body) or many (`faults`), with `seed` and `latency_ms`.

    An empty body ends all faults. Raises ValueError or TypeError for what cannot be injected.
    """
    options = {name: body.pop(name) for name in ("seed", "latency_ms") if name in body}
    wanted = body.pop("faults", [body] if body else [])
    faults_of(world).order([Fault(**fault) for fault in wanted], **options)
    return state(world, {})


def reset(world: World, _: Json) -> Json:
    """Put everything back to the start."""
    world.reset()
    faults_of(world).clear()
    world.log.clear()
    return state(world, {})


def advance(world: World, body: Json) -> Json:
    """Move the clock forward by `seconds`. Raises ValueError for less than nothing."""
    seconds = float(body.get("seconds", 0))
    if seconds < 0:
        raise ValueError("the clock does not go back; use reset")
    world.offset += timedelta(seconds=seconds)
    return state(world, {})


def show_log(world: World, _: Json) -> Json:
    """Every request since the last reset."""
    return {"log": [*world.log]}


def approve(world: World, body: Json) -> Json:
    """Say how sign-in pages answer: `auto`, `account`, `answer`. Raises TypeError for other names."""
    world.approval = replace(world.approval, **body)
    return state(world, {})


ACTIONS: dict[tuple[str, str], Callable[[World, Json], Json]] = {
    ("GET", "/sandbox/state"): state,
    ("GET", "/sandbox/log"): show_log,
    ("POST", "/sandbox/faults"): order_faults,
    ("POST", "/sandbox/reset"): reset,
    ("POST", "/sandbox/clock"): advance,
    ("POST", "/sandbox/approve"): approve,
}


def from_here(request: Request) -> bool:
    """Whether the client is on this machine."""
    host = request.client.host if request.client else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def endpoint(request: Request) -> Response:
    """Answer any request under /sandbox/."""
    if not from_here(request):
        return JSONResponse({"error": "the sandbox takes orders from this machine only"}, 403)
    action = ACTIONS.get((request.method, request.url.path.rstrip("/")))
    if action is None:
        known = [f"{method} {path}" for method, path in ACTIONS]
        return JSONResponse({"error": "no such control", "controls": known}, 404)
    try:
        body: Any = json.loads(await request.body() or b"{}")
        if not isinstance(body, dict):
            raise ValueError("a JSON object is wanted")
        return JSONResponse(action(request.state.world, body))
    except (ValueError, TypeError) as fault:
        return JSONResponse({"error": str(fault)}, 400)
