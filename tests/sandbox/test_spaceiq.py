"""The sandbox's SpaceIQ answers as the real one does, as far as that is known."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from runbook_lib.clients.spaceiq import export as spaceiq_export
from runbook_lib.model import SpaceSource
from runbook_lib.sandbox import faults as sandbox_faults
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.spaceiq import api, graphql
from runbook_lib.sandbox.world.scenarios.spaces import add_spaces
from runbook_lib.sandbox.world.world import World

BOOK = (
    "mutation($input:CreateCalendarEventInput!){"
    "createCalendarEvent(input:$input){calendarEvent{id title startDate endDate}}}"
)


class Caller:
    """Posts documents with Contoso's token."""

    def __init__(self, sandbox: Sandbox, session: requests.Session) -> None:
        self.sandbox, self.session = sandbox, session
        self.token = api.token(sandbox.world, "contoso")

    def post(self, document: str, header: str = "", **variables: Any) -> requests.Response:
        headers = {"Authorization": header or f"Bearer {self.token}"}
        body = {"query": document, "variables": variables}
        return self.session.post(f"{self.sandbox.url}/queries", json=body, headers=headers)

    def data(self, document: str, **variables: Any) -> Any:
        answer = self.post(document, **variables)
        assert answer.status_code == 200
        return answer.json()["data"]

    def errors(self, document: str, **variables: Any) -> str:
        answer = self.post(document, **variables)
        assert (answer.status_code, answer.json().get("data")) == (200, None)
        return " ".join(one["message"] for one in answer.json()["errors"])


@pytest.fixture
def caller(sandbox: Sandbox, session: requests.Session) -> Caller:
    return Caller(sandbox, session)


def test_the_schema_can_be_asked_for(caller: Caller) -> None:
    found = caller.data("{__schema{queryType{name} types{name fields{name type{kind name ofType{name}}}}}}")["__schema"]
    space = next(one for one in found["types"] if one["name"] == "Space")
    fields = {one["name"]: one["type"] for one in space["fields"]}
    assert fields["id"] == {"kind": "NON_NULL", "name": None, "ofType": {"name": "ID"}}
    assert fields["calendar"]["name"] == "CalendarGraph"


def test_a_wrong_token_is_401_and_another_form_of_the_header_is_taken(caller: Caller) -> None:
    refused = caller.post("{viewer{id}}", header="Bearer eyJhbGciOiJIUzI1NiJ9.e30.x")
    assert (refused.status_code, refused.json()) == (401, {"error": "access_token does not correspond to user"})
    assert caller.post("{viewer{id}}", header=f"bearer: {caller.token}").status_code == 200
    assert caller.post("{viewer{id}}", header=caller.token).status_code == 401


def test_each_tenant_has_a_token_of_its_own(caller: Caller, sandbox: Sandbox) -> None:
    caller.token = api.token(sandbox.world, "northwind")
    assert caller.data("{viewer{company{name}}}")["viewer"]["company"]["name"] == "Northwind Traders"


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("{spaces(first:1){edges{node{mail}}}}", "Cannot query field 'mail' on type 'Space'"),
        ("{spaces(first:1){edges{node}}}", "must have a selection of subfields"),
        ("{viewer{id}", "found <EOF>"),
        ("{viewer{...Person}}", "Unknown fragment 'Person'"),
        ("subscription{viewer{id}}", "subscription"),
        ("{viewer{id}} %", "character"),
        ("", "Unexpected <EOF>"),
        ("{spaces(last:1){totalCount}}", "Unknown argument 'last'"),
        ("{spaces(first:$n){totalCount}}", "Variable '$n' is not defined"),
        ('{spaces(first:"one"){totalCount}}', "Int cannot represent non-integer value"),
        ("mutation{deleteCalendarEvent(input:{}){deletedId}}", "required field 'id'"),
        ("query($n:Int!){spaces(first:$n){totalCount}}", "non-null type 'Int!'"),
        ("{viewer{a:id a:email}}", "Fields 'a' conflict"),
        ("query A{viewer{id}} query B{viewer{id}}", "Must provide operation name"),
        ("{viewer{id}} {viewer{email}}", "anonymous"),
        ("fragment F on Viewer{id} {viewer{...F}}", "Unknown type 'Viewer'"),
        ("fragment F on User{...F} {viewer{...F}}", "Cannot spread fragment"),
    ],
)
def test_errors_come_with_200_and_no_data(caller: Caller, document: str, error: str) -> None:
    assert error in caller.errors(document)


def test_a_connection_is_read_page_by_page(caller: Caller) -> None:
    asked = "totalCount pageInfo{hasNextPage endCursor} edges{node{code}}"
    page = f"query($after:String){{spaces(first:5,after:$after){{{asked}}}}}"
    codes, after = [], None
    for _ in range(3):
        answer = caller.data(page, after=after)["spaces"]
        codes += [edge["node"]["code"] for edge in answer["edges"]]
        after = answer["pageInfo"]["endCursor"]
    assert (len(set(codes)), answer["totalCount"], answer["pageInfo"]["hasNextPage"]) == (13, 13, False)
    assert len(caller.data('{spaces(externalId:"S0002"){edges{node{name}}}}')["spaces"]["edges"]) == 1


