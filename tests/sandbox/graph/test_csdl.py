"""Microsoft's CSDL judges every answer, and the extract that the sandbox keeps of it."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from runbook_lib.sandbox.graph import routes
from runbook_lib.sandbox.graph.odata import schema
from runbook_lib.sandbox.world.catalogue import GRAPH, resources, shape
from runbook_lib.sandbox.world.ids import object_id
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking
from tests.sandbox.csdl import EDM, Schema, full, reference, schema_of

CRONOFY = "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
HOUR = timedelta(hours=1)
WINDOW = "startDateTime=2026-11-22T00:00:00Z&endDateTime=2027-11-20T00:00:00Z"


@pytest.fixture
def csdl() -> Schema:
    return schema_of(reference("v1.0-Prod.csdl"))


def everything(kind: str) -> list[str]:
    published = resources()[GRAPH]
    return [*(published.role_ids if kind == "application" else published.scope_ids)]


def prepared(world: World, kind: str) -> Asking:
    """A caller who may read everything in a tenant that has one of everything."""
    asking = Asking(world, "contoso", everything(kind), user="admin" if kind == "delegated" else None)
    tenant = asking.tenant
    policy = shape("conditionalAccessPolicy", id=object_id(tenant.id, "policy"), displayName="Block device code flow")
    tenant.policies["conditionalAccessPolicies"].append(policy)
    admin = next(iter(tenant.users))
    group = shape("group", id=object_id(tenant.id, "group"), displayName="Facilities", mailNickname="facilities")
    tenant.groups[group["id"]] = group | {"_members": [admin]}
    start = world.now() + timedelta(hours=1)
    times = [{"dateTime": moment.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"} for moment in (start, start + HOUR)]
    event = {"subject": "Judged", "start": times[0], "end": times[1]}
    mine = "/me/events" if kind == "delegated" else f"/users/{admin}/events"
    assert asking.send("POST", mine, json=event).status_code == 201
    return asking


def filled(template: str, asking: Asking) -> str:
    """The route's path with ids of the tenant's own objects, taken from the list above each key."""
    tenant, room_list = asking.tenant, next(iter(asking.tenant.room_lists.values()))
    named = {
        "{appId}": CRONOFY,
        "(appId='{id}')": "(appId='3e0f8a7b-92c4-4a0e-8f55-64b1f6c0d2aa')",
        "ByDomainName(domainName='{name}": f"ByDomainName(domainName='{tenant.domains[0]}",
        "{name}": tenant.id,
        "{roleTemplateId}": "62e90394-69f5-4237-9190-012177145e10",
        "{place}/graph.roomList": f"{room_list['emailAddress']}/graph.roomList",
        "{place}": next(iter(tenant.rooms.values()))["emailAddress"],
        "graph.": "microsoft.graph.",
        "{id}/appRoleAssignments/{": f"{object_id(tenant.id, CRONOFY)}/appRoleAssignments/{{",
        "{setting}": "workingHours",
    }
    for name, value in named.items():
        template = template.replace(name, value)
    while "/{" in template:
        parent, _, rest = template.partition("/{")
        listed = asking.get(with_options(parent, asking)).json()["value"]
        template = f"{parent}/{quote(listed[0]['id'])}{rest.partition('}')[2]}"
    return template


def with_options(path: str, asking: Asking) -> str:
    """The path with the query that its list insists on."""
    if "calendarview" in path.lower():
        return f"{path}?{WINDOW}"
    if path.endswith("directory/roleAssignments"):
        return f"{path}?$filter=principalId eq '{next(iter(asking.tenant.users))}'"
    return path


def judged(csdl: Schema, body: dict[str, Any]) -> list[str]:
    kind, many = csdl.fragment(body["@odata.context"].partition("#")[2])
    rows = body["value"] if many else [body["value"] if kind.startswith("Edm.") else body]
    return [fault for row in rows for fault in csdl.faults(row, kind)]


READING = sorted({r.template for r in routes.ROUTES if r.method == "GET" and "v1.0" in r.versions})


@pytest.mark.parametrize("template", [path for path in READING if "$count" not in path and path != "/places"])
def test_every_property_of_every_answer_is_declared_with_that_type(template: str, world: World, csdl: Schema) -> None:
    asking = prepared(world, "delegated" if template.startswith("/me") else "application")
    response = asking.get(with_options(filled(template, asking), asking))
    assert response.status_code == 200, response.text
    assert judged(csdl, response.json()) == []


def test_the_judge_sees_an_unknown_property_a_wrong_type_and_a_forbidden_null(csdl: Schema) -> None:
    row = {"displayDevice": "x", "capacity": "12", "nickname": None, "bookingType": "free", "geoCoordinates": None}
    faults = list(csdl.faults(row, "microsoft.graph.room"))
    assert [fault.split(":")[0] for fault in faults] == ["$.displayDevice", "$.capacity", "$.nickname", "$.bookingType"]


@pytest.mark.parametrize("name", [name for name in schema.names() if name != "entity"])
def test_the_extract_declares_what_the_csdl_declares(name: str, csdl: Schema) -> None:
    found = csdl.types[f"microsoft.graph.{name}"]
    ours = schema.find(name)
    if found.tag == f"{EDM}EnumType":
        assert list(ours.values) == [member.get("Name") for member in found.iterfind(f"{EDM}Member")]
        return
    theirs = {
        p.get("Name"): p for line in csdl.line(f"microsoft.graph.{name}") for p in line.iterfind(f"{EDM}Property")
    }
    assert set(ours.properties) == set(theirs)
    for key, declared in ours.properties.items():
        prefix = "Edm." if declared.type in schema.PRIMITIVES else "microsoft.graph."
        text = f"Collection({prefix}{declared.type})" if declared.collection else f"{prefix}{declared.type}"
        inner = theirs[key].get("Type").removeprefix("Collection(").removesuffix(")")
        assert text == theirs[key].get("Type").replace(inner, full(inner)), key
        assert declared.nullable == (theirs[key].get("Nullable") != "false"), key
