"""Microsoft's own schema as a judge: what a URL fragment means, and whether JSON may stand for that type."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
GUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)")
WHOLE = {"Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Byte"}
SEGMENT = re.compile(r"([\w.]+)(?:\('[^']*'\))?")


def reference(name: str) -> Path:
    """A file of Microsoft's reference, or a loud skip where the checkout stands alone."""
    file = REFERENCE / name
    if not file.exists():
        pytest.skip(f"NOT CHECKED: {file} is not here, so nothing was compared with Microsoft's own {name}")
    return file


class Schema:
    """The types, entity sets and singletons of one CSDL file."""

    def __init__(self, file: Path) -> None:
        self.types: dict[str, Any] = {}
        self.roots: dict[str, tuple[str, bool]] = {}
        for schema in ElementTree.parse(file).iter(f"{EDM}Schema"):
            for tag in ("EntityType", "ComplexType", "EnumType"):
                for found in schema.iterfind(f"{EDM}{tag}"):
                    self.types[f"{schema.get('Namespace')}.{found.get('Name')}"] = found
            for found in schema.iter(f"{EDM}EntitySet"):
                self.roots[found.get("Name", "")] = (full(found.get("EntityType", "")), True)
            for found in schema.iter(f"{EDM}Singleton"):
                self.roots[found.get("Name", "")] = (full(found.get("Type", "")), False)

    def line(self, name: str) -> Iterator[Any]:
        """The type and its ancestors."""
        while name:
            yield self.types[name]
            name = full(self.types[name].get("BaseType") or "")

    def member(self, name: str, member: str) -> Any:
        """The declaration of a property or navigation property, inherited ones included."""
        for found in self.line(name):
            for tag in ("Property", "NavigationProperty"):
                for declared in found.iterfind(f"{EDM}{tag}"):
                    if declared.get("Name") == member:
                        return declared
        return None

    def fragment(self, text: str) -> tuple[str, bool]:
        """The type that a context URL's fragment names, and whether it is a collection."""
        if text.startswith("Collection("):
            inner = text[len("Collection(") : -1]
            return (inner if "." in inner else f"microsoft.graph.{inner}"), True
        if text.startswith("microsoft.graph."):
            return text, False
        single = text.endswith("/$entity")
        text = re.sub(r"\((?!')[^()]*(\(\)[^()]*)*\)$", "", text.removesuffix("/$entity"))
        first, *rest = text.split("/")
        kind, many = self.roots[SEGMENT.fullmatch(first)[1]]  # type: ignore[index]
        many = many and "('" not in first
        for part in rest:
            if part.startswith("microsoft.graph."):
                kind = part
                continue
            declared = self.member(kind, SEGMENT.fullmatch(part)[1])  # type: ignore[index]
            assert declared is not None, f"{text}: {kind} has no {part}"
            kind, many = unwrap(declared.get("Type"))
            many = many and "('" not in part
        return kind, many and not single

    def faults(self, value: Any, kind: str, where: str = "$") -> Iterator[str]:
        """Everything that JSON says otherwise than the type allows."""
        kind = str(value.get("@odata.type", kind)).removeprefix("#") if isinstance(value, dict) else kind
        if kind.startswith("Edm."):
            if not primitive(value, kind):
                yield f"{where}: {value!r} is no {kind}"
        elif self.types[kind].tag == f"{EDM}EnumType":
            members = {found.get("Name") for found in self.types[kind].iterfind(f"{EDM}Member")}
            if not set(str(value).split(",")) <= members:
                yield f"{where}: {value!r} is no member of {kind}"
        elif not isinstance(value, dict):
            yield f"{where}: {value!r} is no {kind}"
        else:
            for name, inner in value.items():
                if "@" not in name:
                    yield from self._member_faults(inner, kind, name, f"{where}.{name}")

    def _member_faults(self, value: Any, kind: str, name: str, where: str) -> Iterator[str]:
        declared = self.member(kind, name)
        if declared is None:
            if not any(found.get("OpenType") == "true" and "Entity" not in found.tag for found in self.line(kind)):
                yield f"{where}: {kind} declares no {name}"
            return
        target, many = unwrap(declared.get("Type"))
        if many:
            if not isinstance(value, list):
                yield f"{where}: {value!r} is no collection"
                return
            for number, item in enumerate(value):
                yield from self.faults(item, target, f"{where}[{number}]")
        elif value is None:
            if declared.get("Nullable") == "false":
                yield f"{where}: null, but {name} is not nullable"
        else:
            yield from self.faults(value, target, where)


def full(name: str) -> str:
    """A type name with its whole namespace."""
    return f"microsoft.graph.{name[6:]}" if name.startswith("graph.") else name


def unwrap(text: str) -> tuple[str, bool]:
    """The type within Collection(...), and whether it was one."""
    inner = text.removeprefix("Collection(").removesuffix(")")
    return full(inner), inner != text


def primitive(value: Any, kind: str) -> bool:
    """Whether JSON may stand for that Edm type."""
    if kind == "Edm.Boolean":
        return isinstance(value, bool)
    if kind in WHOLE:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in ("Edm.Double", "Edm.Single", "Edm.Decimal"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "Edm.Guid":
        return isinstance(value, str) and GUID.fullmatch(value) is not None
    if kind == "Edm.DateTimeOffset":
        return isinstance(value, str) and MOMENT.fullmatch(value) is not None
    return isinstance(value, str)


@cache
def schema_of(file: Path) -> Schema:
    """The schema of a file, read once."""
    return Schema(file)
