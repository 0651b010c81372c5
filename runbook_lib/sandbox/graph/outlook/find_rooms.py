"""findRooms and findRoomLists of beta, which the places superseded: names and addresses, a hundred at most."""

from collections.abc import Callable, Iterable

from runbook_lib.sandbox.graph.odata.answers import nested
from runbook_lib.sandbox.graph.places import MOST, members, rooms_of
from runbook_lib.sandbox.graph.routes import Call, Reply, route
from runbook_lib.sandbox.world.state import Json


def _route(tail: str, permission: str, page: str) -> Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]]:
    def enter(function: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        for root, key in (("/users/{id}", "/users/{id}"), ("/me", "/me")):
            route(
                *("GET", f"{root}/{tail}"),
                permission=f"GET {key}/{permission}",
                page=f"https://learn.microsoft.com/graph/api/{page}",
                omits="$filter, as the service",
                family="exchange",
                versions=("beta",),
            )(function)
        return function

    return enter


@_route("findRooms", "findRooms", "user-findrooms")
@_route("findRooms()", "findRooms", "user-findrooms")
def find_rooms(call: Call) -> Reply:
    """The first hundred rooms of the organization."""
    return _named(call, call.tenant.rooms.values())


@_route("findRooms(roomList='{place}')", "findRooms(roomList={value})", "user-findrooms")
def find_rooms_of_list(call: Call) -> Reply:
    """The rooms of the list with that address. GraphError 404 when there is none."""
    return _named(call, rooms_of(call.tenant, members(call)))


@_route("findRoomLists", "findRoomLists", "user-findroomlists")
@_route("findRoomLists()", "findRoomLists", "user-findroomlists")
def find_room_lists(call: Call) -> Reply:
    """The room lists of the organization."""
    return _named(call, call.tenant.room_lists.values())


def _named(call: Call, places: Iterable[Json]) -> Reply:
    rows = [{"name": place["displayName"], "address": place["emailAddress"]} for place in places]
    return nested(call, {"value": rows[:MOST]}, "Collection(microsoft.graph.emailAddress)")
