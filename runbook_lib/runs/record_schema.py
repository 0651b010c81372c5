"""What a record's JSON must be, record.schema.json, and two quick looks at whether it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from runbook_lib import settings
from runbook_lib.model import Json


@cache
def schema() -> Json:
    """Return what every record's JSON must be."""
    loaded: Json = json.loads(Path(__file__).with_name("record.schema.json").read_text(encoding="utf-8"))
    return loaded


@cache
def _compiled() -> Callable[[Json], object]:
    """Compile the schema to Python; draft 07, which fastjsonschema knows, means the same by every word in it."""
    import fastjsonschema  # only who seals or verifies needs it

    draft = {"$schema": "http://json-schema.org/draft-07/schema#"}
    compiled: Callable[[Json], object] = fastjsonschema.compile({**schema(), **draft}, use_default=False)
    return compiled


def off_schema(row: Json) -> list[str]:
    """Return the places where a record's JSON is not as the schema says: jsonschema finds them, if there are any."""
    from fastjsonschema import JsonSchemaValueException

    try:
        _compiled()(row)
    except JsonSchemaValueException:
        return [wrong.json_path for wrong in settings.validator(schema()).iter_errors(row)]
    return []


Shape = tuple[frozenset[str], tuple[tuple[str, Any], ...], Any]
"""What of the schema decides whether a value lacks something: required keys, the shapes of keys, the shape of items."""


def lacking(row: Json, parts: frozenset[str]) -> Iterator[str]:
    """Yield the path of each required key that a record lacks, at the top or inside these of its parts.

    Of what kind the values are is looked at when a run is sealed.
    """
    return _lacking(_shape(parts), row)


@cache
def _shape(parts: frozenset[str]) -> Shape:
    required, inner, item = _shape_of(schema())
    return required, tuple(part for part in inner if part[0] in parts), item


def _shape_of(part: Json) -> Shape:
    """Return the shape of a part of the schema, without the parts of it that can lack nothing, which are most."""
    part = schema()["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    parts = tuple((name, shape) for name, one in part.get("properties", {}).items() if any(shape := _shape_of(one)))
    item = _shape_of(part["items"]) if "items" in part else None
    return frozenset(part.get("required", ())), parts, item if item and any(item) else None


def _lacking(shape: Shape, value: Any, place: str = "") -> Iterator[str]:
    required, parts, item = shape
    if isinstance(value, dict):
        yield from (f"{place}{name}" for name in sorted(required - value.keys()))
        for name, inner in parts:
            if name in value:
                yield from _lacking(inner, value[name], f"{place}{name}.")
    elif isinstance(value, list) and item:
        flat = not any(item[1:])
        for index, one in enumerate(value):
            if not (flat and isinstance(one, dict) and item[0] <= one.keys()):  # most rows are whole, and flat
                yield from _lacking(item, one, f"{place}{index}.")