def busy(caller: Caller) -> int:
    document = (
        "query($a:String!,$b:String!){spaces(first:1){edges{node{times:dailyBookableSpacesAvailability"
        "(fromDate:$a,toDate:$b){startDate endDate}}}}}"
    )
    now = caller.sandbox.world.now()
    window = {"a": f"{now:%Y-%m-%dT%H:%M:%SZ}", "b": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    return len(caller.data(document, **window)["spaces"]["edges"][0]["node"]["times"])


def booking(caller: Caller, hours: int) -> dict[str, str]:
    space = next(iter(caller.sandbox.world.tenant("contoso").spaces))  # type: ignore[union-attr]
    begin = caller.sandbox.world.now() + timedelta(hours=hours)
    end = begin + timedelta(hours=1)
    times = {"startDate": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "endDate": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    return {"spaceId": space, "title": "Test", **times}


def test_a_booking_shows_after_the_lag_and_goes_after_the_lag(caller: Caller) -> None:
    made = caller.data(BOOK, input=booking(caller, 2))["createCalendarEvent"]["calendarEvent"]
    assert busy(caller) == 0
    for _ in range(2):  # the room answers, then SpaceIQ hears of it
        caller.sandbox.world.offset += timedelta(seconds=10)
        shown = busy(caller)
    assert shown == 1
    caller.data(
        "mutation($i:DeleteCalendarEventInput!){deleteCalendarEvent(input:$i){deletedId}}", i={"id": made["id"]}
    )
    for _ in range(2):
        caller.sandbox.world.offset += timedelta(seconds=10)
        shown = busy(caller)
    assert shown == 0


def test_there_is_no_key_that_makes_two_bookings_one(caller: Caller) -> None:
    wanted = booking(caller, 2)
    ids = {caller.data(BOOK, input=wanted)["createCalendarEvent"]["calendarEvent"]["id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_taken_room_a_space_without_calendar_and_a_strange_event_are_refused(caller: Caller, world: World) -> None:
    caller.data(BOOK, input=booking(caller, 2))
    for _ in range(2):
        caller.sandbox.world.offset += timedelta(seconds=10)
        busy(caller)
    assert "not available" in caller.errors(BOOK, input=booking(caller, 2))
    assert "no calendar" in caller.errors(BOOK, input={**booking(caller, 5), "spaceId": "nowhere"})
    gone = 'mutation{deleteCalendarEvent(input:{id:"x"}){deletedId}}'
    assert "no such event" in caller.errors(gone)


def test_ordered_faults_hit_spaceiq_alone(caller: Caller, sandbox: Sandbox) -> None:
    faults = sandbox_faults.faults_of(sandbox.world)
    faults.order([Fault("429", where="spaceiq", count=1)])
    answers = [caller.post("{viewer{id}}") for _ in range(2)]
    assert [one.status_code for one in answers] == [429, 200]
    assert answers[0].headers["Retry-After"] == "1"
    faults.clear()


def test_a_scenario_can_spoil_spaces(world: World) -> None:
    tenant = world.tenant("contoso")
    assert tenant is not None
    tenant.spaces.clear()
    plan = {
        "exceptions": [
            {"rooms": [1], "space": "none"},
            {"rooms": [2], "calendar": "none"},
            {"rooms": [3], "calendar": 4},
            {"rooms": [5], "name": "Other", "ready": "2h"},
        ],
        "strangers": ["annex@contoso.example"],
    }
    now = world.now()
    add_spaces(tenant, plan, now)
    spaces = {one["code"]: one for one in tenant.spaces.values()}
    assert len(spaces) == 12 - 1 + 1 + 1
    assert spaces["S0002"]["calendar"] is None
    assert spaces["S0003"]["calendar"] == spaces["S0004"]["calendar"]
    assert (spaces["S0005"]["name"], spaces["S0005"]["ready"]) == ("Other", now + timedelta(hours=2))
    assert spaces["X0001"]["calendar"] == "annex@contoso.example"


@pytest.mark.parametrize("key", ["contoso", "northwind"])
def test_the_demo_s_exports_are_what_its_spaceiq_holds(world: World, key: str) -> None:
    tenant = world.tenant(key)
    assert tenant is not None
    path = Path(__file__).parents[2] / "parameters" / f"{key}.spaceiq.csv"
    export = spaceiq_export.read(SpaceSource("csv", path, {"space": "Space Name", "email": "Calendar E-mail"}))
    rooms = [one for one in tenant.spaces.values() if one["type"] == "Meeting Room"]
    assert {row["email"] for row in export.rows} == {one["calendar"] or "" for one in rooms}
    strangers = {one["name"] for one in rooms if one["code"].startswith("X")} | {"Old Annex"}
    assert {row["name"] for row in export.rows} - strangers == {one["name"] for one in rooms} - strangers


def test_documents_of_every_form_are_understood() -> None:
    schema: graphql.Schema = {"Query": {"me": {"type": "User", "args": {"as": "String"}}}, "User": {"name": "String"}}
    roots = {"Query": {"me": lambda asked: {"name": asked.get("as")}}}
    text = 'query Q($n: String = "Kim") { who: me(as: $n) { ...F ... on User { again: name } } }'
    fragment = " fragment F on User { name @include(if: true) } # a comment"
    for variables, name in (({"n": "Dana"}, "Dana"), ({}, "Kim")):
        answer = graphql.execute(text + fragment, variables, "Q", schema, roots)
        assert answer == {"data": {"who": {"name": name, "again": name}}}


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"query": 1}', b'{"query": "{viewer{id}}", "variables": [1]}'])
def test_a_body_without_a_document_is_answered_as_an_error(caller: Caller, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {caller.token}"}
    answer = caller.session.post(f"{caller.sandbox.url}/queries", data=body, headers=headers)
    assert (answer.status_code, answer.json()["data"]) == (200, None)
    assert answer.json()["errors"]
