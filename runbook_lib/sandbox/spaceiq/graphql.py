"""As much of GraphQL as a client of SpaceIQ needs: one operation, variables, fragments, introspection, errors.

The grammar is that of https://spec.graphql.org/October2021/; directives, subscriptions and defaults are left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook_lib.sandbox.world.state import Json

TOKEN = re.compile(r'\s*(?:,|#[^\n]*\n)*\s*(\.\.\.|[{}()\[\]:!$=|@]|"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*)')
SPACE = re.compile(r"(?:[\s,]|#[^\n]*)*$")
WORDS: Json = {"true": True, "false": False, "null": None}
Schema = Mapping[str, Mapping[str, Any]]
"""Type -> field -> its type, or {type, args}."""


class Refused(Exception):
    """What stands in `errors` of the answer."""


@dataclass
class Field:
    """One field asked for; a fragment is `...` with its selection, or with `on` the name of a declared one."""

    name: str
    alias: str
    arguments: Json = field(default_factory=dict)
    selection: list["Field"] = field(default_factory=list)
    on: str = ""


@dataclass(frozen=True)
class Variable:
    """The place of a variable in an argument."""

    name: str


class Document:
    """A parsed document. Raises Refused for what does not parse."""

    def __init__(self, text: str) -> None:
        """Read the whole text."""
        self._tokens = list(_tokens(text))
        self.kind, self.selection = "query", list[Field]()
        self.fragments: dict[str, list[Field]] = {}
        while self._tokens:
            self._definition()

    def _definition(self) -> None:
        if self._next() == "{":
            self.selection = self._selection()
            return
        kind = self._take()
        name = self._take() if self._next() not in "({" else ""
        if kind == "fragment":
            self._expect("on")
            self._take()
            self.fragments[name] = self._selection()
            return
        if kind not in ("query", "mutation"):
            raise Refused(f"Syntax Error: Unexpected Name {kind!r}.")
        if self._next() == "(":
            while self._take() != ")":
                continue
        self.kind, self.selection = kind, self._selection()

    def _selection(self) -> list[Field]:
        self._expect("{")
        found = []
        while self._next() != "}":
            found.append(self._field())
        self._take()
        return found

    def _field(self) -> Field:
        name = self._take()
        if name == "...":
            if self._next() == "on":
                self._take()
                self._take()
                return Field("...", "", selection=self._selection())
            return Field("...", "", on=self._take())
        alias = name
        if self._next() == ":":
            self._take()
            name = self._take()
        one = Field(name, alias)
        if self._next() == "(":
            self._take()
            one.arguments = self._pairs(")")
        if self._next() == "{":
            one.selection = self._selection()
        return one

    def _pairs(self, end: str) -> Json:
        pairs: Json = {}
        while self._next() != end:
            name = self._take()
            self._expect(":")
            pairs[name] = self._value()
        self._take()
        return pairs

    def _value(self) -> Any:
        word = self._take()
        if word == "$":
            return Variable(self._take())
        if word == "{":
            return self._pairs("}")
        if word == "[":
            values = []
            while self._next() != "]":
                values.append(self._value())
            self._take()
            return values
        if word in WORDS:
            return WORDS[word]
        return json.loads(word) if word[0] in '"-0123456789' else word

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else "<EOF>"

    def _take(self) -> str:
        if not self._tokens:
            raise Refused("Syntax Error: Unexpected <EOF>.")
        return self._tokens.pop(0)

    def _expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise Refused(f"Syntax Error: Expected {token!r}, found {found!r}.")


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while not SPACE.match(text, at):
        found = TOKEN.match(text, at)
        if found is None:
            raise Refused(f"Syntax Error: Unexpected character at {at}.")
        yield found[1]
        at = found.end()


def execute(text: str, variables: Json, schema: Schema, roots: Mapping[str, Json]) -> Json:
    """Return the data; `roots` are the objects behind Query and Mutation, whose callables get the arguments.

    Raises Refused for a field that the schema does not have.
    """
    document = Document(text)
    root = document.kind.capitalize()
    fields = {**roots[root], "__schema": introspection(schema)}
    return _Execution(document, variables, schema).of(document.selection, fields, root)


class _Execution:
    def __init__(self, document: Document, variables: Json, schema: Schema) -> None:
        self._document, self._variables, self._schema = document, variables, schema

    def of(self, selection: list[Field], source: Json, kind: str) -> Json:
        """The object's selected fields; introspection has no kind and is not held against the schema."""
        data: Json = {}
        for one in self._flat(selection):
            known = self._schema.get(kind, {})
            if kind and one.name not in known and one.name != "__schema":
                raise Refused(f'Cannot query field "{one.name}" on type "{kind}".')
            value = source.get(one.name)
            if callable(value):
                value = value(self._filled(one.arguments))
            data[one.alias] = self._shaped(value, one, "" if one.name == "__schema" else base(known.get(one.name, "")))
        return data

    def _shaped(self, value: Any, one: Field, kind: str) -> Any:
        if isinstance(value, list):
            return [self._shaped(each, one, kind) for each in value]
        if not isinstance(value, dict):
            return value
        if not one.selection:
            raise Refused(f'Field "{one.name}" of type "{kind}" must have a selection of subfields.')
        return self.of(one.selection, value, kind)

    def _flat(self, selection: list[Field]) -> Iterator[Field]:
        for one in selection:
            if one.name != "...":
                yield one
            elif one.on and one.on not in self._document.fragments:
                raise Refused(f'Unknown fragment "{one.on}".')
            else:
                yield from self._flat(self._document.fragments[one.on] if one.on else one.selection)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Variable):
            return self._variables.get(value.name)
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        return [self._filled(each) for each in value] if isinstance(value, list) else value


def base(declared: Any) -> str:
    """The name of the type inside lists and non-nulls."""
    return str(declared["type"] if isinstance(declared, dict) else declared).strip("[]!")


def introspection(schema: Schema) -> Json:
    """What __schema tells of a schema."""
    return {
        "queryType": {"name": "Query"},
        "mutationType": {"name": "Mutation"} if "Mutation" in schema else None,
        "types": [_described(name, fields) for name, fields in schema.items()],
    }


def _described(name: str, fields: Mapping[str, Any]) -> Json:
    members = [
        {
            "name": each,
            "type": reference(declared["type"] if isinstance(declared, dict) else declared),
            "args": [
                {"name": one, "type": reference(kind)}
                for one, kind in (declared["args"] if isinstance(declared, dict) else {}).items()
            ],
        }
        for each, declared in fields.items()
    ]
    is_input = name.endswith("Input")
    return {"name": name, "fields": None if is_input else members, "inputFields": members if is_input else None}


def reference(declared: str) -> Json:
    """A type as introspection writes it: NON_NULL and LIST wrap the one that has a name."""
    if declared.endswith("!"):
        return {"kind": "NON_NULL", "name": None, "ofType": reference(declared[:-1])}
    if declared.startswith("["):
        return {"kind": "LIST", "name": None, "ofType": reference(declared[1:-1])}
    return {"kind": "OBJECT", "name": declared, "ofType": None}
