"""Evaluate a $filter's tree and a $search over rows, and order rows."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from runbook_lib.sandbox.graph.odata.filter_nodes import (
    Among,
    Compare,
    Flag,
    Function,
    Lambda,
    Literal,
    Logic,
    Node,
    Not,
    Path,
    parse_time,
)
from runbook_lib.sandbox.graph.routes import bad_request
from runbook_lib.sandbox.world.world import Json

Scope = dict[str, Any]
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
TEXT: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": str.__contains__,
}


def holds(node: Node, row: Json, scope: Scope | None = None) -> bool:
    """Whether the row satisfies the filter; text is compared without regard to case, as Graph does."""
    scope = scope or {}
    match node:
        case Logic(op, left, right):
            return (all if op == "and" else any)(holds(side, row, scope) for side in (left, right))
        case Not(inner):
            return not holds(inner, row, scope)
        case Flag(path):
            return value(path, row, scope) is True
        case Function(name, path, text):
            return TEXT[name](str(value(path, row, scope) or "").casefold(), str(text.value).casefold())
        case Among(path, values):
            return any(compare("eq", value(path, row, scope), comparable(v, path.type)) for v in values)
        case Lambda(quantifier, path, variable, body):
            items = value(path, row, scope) or []
            if body is None:
                return bool(items)
            return (any if quantifier == "any" else all)(holds(body, row, scope | {variable: item}) for item in items)
        case Compare(op, left, right):
            kind = left.type or right.type
            sides = [
                comparable(side, kind) if isinstance(side, Literal) else value(side, row, scope)
                for side in (left, right)
            ]
            return compare(op, *sides)


def compare(op: str, left: Any, right: Any) -> bool:
    """left op right; null equals only null and is never greater or less."""
    if op in ("eq", "ne"):
        return bool((left == right) == (op == "eq"))
    return left is not None and right is not None and ORDER[op](left, right)


def comparable(constant: Literal, kind: str | None) -> Any:
    """A constant as values of that Edm type compare."""
    if isinstance(constant.value, str):
        return constant.value.casefold()
    return constant.value.date().isoformat() if kind == "Date" and constant.value is not None else constant.value


def value(path: Path, row: Json, scope: Scope) -> Any:
    """What the path leads to in the row, in a form that compares: moments as datetime, text folded."""
    found: Any = scope[path.root] if path.root else row
    for name in path.names:
        found = found.get(name) if isinstance(found, dict) else None
    if path.count:
        return len(found or [])
    if path.type == "DateTimeOffset" and isinstance(found, str):
        return parse_time(found)
    return found.casefold() if isinstance(found, str) else found


def sort_key(names: Sequence[str]) -> Callable[[Json], tuple[bool, Any]]:
    """A key for sorting rows by one property path; nulls come first, text ignores case."""

    def key(row: Json) -> tuple[bool, Any]:
        found: Any = row
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found is not None, found.casefold() if isinstance(found, str) else found if found is not None else ""

    return key


CLAUSE = re.compile(r'\s*"(?P<property>\w+):(?P<text>(?:[^"\\]|\\.)*)"\s*(?P<joint>AND|OR)?', re.DOTALL)


def searcher(search: str, properties: frozenset[str]) -> Callable[[Json], bool]:
    """The test for a directory $search: "property:text" clauses joined by AND and OR, AND first.

    displayName and description match by the beginning of words, other properties by their beginning
    (https://learn.microsoft.com/graph/search-query-parameter). Raises GraphError 400 for other forms and properties.
    """
    groups: list[list[tuple[str, str]]] = [[]]
    at, joint = 0, "AND"
    while joint:
        found = CLAUSE.match(search, at)
        if found is None:
            message = f"Syntax error: character '{search[at : at + 1]}' is not valid at position {at} in '{search}'."
            raise bad_request(message, code="BadRequest")
        if found["property"] not in properties:
            message = f"Unsupported property '{found['property']}' in $search clause."
            raise bad_request(message, code="Request_UnsupportedQuery")
        if joint == "OR":
            groups.append([])
        groups[-1].append((found["property"], re.sub(r"\\(.)", r"\1", found["text"]).casefold()))
        at, joint = found.end(), found["joint"]
    if search[at:].strip():
        raise bad_request(f"Syntax error at position {at} in '{search}'.", code="BadRequest")
    return lambda row: any(all(_begins(row.get(name), name, text) for name, text in group) for group in groups)


def _begins(found: Any, name: str, text: str) -> bool:
    texts = [str(item).casefold() for item in (found if isinstance(found, list) else [found]) if item is not None]
    if name in ("displayName", "description"):
        wanted = re.findall(r"\w+", text)
        return all(
            any(word.startswith(part) for whole in texts for word in re.findall(r"\w+", whole)) for part in wanted
        )
    return any(whole.startswith(text) for whole in texts)
