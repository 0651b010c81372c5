"""GraphQL over a schema written as types and fields: graphql-core parses, validates and executes it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema, build_schema, graphql_sync

from runbook_lib.sandbox.world.state import Json

Schema = Mapping[str, Mapping[str, Any]]
"""Type -> field -> its type, or {type, args}; a type whose name ends with Input is one."""


class Refused(Exception):
    """What a field answers instead of a value; it stands in `errors` of the answer."""


def execute(text: str, variables: Json, operation: str | None, schema: Schema, roots: Mapping[str, Json]) -> Json:
    """Return `data`, and `errors` where there are any, as https://spec.graphql.org/October2021/#sec-Response says.

    `roots` are the objects behind Query and Mutation; a callable member is given the field's arguments.
    """
    members = {name: value for root in roots.values() for name, value in root.items()}
    answer = graphql_sync(
        _built(_sdl(schema)),
        text,
        root_value=members,
        variable_values=variables,
        operation_name=operation,
        field_resolver=_resolved,
    )
    return dict(answer.formatted)


def _resolved(source: Json, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    value = source.get(info.field_name)
    return value(arguments) if callable(value) else value


@lru_cache(maxsize=8)
def _built(sdl: str) -> GraphQLSchema:
    return build_schema(sdl)


def _sdl(schema: Schema) -> str:
    """Return the schema in GraphQL's own language."""
    return "\n".join(
        f"{'input' if name.endswith('Input') else 'type'} {name} {{ {' '.join(map(_member, fields.items()))} }}"
        for name, fields in schema.items()
    )


def _member(field: tuple[str, Any]) -> str:
    name, declared = field
    if isinstance(declared, str):
        return f"{name}: {declared}"
    arguments = ", ".join(f"{each}: {kind}" for each, kind in declared["args"].items())
    return f"{name}({arguments}): {declared['type']}" if arguments else f"{name}: {declared['type']}"
