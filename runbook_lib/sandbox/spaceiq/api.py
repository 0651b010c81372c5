"""SpaceIQ's GraphQL API at /queries: https://developer.spaceiq.com/ (schema 1.7, read 2026-11-22).

Errors come with HTTP 200, a wrong token with 401; a mutation has no key that would make two into one. What SpaceIQ
shows of a calendar lags behind it by the mode `spaceiq_lag_seconds`. The mode `spaceiq_lacks` takes fields out of the
schema.
"""

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.exchange.series import between, find
from runbook_lib.sandbox.exchange.zones import parse
from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.spaceiq import graphql
from runbook_lib.sandbox.spaceiq.graphql import Refused
from runbook_lib.sandbox.world import catalogue, spaceiq_connection
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState
from runbook_lib.sandbox.world.world import World

SCHEMA = Path(__file__).with_suffix(".yaml")
PREFIXES = ("Bearer ", "bearer: ")
NO_USER = "access_token does not correspond to user"
LONGEST_PAGE = 500


def token(world: World, key: str) -> str:
    """The access token of a tenant's SpaceIQ: JWT-shaped, made once and never expiring, like the real ones."""
    claims = {"role": "admin", "company_id": key, "exp_min": -1}
    head = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return f"{head}.{_base64(hmac.digest(world.credentials.verifier_secret.encode(), head.encode(), hashlib.sha256))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def endpoint(request: Request) -> Response:
    """Answer any request under /queries."""
    world: World = request.state.world
    headers = {"x-request-id": str(uuid4())}
    tenant = _company(world, request.headers.get("authorization", ""))
    if tenant is None:
        return JSONResponse({"error": NO_USER}, 401, headers)
    try:
        await faults.strike(faults.draw(world, "spaceiq", tenant.key, request.url.path), request)
    except GraphError as fault:
        return JSONResponse({"error": fault.message}, fault.status, {**headers, **fault.headers})
    try:
        text, variables, operation = _asked(json.loads(await request.body()))
    except ValueError as error:
        return JSONResponse({"data": None, "errors": [{"message": str(error)}]}, 200, headers)
    answer = graphql.execute(text, variables, operation, schema(tenant), _roots(world, tenant))
    return JSONResponse(answer, 200, headers)


def _asked(body: Any) -> tuple[str, Json, str | None]:
    """Return document, variables and operation; raise ValueError for a body without a document."""
    document = body.get("query") if isinstance(body, dict) else None
    variables = (body.get("variables") if isinstance(body, dict) else None) or {}
    if not isinstance(document, str) or not isinstance(variables, dict):
        raise ValueError("Must provide query string.")
    return document, variables, body.get("operationName")


def _company(world: World, header: str) -> TenantState | None:
    """The tenant whose token it is, in a form of header that its SpaceIQ takes (mode `spaceiq_authorization`)."""
    for prefix in PREFIXES:
        given = header.removeprefix(prefix)
        for key in world.keys() if given != header else ():
            if hmac.compare_digest(given.encode(), token(world, key).encode()):
                tenant = world.tenant(key)
                taken = tenant.modes.get("spaceiq_authorization", PREFIXES) if tenant else ()
                return tenant if prefix in taken else None
    return None


def schema(tenant: TenantState) -> graphql.Schema:
    """The schema, without the fields that the mode `spaceiq_lacks` names as Type.field."""
    whole: dict[str, Json] = copy.deepcopy(catalogue.load_yaml(SCHEMA))
    for name in tenant.modes.get("spaceiq_lacks", ()):
        kind, _, member = name.partition(".")
        del whole[kind][member]
    return whole


def _roots(world: World, tenant: TenantState) -> dict[str, Json]:
    now = world.now()
    viewer = {"id": "viewer", "email": _person(tenant), "company": {"id": tenant.key, "name": tenant.name}}
    return {
        "Query": {"viewer": viewer, "spaces": lambda asked: _page(tenant, asked, now)},
        "Mutation": {
            "createCalendarEvent": lambda asked: _create(tenant, asked["input"], now),
            "deleteCalendarEvent": lambda asked: _delete(tenant, asked["input"], now),
        },
    }


