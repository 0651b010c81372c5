"""Graph on the wire: a request before its route is known, and the words and headers around a reply."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata.query import OPTIONS
from runbook_lib.sandbox.graph.routes import Family, Reply, bad_request
from runbook_lib.sandbox.world.world import Json, World

JSON_TYPE = "application/json;odata.metadata={};odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
GATEWAY = ("BadRequest", "Request_", "Directory_")
DEAR = frozenset({"users", "me", "oauth2permissiongrants", "approleassignments", "memberof", "applications"})


@dataclass(frozen=True)
class Asked:
    """One request, outer or of a batch. `path` follows the version, undecoded; `headers` have lower-case names."""

    method: str
    version: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: object
    host: str
    request_id: str
    client_request_id: str


def read_query(text: str, version: str) -> dict[str, str]:
    """Query options, decoded; system options in lower case, on beta also without their $.

    Raises GraphError 400 for an option given twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        key = name.lower() if name.startswith("$") else name
        if version == "beta" and f"${name.lower()}" in OPTIONS:
            key = f"${name.lower()}"
        if key.startswith("$") and key in found:
            message = f"Query option '{key}' was specified more than once, but it must be specified at most once."
            raise bad_request(message, code="BadRequest")
        found[key] = value
    return found


def read_body(asked: Asked) -> Json | None:
    """The JSON object of a writing request, None without one. Raises GraphError 400 for anything else."""
    body = asked.body
    if asked.method in ("GET", "DELETE") or body in (b"", None):
        return None
    if isinstance(body, bytes) and "json" in asked.headers.get("content-type", "").lower():
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = None
    if not isinstance(body, dict):
        message = (
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid "
            "JSON format."
        )
        raise bad_request(message, code="BadRequest")
    return body


def error_reply(error: GraphError, world: World, asked: Asked, family: Family) -> Reply:
    """The body of a refusal: Exchange's own errors have code and message only, all others Graph's inner error."""
    body: Json = {"code": error.code, "message": error.message}
    if family == "directory" or error.status in (401, 405) or error.code.startswith(GATEWAY):
        body["innerError"] = {
            "date": world.now().strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": asked.request_id,
            "client-request-id": asked.client_request_id,
        }
    return Reply(error.status, {"error": body}, {"Content-Type": "application/json", **error.headers})


def reply_headers(reply: Reply, asked: Asked) -> dict[str, str]:
    """The headers that belong to the reply itself; in a batch these are the inner headers."""
    headers = {"Cache-Control": "no-cache"}
    if isinstance(reply.body, str):
        headers |= {"Content-Type": "text/plain", "OData-Version": "4.0"}
    elif reply.body is not None:
        accept = asked.headers.get("accept", "")
        level = next((level for level in ("none", "full") if f"odata.metadata={level}" in accept), "minimal")
        headers["Content-Type"] = JSON_TYPE.format(level)
        headers |= {} if "error" in reply.body else {"OData-Version": "4.0"}
    return headers | reply.headers


def resource_units(asked: Asked) -> int:
    """What the call costs of the identity quota (https://learn.microsoft.com/graph/throttling-limits, 2023 text)."""
    names = {segment.lower().partition("(")[0] for segment in asked.path.split("/")}
    query = asked.query.lower().replace("%24", "$")
    cost = 2 if asked.method == "GET" and names & DEAR else 1
    return max(1, cost + ("$expand=" in query) - ("$select=" in query))
