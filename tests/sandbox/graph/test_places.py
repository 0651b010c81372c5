from typing import Any

import pytest

from runbook_lib.sandbox.world.keys import Credentials
from tests.sandbox.outlook import ADELE, ROOM, Outlook, faults, monday, query, refused, unsaid

ROOMS = "/places/microsoft.graph.room"
BUILDING = "rooms-building-1@contoso.example"


@pytest.fixture
def outlook(credentials: Credentials) -> Outlook:
    return monday(credentials)


@pytest.fixture
def big(credentials: Credentials) -> Outlook:
    return monday(credentials, "gen-0001", rooms=250)


@pytest.mark.parametrize(("rooms", "listed"), [(0, 0), (1, 1), (100, 100), (101, 100), (250, 100)])
def test_a_hundred_rooms_and_never_a_next_link(credentials: Credentials, rooms: int, listed: int) -> None:
    page = monday(credentials, "gen-0001", rooms).get(f"{ROOMS}?$count=true")
    assert (len(page["value"]), page["@odata.count"]) == (listed, rooms)
    assert "@odata.nextLink" not in page


def test_skip_and_top_lead_through_all_rooms(big: Outlook) -> None:
    pages = [big.get(ROOMS + query(top=100, skip=skip))["value"] for skip in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert len({room["emailAddress"] for page in pages for room in page}) == 250


@pytest.mark.parametrize(
    ("options", "number"), [({"top": 3}, 3), ({"top": 999}, 100), ({"skip": 240}, 10), ({"skip": 250}, 0)]
)
def test_top_and_skip_alone(big: Outlook, options: dict[str, int], number: int) -> None:
    assert len(big.get(ROOMS + query(**options))["value"]) == number


def test_a_tenant_may_ignore_both_for_applications(big: Outlook) -> None:
    big.tenant.modes["places"] = "ignore-skip-app-only"
    first, second = (big.get(ROOMS + query(top=50, skip=skip))["value"] for skip in (0, 100))
    assert (len(first), first == second) == (100, True)
    user = big.signed_in(f"admin@{big.tenant.domains[0]}", "Place.Read.All")
    assert len(user.get(ROOMS + query(top=50, skip=225))["value"]) == 25


def test_a_room_carries_everything_that_the_schema_declares_and_nulls(outlook: Outlook) -> None:
    page = outlook.get(ROOMS)
    assert page["@odata.context"] == "https://graph.example/v1.0/$metadata#places/microsoft.graph.room"
    assert [fault for room in page["value"] for fault in faults(room, "room")] == []
    room = page["value"][0]
    assert unsaid(room, "room") == set()
    assert {name for name, value in room.items() if value is None} >= {"label", "parentId", "audioDeviceName"}
    assert {"displayDevice", "isManaged"}.isdisjoint(room)


def test_room_lists_and_their_rooms(outlook: Outlook) -> None:
    page = outlook.get("/places/microsoft.graph.roomlist")
    assert page["@odata.context"].endswith("#places/microsoft.graph.roomList")
    assert [fault for each in page["value"] for fault in faults(each, "roomList")] == []
    rooms = outlook.get(f"/places/{BUILDING}/microsoft.graph.roomlist/rooms")
    assert rooms["@odata.context"].endswith(
        "#places('rooms-building-1%40contoso.example')/microsoft.graph.roomList/rooms"
    )
    assert [room["displayName"] for room in rooms["value"]] == ["Adams", "Baker", "Crystal", "Hood", "Rainier"]
    assert outlook.get(f"/places/{BUILDING.upper()}/graph.roomList/rooms?$top=2")["value"] == rooms["value"][:2]


def test_rooms_of_a_list_are_not_found_by_its_id(outlook: Outlook) -> None:
    identity = outlook.get("/places/microsoft.graph.roomlist")["value"][0]["id"]
    assert refused(outlook.ask("GET", f"/places/{identity}/microsoft.graph.roomlist/rooms")) == (404, "UnknownError")
    assert refused(outlook.ask("GET", f"/places/{ROOM}/microsoft.graph.roomlist/rooms")) == (404, "UnknownError")


def test_a_hidden_room_is_in_no_list(outlook: Outlook) -> None:
    hidden = outlook.get(f"/places/{ROOM}")["id"]
    del outlook.tenant.rooms[hidden]  # what the scenario does with a room hidden from address lists
    assert ROOM not in {room["emailAddress"] for room in outlook.get(ROOMS)["value"]}
    assert len(outlook.get(f"/places/{BUILDING}/microsoft.graph.roomlist/rooms")["value"]) == 4
    assert refused(outlook.ask("GET", f"/places/{ROOM}")) == (404, "UnknownError")
    assert outlook.get(f"/users/{ROOM}/calendar")["owner"]["address"] == ROOM


@pytest.mark.parametrize(
    ("key", "kind"), [(ROOM, "room"), (ROOM.upper(), "room"), (BUILDING, "roomList"), ("id", "room")]
)
def test_one_place_says_what_it_is(outlook: Outlook, key: str, kind: str) -> None:
    key = outlook.get(f"/places/{ROOM}")["id"] if key == "id" else key
    place = outlook.get(f"/places/{key}")
    assert place["@odata.type"] == f"#microsoft.graph.{kind}"
    assert place["@odata.context"] == "https://graph.example/v1.0/$metadata#places/$entity"
    cast = outlook.get(f"/places/{key}/graph.{kind}?$select=displayName")
    assert cast.keys() == {"@odata.context", "displayName"}


@pytest.mark.parametrize(
    "path", [f"/places/{BUILDING}/graph.room", f"/places/{ROOM}/microsoft.graph.roomlist", "/places/x"]
)
def test_a_place_of_another_kind_is_not_found(outlook: Outlook, path: str) -> None:
    reply = outlook.ask("GET", path)
    assert refused(reply) == (404, "UnknownError")
    body: Any = reply.body
    assert '"code":"invalid_place"' in body["error"]["message"]


@pytest.mark.parametrize("kind", ["workspace", "building", "floor", "section", "desk", "Building"])
def test_what_nobody_has_mapped_is_an_empty_list(outlook: Outlook, kind: str) -> None:
    assert outlook.get(f"/places/microsoft.graph.{kind}")["value"] == []
    assert outlook.get(f"/places/{BUILDING}/microsoft.graph.roomlist/workspaces")["value"] == []


def test_places_without_a_kind_are_refused_without_words(outlook: Outlook) -> None:
    reply = outlook.ask("GET", "/places")
    assert refused(reply) == (406, "UnknownError")


@pytest.mark.parametrize("path", ["/places/microsoft.graph.garage", f"/places/{ROOM}/microsoft.graph.room/rooms"])
def test_an_unknown_kind_is_no_segment(outlook: Outlook, path: str) -> None:
    assert refused(outlook.ask("GET", path)) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ("displayName eq 'Adams'", ["Adams"]),
        ("startswith(displayName,'Ba')", ["Baker"]),
        ("building eq 'Harbour House' and capacity ge 8", ["Wye"]),
        (f"emailAddress eq '{ROOM}'", ["Adams"]),
    ],
)
def test_rooms_can_be_filtered(outlook: Outlook, filter_: str, names: list[str]) -> None:
    page = outlook.get(ROOMS + query(filter=filter_, count="true"))
    assert [room["displayName"] for room in page["value"]] == names
    assert page["@odata.count"] == len(names)