def _person(tenant: TenantState) -> str:
    """Who books when SpaceIQ does: whoever works in it."""
    smtp: str = spaceiq_connection.admin(tenant)["mail"]
    return smtp


def _page(tenant: TenantState, asked: Json, now: datetime) -> Json:
    """One page of the connection; a cursor is the number of spaces before it."""
    wanted = asked.get("externalId")
    spaces = [one for one in tenant.spaces.values() if wanted in (None, one["code"])]
    first = min(asked.get("first") or LONGEST_PAGE, LONGEST_PAGE)
    begin = int(asked.get("after") or 0)
    end = begin + first
    edges = [
        {"cursor": str(at), "node": _node(tenant, one, now)} for at, one in enumerate(spaces[begin:end], begin + 1)
    ]
    more = end < len(spaces)
    page = {"hasNextPage": more, "endCursor": edges[-1]["cursor"] if edges else None}
    return {"totalCount": len(spaces), "pageInfo": page, "edges": edges}


def _node(tenant: TenantState, space: Json, now: datetime) -> Json:
    smtp = spaceiq_connection.calendar(tenant, space, now)
    return {
        "id": space["id"],
        "name": space["name"],
        "code": space["code"],
        "externalId": space["code"],
        "capacity": space["capacity"],
        "isBookable": smtp is not None,
        "spaceType": {"id": space["type"], "name": space["type"]},
        "floor": {"id": "1", "name": "1", "building": {"id": space["building"], "name": space["building"]}},
        "calendar": smtp and {"id": f"cal_{space['code']}", "calendarName": space["name"], "email": smtp},
        "dailyBookableSpacesAvailability": lambda asked: list(_busy(tenant, smtp, asked, now)),
    }


def _busy(tenant: TenantState, smtp: str | None, asked: Json, now: datetime) -> Iterator[Json]:
    """The busy times of a calendar as SpaceIQ has heard of them: what came or went within the lag it does not know."""
    box = find(tenant, smtp) if smtp else None
    if box is None or box.state != "ok":
        return
    meetings.settle(tenant, box, now)
    heard = now - timedelta(seconds=tenant.modes.get("spaceiq_lag_seconds", 3))
    for event in box.events.values():
        if _is_known(event, heard) and event["showAs"] != "free":
            for each in between(event, parse(asked["fromDate"]), parse(asked["toDate"])):
                yield {"startDate": _iso(each["start"]), "endDate": _iso(each["end"])}


def _is_known(event: Json, heard: datetime) -> bool:
    gone = bool(event.get("_removed")) and event["lastModifiedDateTime"] <= heard
    return "_due" not in event and event["createdDateTime"] <= heard and not gone


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _create(tenant: TenantState, asked: Json, now: datetime) -> Json:
    """Book the space's room for the workplace manager. Refused for a space without calendar or a room already taken."""
    space = tenant.spaces.get(asked["spaceId"])
    box = find(tenant, spaceiq_connection.calendar(tenant, space, now) or "") if space else None
    if space is None or box is None:
        raise Refused("This space has no calendar.")
    start, end = parse(asked["startDate"]), parse(asked["endDate"])
    window = {"fromDate": asked["startDate"], "toDate": asked["endDate"]}
    if any(_busy(tenant, space["calendar"], window, now)):
        raise Refused("The room is not available at this time.")
    event = meetings.book(tenant, _person(tenant), box.smtp, start, end, now=now, subject=asked["title"])
    told = {"id": event["id"], "title": asked["title"], "startDate": _iso(start), "endDate": _iso(end)}
    return {"calendarEvent": told}


def _delete(tenant: TenantState, asked: Json, now: datetime) -> Json:
    organizer: Mailbox | None = find(tenant, _person(tenant))
    event: Any = organizer and organizer.events.get(asked["id"])
    if event is None or event.get("_removed"):
        raise Refused("There is no such event.")
    meetings.delete(tenant, event, now)
    return {"deletedId": asked["id"]}
