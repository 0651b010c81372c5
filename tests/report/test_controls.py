"""The control map: a row for every check, no id that its framework lacks, and the same table in the documentation."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from runbook_lib import steps
from runbook_lib.checks import CHECKS
from runbook_lib.model import Finding, Json, Status
from runbook_lib.report import controls
from runbook_lib.runs import audit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "controls.md"
UPDATE = "RUNBOOK_UPDATE_DOCS" in os.environ
FORMS = {
    "nist": r"([A-Z]{2})-(\d+)(\(\d+\))?",
    "iso": r"A\.(\d)\.(\d+)",
    "soc2": r"CC(\d)\.(\d)",
}
LAST = {
    # https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final, https://www.iso.org/standard/27001, the criteria of the AICPA
    "nist": {"AC": 25, "AU": 16, "CA": 9, "CM": 14, "CP": 13, "IA": 12, "RA": 10, "SA": 23},
    "iso": {"5": 37, "6": 8, "7": 14, "8": 34},
    "soc2": {"1": 5, "2": 3, "3": 4, "4": 2, "5": 3, "6": 8, "7": 5, "8": 1, "9": 2},
}
"""How an id is written, and the last number of each part of a framework."""


def known_checks() -> set[str]:
    steps.load()
    return set(CHECKS)


def test_every_check_has_one_row_and_every_row_a_check() -> None:
    assert set(controls.supports()) == known_checks()


@pytest.mark.parametrize("check", controls.supports())
def test_a_row_says_why_how_and_for_which_control(check: str) -> None:
    row = controls.supports()[check]
    assert row.why
    assert not row.why.endswith(".")
    assert row.method in ("EXAMINE", "TEST")
    assert any(row.ids.values())


@pytest.mark.parametrize("key", FORMS)
def test_an_id_is_one_that_its_framework_has(key: str) -> None:
    framework = controls.frameworks()[key]
    used = {one for row in controls.supports().values() for one in row.ids[key]}
    assert used == set(framework.controls), "each is listed with its title, and none in vain"
    for one in framework.controls:
        found = re.fullmatch(FORMS[key], one)
        assert found, one
        assert 1 <= int(found[2]) <= LAST[key][found[1]], one


def test_what_the_map_does_not_know_supports_nothing() -> None:
    assert controls.references("no-such-check") == ""
    words = "NIST 800-53 AC-6, AC-6(7); ISO 27001 A.5.18, A.8.2, A.8.3; SOC 2 CC6.3"
    assert controls.references("no-extra-permissions") == words


def rows() -> str:
    lines = ["| check | how | " + " | ".join(one.title for one in controls.frameworks().values()) + " | it |"]
    lines.append("| --- " * 6 + "|")
    for check, row in sorted(controls.supports().items()):
        ids = " | ".join(", ".join(row.ids[key]) or "–" for key in controls.frameworks())
        lines.append(f"| `{check}` | {row.method.lower()} | {ids} | {row.why} |")
    return "\n".join(lines) + "\n"


def names() -> str:
    lines = ["| control | title |", "| --- | --- |"]
    for framework in controls.frameworks().values():
        lines += [f"| [{one}]({framework.source}) | {title} |" for one, title in framework.controls.items()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["controls", "names"])
def test_the_table_in_the_documentation_equals_the_map(name: str) -> None:
    table = {"controls": rows, "names": names}[name]()
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", text, re.DOTALL)
    assert found
    if UPDATE:
        DOCUMENT.write_text(text[: found.start(1)] + found[1] + table + found[2] + text[found.end() :], "utf-8")
    else:
        assert found[0] == found[1] + table + found[2]


LOOKS: list[Json] = [
    {"name": "service_principal", "call": "service_principal", "rows": 1, "total": 1, "complete": True},
    {"name": "exchange", "call": "exchange", "rows": 1, "total": 1, "complete": True},
]


@pytest.mark.parametrize(
    ("check", "procedure"),
    [
        ("cronofy-present", ["service_principal"]),
        (
            "outsiders-refused",
            ["exchange: Test-ApplicationAccessPolicy", "exchange: Test-ServicePrincipalAuthorization"],
        ),
        ("limit-decided", []),
    ],
)
def test_a_control_names_what_was_asked_and_how_many_there_were(check: str, procedure: list[str]) -> None:
    assert check in known_checks()
    [row] = audit.controls([Finding(check, "x", Status.PASS, "so")], LOOKS, "06_access.raw.json")
    assert row["procedure"] == procedure
    assert [look["name"] for look in row["population"]] == list(dict.fromkeys(one.split(":")[0] for one in procedure))
