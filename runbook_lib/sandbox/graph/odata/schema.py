"""Types of Graph's answers, from schema.yaml: properties with their types, enumerations with their members."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runbook_lib.sandbox.world.catalogue import load_yaml

NUMBERS = frozenset({"Byte", "Int16", "Int32", "Int64", "Single", "Double", "Decimal"})
PRIMITIVES = NUMBERS | {
    "Boolean",
    "String",
    "Guid",
    "DateTimeOffset",
    "Date",
    "TimeOfDay",
    "Duration",
    "Binary",
    "Stream",
}


@dataclass(frozen=True)
class Property:
    """One property: the name of its type without namespace, whether it is a collection, whether null is allowed."""

    name: str
    type: str
    collection: bool
    nullable: bool


@dataclass(frozen=True)
class Type:
    """One entity, complex or enumeration type with what it inherits; `values` is empty but for enumerations."""

    name: str
    open: bool
    properties: Mapping[str, Property]
    navigation: Mapping[str, Property]
    values: tuple[str, ...]

    def property(self, name: str) -> Property | None:
        """The property of that name, whatever its case (Graph ignores it in query options)."""
        return _fold(self.properties, name)

    def relation(self, name: str) -> Property | None:
        """The navigation property of that name, whatever its case."""
        return _fold(self.navigation, name)


def _fold(known: Mapping[str, Property], name: str) -> Property | None:
    if name in known:
        return known[name]
    return next((found for key, found in known.items() if key.lower() == name.lower()), None)


@cache
def _declared() -> dict[str, Any]:
    declared: dict[str, Any] = load_yaml(Path(__file__).parent / "schema.yaml")
    return declared


def names(version: str = "v1.0") -> Iterator[str]:
    """The names of all types that the version declares."""
    yield from _declared()["types"]
    if version == "beta":
        yield from _declared()["beta"].keys() - _declared()["types"].keys()


@cache
def find(name: str, version: str = "v1.0") -> Type:
    """The type of that name, its own and inherited properties together. KeyError when schema.yaml has none."""
    own = _declared()["types"].get(name)
    extra = _declared()["beta"].get(name) if version == "beta" else None
    if own is None and extra is None:
        raise KeyError(name)
    own, extra = own or {}, extra or {}
    base = find(own.get("base") or extra["base"], version) if own.get("base") or extra.get("base") else None
    declared = {**(own.get("properties") or {}), **(extra.get("properties") or {})}
    relations = own.get("navigation") or {}
    return Type(
        name=name,
        open=bool(own.get("open") or extra.get("open")),
        properties={
            **(base.properties if base else {}),
            **{key: _property(key, text) for key, text in declared.items()},
        },
        navigation={
            **(base.navigation if base else {}),
            **{key: _property(key, text) for key, text in relations.items()},
        },
        values=tuple(own.get("values") or ()),
    )


def _property(name: str, declared: str | list[str]) -> Property:
    text = declared[0] if isinstance(declared, list) else declared
    collection = isinstance(declared, list)
    return Property(name, text.rstrip("!"), collection, not text.endswith("!"))


@cache
def descendants(name: str, version: str = "v1.0") -> tuple[str, ...]:
    """The type itself and all types that inherit from it."""
    children = [child for child in names(version) if (_declared()["types"].get(child) or {}).get("base") == name]
    return (name, *(found for child in children for found in descendants(child, version)))


def any_of(name: str, version: str) -> Type:
    """The type with its descendants' properties: what a $select over directoryObject may name."""
    merged = find(name, version)
    if name != "directoryObject":
        return merged
    kinds = [find(child, version) for child in descendants(name, version)]
    properties = {key: value for kind in kinds for key, value in kind.properties.items()} | dict(merged.properties)
    relations = {key: value for kind in kinds for key, value in kind.navigation.items()}
    return Type(name, merged.open, properties, relations, ())
