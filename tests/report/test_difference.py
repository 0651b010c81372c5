"""What changed since a tenant's previous run, in words: nothing lost is passed over, nothing unseen is called lost."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.display import frames
from runbook_lib.model import Finding, Look, Status
from runbook_lib.report import changes, story
from runbook_lib.report import page as report_page
from runbook_lib.steps.access import checks as access  # noqa: F401 - registers the checks that these records name
from tests.fake_runs import NOW, add, lines, new_run, passing

SCOPES = ["permission", "kind", "resource", "granted"]
GRAPH = "Microsoft Graph"
ROOMS = ["email", "room", "state"]
RED, BLUE, GREEN = (f"{name}@contoso.example" for name in ("red", "blue", "green"))
EXTRA = ("no-extra-permissions", "Mail.Read (application)")


def scopes(**granted: str) -> frames.Table:
    rows = [
        {"permission": name, "kind": "application", "resource": GRAPH, "granted": its} for name, its in granted.items()
    ]
    return frames.table("scopes", rows, SCOPES)


def rooms(*states: tuple[str, str, str]) -> frames.Table:
    return frames.table("rooms", [dict(zip(ROOMS, one, strict=True)) for one in states], ROOMS)


def seen(number: int, total: int) -> dict[str, Look]:
    return {"rooms": Look("rooms", NOW, ({},) * number, total, complete=number == total)}


def finding(status: Status, saw: str) -> Finding:
    return Finding(*EXTRA, status, saw)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of one tenant, the second a day later, both empty."""
    outputs = tmp_path / "outputs"
    return new_run(outputs), new_run(outputs, at=NOW + timedelta(days=1))


def told(folder: Path) -> list[tuple[str, ...]]:
    """Return what changed, without the column of nothing but words."""
    return [tuple(row.values()) for row in lines(changes.since(story.read(folder)))]


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, ...]]]] = [
    ("nothing", {}, {}, []),
    (
        "a scope is added, another lost, a third narrowed",
        {"frames": (scopes(A="yes", B="yes", C="yes"),)},
        {"frames": (scopes(A="yes", B="no", C="yes, for user x", D="yes"),)},
        [
            ("scope lost", f"B (application, {GRAPH})", "granted: yes", "granted: no"),
            ("scope changed", f"C (application, {GRAPH})", "granted: yes", "granted: yes, for user x"),
            ("scope added", f"D (application, {GRAPH})", "granted: no", "granted: yes"),
        ],
    ),
    (
        "a room is lost, one is new, one has another state, one was only renamed",
        {
            "raw": seen(3, 3),
            "frames": (rooms((RED, "Red", "readable"), (BLUE, "Blue", "readable"), ("x@x", "X", "ok")),),
        },
        {
            "raw": seen(3, 3),
            "frames": (rooms((BLUE, "Blue", "no mailbox"), (GREEN, "Green", "ok"), ("x@x", "Y", "ok")),),
        },
        [
            ("room lost", f"Red ({RED})", "readable", "not there"),
            ("room changed", f"Blue ({BLUE})", "readable", "no mailbox"),
            ("room new", f"Green ({GREEN})", "not there", "ok"),
        ],
    ),
    (
        "a room that an incomplete list lacks is not called lost",
        {"raw": seen(2, 2), "frames": (rooms((RED, "Red", "ok"), (BLUE, "Blue", "ok")),)},
        {"raw": seen(1, 2), "frames": (rooms((BLUE, "Blue", "ok")),)},
        [("room not seen any more, but not all were seen", f"Red ({RED})", "ok", "not there")],
    ),
    (
        "a table that was not recorded this time lost nothing",
        {"frames": (scopes(A="yes"), rooms((RED, "Red", "ok"))), "raw": seen(1, 1)},
        {"raw": seen(1, 1)},
        [],
    ),
]


@pytest.mark.parametrize(("_name", "before", "after", "changed"), CHANGES, ids=[one[0] for one in CHANGES])
def test_what_changed_is_told_row_by_row(
    runs: tuple[Path, Path], _name: str, before: dict[str, Any], after: dict[str, Any], changed: list[tuple[str, ...]]
) -> None:
    for folder, fields in zip(runs, (before, after), strict=True):
        add(folder, "06_access", passing(), **fields)
    assert told(runs[1]) == changed


