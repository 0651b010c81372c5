"""The first screen: what was measured is not what somebody said, and what nobody saw is neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.checks import CHECKS
from runbook_lib.model import Answer, Confirmation, Finding, Look, Status
from runbook_lib.report import glance, story
from runbook_lib.report import page as report
from tests.fake_runs import NOW, SAID, add, complete, new_run, passing
from tests.page import Page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return new_run(tmp_path)


def tiles(run: Path) -> dict[str, tuple[str, ...]]:
    return {one.title: one.lines for one in glance.tiles(story.read(run))}


def test_a_question_is_proved_by_answers_that_came_in_full_and_by_nothing_else(run: Path) -> None:
    asked = story.question("domain-verified")
    whole = {name: Look("domains", NOW, ({"id": "contoso.example"},)) for name in CHECKS["domain-verified"].looks}
    cut = {name: replace(one, complete=False) for name, one in whole.items()}
    worse = Finding("domain-verified", "other.example", Status.UNKNOWN, "not seen")
    for look, (raw, findings, proved) in enumerate(
        [
            (whole, (passing(),), (asked,)),
            (cut, (passing(),), ()),
            ({}, (passing(),), ()),
            (whole, (passing(), worse), ()),
            (whole, (replace(passing(), status=Status.NOT_APPLICABLE),), ()),
            (whole, (replace(passing(), status=Status.ACCEPTED),), ()),
        ]
    ):
        add(run, "00_preflight", *findings, raw=raw, look=look + 1)
        assert tiles(run)["Proved by measurement"] == proved


def test_a_word_is_somebody_s_and_one_that_was_not_given_is_none(run: Path) -> None:
    unsaid = Confirmation("booked", "I booked a room.", False)
    answer = Answer("host", "Which host?", "app.cronofy.com", "Ines", NOW, "typed in the form")
    add(run, "01_disconnect", confirmations=(SAID, unsaid), answers=(answer, replace(answer, value="")))
    said = tiles(run)["Rests on a person's word"]
    assert said == ("I pressed Delete and Yes. (Dana Admin)", "Which host?: app.cronofy.com (Ines)")
    assert tiles(run)["Proved by measurement"] == ()


def test_what_was_refused_is_not_looked_at(run: Path) -> None:
    raw = {"organization": Look("organization", NOW, refusal="It needs a licence")}
    add(run, "00_preflight", raw=raw)
    assert tiles(run)["Not looked at"] == ("Preflight: It needs a licence",)


def test_each_step_is_there_and_each_look_has_its_own_notebook(run: Path) -> None:
    complete(run)
    failed = Finding("domain-verified", "contoso.example", Status.FAIL, "not verified", "Verify it.")
    add(run, "00_preflight", failed, passing("organization-is-the-tenants"), look=2)
    steps = glance.steps(story.read(run))
    assert [one.title.partition(".")[0] for one in steps] == [
        "Preflight",
        *(f"Step {number}" for number in range(1, 8)),
    ]
    first = steps[0]
    assert [(one.subject, one.remedy) for _, one in first.open] == [("contoso.example", "Verify it.")]
    assert [names[:2] for _, names in first.files] == [
        ("00_preflight.2.ipynb", "00_preflight.2.json"),
        ("00_preflight.ipynb", "00_preflight.json"),
    ]
    html = report.write(run, story.read(run)).read_text(encoding="utf-8")
    assert html.count('<details class="step') == 8
    assert html.count('<details class="step fail" open>') == 1
    assert all((run / "data" / link).is_file() for link in Page(html).links if link.startswith("00_"))


def test_a_step_without_a_record_says_so(run: Path) -> None:
    add(run, "00_preflight", passing())
    last = glance.steps(story.read(run))[-1]
    assert (last.status, last.line, last.files) == (Status.PENDING, "not run", ())