@pytest.mark.parametrize(
    "tail",
    [
        *(
            "/microsoft.graph.room?$filter=mail eq 'x'",
            "/microsoft.graph.room?$select=mail",
            "/microsoft.graph.room?$top=x",
        ),
        *("/microsoft.graph.room?$skip=-1", "/microsoft.graph.room?$search=x", "/microsoft.graph.room?$expand=rooms"),
        *("/microsoft.graph.building?$filter=displayName eq 'x'", "/microsoft.graph.building?$count=true"),
    ],
)
def test_other_options_and_properties_are_refused(outlook: Outlook, tail: str) -> None:
    assert outlook.ask("GET", f"/places{tail}".replace(" ", "%20")).status == 400


def test_rooms_are_counted(outlook: Outlook) -> None:
    assert outlook.get(f"{ROOMS}/$count") == "12"


@pytest.mark.parametrize(
    "permissions", [(), ("Calendars.ReadWrite",), ("User.Read.All", "Organization.Read.All"), ("Places.Read.All",)]
)
@pytest.mark.parametrize("path", [ROOMS, "/places/microsoft.graph.roomlist", f"/places/{ROOM}", "/places"])
def test_places_need_their_permission_and_say_so_in_their_own_words(
    outlook: Outlook, permissions: tuple[str, ...], path: str
) -> None:
    reply = outlook.only(*permissions).ask("GET", path)
    assert refused(reply) == (403, "UnknownError")
    body: Any = reply.body
    assert body["error"]["message"].startswith('{"code":"invalid_permissions","message":"')


@pytest.mark.parametrize("user", ["me", f"users/{ADELE}"])
def test_beta_still_finds_rooms_by_name_and_address(outlook: Outlook, user: str) -> None:
    caller = outlook.signed_in(ADELE, "User.ReadBasic.All")

    def found(tail: str) -> Any:
        reply = caller.ask("GET", f"/{user}/{tail}", version="beta")
        return reply.body["value"] if reply.status == 200 and isinstance(reply.body, dict) else reply

    assert found("findRooms")[0] == {"name": "Adams", "address": ROOM}
    assert len(found(f"findRooms(RoomList='{BUILDING}')")) == 5
    assert found("findRoomLists")[0]["address"] == BUILDING
    assert refused(found("findRooms(RoomList='nowhere@contoso.example')")) == (404, "UnknownError")
    assert refused(caller.ask("GET", f"/{user}/findRooms")) == (400, "BadRequest")
