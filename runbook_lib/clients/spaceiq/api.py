"""SpaceIQ's spaces: from its GraphQL API, whose schema is asked for first, or from an export.

The API's names are only partly documented (https://developer.spaceiq.com/), so every document is made of what the
schema has, and what it lacks is said. A question may be repeated; a booking never is, because there is no key that
would make two into one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from runbook_lib import vendors
from runbook_lib.clients import http as clients_http
from runbook_lib.clients.spaceiq import export as spaceiq_export
from runbook_lib.errors import CloudError
from runbook_lib.model import Json, Look, Raw, Tenant

TOKEN = "RUNBOOK_SPACEIQ_TOKEN"  # noqa: S105 - the name of a variable
TRIES = 4
TRANSIENT = (429, 500, 502, 503, 504)
NEW_TOKEN = f"In SpaceIQ, Integrations > API makes a token; put it into the environment variable {TOKEN}."
SCHEMA = (
    "{__schema{queryType{name} mutationType{name} types{name fields{name args{name} type{...t}} inputFields{name}}}} "
    "fragment t on __Type{name ofType{name ofType{name ofType{name}}}}"
)
TIME = "%Y-%m-%dT%H:%M:%SZ"
NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass
class SpaceIQ:
    """SpaceIQ of one tenant; `log` gets a row for each request, `schema` is type -> field -> name of its type."""

    tenant: Tenant
    http: Any
    log: list[Json]
    token: str = field(repr=False)
    sleep: Callable[[float], object] = time.sleep
    schema: dict[str, dict[str, str]] = field(default_factory=dict)
    takes: set[str] = field(default_factory=set)
    """The arguments of the question for spaces."""

    def ask(self, document: str, variables: Mapping[str, object] = NOTHING, *, once: bool = False) -> Json:
        """Return the data that answers a document; raise CloudError for a refusal, which may come with HTTP 200.

        `once` is for what must not be repeated; anything else is asked again while SpaceIQ is busy.
        """
        body = {"query": document, "variables": dict(variables)}
        for tries in range(1 if once else TRIES):
            if tries:
                self.sleep(2.0**tries / 2)
            status, answer = self._exchange(body, tries)
            if status not in TRANSIENT:
                break
        if status == 401:
            raise CloudError(f"SpaceIQ refused the token: {_said(answer)}.", NEW_TOKEN)
        if status != 200 or not isinstance(answer.get("data"), dict) or answer.get("errors"):
            raise CloudError(f"SpaceIQ answered {status}: {_said(answer)}.", "Run the cell again; then ask Eptura.")
        data: Json = answer["data"]
        return data

    def _exchange(self, body: Json, tries: int) -> tuple[int, Json]:
        source = self.tenant.spaceiq
        headers = {"Authorization": f"{source.authorization} {self.token}", "Accept": "application/json"}
        sent = datetime.now(UTC)
        row: Json = {"time": sent.isoformat(), "method": "POST", "path": urlsplit(source.endpoint).path, "status": 0}
        row |= {"request_id": "", "client_request_id": "", "seconds": 0.0, "body_sha256": "", "retries": tries}
        self.log.append(row)
        answer = self.http.post(source.endpoint, json=body, headers=headers)
        row |= {"status": answer.status_code, "seconds": round((datetime.now(UTC) - sent).total_seconds(), 3)}
        row["request_id"] = answer.headers.get("x-request-id", "")
        row["body_sha256"] = hashlib.sha256(answer.content).hexdigest()
        try:
            said = answer.json()
        except ValueError:
            said = {}
        return answer.status_code, said if isinstance(said, dict) else {}

    def learn(self) -> None:
        """Ask for the schema; raise CloudError when it lacks what the runbook rests on."""
        found = self.ask(SCHEMA)["__schema"]
        types = {one["name"]: one for one in found["types"]}
        for name, one in types.items():
            members = {each["name"]: _type(each["type"]) for each in one.get("fields") or ()}
            self.schema[name] = members | {each["name"]: "" for each in one.get("inputFields") or ()}
        asked = types[found["queryType"]["name"]]
        self.schema["Query"] = self.schema[asked["name"]]
        self.schema["Mutation"] = self.schema.get((found.get("mutationType") or {}).get("name", ""), {})
        self.takes = {one["name"] for each in asked["fields"] if each["name"] == "spaces" for one in each["args"]}
        lacking = [f"Query.{name}" for name in ("spaces", "viewer") if name not in self.schema["Query"]]
        lacking += [f"Space.{name}" for name in ("id", "name", "calendar") if name not in self.schema.get("Space", {})]
        lacking += [f"the argument {name} of spaces" for name in sorted({"first", "after"} - self.takes)]
        if lacking:
            words = f"SpaceIQ's schema lacks what the runbook asks for: {', '.join(lacking)}."
            raise CloudError(words, "Use an export instead (spaceiq.source csv), and tell the runbook's maintainers.")

    def assert_company(self) -> None:
        """Raise CloudError when the token is another company's: then nothing of it is read."""
        company = self.ask("{viewer{company{name}}}")["viewer"]["company"]["name"]
        if company != self.tenant.spaceiq.company:
            words = f"The token in {TOKEN} belongs to {company}, not to {self.tenant.spaceiq.company}."
            raise CloudError(words, f"{NEW_TOKEN} Run tenants that need different tokens one after the other.")

    def spaces(self, begin: datetime, end: datetime, code: str = "") -> Look:
        """Return every meeting room or space with a calendar, with its busy times where the schema tells them.

        With a `code` only the space of that external id, where the schema lets us ask for it.
        """
        asked_at, one = datetime.now(UTC), bool(code) and "externalId" in self.takes
        document = self._document(one)
        variables: Json = {"first": vendors.facts()["spaceiq"]["page"], "after": None}
        variables |= {"from": f"{begin:{TIME}}", "to": f"{end:{TIME}}"} | ({"code": code} if one else {})
        rows: dict[str, Json] = {}
        while True:
            answer = self.ask(document, variables)["spaces"]
            fresh = {edge["node"]["id"]: edge["node"] for edge in answer["edges"] if edge["node"]["id"] not in rows}
            rows |= fresh
            more, variables["after"] = answer["pageInfo"]["hasNextPage"], answer["pageInfo"]["endCursor"]
            if not more or not fresh:
                break
        total = answer.get("totalCount", len(rows))
        kept = tuple(_flat(node) for node in rows.values() if _is_room(node))
        others = len(rows) - len(kept)  # desks and offices: asked about, and of no interest
        complete = not more and len(rows) >= total
        return Look(
            "spaces", asked_at, kept, total - others, complete, remedy="" if complete else "Run the cell again."
        )

    def _document(self, one: bool) -> str:
        selection = " ".join(self._selection())
        times = ",$from:String!,$to:String!" if "$from" in selection else ""
        count = "totalCount " if "totalCount" in self.schema.get(self.schema["Query"]["spaces"], {}) else ""
        return (
            f"query($first:Int,$after:String{times}{',$code:String' if one else ''})"
            f"{{spaces(first:$first,after:$after{',externalId:$code' if one else ''})"
            f"{{{count}pageInfo{{hasNextPage endCursor}} edges{{node{{{selection}}}}}}}}}"
        )

    def _selection(self) -> Iterator[str]:
        """Yield what to ask of a space: as much of what we want as the schema has."""
        facts, space, busy = (
            vendors.facts()["spaceiq"],
            self.schema["Space"],
            vendors.facts()["spaceiq"]["busy"],
        )
        yield from (name for name in ("id", "name", "code", "externalId", "capacity") if name in space)
        calendar = [name for name in ("id", "calendarName", *facts["calendar_email"]) if name in self._of("calendar")]
        yield f"calendar{{{' '.join(calendar)}}}"
        if "name" in self._of("spaceType"):
            yield "spaceType{name}"
        if "name" in self._of("floor"):
            building = self.schema.get(self._of("floor").get("building", ""), {})
            yield f"floor{{name {'building{name}' if 'name' in building else ''}}}"
        if {busy["start"], busy["end"]} <= self._of(busy["field"]).keys():
            yield f"busy:{busy['field']}(fromDate:$from,toDate:$to){{start:{busy['start']} end:{busy['end']}}}"

    def book(self, space: str, title: str, begin: datetime, end: datetime) -> str:
        """Book a space, once and never again on its own, and return the event's id.

        Raises CloudError for a refusal; after a lost answer nobody knows whether the booking stands.
        """
        wanted = {"spaceId": space, "title": title, "startDate": f"{begin:{TIME}}", "endDate": f"{end:{TIME}}"}
        if not {"createCalendarEvent", "deleteCalendarEvent"} <= self.schema["Mutation"].keys() or not (
            wanted.keys() <= self.schema.get("CreateCalendarEventInput", {}).keys()
        ):
            raise CloudError("SpaceIQ's schema does not take bookings the way the runbook knows.", "Book it by hand.")
        document = "mutation($input:CreateCalendarEventInput!){createCalendarEvent(input:$input){calendarEvent{id}}}"
        made = self.ask(document, {"input": wanted}, once=True)["createCalendarEvent"]["calendarEvent"]
        return str(made["id"])

    def cancel(self, event: str) -> None:
        """Remove a booking that `book` made; raise CloudError when SpaceIQ does not."""
        document = "mutation($input:DeleteCalendarEventInput!){deleteCalendarEvent(input:$input){deletedId}}"
        self.ask(document, {"input": {"id": event}})

    def viewer(self) -> str:
        """Return the address of the token's owner, in whose name SpaceIQ books; empty where the schema hides it."""
        if "email" not in self.schema.get("User", {}):
            return ""
        return str(self.ask("{viewer{email}}")["viewer"]["email"] or "")

    def _of(self, name: str) -> Mapping[str, str]:
        return self.schema.get(self.schema["Space"].get(name, ""), {})


