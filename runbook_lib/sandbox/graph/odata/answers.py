"""Answers in OData's JSON: rows and objects cut to the query options, with context, count and next link."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from runbook_lib.sandbox.graph.odata import evaluate, query, schema
from runbook_lib.sandbox.graph.odata.filter_nodes import parse_time
from runbook_lib.sandbox.graph.odata.query import ENTITY_OPTIONS, OPTIONS, Expansion, Options, Rules
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found
from runbook_lib.sandbox.world.world import Json

__all__ = ["OUTLOOK", "Expansion", "Rules", "collection", "count_only", "entity", "nested", "visible"]

OUTLOOK = Rules(page=10, most=1000, paging="skip", advanced=False, always=("@odata.etag", "id"))
BY_DEFAULT = {
    "user": [
        *("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation"),
        *("preferredLanguage", "surname", "userPrincipalName", "id"),
    ]
}
ON_SELECT = {
    "user": {"customSecurityAttributes", "signInActivity", "mailboxSettings"},
    "servicePrincipal": {"customSecurityAttributes"},
    "organization": {"certificateBasedAuthConfiguration"},
}
EXPANDED_AT_MOST = 20


def visible(call: Call, rows: Iterable[Json]) -> list[Json]:
    """The rows that have replicated: `_visible_at` (a moment as text) keeps a new object out of sight until then."""
    now = call.world.now()
    return [row for row in rows if "_visible_at" not in row or parse_time(row["_visible_at"]) <= now]


def collection(call: Call, rows: Sequence[Json], entity_type: str, context: str, rules: Rules | None = None) -> Reply:
    """Answer a list: apply the query options to `rows` of the schema type and wrap them with annotations.

    `context` is what follows `$metadata#`, for example "users" or "places/microsoft.graph.room"; the selection is added
    here. Raises GraphError 400 for options, properties, filters and page sizes that the collection does not take.
    """
    rules = rules or Rules()
    kind = schema.any_of(entity_type, call.version)
    options = query.read(call, kind, rules)
    found = _matching(visible(call, rows), options, rules)
    start, size = _window(call, options, rules)
    page = found[start:] if size is None else found[start : start + size]
    body: Json = {"@odata.context": _context(call, context, options)}
    if options.count and options.token is None:
        body["@odata.count"] = len(found)
    if size and start + size < len(found) and rules.paging != "none":
        body["@odata.nextLink"] = _next_link(call, rules, start + size)
    body["value"] = [_project(call, row, kind.name, options, rules) for row in page]
    return Reply(200, _metadata(call, body))


def count_only(call: Call, rows: Sequence[Json], entity_type: str, rules: Rules | None = None) -> Reply:
    """Answer /$count: the number of matching rows as text. Raises GraphError 400 without ConsistencyLevel: eventual."""
    rules = rules or Rules()
    if rules.advanced and call.headers.get("consistencylevel", "").lower() != "eventual":
        raise bad_request("$count is not currently supported.")
    counting = replace(call, query={**call.query, "$count": "true"})
    options = query.read(counting, schema.any_of(entity_type, call.version), rules)
    return Reply(200, str(len(_matching(visible(call, rows), options, rules))))


def entity(
    call: Call, row: Json, entity_type: str, context: str, *, status: int = 200, rules: Rules | None = None
) -> Reply:
    """Answer one object: $select and $expand over `row`; `context` is the entity set's name, /$entity is added.

    Raises GraphError 400 for unknown properties and options, 404 while the object has not replicated.
    """
    if not visible(call, [row]):
        raise not_found(str(row.get("id")))
    rules = replace(rules or Rules(), options=ENTITY_OPTIONS)
    query.known_options(call, OPTIONS)
    asked = replace(call, query={name: text for name, text in call.query.items() if name in ENTITY_OPTIONS})
    options = query.read(asked, schema.any_of(entity_type, call.version), rules)
    body = {"@odata.context": _context(call, context, options) + "/$entity"}
    body |= _project(call, row, entity_type, options, rules)
    return Reply(status, _metadata(call, body))


def nested(call: Call, value: Json, context: str) -> Reply:
    """Answer a complex value or a single property: its members beside the context, no query options."""
    body = {"@odata.context": f"{call.base}/$metadata#{context}"}
    return Reply(200, _metadata(call, body | value))


def _matching(rows: list[Json], options: Options, rules: Rules) -> list[Json]:
    if options.filter is not None:
        rows = [row for row in rows if evaluate.holds(options.filter, row)]
    if options.search is not None:
        found = evaluate.searcher(options.search, rules.searches)
        rows = [row for row in rows if found(row)]
    for path, descending in reversed(options.order):
        rows = sorted(rows, key=evaluate.sort_key(path), reverse=descending)
    return rows


def _window(call: Call, options: Options, rules: Rules) -> tuple[int, int | None]:
    """Where the page starts and how many rows it may have."""
    size = options.top if options.top is not None else _preferred(call, rules) or rules.page
    if options.token is None:
        return options.skip, size
    return _open_token(call, options.token), size


def _preferred(call: Call, rules: Rules) -> int | None:
    """The page size of `Prefer: odata.maxpagesize=`, which Outlook honours."""
    wishes = [wish.strip() for wish in call.headers.get("prefer", "").split(",")] if rules.paging == "skip" else []
    sizes = [wish.partition("=")[2].strip('" ') for wish in wishes if wish.lower().startswith("odata.maxpagesize=")]
    return int(sizes[0]) if sizes and sizes[0].isdigit() and 0 < int(sizes[0]) <= (rules.most or 1000) else None


def _digest(call: Call, start: int) -> str:
    """What ties a page token to its query."""
    parts = [
        call.tenant.id,
        call.path.lower(),
        *(call.query.get(name, "") for name in ("$filter", "$search", "$orderby")),
    ]
    return hashlib.sha256(json.dumps([*parts, start]).encode()).hexdigest()[:24]


def _next_link(call: Call, rules: Rules, start: int) -> str:
    """The absolute address of the next page, with the other options as the client gave them."""
    options = {name: text for name, text in call.query.items() if name not in ("$skiptoken", "$skip")}
    if rules.paging == "token":
        token = json.dumps([start, _digest(call, start)]).encode()
        options["$skiptoken"] = urlsafe_b64encode(token).decode().rstrip("=")
    else:
        options["$skip"] = str(start)
    text = "&".join(
        f"{quote(name, safe='$')}={quote(value, safe=chr(39) + ',()/:@*~')}" for name, value in options.items()
    )
    return f"{call.base}{call.path}?{text}"


def _open_token(call: Call, token: str) -> int:
    try:
        start, digest = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError):
        start, digest = None, None
    if not isinstance(start, int) or digest != _digest(call, start):
        message = f"The specified page token value '{token}' is invalid."
        raise bad_request(message, code="Directory_InvalidPageToken")
    return start


def _context(call: Call, name: str, options: Options) -> str:
    chosen = ["/".join(path) for path in options.select] + [f"{relation}()" for relation in options.expand]
    return f"{call.base}/$metadata#{name}" + (f"({','.join(chosen)})" if chosen else "")


def _kind(row: Json, entity_type: str) -> str:
    """The row's own type, which a collection of directoryObject states on every row."""
    return str(row.get("@odata.type", entity_type)).removeprefix("#microsoft.graph.")


