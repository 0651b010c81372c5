"""nbformat's look at each output of a cell, by its own schema compiled: the same verdict in a twentieth of the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fastjsonschema
from nbformat import v4

OUTPUTS = ("display_data", "error", "execute_result", "stream")
_thorough: Callable[[Any, str | None], None] = v4.nbbase.validate


@cache
def _compiled(kind: str) -> Callable[[Any], object]:
    file = Path(v4.__file__).with_name(v4.nbformat_schema[v4.nbformat, v4.nbformat_minor])
    schema = json.loads(file.read_bytes())
    part = {"$schema": schema["$schema"], "definitions": schema["definitions"], "$ref": f"#/definitions/{kind}"}
    compiled: Callable[[Any], object] = fastjsonschema.compile(part, use_default=False)
    return compiled


def validate(node: Any, ref: str | None = None) -> None:
    """Validate a part of a notebook; what the compiled schema does not pass, nbformat itself judges, and raises."""
    if ref in OUTPUTS:
        try:
            _compiled(ref)(node)
        except fastjsonschema.JsonSchemaValueException:
            _thorough(node, ref)
    else:
        _thorough(node, ref)


@contextmanager
def quickly(engines: ModuleType) -> Iterator[None]:
    """Let nbformat, inside this block, look at outputs the quick way; likewise papermill's `engines` at their times."""
    times = SimpleNamespace(parser=SimpleNamespace(parse=datetime.fromisoformat))
    with replaced(v4.nbbase, "validate", validate), replaced(engines, "dateutil", times):
        yield


@contextmanager
def replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Let `module.name` be another value inside this block; a name that it did not have is gone again afterwards."""
    before = vars(module).get(name, replaced)
    setattr(module, name, value)
    try:
        yield
    finally:
        if before is replaced:
            delattr(module, name)
        else:
            setattr(module, name, before)


for _kind in OUTPUTS:
    _compiled(_kind)  # whoever imports this before it forks, compiles once
