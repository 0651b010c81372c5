"""What writing calls share: the check of a body against the schema, and the marks of a new object."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from runbook_lib.sandbox.graph.odata import schema
from runbook_lib.sandbox.graph.odata.filter_nodes import parse_time
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request
from runbook_lib.sandbox.world.state import Json

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def checked(body: Json | None, kind: str, writable: Iterable[str]) -> Json:
    """The body's properties by declared name. Raises GraphError 400 for unknown, read-only or ill-typed ones."""
    declared = schema.find(kind)
    resource = kind[0].upper() + kind[1:]
    found: Json = {}
    for name, value in (body or {}).items():
        if name.startswith("@odata."):
            continue
        known = declared.property(name)
        if known is None:
            raise bad_request(f"Invalid property '{name}'.")
        if known.name not in writable:
            raise bad_request(f"Property '{known.name}' is read-only and cannot be set.")
        if not fits(value, known):
            raise bad_request(f"Invalid value specified for property '{known.name}' of resource '{resource}'.")
        found[known.name] = value
    return found


def required(body: Json, kind: str, names: Iterable[str]) -> None:
    """Refuse a body without these properties with GraphError 400."""
    resource = kind[0].upper() + kind[1:]
    for name in names:
        if body.get(name) in (None, ""):
            raise bad_request(f"A value is required for property '{name}' of resource '{resource}'.")


def fits(value: Any, declared: schema.Property) -> bool:
    """Whether JSON may stand for a property of that type, collections and complex members included."""
    if declared.collection:
        item = schema.Property(declared.name, declared.type, collection=False, nullable=False)
        return isinstance(value, list) and all(fits(part, item) for part in value)
    if value is None:
        return declared.nullable
    if declared.type in schema.PRIMITIVES:
        return fits_primitive(value, declared.type)
    kind = schema.find(declared.type)
    if kind.values:
        return isinstance(value, str) and all(part in kind.values for part in value.split(","))
    if not isinstance(value, dict):
        return False
    members = {name: kind.properties.get(name) for name in value if "@odata." not in name}
    needed = (known for known in kind.properties.values() if not known.nullable and not known.collection)
    return all(known.name in value for known in needed) and all(
        fits(value[name], found) if found else kind.open for name, found in members.items()
    )


def fits_primitive(value: Any, kind: str) -> bool:
    """Whether JSON may stand for a value of that Edm type."""
    if kind == "Boolean":
        return isinstance(value, bool)
    if kind in schema.NUMBERS:
        whole = kind.startswith(("Int", "Byte"))
        return isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if kind == "Guid":
        return GUID.fullmatch(value) is not None
    if kind == "DateTimeOffset":
        try:
            return bool(parse_time(value)) and "T" in value
        except ValueError:
            return False
    return True


def created(call: Call, reply: Reply, row: Json) -> Reply:
    """Finish the answer to a POST: its Location, and the row's absence from reading until it has replicated.

    Mode `replication_seconds` of the tenant is how long a new object stays invisible; the POST itself shows it.
    """
    seconds = call.tenant.modes.get("replication_seconds", 0)
    if seconds:
        row["_visible_at"] = (call.world.now() + timedelta(seconds=seconds)).isoformat()
    reply.headers["Location"] = f"{call.base}{call.path.rstrip('/')}/{row['id']}"
    return reply