def _shown(row: Json, kind: str, version: str, chosen: Sequence[tuple[str, ...]], rules: Rules) -> Json:
    """The properties of the row that the client gets to see: declared in that version, chosen or there by default."""
    declared = schema.find(kind, version).properties
    shown = {name: value for name, value in row.items() if name.startswith("@") or name in rules.always}
    plain = {name: value for name, value in row.items() if name in declared or "@" in name[1:]}
    default = BY_DEFAULT.get(kind) if version == "v1.0" else None
    if not chosen and default:
        return shown | {name: plain.get(name) for name in default}
    if not chosen:
        return shown | {name: value for name, value in plain.items() if name not in ON_SELECT.get(kind, ())}
    for first, *rest in chosen:
        if first in declared:
            value = plain.get(first, [] if declared[first].collection else None)
            if rest and isinstance(value, dict):
                value = shown.get(first, {}) | {rest[0]: value.get(rest[0])}
            shown[first] = value
    return shown


def _project(call: Call, row: Json, entity_type: str, options: Options, rules: Rules) -> Json:
    kind = _kind(row, entity_type)
    shown = _shown(row, kind, call.version, options.select, rules)
    for relation, chosen in options.expand.items():
        target, rows = rules.expansions[relation]
        found = rows(row)
        items = found if isinstance(found, list) else [found] if found else []
        cut = [_shown(item, _kind(item, target), call.version, chosen, rules) for item in items[:EXPANDED_AT_MOST]]
        shown[relation] = cut if isinstance(found, list) else (cut[0] if cut else None)
    if "odata.metadata=full" in call.headers.get("accept", ""):
        shown = {"@odata.type": f"#microsoft.graph.{kind}", "@odata.id": f"{kind}s('{row.get('id')}')", **shown}
    return shown


def _metadata(call: Call, body: Mapping[str, object]) -> Json:
    """Leave the context out where the client asked for odata.metadata=none."""
    none = "odata.metadata=none" in call.headers.get("accept", "")
    return {name: value for name, value in body.items() if not (none and name == "@odata.context")}
