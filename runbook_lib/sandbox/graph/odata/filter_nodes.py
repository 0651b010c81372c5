"""The pieces of a $filter: tokens of its text, nodes of its tree, literals (OData 4.0 URL conventions, 5.1.1)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.routes import bad_request

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^']|'')*')
    |(?P<guid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-]))
    |(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?(?![\w:]))
    |(?P<number>-?\d+(?:\.\d+)?(?![\w.-]))
    |(?P<name>[A-Za-z_]\w*(?:\.\w+)*|\$count(?!\w))
    |(?P<mark>[(),:/])""",
    re.VERBOSE,
)
COMPARISONS = {
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual",
    "lt": "LessThan",
    "le": "LessThanOrEqual",
}
FUNCTIONS = frozenset({"startswith", "endswith", "contains"})


@dataclass(frozen=True)
class Token:
    """A piece of the text: its kind, its text and where it starts."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Literal:
    """A constant with its Edm type; the type of null is None."""

    value: Any
    type: str | None


@dataclass(frozen=True)
class Path:
    """A property path from the row or from a lambda's variable; `count` stands for a trailing /$count."""

    root: str | None
    names: tuple[str, ...]
    type: str
    collection: bool = False
    count: bool = False


@dataclass(frozen=True)
class Compare:
    """left op right, with op one of COMPARISONS."""

    op: str
    left: "Path | Literal"
    right: "Path | Literal"


@dataclass(frozen=True)
class Among:
    """path in (values)."""

    path: Path
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Function:
    """startswith, endswith or contains of a path and a text."""

    name: str
    path: Path
    text: Literal


@dataclass(frozen=True)
class Flag:
    """A Boolean property standing alone."""

    path: Path


@dataclass(frozen=True)
class Lambda:
    """any or all over a collection; `body` None is the bare any()."""

    quantifier: str
    path: Path
    variable: str
    body: "Node | None"


@dataclass(frozen=True)
class Not:
    """Negation."""

    inner: "Node"


@dataclass(frozen=True)
class Logic:
    """and / or."""

    op: str
    left: "Node"
    right: "Node"


Node = Compare | Among | Function | Flag | Lambda | Not | Logic


def refuse(message: str) -> GraphError:
    """The gateway's answer to a $filter that it cannot parse."""
    return bad_request(f"Invalid filter clause: {message}", code="BadRequest")


def tokens(text: str) -> Iterator[Token]:
    """Cut the text. Raises GraphError 400 for characters that belong to nothing and for unterminated strings."""
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            if text[at] == "'":
                raise refuse(f"There is an unterminated string literal at position {len(text)} in '{text}'.")
            raise refuse(f"Syntax error: character '{text[at]}' is not valid at position {at} in '{text}'.")
        kind = str(found.lastgroup)
        if kind != "space":
            yield Token(kind, found.group(), at)
        at = found.end()


def parse_time(text: str) -> datetime:
    """A moment as OData writes it, with any number of fraction digits; a bare date is midnight. Raises ValueError."""
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    moment = datetime.fromisoformat(trimmed)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for child in (getattr(node, name, None) for name in ("inner", "left", "right", "body")):
        if isinstance(child, Compare | Among | Function | Flag | Lambda | Not | Logic):
            yield from walk(child)


def literal(token: Token, text: str) -> Literal:
    """The value of a constant. Raises GraphError 400 for what only looks like one."""
    if token.kind == "string":
        return Literal(token.text[1:-1].replace("''", "'"), "String")
    if token.kind == "guid":
        return Literal(token.text.lower(), "Guid")
    if token.kind == "number":
        return Literal(float(token.text) if "." in token.text else int(token.text), "Int64")
    if token.kind == "time":
        try:
            return Literal(parse_time(token.text), "DateTimeOffset")
        except ValueError:
            raise refuse(
                f"Unrecognized 'Edm.DateTimeOffset' literal '{token.text}' at '{token.at}' in '{text}'."
            ) from None
    if token.kind == "name":
        return Literal(
            {"true": True, "false": False, "null": None}[token.text.lower()],
            None if token.text.lower() == "null" else "Boolean",
        )
    raise refuse(f"Syntax error at position {token.at} in '{text}'.")
