"""JSON batching: up to twenty calls in one, with dependencies (https://learn.microsoft.com/graph/json-batching)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph import routes
from runbook_lib.sandbox.graph.routes import Reply, bad_request
from runbook_lib.sandbox.graph.wire import Asked, read_body, reply_headers
from runbook_lib.sandbox.world.world import Json

MOST = 20
OUTLOOK_AT_ONCE = 4
WRITING = frozenset({"POST", "PATCH", "PUT"})
MALFORMED = "Invalid batch payload format."


async def serve(asked: Asked, perform: Callable[[Asked], Awaitable[Reply]]) -> Reply:
    """Answer a batch: 200 with one response an item, as they finish. Raises GraphError 400 for a malformed batch."""
    items = checked(read_body(asked))
    calls = {item["id"]: inner(asked, item) for item in items}
    finished = {name: asyncio.Event() for name in calls}
    outlook = asyncio.Semaphore(OUTLOOK_AT_ONCE)
    replies: dict[str, Reply] = {}

    async def run(item: Json) -> None:
        name, parents = item["id"], item.get("dependsOn") or []
        for parent in parents:
            await finished[parent].wait()
        async with AsyncExitStack() as held:
            if goes_to_outlook(calls[name]):
                await held.enter_async_context(outlook)
            failed = any(replies[parent].status >= 400 for parent in parents)
            replies[name] = failed_dependency() if failed else await perform(calls[name])
        finished[name].set()

    await asyncio.gather(*(run(item) for item in reversed(items)))
    return Reply(200, {"responses": [response(name, reply, calls[name]) for name, reply in replies.items()]})


def checked(body: Json | None) -> list[Json]:
    """The items of a batch that can be run. Raises GraphError 400 for the whole batch."""
    items: Any = (body or {}).get("requests")
    if not isinstance(items, list) or not items or not all(map(well_formed, items)):
        raise bad_request(MALFORMED, code="BadRequest")
    if len(items) > MOST:
        raise bad_request(f"Number of batch request steps exceeds the maximum value of {MOST}.", code="BadRequest")
    seen: set[str] = set()
    for item in items:
        if item["id"].lower() in seen:
            raise bad_request(f"Request Id {item['id']} has to be unique in a batch.", code="BadRequest")
        seen.add(item["id"].lower())
        typed = "content-type" in {name.lower() for name in item.get("headers") or {}}
        if item["method"].upper() in WRITING and not (typed and "body" in item):
            what = "a Content-Type header." if "body" in item else "a Content-Type header or body."
            raise bad_request(f"Write request with id '{item['id']}' does not contain {what}", code="BadRequest")
    if not orderly(items):
        raise bad_request(MALFORMED, code="BadRequest")
    return items


def well_formed(item: object) -> bool:
    """Whether an item has id, method and url, and headers and parents of their types."""
    if not isinstance(item, dict):
        return False
    headers, parents = item.get("headers") or {}, item.get("dependsOn") or []
    return (
        all(isinstance(item.get(name), str) and item[name] for name in ("id", "method", "url"))
        and isinstance(headers, dict)
        and all(isinstance(value, str) for value in headers.values())
        and isinstance(parents, list)
        and all(isinstance(parent, str) for parent in parents)
    )


def orderly(items: list[Json]) -> bool:
    """Whether the dependencies have one of the three allowed shapes: none, one chain, or all on the same item."""
    parents = {item["id"]: item.get("dependsOn") or [] for item in items}
    free = [name for name, above in parents.items() if not above]
    if len(free) == len(items):
        return True
    if len(free) != 1 or any(len(above) != 1 or above[0] not in parents for above in parents.values() if above):
        return False
    above = [found[0] for found in parents.values() if found]
    if set(above) == set(free):
        return True
    return len(set(above)) == len(above) and all(leads_to(name, free[0], parents) for name in parents)


def leads_to(name: str, root: str, parents: dict[str, list[str]]) -> bool:
    """Whether following single parents from `name` ends at `root`."""
    for _ in parents:
        if name == root:
            return True
        name = parents[name][0]
    return False


def inner(asked: Asked, item: Json) -> Asked:
    """The request that an item stands for: its own headers, the batch's authorization and ids.

    An absolute url is taken for a path, as Graph does: there is no segment "https:", nor "$batch" within a batch.
    """
    path, _, query = item["url"].partition("?")
    headers = {name.lower(): value for name, value in (item.get("headers") or {}).items()}
    headers["authorization"] = asked.headers.get("authorization", "")
    return replace(
        asked,
        method=item["method"].upper(),
        path="/" + path.lstrip("/"),
        query=query,
        headers=headers,
        body=item.get("body"),
    )


def goes_to_outlook(asked: Asked) -> bool:
    """Whether Exchange serves the call: those run four at a time, whatever their mailboxes."""
    try:
        return routes.find(asked.method, asked.version, asked.path)[0].family == "exchange"
    except GraphError:
        return False


def failed_dependency() -> Reply:
    """The reply of an item whose parent failed."""
    return Reply(424, {"error": {"code": "FailedDependency", "message": "A request that this one depends on failed."}})


def response(name: str, reply: Reply, asked: Asked) -> Json:
    """One item of the batch's answer."""
    found: Json = {"id": name, "status": reply.status, "headers": reply_headers(reply, asked)}
    return found if reply.body is None else found | {"body": reply.body}
