"""Places: rooms, room lists and what else a tenant has mapped, as the Places service lists them.

The service pages without a next link, hides rooms that are hidden from address lists, and speaks errors of its own,
which Graph passes on as the text of an UnknownError (recorded 2019 to 2022).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.odata.query import OPTIONS
from runbook_lib.sandbox.graph.routes import Call, Reply, route
from runbook_lib.sandbox.world.state import Json, TenantState

MOST = 100
LIST_OPTIONS = OPTIONS - {"$search", "$expand", "$skiptoken"}
# $filter and $count serve rooms, workspaces and room lists only (place-list page).
BOOKABLE = answers.Rules(page=MOST, most=MOST, paging="none", advanced=False, options=LIST_OPTIONS)
MAPPED = answers.Rules(
    page=1000, most=1000, paging="none", advanced=False, options=LIST_OPTIONS - {"$filter", "$count"}
)
EMPTY = {"workspace": BOOKABLE, "building": MAPPED, "floor": MAPPED, "section": MAPPED, "desk": MAPPED}
CASTS = {"graph.room": "room", "graph.roomlist": "roomList"}


def _route(template: str, page: str, omits: str = "") -> Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]]:
    return route(
        *("GET", template),
        permission="GET /places/microsoft.graph.room",
        page=f"https://learn.microsoft.com/graph/api/{page}",
        omits=omits,
        family="exchange",
    )


@_route("/places", "place-list")
def list_places(call: Call) -> Reply:  # noqa: ARG001 - every route takes the call
    """Refuse: there is no list of all kinds, which the service says with 406 and no words (reported 2019 to 2021)."""
    raise GraphError(406, "UnknownError", "")


@_route("/places/graph.room", "place-list")
def list_rooms(call: Call) -> Reply:
    """Rooms: a hundred at most and never a next link."""
    return _listed(call, [*call.tenant.rooms.values()], "room", "places/microsoft.graph.room")


@_route("/places/graph.roomList", "place-list")
def list_room_lists(call: Call) -> Reply:
    """Room lists, paged as rooms are."""
    return _listed(call, [*call.tenant.room_lists.values()], "roomList", "places/microsoft.graph.roomList")


@_route("/places/graph.room/$count", "place-list")
def count_rooms(call: Call) -> Reply:
    """The number of rooms as text."""
    return answers.count_only(call, [*call.tenant.rooms.values()], "room", BOOKABLE)


@_route("/places/{place}", "place-get", omits="$expand, changing places")
def get_place(call: Call) -> Reply:
    """A room or a room list by id or address, saying which of them it is."""
    kind, place = _found(call)
    return answers.entity(call, {"@odata.type": f"#microsoft.graph.{kind}", **place}, kind, "places")


@_route("/places/{place}/graph.room", "place-get")
@_route("/places/{place}/graph.roomList", "place-get")
def get_place_as(call: Call) -> Reply:
    """A place of the named kind only."""
    kind, place = _found(call)
    cast = call.path.rstrip("/").rpartition("/")[2].lower().removeprefix("microsoft.")
    if CASTS[cast] != kind:
        raise _unknown(call)
    return answers.entity(call, place, kind, f"places/microsoft.graph.{kind}")


@_route("/places/{place}/graph.roomList/rooms", "place-list")
def list_rooms_of_list(call: Call) -> Reply:
    """The visible rooms of a list, which must be named by its address, not by its id."""
    return _listed(call, rooms_of(call.tenant, members(call)), "room", f"{_list_context(call)}/rooms")


@_route("/places/{place}/graph.roomList/workspaces", "place-list")
def list_workspaces_of_list(call: Call) -> Reply:
    """The workspaces of a list: the sandbox has none."""
    members(call)
    return _listed(call, [], "workspace", f"{_list_context(call)}/workspaces")


def _list_nothing(call: Call) -> Reply:
    """Workspaces, buildings, floors, sections and desks: no tenant of the sandbox has set up any."""
    kind = call.path.rstrip("/").rpartition(".")[2].lower()
    return _listed(call, [], kind, f"places/microsoft.graph.{kind}", EMPTY[kind])


for _kind in EMPTY:
    _route(f"/places/graph.{_kind}", "place-list", omits="always empty")(_list_nothing)


def _listed(call: Call, rows: list[Json], kind: str, context: str, rules: answers.Rules = BOOKABLE) -> Reply:
    """A page of places; a $top above the page size counts as that. Mode `places` may drop $top and $skip."""
    query = dict(call.query)
    if call.tenant.modes.get("places") == "ignore-skip-app-only" and call.caller.kind == "application":
        query.pop("$top", None)
        query.pop("$skip", None)
    if query.get("$top", "").isdecimal():
        query["$top"] = str(min(int(query["$top"]), rules.most or MOST))
    return answers.collection(replace(call, query=query), rows, kind, context, rules)


def _found(call: Call) -> tuple[str, Json]:
    """The kind and the properties of the place that the URL names by id or address."""
    key = call.params["place"].lower()
    for kind, places in (("room", call.tenant.rooms), ("roomList", call.tenant.room_lists)):
        for place in places.values():
            if key in (place["id"].lower(), place["emailAddress"].lower()):
                return kind, place
    raise _unknown(call)


def members(call: Call) -> list[str]:
    """The addresses in the room list that the URL names by its address. GraphError 404 for any other key."""
    found = call.tenant.room_list_members.get(call.params["place"].lower())
    if found is None:
        raise _unknown(call)
    return found


def rooms_of(tenant: TenantState, addresses: list[str]) -> list[Json]:
    """The visible rooms with these addresses, in their order."""
    by_address = {room["emailAddress"].lower(): room for room in tenant.rooms.values()}
    return [by_address[smtp.lower()] for smtp in addresses if smtp.lower() in by_address]


def _unknown(call: Call) -> GraphError:
    """The Places service's own error, passed on as text (recorded in 2020)."""
    told = json.dumps({"code": "invalid_place", "message": f"place in {call.path} not found"}, separators=(",", ":"))
    return GraphError(404, "UnknownError", told)


def _list_context(call: Call) -> str:
    return f"places('{quote(call.params['place'])}')/microsoft.graph.roomList"
