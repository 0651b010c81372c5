"""Tenant files: parameters/<key>.yaml becomes a Tenant, or one error that lists every fault with its line."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runbook_lib import vendors
from runbook_lib.errors import SettingsError, UsageError
from runbook_lib.model import (
    AccessLimit,
    Change,
    Cloud,
    Confirmation,
    Json,
    RoomPlan,
    SignIn,
    SpaceSource,
    Tenant,
    Waiver,
)

if TYPE_CHECKING:
    import jsonschema

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""How a tenant may be called: it is the name of a file, of a folder, and a word on the command line."""
LONGEST_TEXT, DEEPEST, MOST_NODES = 400_000, 40, 20_000
"""Letters of a file, levels in it, and values with all aliases written out; a tenant file has some dozens of lines."""
SCHEMA = Path(__file__).resolve().parent.parent / "parameters" / "schema.json"


def keys(parameters: Path) -> list[str]:
    """Return the keys of all tenant files in `parameters`: `<key>.yaml`, and nothing that other programs left there."""
    return sorted(path.stem for path in parameters.glob("*.yaml") if KEY.fullmatch(path.stem))


def misnamed(parameters: Path) -> list[str]:
    """Return the files there that look like tenant files and are none, because of how they are called."""
    alike = re.compile(r"[^_.].*\.(yml|yaml(\.txt)?)", re.IGNORECASE)
    files = [path for path in parameters.iterdir() if alike.fullmatch(path.name)] if parameters.is_dir() else []
    return sorted(path.name for path in files if path.suffix != ".yaml" or not KEY.fullmatch(path.stem))


def ring(parameters: Path, key: str) -> str:
    """Return the ring that a tenant file names, `pilot` or a digit; empty without one, or where it cannot be read."""
    path = parameters / f"{key}.yaml"
    named = str(_Page(path, "tenant").row.get("ring", "")) if path.is_file() else ""
    return named if re.fullmatch("pilot|[1-9]", named) else ""


def load(parameters: Path, key: str, now: datetime | None = None) -> Tenant:
    """Return the tenant of `parameters/<key>.yaml`.

    Raises UsageError when there is no such file, SettingsError when it has faults.
    """
    key = str(key)  # `papermill -p tenant 365` hands over a number
    path = parameters / f"{key}.yaml"
    if not KEY.fullmatch(key) or not path.is_file():
        raise UsageError(f"There is no tenant file {path}.", _known(parameters, key))
    page = _Page(path, "tenant")
    page.check_times(now or datetime.now(UTC))
    page.check_exceptions()
    page.check_certificate()
    page.check_company()
    cloud = _cloud(page, page.row.get("cloud", "global"))
    page.stop_on_faults()
    return _tenant(key, page.row, cloud, path.parent)


def validator(schema: Json) -> jsonschema.Draft202012Validator:
    """Return what holds values against `schema`; jsonschema is loaded only now, and only as much as we need of it."""
    # it would spend most of a second building grammars for URI formats that our schemas do not use
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import jsonschema

    return jsonschema.Draft202012Validator(schema)


def everyone() -> Tenant:
    """Return what stands for all tenants together: the portfolio has no tenant file and asks no cloud."""
    return Tenant("_portfolio", "All tenants", "", "", "", Cloud("none", "", "", True), SignIn("", ""), "")


def plain(tenant: Tenant) -> Json:
    """Return what a record keeps of the tenant file, enough to judge raw answers again; no path of this machine."""
    row = asdict(tenant)
    del row["confirmations"], row["exchange_answer"], row["cloud"]["ca_file"]
    del row["sign_in"]["certificate"], row["sign_in"]["account"]
    del row["spaceiq"]["export"]
    return row