@contextmanager
def connected(tenant: Tenant, log: list[Json]) -> Iterator[SpaceIQ]:
    """Give SpaceIQ of the tenant, its schema and its company checked; raise CloudError when that cannot be."""
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise CloudError("There is no token for SpaceIQ.", NEW_TOKEN)
    with clients_http.session(tenant.cloud) as http:
        spaceiq = SpaceIQ(tenant, http, log, token)
        spaceiq.learn()
        spaceiq.assert_company()
        yield spaceiq


def read(tenant: Tenant, begin: datetime, end: datetime, log: list[Json]) -> Raw:
    """Return the look `spaces`, maybe a refusal; nothing when the tenant file names no source."""
    if not tenant.spaceiq.source:
        return {}
    if tenant.spaceiq.source == "csv":
        return {"spaces": spaceiq_export.read(tenant.spaceiq)}
    try:
        with connected(tenant, log) as spaceiq:
            return {"spaces": spaceiq.spaces(begin, end)}
    except CloudError as error:
        return {"spaces": Look("spaces", datetime.now(UTC), refusal=error.message, remedy=error.remedy)}


def _type(one: Json | None) -> str:
    """Return the name of a field's type, whatever lists and non-nulls are around it."""
    while one and not one.get("name"):
        one = one.get("ofType")
    return str(one["name"]) if one else ""


