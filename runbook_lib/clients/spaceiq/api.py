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

from runbook_lib import forms, vendors
from runbook_lib.clients import http as clients_http
from runbook_lib.clients.graph.throttle import retry_after
from runbook_lib.clients.spaceiq import answers
from runbook_lib.clients.spaceiq import export as spaceiq_export
from runbook_lib.clients.spaceiq.answers import Booking, Named, Page, Schema, Viewer
from runbook_lib.errors import CloudError
from runbook_lib.model import Json, Look, Raw, Tenant

TOKEN = "RUNBOOK_SPACEIQ_TOKEN"  # noqa: S105 - the name of a variable
TRIES = 4
LONGEST_PAUSE = 300
"""Seconds: who is told to wait longer comes back later."""
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

        `once` is for what must not be repeated; anything else is asked again while SpaceIQ is busy, when it says.
        """
        body = {"query": document, "variables": dict(variables)}
        for tries in range(1 if once else TRIES):
            status, answer, pause = self._exchange(body, tries)
            last = once or tries == TRIES - 1
            if status not in TRANSIENT or last:
                break
            if pause is not None and pause > LONGEST_PAUSE:
                raise CloudError(f"SpaceIQ asks to wait {pause:.0f} seconds.", "Run the cell again after that.")
            self.sleep(2.0**tries if pause is None else pause)
        if status == 401:
            raise CloudError(f"SpaceIQ refused the token: {_said(answer)}.", NEW_TOKEN)
        if status != 200 or not isinstance(answer.get("data"), dict) or answer.get("errors"):
            raise CloudError(f"SpaceIQ answered {status}: {_said(answer)}.", "Run the cell again; then ask Eptura.")
        data: Json = answer["data"]
        return data

    def _exchange(self, body: Json, tries: int) -> tuple[int, Json, float | None]:
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
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status_code, said if isinstance(said, dict) else {}, retry_after(headers, datetime.now(UTC))

    def learn(self) -> None:
        """Ask for the schema; raise CloudError when it lacks what the runbook rests on."""
        found = answers.needed(self.ask(SCHEMA), "__schema", Schema)
        for each in found.types:
            members = {one.name: one.type.inner for one in each.fields or ()}
            self.schema[each.name] = members | {one.name or "": "" for one in each.input_fields or ()}
        asked = [one for each in found.types if each.name == found.query_type.name for one in each.fields or ()]
        changed = (found.mutation_type or Named()).name or ""
        self.schema["Query"] = {one.name: one.type.inner for one in asked}
        self.schema["Mutation"] = self.schema.get(changed, {})
        self.takes = {one.name or "" for each in asked if each.name == "spaces" for one in each.args}
        lacking = [f"Query.{name}" for name in ("spaces", "viewer") if name not in self.schema["Query"]]
        lacking += [f"Space.{name}" for name in ("id", "name", "calendar") if name not in self.schema.get("Space", {})]
        lacking += [f"the argument {name} of spaces" for name in sorted({"first", "after"} - self.takes)]
        if lacking:
            words = f"SpaceIQ's schema lacks what the runbook asks for: {', '.join(lacking)}."
            raise CloudError(words, "Use an export instead (spaceiq.source csv), and tell the runbook's maintainers.")

    def assert_company(self) -> None:
        """Raise CloudError when the token is another company's: then nothing of it is read."""
        viewer = answers.member(self.ask("{viewer{company{name}}}"), "viewer", Viewer)
        company = viewer.company.name if viewer and viewer.company else None
        if company is None:
            words = f"SpaceIQ does not say whose the token in {TOKEN} is, so nothing is read with it."
            raise CloudError(words, NEW_TOKEN)
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
        nodes: dict[str, object] = {}
        total: int | None = None
        while True:
            page = answers.needed(self.ask(document, variables), "spaces", Page)
            found = {answers.key(node): node for node in (edge.node if edge else None for edge in page.edges)}
            fresh = {key: node for key, node in found.items() if key not in nodes}
            nodes |= fresh
            total = page.total_count if page.total_count is not None else total
            more, variables["after"] = page.page_info.has_next_page, page.page_info.end_cursor
            if not more or not fresh:
                break
        kept = tuple(row for row in map(answers.row, nodes.values()) if row)
        others = len(nodes) - len(kept)  # desks and offices: asked about, and of no interest
        complete = not more and (total is None or len(nodes) >= total)
        count = None if total is None else max(total - others, len(kept))
        return Look("spaces", asked_at, kept, count, complete, remedy="" if complete else "Run the cell again.")

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
        made = self.ask(document, {"input": wanted}, once=True)
        return answers.needed(made, "createCalendarEvent", Booking).calendar_event.id

    def cancel(self, event: str) -> None:
        """Remove a booking that `book` made; raise CloudError when SpaceIQ does not."""
        document = "mutation($input:DeleteCalendarEventInput!){deleteCalendarEvent(input:$input){deletedId}}"
        self.ask(document, {"input": {"id": event}})

    def viewer(self) -> str:
        """Return the address of the token's owner, in whose name SpaceIQ books; empty where the schema hides it."""
        if "email" not in self.schema.get("User", {}):
            return ""
        viewer = answers.member(self.ask("{viewer{email}}"), "viewer", Viewer)
        return forms.address_or_nothing((viewer and viewer.email) or "")

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


def _said(answer: Json) -> str:
    """Return what an error answer says, in one line."""
    errors = [one for one in answer.get("errors") or () if isinstance(one, dict)]
    words = [str(one.get("message", "")) for one in errors] or [str(answer.get("error", "no reason given"))]
    return " ".join("; ".join(words).split())[:300]
