"""What the tests of places and calendars share: calls to the sandbox's Graph without HTTP, and a check of answers."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode

from runbook_lib.sandbox.graph import app as graph_app
from runbook_lib.sandbox.graph.odata import schema
from runbook_lib.sandbox.graph.routes import Caller, Reply
from runbook_lib.sandbox.graph.wire import Asked
from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState
from runbook_lib.sandbox.world.world import World

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
EVERYTHING = frozenset({"Calendars.ReadWrite", "MailboxSettings.Read", "Place.Read.All", "User.Read.All"})
ADELE, DIEGO, ROOM, OTHER_ROOM = (f"{name}@contoso.example" for name in ("adele", "diego", "room-adams", "room-baker"))
FORMS = {
    "DateTimeOffset": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z"),
    "TimeOfDay": re.compile(r"\d\d:\d\d:\d\d(\.\d{1,7})?"),
    "Date": re.compile(r"\d{4}-\d\d-\d\d"),
}
PLAIN: Mapping[str, tuple[type, ...]] = {
    **{"String": (str,), "Boolean": (bool,), "Int32": (int,), "Double": (float, int)},
    **dict.fromkeys(FORMS, (str,)),
}


@dataclass
class Outlook:
    """Somebody who calls Graph: an application, or a user when `user_id` is set."""

    world: World
    tenant: TenantState
    permissions: frozenset[str] = EVERYTHING
    user_id: str | None = None

    def ask(self, method: str, path: str, body: Json | None = None, version: str = "v1.0", **headers: str) -> Reply:
        """The reply to a call; keyword arguments are headers (prefer=...)."""
        kind: Literal["delegated", "application"] = "delegated" if self.user_id else "application"
        caller = Caller(CRONOFY, "Test", kind, self.permissions, self.user_id, (), self.tenant.id)
        raw = b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        sent = {"content-type": "application/json", **headers}
        asked = Asked(method, version, path, query, sent, raw, "graph.example", "1", "1")
        return asyncio.run(graph_app.perform(self.world, caller, asked))

    def get(self, path: str, **headers: str) -> Any:
        """The JSON of a GET that must succeed."""
        return self._ok(self.ask("GET", path, None, "v1.0", **headers), 200)

    def post(self, path: str, body: Json, status: int = 201, **headers: str) -> Any:
        """The JSON of a POST that must succeed."""
        return self._ok(self.ask("POST", path, body, "v1.0", **headers), status)

    def _ok(self, reply: Reply, status: int) -> Any:
        assert reply.status == status, reply.body
        return reply.body

    def only(self, *permissions: str) -> "Outlook":
        """The same caller with these permissions and no others."""
        return replace(self, permissions=frozenset(permissions))

    def signed_in(self, address: str, *permissions: str) -> "Outlook":
        """A signed-in user instead of the application."""
        return replace(self.only(*permissions), user_id=self.box(address).user_id)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.world.offset += timedelta(seconds=seconds)

    def box(self, address: str) -> Mailbox:
        """A mailbox of the tenant."""
        return self.tenant.mailboxes[address]


def monday(credentials: Credentials, tenant: str = "contoso", rooms: int = 50) -> Outlook:
    """An application with all permissions in a fresh world whose clock stands at Monday, eight o'clock UTC."""
    world = World(credentials, clock=lambda: MONDAY, generated=1, rooms=rooms)
    found = world.tenant(tenant)
    assert found is not None
    return Outlook(world, found)


def refused(reply: Reply) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert isinstance(reply.body, dict)
    error = reply.body["error"]
    assert set(error) <= {"code", "message", "innerError"}
    return reply.status, error["code"]


def query(**options: str | int) -> str:
    """A query string; `top` means $top, startDateTime stays as it is."""
    named = {name if name.endswith("DateTime") else f"${name}": str(value) for name, value in options.items()}
    return "?" + urlencode(named, safe="$", quote_via=quote)


def view(path: str, start: str, end: str, **options: str | int) -> str:
    """The address of a calendar view."""
    return f"{path}/calendarView{query(startDateTime=start, endDateTime=end, **options)}"


def meeting(
    start: str = "2026-11-23T09:00:00", end: str = "2026-11-23T10:00:00", zone: str = "UTC", **more: Any
) -> Json:
    """The body of an event without attendees."""
    return {
        "subject": "Planning",
        "start": {"dateTime": start, "timeZone": zone},
        "end": {"dateTime": end, "timeZone": zone},
        **more,
    }


def inviting(room: str, **more: Any) -> Json:
    """The body of an event that books a room."""
    attendees = [{"type": "resource", "emailAddress": {"address": room}}]
    return meeting(**more) | {"attendees": attendees}


def unsaid(value: Json, type_name: str) -> set[str]:
    """The properties that Microsoft's schema declares and an object of an answer does not carry."""
    return schema.find(type_name).properties.keys() - value.keys()


def faults(value: Any, type_name: str, where: str = "") -> Iterator[str]:
    """What Microsoft's schema does not declare, or declares as another type, in an object of an answer."""
    declared = schema.find(type_name)
    for name, item in value.items():
        if "@" in name:
            continue
        known = declared.properties.get(name)
        if known is None:
            yield f"{where}/{name} is not declared"
        elif item is None:
            yield from [f"{where}/{name} is null"] * (not known.nullable)
        elif known.collection:
            for each in item:
                yield from _value_faults(each, known.type, f"{where}/{name}")
        else:
            yield from _value_faults(item, known.type, f"{where}/{name}")


def _value_faults(item: Any, type_name: str, where: str) -> Iterator[str]:
    if type_name in PLAIN:
        form = FORMS.get(type_name)
        if type(item) not in PLAIN[type_name] or (form and not form.fullmatch(item)):
            yield f"{where} is no {type_name}: {item!r}"
    elif values := schema.find(type_name).values:
        yield from [f"{where} is none of {type_name}: {item!r}"] * (item not in values)
    else:
        yield from faults(item, str(item.get("@odata.type", type_name)).removeprefix("#microsoft.graph."), where)