def test_an_exception_that_expired_is_told_with_the_outcome_and_the_answer(runs: tuple[Path, Path]) -> None:
    for folder, one in zip(
        runs, (finding(Status.ACCEPTED, "ok"), finding(Status.FAIL, "was accepted, which is over")), strict=True
    ):
        add(folder, "06_access", one)
    asked = story.question(EXTRA[0])
    assert told(runs[1]) == [
        ("outcome changed", "Step 6. Review Cronofy's access", "accepted", "fail"),
        ("exception expired or withdrawn", f"{asked} {EXTRA[1]}", "accepted", "was accepted, which is over"),
        ("answer changed", asked, "accepted", "fail"),
    ]


def test_a_new_exception_is_told(runs: tuple[Path, Path]) -> None:
    add(runs[0], "06_access", finding(Status.FAIL, "granted"))
    add(runs[1], "06_access", finding(Status.ACCEPTED, "granted; accepted until 2027"))
    assert ("exception new", "fail", "granted; accepted until 2027") in [(row[0], *row[2:]) for row in told(runs[1])]


def test_a_step_that_did_not_run_this_time_changed_nothing(runs: tuple[Path, Path]) -> None:
    add(runs[0], "06_access", finding(Status.ACCEPTED, "ok"))
    add(runs[1], "00_preflight", passing())
    assert told(runs[1]) == []


def test_an_empty_run_in_between_and_other_tenants_do_not_count(runs: tuple[Path, Path], tmp_path: Path) -> None:
    add(runs[0], "06_access", passing())
    add(new_run(tmp_path / "outputs", "fabrikam"), "06_access", finding(Status.FAIL, "x"))
    last = new_run(tmp_path / "outputs", at=NOW + timedelta(days=2))
    add(last, "06_access", passing())
    assert changes.since(story.read(last)).attrs["previous"] == runs[0].name


def test_the_first_run_has_nothing_to_be_compared_with(runs: tuple[Path, Path]) -> None:
    add(runs[0], "06_access", passing())
    assert changes.since(story.read(runs[0])).attrs["previous"] == ""
    assert "This is the first run of this tenant" in report_page.write(runs[0], story.read(runs[0])).read_text()


def test_a_damaged_previous_run_is_named_and_the_report_is_written_all_the_same(runs: tuple[Path, Path]) -> None:
    add(runs[0], "06_access", passing())
    (runs[0] / "data/06_access.json").write_text("{")
    add(runs[1], "06_access", passing())
    page = report_page.write(runs[1], story.read(runs[1])).read_text()
    assert f"{runs[0].name}, cannot be compared: 06_access.json is not a complete record" in page
    assert "cannot be compared" in changes.words(runs[1])[0]


def test_report_and_status_tell_it(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(runs[0].parent.parent))
    add(runs[0], "06_access", passing(), frames=(scopes(),))
    add(runs[1], "06_access", passing(), frames=(scopes(**{f"Scope{one}": "yes" for one in range(9)}),))
    page = report_page.write(runs[1], story.read(runs[1])).read_text()
    assert page.count('<td class="wide">scope added</td>') == 9
    shown = CliRunner().invoke(main.app, ["status"]).output
    assert (
        f"contoso since its previous run: scope added: Scope0 (application, {GRAPH}) (was granted: no, is granted: yes)"
        in shown
    )
    assert "and 4 more changes: see the report" in shown


def test_a_step_that_broke_is_told_and_so_is_one_that_runs_again(runs: tuple[Path, Path]) -> None:
    before, after = runs
    add(before, "06_access", passing())
    add(before, "07_sync", passing())
    add(after, "06_access", passing())
    for folder, step in ((before, "06_access"), (after, "07_sync")):
        broke = {"step": step, "outcome": "broke", "error": "no answer", "seconds": 1.0}
        (folder / "data" / "batch.json").write_text(json.dumps({"steps": [broke]}))
    assert told(after) == [
        ("step broke", "Step 7. Synchronisation and test", "pass", "broke: no answer"),
        ("step runs again", "Step 6. Review Cronofy's access", "broken", "pass"),
    ]
