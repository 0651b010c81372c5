"""System query options of one request, read and checked against what the collection accepts."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata import filter_parser, schema
from runbook_lib.sandbox.graph.odata.filter_nodes import (
    Among,
    Compare,
    Flag,
    Function,
    Lambda,
    Logic,
    Node,
    Not,
    Path,
    walk,
)
from runbook_lib.sandbox.graph.routes import Call, bad_request
from runbook_lib.sandbox.world.world import Json

Expansion = Callable[[Json], Json | list[Json] | None]
Operators = Mapping[str, frozenset[str]]

OPTIONS = frozenset(
    {"$select", "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$count", "$search", "$expand", "$format"}
)
ENTITY_OPTIONS = frozenset({"$select", "$expand", "$format"})
PARSING = "Parsing OData Select and Expand failed: "
EXPANDED = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*(?:,|$)")
CLAUSES = 15
ADVANCED_OPERATORS = {"ne": "ne", "not": "not", "endswith": "endsWith", "count": "$count"}
HINT = (
    "is not supported because the required parameters might be missing. Try adding $count=true query parameter and "
    "ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more information"
)


def unparsable(message: str) -> GraphError:
    """The gateway's 400 for options that it cannot read."""
    return bad_request(message, code="BadRequest")


def unsupported(message: str) -> GraphError:
    """The workload's 400 for options that it can read but not serve."""
    return bad_request(message, code="Request_UnsupportedQuery")


def unknown_property(name: str, kind: str, prefix: str = "") -> GraphError:
    """The gateway's refusal of a property that the type does not declare."""
    return unparsable(f"{prefix}Could not find a property named '{name}' on type 'microsoft.graph.{kind}'.")


@dataclass(frozen=True)
class Rules:
    """What one collection accepts.

    `page` and `most`: default and greatest page size; `page` None sends all rows at once, `most` None takes any $top.
    `paging`: "token" gives nextLinks with $skiptoken and refuses $skip (directory), "skip" gives nextLinks with $skip
    (Outlook), "none" gives no nextLink at all but honours $top and $skip (places).
    `advanced`: directory objects, where $count, $search, ne, not, endsWith, and $filter with $orderby want
    ConsistencyLevel: eventual (https://learn.microsoft.com/graph/aad-advanced-queries).
    `options`: system query options that are understood; others are refused.
    `filters`: property -> operators that $filter may use on it; None means every property with every operator.
    `indexed`: properties that can be filtered with advanced queries only.
    `orders`: properties that $orderby may use -> whether that is an advanced query; None means every property.
    `searches`: properties that $search may name.
    `expansions`: navigation property -> type and rows of $expand. `always`: properties that $select cannot drop.
    """

    page: int | None = 100
    most: int | None = 999
    paging: Literal["token", "skip", "none"] = "token"
    advanced: bool = True
    options: frozenset[str] = OPTIONS
    filters: Operators | None = None
    indexed: frozenset[str] = frozenset()
    orders: Mapping[str, bool] | None = None
    searches: frozenset[str] = frozenset({"displayName"})
    expansions: Mapping[str, tuple[str, Expansion]] = field(default_factory=dict)
    always: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """The options of one request; None or empty where the client gave none."""

    select: tuple[tuple[str, ...], ...] = ()
    expand: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    filter: Node | None = None
    order: tuple[tuple[tuple[str, ...], bool], ...] = ()
    top: int | None = None
    skip: int = 0
    token: str | None = None
    count: bool = False
    search: str | None = None


def read(call: Call, kind: schema.Type, rules: Rules) -> Options:
    """All options of the call over rows of that type. Raises GraphError 400 for what the collection does not take."""
    known_options(call, rules.options)
    query = call.query
    eventual = call.headers.get("consistencylevel", "").lower() == "eventual"
    count = _boolean(query.get("$count", "false"))
    options = Options(
        select=select(query.get("$select", ""), kind),
        expand=expand(query.get("$expand", ""), kind, rules, call.version),
        filter=filter_parser.parse(query["$filter"], kind, call.version) if query.get("$filter") else None,
        order=order(query.get("$orderby", ""), kind),
        top=_number("$top", query.get("$top")),
        skip=_number("$skip", query.get("$skip")) or 0,
        token=query.get("$skiptoken"),
        count=count and (eventual or not rules.advanced),
        search=query.get("$search"),
    )
    _sizes(options, query, rules)
    _sorting(options, rules, advanced=eventual and count)
    if options.filter is not None:
        _filtering(options.filter, kind, rules, advanced=eventual and count)
    if options.search is not None and rules.advanced and not eventual:
        raise unsupported(
            "Request with $search query parameter only works through MSGraph with a special request header: "
            "'ConsistencyLevel: eventual'"
        )
    return options


def known_options(call: Call, known: frozenset[str]) -> None:
    """Refuse system query options outside `known`; custom options without $ are ignored, as Graph does."""
    for name in call.query:
        if name.startswith("$") and name not in known:
            raise unparsable(f"The query parameter '{name}' is not supported.")


