"""The nouns and the registry: nothing passes by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pytest

from runbook_lib import checks
from runbook_lib.checks import Rows, accept, check, judge
from runbook_lib.model import Answer, Confirmation, Finding, Look, Raw, Status, Waiver, worst

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Facts:
    raw: Raw
    rows: tuple[tuple[str, Status, str], ...] = ()


def rows_of(facts: Facts) -> Rows:
    yield from facts.rows


@pytest.fixture(autouse=True)
def one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {})
    check("a-check", "All is well", looks=("things",), remedy="Mend it.", link="https://example.org")(rows_of)


def raw(**look: object) -> Mapping[str, Look]:
    return {"things": Look("things", NOW, **look)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.UNKNOWN),
        ([Status.PASS], Status.PASS),
        ([Status.PASS, Status.ACCEPTED], Status.ACCEPTED),
        ([Status.PASS, Status.NOT_APPLICABLE], Status.PASS),
        ([Status.NOT_APPLICABLE], Status.NOT_APPLICABLE),
        ([Status.PASS, Status.PENDING, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.UNKNOWN, Status.FAIL, Status.PASS], Status.FAIL),
    ],
)
def test_an_outcome_is_its_worst_finding_and_nothing_seen_is_unknown(statuses: list[Status], expected: Status) -> None:
    assert worst(statuses) is expected


def test_exit_codes_are_those_the_documentation_names() -> None:
    assert {status.value: status.exit_code for status in Status} == {
        "fail": 3,
        "unknown": 4,
        "pending": 5,
        "accepted": 0,
        "n/a": 0,
        "pass": 0,
    }


def test_a_check_says_what_it_saw_and_the_remedy_only_where_something_is_to_do() -> None:
    facts = Facts(raw(rows=({},)), (("one", Status.PASS, "fine"), ("two", Status.FAIL, "broken")))
    assert [(one.subject, one.status, one.saw, one.remedy) for one in judge(facts)] == [
        ("one", Status.PASS, "fine", ""),
        ("two", Status.FAIL, "broken", "Mend it."),
    ]


def test_a_check_without_rows_is_unknown() -> None:
    assert [(one.status, one.saw) for one in judge(Facts(raw()))] == [(Status.UNKNOWN, "nothing was there to judge")]


def test_a_refused_look_makes_its_checks_unknown_without_asking_them() -> None:
    facts = Facts(raw(refusal="Place.Read.All is missing", remedy="Grant it."), (("one", Status.PASS, "fine"),))
    (finding,) = judge(facts)
    assert (finding.status, finding.saw, finding.remedy) == (Status.UNKNOWN, "Place.Read.All is missing", "Grant it.")


def test_what_older_raw_answers_lack_is_unknown_when_they_are_judged_again() -> None:
    (finding,) = judge(Facts({}, (("one", Status.PASS, "fine"),)))
    assert (finding.subject, finding.status, finding.saw) == ("things", Status.UNKNOWN, "this was not asked")


def test_an_incomplete_look_adds_an_unknown_that_says_how_many_of_how_many() -> None:
    facts = Facts(raw(rows=({}, {}), total=5, complete=False), (("one", Status.PASS, "fine"),))
    assert [(one.status, one.saw) for one in judge(facts)] == [
        (Status.PASS, "fine"),
        (Status.UNKNOWN, "saw only 2 of 5"),
    ]


def test_two_checks_cannot_share_an_id() -> None:
    with pytest.raises(ValueError, match="two checks are called a-check"):
        check("a-check", "", looks=(), remedy="")(rows_of)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Look("x", NOW, rows=({}, {}), total=2), "2 of 2"),
        (Look("x", NOW, rows=({}, {})), "2 of 2"),
        (Look("x", NOW, rows=({},), total=250, complete=False), "1 of 250"),
        (Look("x", NOW, rows=({},), complete=False), "1 of ?"),
    ],
)
def test_a_population_is_told_as_n_of_m(look: Look, expected: str) -> None:
    assert look.population == expected


def test_what_nobody_said_is_pending_and_an_optional_answer_does_not_arise() -> None:
    assert Confirmation("k", "words").status is Status.PENDING
    assert Answer("k", "label").status is Status.PENDING
    assert Answer("k", "label", optional=True).status is Status.NOT_APPLICABLE
    assert Answer("k", "label", "value").status is Status.PASS


WAIVER = Waiver("c", "s", "a pilot", "Robin", date(2026, 12, 31))
FAILED = Finding("c", "s", Status.FAIL, "held", "remove it")


@pytest.mark.parametrize(
    ("finding", "today", "status", "says"),
    [
        (FAILED, date(2026, 12, 31), Status.ACCEPTED, "accepted until 2026-12-31 by Robin: a pilot"),
        (FAILED, date(2027, 1, 1), Status.FAIL, "which is over"),
        (replace(FAILED, subject="other"), date(2026, 12, 1), Status.FAIL, "held"),
        (replace(FAILED, check="other"), date(2026, 12, 1), Status.FAIL, "held"),
        (replace(FAILED, status=Status.UNKNOWN), date(2026, 12, 31), Status.ACCEPTED, "accepted until 2026-12-31"),
        (replace(FAILED, status=Status.UNKNOWN), date(2027, 1, 1), Status.UNKNOWN, "which is over"),
        (replace(FAILED, status=Status.PENDING), date(2026, 12, 1), Status.PENDING, "held"),
        (replace(FAILED, status=Status.NOT_APPLICABLE), date(2026, 12, 1), Status.NOT_APPLICABLE, "held"),
        (replace(FAILED, status=Status.PASS), date(2026, 12, 1), Status.PASS, "held"),
    ],
)
def test_an_exception_covers_one_failed_finding_until_its_day(
    finding: Finding, today: date, status: Status, says: str
) -> None:
    (settled,) = accept([finding], [WAIVER], today)
    assert settled.status is status
    assert says in settled.saw
