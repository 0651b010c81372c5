"""The vendors' facts of vendors.yaml, as typed values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runbook_lib.model import Cloud, Json

SOURCE = Path(__file__).with_suffix(".yaml")
MICROSOFT_GRAPH = "00000003-0000-0000-c000-000000000000"


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission that Cronofy needs: the how-to's spelling, Microsoft's name, kind and id, and what it is for."""

    documented: str
    name: str
    kind: str
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Call:
    """One question the runbook puts to Graph, with the least permission it needs and Microsoft's page about it."""

    name: str
    path: str
    paging: str
    delegated: str
    application: str
    why: str
    page: str
    path_delegated: str = ""
    method: str = "GET"
    absent_in: tuple[str, ...] = ()
    """The clouds that do not have this call."""

    def permission(self, app_only: bool) -> str:
        """Return the least permission for this kind of sign-in; empty when it cannot ask this at all."""
        return self.application if app_only else self.delegated


@cache
def facts() -> Mapping[str, Any]:
    """Return vendors.yaml as it stands."""
    loaded: Json = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return loaded


@cache
def calls() -> Mapping[str, Call]:
    """Return every Graph call by name."""
    return {
        name: Call(name, **{**row, "absent_in": tuple(row.get("absent_in", ()))})
        for name, row in facts()["calls"].items()
    }


@cache
def permissions() -> tuple[Permission, ...]:
    """Return what Cronofy Enterprise Connect needs, in the how-to's order."""
    return tuple(Permission(**row) for row in facts()["permissions"])


def permission_id(name: str, kind: str) -> str:
    """Return the id of a Microsoft Graph permission that Cronofy or the runbook needs; `kind` as in a Permission."""
    known = {(one.name, one.kind): one.id for one in permissions()}
    return known.get((name, kind)) or str(facts()["permission_ids"][kind][name])


@cache
def clouds() -> Mapping[str, Cloud]:
    """Return Microsoft's clouds by the name a tenant file uses."""
    return {name: Cloud(name, microsoft=True, **row) for name, row in facts()["clouds"].items()}


def scopes(names: Iterable[str], *, app_only: bool) -> dict[str, str]:
    """Return permission -> reason for the calls in `names`, least permission per call."""
    wanted = (calls()[name] for name in names)
    return {call.permission(app_only): call.why for call in wanted if call.permission(app_only)}