def revive(row: Json) -> Tenant:
    """Return the tenant that a record's settings describe; what was not kept (paths, people's words) is absent."""
    own = {field.name for field in fields(Tenant)}
    limits = {field.name for field in fields(AccessLimit)}
    kept = {name: _tupled(value) for name, value in row.items() if name in own}
    return Tenant(
        **kept
        | {
            "cloud": Cloud(**row["cloud"]),
            "sign_in": SignIn(**row["sign_in"]),
            "change": Change(**row["change"]),
            "spaceiq": SpaceSource(**row.get("spaceiq", {})),
            "rooms": RoomPlan(**row.get("rooms", {})),
            "access_limit": AccessLimit(
                **{name: _tupled(one) for name, one in row["access_limit"].items() if name in limits}
            ),
            "exceptions": tuple(_waiver(one) for one in row.get("exceptions", ())),
        }
    )


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _waiver(row: Json) -> Waiver:
    return Waiver(**{**row, "until": date.fromisoformat(row["until"])})


def _known(parameters: Path, key: str) -> str:
    names = keys(parameters)
    near = difflib.get_close_matches(key, names, 1)
    listed = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    meant = f"Did you mean {near[0]}? " if near else ""
    others = misnamed(parameters)
    renamed = f"Not read, for they are not called KEY.yaml: {', '.join(others[:5])}. " if others else ""
    return f"{meant}Tenant files there: {listed or 'none'}. {renamed}To make one: runbook new {key}"


def _tenant(key: str, row: Json, cloud: Cloud, folder: Path) -> Tenant:
    sign_in = row["sign_in"]
    certificate = sign_in.get("certificate")
    limit = row.get("access_limit", {})
    return Tenant(
        key=key,
        name=row["name"],
        tenant_id=row["tenant_id"].lower(),
        domain=row["domain"].lower(),
        admin=row["admin"],
        cronofy_app=row.get("cronofy_client_id", vendors.facts()["cronofy"]["enterprise"]).lower(),
        spaceiq_admin=row.get("spaceiq_admin", ""),
        cloud=cloud,
        sign_in=SignIn(
            sign_in["method"],
            sign_in["client_id"].lower(),
            folder / certificate if certificate else None,
            sign_in.get("account", "").lower(),
        ),
        change=Change(**row.get("change", {})),
        access_limit=AccessLimit(**{**limit, **{name: tuple(limit.get(name, ())) for name in ("outsiders", "pilots")}}),
        activation_hosts=tuple(row.get("activation_hosts", vendors.facts()["activation_hosts"])),
        ews_accounts=tuple(row.get("ews_accounts", ())),
        exchange_answer=folder / row.get("exchange_answer", f"{key}.exchange.json"),
        exceptions=tuple(
            Waiver(**{**one, "until": date.fromisoformat(one["until"])}) for one in row.get("exceptions", ())
        ),
        spaceiq=_spaceiq(key, row.get("spaceiq", {}), folder),
        rooms=_rooms(row.get("rooms", {}), row["admin"]),
        revoke=tuple(row.get("revoke", ())),
        confirmations={name: _confirmation(name, one) for name, one in row.get("confirmations", {}).items()},
    )


def _spaceiq(key: str, row: Json, folder: Path) -> SpaceSource:
    if row.get("source") == "csv":
        return SpaceSource("csv", folder / row.get("export", f"{key}.spaceiq.csv"), row.get("columns", {}))
    known = vendors.facts()["spaceiq"]
    return SpaceSource(**{name: known[name] for name in ("endpoint", "authorization")} | row) if row else SpaceSource()


def _rooms(row: Json, admin: str) -> RoomPlan:
    plan: Json = {"organizer": admin, **row}
    plan["spaces"] = {room.lower(): space for room, space in row.get("spaces", {}).items()}
    return RoomPlan(**plan)


def _confirmation(key: str, row: Json) -> Confirmation:
    return Confirmation(key, "", True, row["by"], datetime.fromisoformat(row["at"]), "tenant file", row.get("note", ""))


def _cloud(page: _Page, value: str) -> Cloud:
    """Return the built-in cloud of that name, or the custom one described by the file `value` points to."""
    if value in vendors.clouds():
        return vendors.clouds()[value]
    path = page.path.parent / str(value)
    if not path.is_file():
        names = ", ".join(vendors.clouds())
        if path.suffix == ".yaml":
            page.fault(("cloud",), f"the cloud file {path} is not there; for the sandbox, 'runbook sandbox' writes it")
        else:
            page.fault(("cloud",), f"{value!r} is neither one of {names} nor a cloud file")
        page.stop_on_faults()
    return cloud_file(path)


