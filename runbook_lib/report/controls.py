"""The control map of controls.yaml: which controls of known frameworks each check gives evidence for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runbook_lib.model import Json

SOURCE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True, slots=True)
class Framework:
    """A list of controls that auditors know: its title, where it is published, and the controls used here by id."""

    key: str
    title: str
    source: str
    catalog: str
    controls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Support:
    """What one check gives evidence for: the ids by framework, why, and how it looks (EXAMINE or TEST)."""

    check: str
    why: str
    method: str
    ids: Mapping[str, tuple[str, ...]]


@cache
def _facts() -> Mapping[str, Any]:
    loaded: Json = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return loaded


def read_on() -> date:
    """Return the day on which the frameworks were read."""
    day: date = _facts()["read"]
    return day


@cache
def frameworks() -> Mapping[str, Framework]:
    """Return the frameworks by key: nist, iso, soc2."""
    return {key: Framework(key, **row) for key, row in _facts()["frameworks"].items()}


@cache
def supports() -> Mapping[str, Support]:
    """Return every row of the map by check."""
    return {check: _support(check, row) for check, row in _facts()["checks"].items()}


def _support(check: str, row: Json) -> Support:
    ids = {key: tuple(row.get(key, ())) for key in frameworks()}
    return Support(check, row["why"], row.get("method", "EXAMINE"), ids)


def references(check: str) -> str:
    """Return the controls a check gives evidence for, in one line; empty for a check that the map does not know."""
    return "; ".join(_references(check))


def _references(check: str) -> Iterator[str]:
    labels = {"nist": "NIST 800-53", "iso": "ISO 27001", "soc2": "SOC 2"}
    known = supports().get(check)
    for key, ids in known.ids.items() if known else ():
        if ids:
            yield f"{labels[key]} {', '.join(ids)}"
