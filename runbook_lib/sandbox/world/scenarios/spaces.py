"""SpaceIQ's side of a scenario: one space per room with the room's calendar, and the exceptions that the plan names."""

from datetime import datetime
from typing import Any

from runbook_lib.sandbox.world import ids, spaceiq_connection
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState
from runbook_lib.sandbox.world.times import span


def add_spaces(tenant: TenantState, plan: Json, now: datetime) -> None:
    """Add a space for each room, hidden ones too; then the exceptions (rooms by number), desks, and strangers.

    An exception says `space: none`, `calendar: none`, `calendar: <number>` for another room's, `name`, `building`, or
    `ready: 2h`: the calendar shows only that much later. `strangers` are spaces whose calendar is no room's.
    `old` says by what the old integration is connected; without it, the grants say how far the connection came.
    """
    spaceiq_connection.begin(tenant, plan.get("old", ""))
    rooms = [box for box in tenant.mailboxes.values() if box.kind == "room"]
    places = {room["emailAddress"]: room for room in tenant.rooms.values()}
    for number, box in enumerate(rooms, 1):
        _add(tenant, f"S{number:04d}", _facts(tenant, number, box, places.get(box.smtp, {})))
    for change in plan.get("exceptions") or []:
        for number in change["rooms"]:
            _except(tenant, rooms, ids.object_id(tenant.id, "space", f"S{number:04d}"), change, now)
    for number, smtp in enumerate(plan.get("strangers") or [], 1):
        _add(tenant, f"X{number:04d}", {"name": smtp.partition("@")[0], "building": "Building 1", "calendar": smtp})
    _add(tenant, "D0001", {"name": "Desk 1", "building": "Building 1", "calendar": None, "type": "Desk"})


def _facts(tenant: TenantState, number: int, box: Mailbox, room: Json) -> Json:
    return {
        "name": tenant.users[box.user_id]["displayName"],
        "building": room.get("building") or f"Building {(number - 1) // 50 + 1}",
        "capacity": room.get("capacity"),
        "calendar": box.smtp,
    }


def _add(tenant: TenantState, code: str, facts: Json) -> None:
    identity = ids.object_id(tenant.id, "space", code)
    known: Json = {"code": code, "capacity": None, "type": "Meeting Room", "ready": None}
    tenant.spaces[identity] = {"id": identity, **known, **facts}


def _except(tenant: TenantState, rooms: list[Mailbox], identity: str, change: dict[str, Any], now: datetime) -> None:
    space = tenant.spaces[identity]
    if change.get("space") == "none":
        del tenant.spaces[identity]
        return
    space |= {name: change[name] for name in ("name", "building") if name in change}
    if "calendar" in change:
        space["calendar"] = None if change["calendar"] == "none" else rooms[change["calendar"] - 1].smtp
    if "ready" in change:
        space["ready"] = now + span(change["ready"])
