"""Rooms of a scenario: places as Graph lists them, their user objects, mailboxes and room lists."""

from typing import Any

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState

CAPACITIES = (4, 6, 8, 10, 12, 20)
WORDS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Ivy", "Juniper")


def add_rooms(tenant: TenantState, plan: Json, created: str) -> None:
    """Add every building's rooms and room list, then the exceptions the plan names (rooms by number or name)."""
    for building in _buildings(plan):
        _add_building(tenant, plan, building, created)
    names = [room["displayName"] for room in tenant.rooms.values()]
    for change in plan.get("exceptions") or []:
        for room in change["rooms"]:
            name = names[room - 1] if isinstance(room, int) else room
            _make_exception(tenant, room_smtp(tenant, name), change)


def room_smtp(tenant: TenantState, name: str) -> str:
    """The address of the room of that display name."""
    return f"room-{name.lower().replace(' ', '-')}@{tenant.domains[0]}"


def _buildings(plan: Json) -> list[Json]:
    """The plan's buildings, or `generate` rooms spread over buildings of fifty."""
    buildings: list[Json] = list(plan.get("buildings") or [])
    count: int = plan.get("generate", 0)
    for start in range(0, count, 50):
        numbers = range(start + 1, min(start + 50, count) + 1)
        names = [f"{WORDS[number % len(WORDS)]} {number:04d}" for number in numbers]
        buildings.append({"name": f"Building {start // 50 + 1}", "rooms": names})
    return buildings


def _add_building(tenant: TenantState, plan: Json, building: Json, created: str) -> None:
    list_smtp = f"rooms-{building['name'].lower().replace(' ', '-')}@{tenant.domains[0]}"
    address = shape("room")["address"] | building.get("address", {})
    zone = building.get("time_zone") or plan.get("time_zone", "UTC")
    members = []
    for index, name in enumerate(building["rooms"]):
        smtp = room_smtp(tenant, name)
        _add_room_mailbox(tenant, name, smtp, zone, created)
        place_id = ids.object_id(tenant.id, "place", smtp)
        room = shape(
            "room",
            id=place_id,
            placeId=place_id,
            displayName=name,
            nickname=name,
            emailAddress=smtp,
            address=dict(address),
            geoCoordinates=_coordinates(building),
            building=building["name"],
            floorNumber=index // 10 + 1,
            floorLabel=str(index // 10 + 1),
            capacity=CAPACITIES[index % len(CAPACITIES)],
            isWheelChairAccessible=index % 2 == 0,
        )
        tenant.rooms[place_id] = room
        members.append(smtp)
    _add_list(tenant, building["name"], list_smtp, address, members)


def _coordinates(building: Json) -> Json | None:
    known: Json | None = building.get("geo")
    return {"accuracy": None, "altitude": None, "altitudeAccuracy": None, **known} if known else None


def _add_list(tenant: TenantState, name: str, smtp: str, address: Json, members: list[str]) -> None:
    identity = ids.object_id(tenant.id, "room list", smtp)
    tenant.room_lists[identity] = shape(
        "roomList", id=identity, placeId=identity, displayName=name, emailAddress=smtp, address=dict(address)
    )
    tenant.room_list_members[smtp] = members


def _add_room_mailbox(tenant: TenantState, name: str, smtp: str, zone: str, created: str) -> None:
    """The disabled user behind a room, and its mailbox."""
    identity = ids.object_id(tenant.id, "user", smtp)
    tenant.users[identity] = shape(
        "user",
        id=identity,
        accountEnabled=False,
        createdDateTime=created,
        displayName=name,
        mail=smtp,
        mailNickname=smtp.partition("@")[0],
        proxyAddresses=[f"SMTP:{smtp}"],
        userPrincipalName=smtp,
        showInAddressList=True,
    )
    tenant.mailboxes[smtp.lower()] = mailbox(smtp, "room", identity, zone)


def mailbox(smtp: str, kind: str, user_id: str, zone: str) -> Mailbox:
    """A working mailbox with Exchange's default working hours and, for a room, booking rules."""
    hours: Json = shape("work_hours", timeZone={"name": zone})
    booking: Json = shape("booking") if kind in ("room", "equipment") else {}
    return Mailbox(smtp, kind, user_id, time_zone=zone, work_hours=hours, booking=booking)


def _make_exception(tenant: TenantState, smtp: str, change: dict[str, Any]) -> None:
    """Give one room another mailbox state, rules or place properties; a hidden one leaves the places."""
    box = tenant.mailboxes[smtp.lower()]
    room = tenant.rooms[ids.object_id(tenant.id, "place", smtp)]
    box.state = change.get("mailbox", box.state)
    box.booking |= change.get("booking", {})
    room |= change.get("place", {})
    if box.state == "on-premises":
        tenant.users[box.user_id]["onPremisesSyncEnabled"] = True
    if box.state == "hidden":
        tenant.users[box.user_id]["showInAddressList"] = False
        del tenant.rooms[room["id"]]
