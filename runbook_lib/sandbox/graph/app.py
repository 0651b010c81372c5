"""Graph's front door: HTTP in, caller and route found, permission and throttles checked, HTTP out as Graph words it."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.faults import ANSWERS, GraphError, abort, draw, faults_of, strike
from runbook_lib.sandbox.graph import access, batch, places, routes
from runbook_lib.sandbox.graph.directory import (
    assignments,
    audit,
    directory,
    policies,
    principals,
    registrations,
    rolemanagement,
    tenancy,
)
from runbook_lib.sandbox.graph.outlook import (
    calendar,
    calendar_delta,
    events,
    find_rooms,
    get_schedule,
    mailbox_settings,
    mailboxes,
)
from runbook_lib.sandbox.graph.routes import Call, Caller, Reply, Route, bad_request
from runbook_lib.sandbox.graph.wire import Asked, error_reply, read_body, read_query, reply_headers, resource_units
from runbook_lib.sandbox.world import grants
from runbook_lib.sandbox.world.world import World

# Imported for the routes that they enter into the table.
ROUTED = (
    *(assignments, audit, directory, policies, principals, registrations, rolemanagement, tenancy),
    *(calendar, calendar_delta, events, find_rooms, get_schedule, mailboxes, mailbox_settings, places),
)
PLACES = "places"  # counted like a mailbox, but belonging to none
DIAGNOSTIC = json.dumps(
    {"ServerInfo": {"DataCenter": "Sandbox", "Slice": "E", "Ring": "5", "ScaleUnit": "000", "RoleInstance": "SANDBOX"}},
    separators=(",", ":"),
)


async def endpoint(request: Request) -> Response:
    """Answer any request under /v1.0 or /beta."""
    world: World = request.state.world
    asked = await read(request)
    fault = None
    try:
        who = access.caller(world, asked.headers.get("authorization", ""))
        fault = draw(world, "graph", who.tenant_id, asked.path)
        await strike(fault, request)
        reply = await serve(world, who, asked)
    except GraphError as error:
        reply = error_reply(error, world, asked, "directory")
    return respond(reply, asked, request, cut=fault is not None and fault.kind == "truncated")


async def read(request: Request) -> Asked:
    """The request with what its answer will echo."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    version, _, path = raw.decode("latin-1").lstrip("/").partition("/")
    request_id = str(uuid4())
    return Asked(
        method=request.method,
        version=version.lower(),
        path=f"/{path}",
        query=request.url.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.body(),
        host=request.headers.get("host", "localhost"),
        request_id=request_id,
        client_request_id=request.headers.get("client-request-id") or request_id,
    )


async def serve(world: World, who: Caller, asked: Asked) -> Reply:
    """Answer one outer request: a batch or a single call."""
    if asked.path.lower().rstrip("/") != "/$batch":
        return await perform(world, who, asked)
    if asked.method != "POST":
        raise GraphError(405, "Request_BadRequest", routes.WRONG_METHOD, {"Allow": "POST"})
    return await batch.serve(asked, lambda inner: perform_inner(world, who, inner))


async def perform_inner(world: World, who: Caller, asked: Asked) -> Reply:
    """Answer one call of a batch; faults that are answers hit it like an outer call."""
    fault = draw(world, "graph", who.tenant_id, asked.path)
    if fault is not None and fault.kind in ANSWERS:
        return error_reply(fault.error(), world, asked, "directory")
    return await perform(world, who, asked)


async def perform(world: World, who: Caller, asked: Asked) -> Reply:
    """Answer one call, outer or of a batch; a refusal becomes the reply that words it."""
    family: routes.Family = "directory"
    try:
        if who.kind == "application" and asked.path.lower().split("/")[1] == "me":
            raise bad_request("/me request is only valid with delegated authentication flow.", code="BadRequest")
        route, params = routes.find(asked.method, asked.version, asked.path)
        family = route.family
        call = make_call(world, who, asked, params)
        key = mailbox_key(call, route)
        with faults_of(world).running(key if key and key[-1] != PLACES else None):
            await asyncio.sleep(faults_of(world).latency_ms / 1000)
            access.authorize(who, route)
            throttle(call, route)
            reply = route.function(call)
    except GraphError as error:
        reply = error_reply(error, world, asked, family)
    if family == "directory":
        reply.headers.setdefault("x-ms-resource-unit", str(resource_units(asked)))
    return reply


def make_call(world: World, who: Caller, asked: Asked, params: dict[str, str]) -> Call:
    """The call that the route's function gets. Raises GraphError 400 and 401."""
    tenant = world.tenant(who.tenant_id)
    if tenant is None:
        raise faults.unauthorized("Access token validation failure. Invalid tenant.")
    return Call(
        world=world,
        tenant=tenant,
        caller=who,
        method=asked.method,
        version=asked.version,
        path=asked.path,
        params=params,
        query=read_query(asked.query, asked.version),
        headers=asked.headers,
        body=read_body(asked),
        base=f"https://{asked.host}/{asked.version}",
    )


def mailbox_key(call: Call, route: Route) -> tuple[str, ...] | None:
    """What Outlook's limits count by: app and mailbox, whatever name it was called by; None for other workloads."""
    if route.family != "exchange":
        return None
    name = PLACES if route.template.startswith("/places") else call.params.get("id") or str(call.caller.user_id)
    user = grants.person(call.tenant, name)
    return (call.tenant.id, call.caller.app_id, user["id"] if user else name.lower())


def throttle(call: Call, route: Route) -> None:
    """Count the call against the limits of its workload. Raises GraphError 429."""
    if key := mailbox_key(call, route):
        faults_of(call.world).admit("mailbox", key, call.world.now())
    if route.template.startswith(("/auditLogs", "/reports")):
        faults_of(call.world).admit("reports", (call.tenant.id, call.caller.app_id), call.world.now())


def respond(reply: Reply, asked: Asked, request: Request, *, cut: bool = False) -> Response:
    """The HTTP response of a reply with the headers that every Graph answer has; `cut` breaks off half-way."""
    headers = {
        **reply_headers(reply, asked),
        "Vary": "Accept-Encoding",
        "Strict-Transport-Security": "max-age=31536000",
        "request-id": asked.request_id,
        "client-request-id": asked.client_request_id,
        "x-ms-ags-diagnostic": DIAGNOSTIC,
    }
    content = b"" if reply.body is None else dump(reply.body)
    if not cut:
        return Response(content, reply.status, headers)

    async def half() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await abort(request)

    return StreamingResponse(half(), reply.status, {**headers, "Content-Length": str(len(content))})


def dump(body: object) -> bytes:
    """JSON as Graph prints it, or the text itself."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