def _said(answer: Json) -> str:
    """Return what an error answer says, in one line."""
    errors = [one for one in answer.get("errors") or () if isinstance(one, dict)]
    words = [str(one.get("message", "")) for one in errors] or [str(answer.get("error", "no reason given"))]
    return " ".join("; ".join(words).split())[:300]


def _is_room(node: Json) -> bool:
    kind = str((node.get("spaceType") or {}).get("name") or "").lower()
    return bool(node.get("calendar")) or kind in vendors.facts()["spaceiq"]["kinds"]


def _flat(node: Json) -> Json:
    """Return a space as the export has it, too: names without nesting, and the calendar's address where it shows."""
    calendar, floor = node.get("calendar") or {}, node.get("floor") or {}
    name = str(calendar.get("calendarName") or calendar.get("id") or "")
    known = [calendar.get(each) for each in vendors.facts()["spaceiq"]["calendar_email"]]
    row = {
        "id": node["id"],
        "name": node.get("name") or node.get("code") or "",
        "code": node.get("code") or node.get("externalId") or "",
        "building": (floor.get("building") or {}).get("name") or "",
        "floor": floor.get("name") or "",
        "capacity": "" if node.get("capacity") is None else str(node["capacity"]),
        "calendar": name,
        "email": next((one for one in known if one), name if "@" in name else ""),
    }
    return row | ({"busy": node["busy"]} if isinstance(node.get("busy"), list) else {})