def cloud_file(path: Path) -> Cloud:
    """Return the cloud of one's own that the file at `path` describes; raises SettingsError when it has faults."""
    page = _Page(path, "cloud")
    page.stop_on_faults()
    row = page.row
    ca_file = path.parent / row["ca_file"] if "ca_file" in row else None
    return Cloud(row["name"], row["login"].rstrip("/"), row["graph"].rstrip("/"), False, ca_file=ca_file)


@dataclass(frozen=True, slots=True, order=True)
class _Fault:
    line: int
    words: str


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without surprises: times stay text, so that the schema and the reader see the same thing.

    The C library reads it, five times as fast, where there is one. A value that is not what its tag or its look says
    is a fault of its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; raise ConstructorError, whatever PyYAML's own constructors raise."""
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            words = f"{str(node.value)[:40]!r} is not what it looks like, or its tag says"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark) from error


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Page:
    """One YAML file with its faults and the line of every value."""

    def __init__(self, path: Path, definition: str) -> None:
        """Read `path` and hold it against the schema's `definition`."""
        self.path = path
        self.faults: list[_Fault] = []
        self.lines: dict[tuple[str | int, ...], int] = {(): 1}
        self.row: Json = {}
        self._read(definition)

    def fault(self, place: tuple[str | int, ...], words: str) -> None:
        """Note a fault at the line of `place`, or of the nearest place above it that is in the file."""
        while place not in self.lines:
            place = place[:-1]
        self.faults.append(_Fault(self.lines[place], words))

    def stop_on_faults(self) -> None:
        """Raise one SettingsError that names every fault."""
        if not self.faults:
            return
        listed = "\n".join(f"  line {fault.line}: {fault.words}" for fault in sorted(set(self.faults)))
        count = f"{len(set(self.faults))} fault{'s' if len(set(self.faults)) > 1 else ''}"
        example = SCHEMA.with_name("_example.yaml")
        raise SettingsError(f"{self.path} has {count}:\n{listed}", f"Correct the file; {example} explains every key.")

    def check_times(self, now: datetime) -> None:
        """Note every confirmation whose time is unreadable, without zone, or in the future."""
        said = self.row.get("confirmations")
        for key, one in said.items() if isinstance(said, dict) else ():
            if not isinstance(one, dict) or "at" not in one:
                continue  # which the schema says
            place, text = ("confirmations", key, "at"), one["at"]
            try:
                at = datetime.fromisoformat(str(text))
            except ValueError:
                self.fault(place, f"{text!r} is not a time such as 2026-11-22T21:05:00Z")
                continue
            if at.tzinfo is None:
                self.fault(place, f"{text!r} has no time zone; write 2026-11-22T21:05:00Z")
            elif at > now:
                self.fault(place, f"{text} lies in the future; nobody can have confirmed it yet")

    def check_exceptions(self) -> None:
        """Note every exception whose last day is in no calendar."""
        named = self.row.get("exceptions")
        for index, one in enumerate(named) if isinstance(named, list) else ():
            if not isinstance(one, dict) or "until" not in one:
                continue  # which the schema says
            place, text = ("exceptions", index, "until"), str(one["until"])
            try:
                date.fromisoformat(text)
            except ValueError:
                self.fault(place, f"{text!r} is not a day such as 2027-03-31")

    def check_certificate(self) -> None:
        """Note a certificate sign-in without certificate file."""
        sign_in = self.row.get("sign_in")
        if isinstance(sign_in, dict) and sign_in.get("method") == "certificate" and "certificate" not in sign_in:
            self.fault(("sign_in", "method"), "method 'certificate' needs a line 'certificate:' with the PEM file")

    def check_company(self) -> None:
        """Note a SpaceIQ API without the company whose token it must be."""
        spaceiq = self.row.get("spaceiq")
        if isinstance(spaceiq, dict) and spaceiq.get("source") == "graphql" and "company" not in spaceiq:
            self.fault(("spaceiq", "source"), "source 'graphql' needs a line 'company:' with the name SpaceIQ shows")

    def _read(self, definition: str) -> None:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
            if why := _too_much(text):
                self.faults.append(_Fault(1, why))
                return
            loader = _Loader(text)
            node = loader.get_single_node()
            if _nodes(node, []) > MOST_NODES:
                self.faults.append(_Fault(1, "its aliases (*) make more of the file than anybody can read"))
                return
            self._note_lines(node, ())
            row = loader.construct_document(node) if node else None
        except OSError as error:
            self.faults.append(_Fault(1, f"the file cannot be read: {error.strerror}"))
        except UnicodeDecodeError:
            self.faults.append(_Fault(1, "the file is not UTF-8 text"))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.faults.append(_Fault(line, f"not readable as YAML: {error.problem}"))
        except yaml.YAMLError as error:
            self.faults.append(_Fault(1, f"not readable as YAML: {error}"))
        else:
            if isinstance(row, dict):
                self.row = row
                for place, words in _off_schema(text, definition):
                    self.fault(place, words)
            else:
                self.faults.append(_Fault(1, "the file holds no 'key: value' lines"))

    def _note_lines(self, node: yaml.Node | None, place: tuple[str | int, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    words = "a name has to be one word; a value that begins with { or [ needs quotes"
                    self.faults.append(_Fault(name.start_mark.line + 1, words))
                    continue
                inner = (*place, name.value)
                if inner in self.lines:
                    self.faults.append(_Fault(name.start_mark.line + 1, f"{name.value!r} stands twice"))
                self.lines[inner] = name.start_mark.line + 1
                self._note_lines(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self.lines[*place, index] = value.start_mark.line + 1
                self._note_lines(value, (*place, index))


def _too_much(text: str) -> str:
    """Return why a text is not even parsed: the parser of YAML would use up the process for some of them."""
    if len(text) > LONGEST_TEXT:
        return f"the file is longer than {LONGEST_TEXT} letters"
    depth = deepest = 0
    for mark in re.findall(r"[\[\]{}]", text):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST or re.search(rf"(?:[-?]\s+){{{DEEPEST}}}", text):
        return f"something is nested more than {DEEPEST} deep"
    return ""


def _nodes(node: yaml.Node | None, above: list[int]) -> int:
    """Count the nodes with every alias written out, as far as MOST_NODES; one within itself is too many."""
    if node is None or id(node) in above:
        return MOST_NODES + 1 if node is not None else 0
    inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
    inner = list(node.value) if isinstance(node, yaml.SequenceNode) else inner
    count = 1
    for part in inner:
        count += _nodes(part, [*above, id(node)])
        if count > MOST_NODES:
            break
    return count


@lru_cache(maxsize=8)  # every notebook of a run reads the same two files
def _off_schema(text: str, definition: str) -> list[tuple[tuple[str | int, ...], str]]:
    """Return place and words of each value in the YAML `text` that is not as the schema's `definition` says."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    whole = {**schema, "$ref": f"#/$defs/{definition}"}
    row = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    return [one for error in validator(whole).iter_errors(row) for one in _in_words(error)]


def _in_words(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Say a schema error as a person would; the schema's own descriptions carry the meaning."""
    place = tuple(error.absolute_path)
    where = ".".join(str(part) for part in place)
    schema: Any = error.schema
    instance: Any = error.instance
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            for name in (name for name in instance if name not in known):
                near = difflib.get_close_matches(str(name), known, 1)
                yield (*place, name), f"unknown key {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        case "required":
            missing = error.message.split("'")[1]
            yield place, f"{missing!r} is missing" + (f" in {where}" if where else "")
        case "enum":
            yield place, f"{where}: {instance!r} is none of {', '.join(schema['enum'])}"
        case _:
            yield place, f"{where}: {instance!r} is not {schema.get('description', error.message)}"