def select(text: str, kind: schema.Type) -> tuple[tuple[str, ...], ...]:
    """The property paths of a $select, with their declared spelling; `*` and nothing select everything."""
    items = [item for item in (part.strip() for part in text.split(",")) if item]
    if "*" in items:
        return ()
    return tuple(dict.fromkeys(property_path(item, kind, PARSING) for item in items))


def property_path(text: str, kind: schema.Type, prefix: str = "") -> tuple[str, ...]:
    """A path a/b/c through complex types. Raises GraphError 400 naming the first unknown property."""
    names: list[str] = []
    at: schema.Type | None = kind
    for name in text.split("/"):
        declared = (at.property(name) or (at.relation(name) if at is kind else None)) if at else None
        if declared is None:
            raise unknown_property(name, at.name if at else "entity", prefix)
        names.append(declared.name)
        at = schema.find(declared.type) if declared.type in set(schema.names()) else None
    return tuple(names)


def expand(text: str, kind: schema.Type, rules: Rules, version: str) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Navigation properties to expand and what to select of each. Raises GraphError 400 for others."""
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    at = 0
    while at < len(text):
        piece = EXPANDED.match(text, at)
        if piece is None:
            raise unparsable(f"{PARSING}Syntax error at position {at} in '{text}'.")
        relation = kind.relation(piece[1])
        if relation is None:
            raise unknown_property(piece[1], kind.name, PARSING)
        if relation.name not in rules.expansions:
            raise unsupported(f"The property '{relation.name}' cannot be used in the $expand query option.")
        nested = re.fullmatch(r"\s*\$select=([^;]*)", piece[2] or "$select=")
        if nested is None:
            raise unsupported("Only $select is supported within $expand.")
        found[relation.name] = select(nested[1], schema.any_of(rules.expansions[relation.name][0], version))
        at = piece.end()
    return found


def order(text: str, kind: schema.Type) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Property paths of $orderby and whether each descends."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        words = item.split()
        if len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise unparsable(f"Syntax error at position {len(words[0]) + 1} in '{item}'.")
        found.append((property_path(words[0], kind), words[-1].lower() == "desc" and len(words) == 2))
    return tuple(found)


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise unparsable(
            f"Invalid value '{text}' for {name} query option found. The {name} query option requires a non-negative "
            "integer value."
        )
    return int(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise unparsable(f"Invalid value '{text}' for $count query option found. Valid values are 'true' and 'false'.")
    return text.lower() == "true"


def _sizes(options: Options, query: Mapping[str, str], rules: Rules) -> None:
    if rules.paging == "token" and "$skip" in query:
        raise bad_request("'$skip' is not supported by the service.")
    top, most = options.top, rules.most
    if top is None or most is None or 1 <= top <= most:
        return
    if rules.paging == "token":
        raise unsupported(f"Invalid page size specified: '{top}'. Must be between 1 and {most} inclusive.")
    if top > most:
        raise unparsable(
            f"The query specified in the URI is not valid. The limit of '{most}' for Top query has been exceeded. "
            f"The value from the incoming request is '{top}'."
        )


def _sorting(options: Options, rules: Rules, *, advanced: bool) -> None:
    if not options.order or not rules.advanced:
        return
    names = ["/".join(path) for path, _ in options.order]
    known = rules.orders is None or all(name in rules.orders for name in names)
    wants = options.filter is not None or (rules.orders is not None and any(rules.orders.get(name) for name in names))
    if not known or (wants and not advanced):
        raise unsupported("Sorting not supported for current query.")


def operators(tree: Node) -> Iterator[tuple[str, Path | None]]:
    """Every operator of a filter with the property that it works on."""
    for node in walk(tree):
        match node:
            case Compare(op, left, right):
                path = left if isinstance(left, Path) else right if isinstance(right, Path) else None
                yield ("count" if path and path.count else op), path
            case Among(path, _):
                yield "in", path
            case Function(name, path, _):
                yield name, path
            case Flag(path):
                yield "eq", path
            case Lambda(quantifier, path, _, _):
                yield quantifier, path
            case Not(_):
                yield "not", None
            case Logic(op, _, _):
                yield op, None


def _filtering(tree: Node, kind: schema.Type, rules: Rules, *, advanced: bool) -> None:
    """Refuse operators and properties that the collection cannot filter by, or not without advanced parameters."""
    used = list(operators(tree))
    if rules.advanced and sum(op == "or" for op, _ in used) >= CLAUSES:
        raise unsupported(
            "Too many child clauses specified in search filter expression containing 'OR' operators: "
            f"{sum(op == 'or' for op, _ in used) + 1}. Max allowed: {CLAUSES}."
        )
    for op, path in used:
        if rules.advanced and op in ADVANCED_OPERATORS and not advanced:
            raise unsupported(f"Operator '{ADVANCED_OPERATORS[op]}' {HINT}")
        if path is None or path.root or rules.filters is None or op == "count":
            continue
        name = "/".join(path.names)
        allowed = rules.filters.get(name, frozenset())
        if not allowed & {op, "eq" if op == "ne" and rules.advanced else op} or (
            name in rules.indexed and not advanced
        ):
            resource = kind.name[0].upper() + kind.name[1:]
            raise unsupported(
                f"Unsupported or invalid query filter clause specified for property '{name}' of resource '{resource}'."
            )
