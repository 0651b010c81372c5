"""Foreign data at the door: a row is read as it should be, or becomes a value that says what is off."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from runbook_lib import checks, forms
from runbook_lib.checks import Rows, check, judge
from runbook_lib.forms import GRAPH, Flag, Moment, Reading, Text
from runbook_lib.model import Look, Status, Unreadable

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Inner:
    __pydantic_config__ = GRAPH
    date_time: Moment


@dataclass(frozen=True, slots=True)
class Thing:
    __pydantic_config__ = GRAPH
    id: Text
    created: Inner
    items: tuple[Inner, ...] = ()
    display_name: str | None = None
    size: int = 0
    enabled: Flag = True


@dataclass(frozen=True, slots=True)
class Facts:
    raw: Reading
    things: tuple[Thing, ...]


GOOD = {"id": "a", "created": {"dateTime": "2026-11-22T21:00:00.1234567Z"}, "displayName": None, "other": [1]}


def test_a_row_is_read_by_the_names_of_the_service() -> None:
    (thing,), off = forms.read("things", [GOOD], Thing)
    assert (thing.id, thing.created.date_time, off) == ("a", NOW.replace(microsecond=123456), ())


@pytest.mark.parametrize(
    ("change", "member", "there"),
    [
        ({"id": None}, "id", "null"),
        ({"id": 7}, "id", "the value 7"),
        ({"id": " "}, "id", "the text ' '"),
        ({"created": []}, "created", "an empty list"),
        ({"created": {}}, "created.dateTime", "missing"),
        ({"created": {"dateTime": "yesterday"}}, "created.dateTime", "the text 'yesterday'"),
        ({"created": {"dateTime": "1493979010"}}, "created.dateTime", "the text '1493979010'"),
        ({"created": {"dateTime": "2026-11-22T21:00:00"}}, "created.dateTime", "the text '2026-11-22T21:00:00'"),
        ({"created": {"dateTime": "0001-01-01T00:00:00+14:00"}}, "created.dateTime", "the text '0001-01-01T00:00:0"),
        ({"items": {"dateTime": "2026-11-22T21:00:00Z"}}, "items", "an object"),
        ({"items": [{"dateTime": 1}]}, "items.0.dateTime", "the value 1"),
        ({"size": "7"}, "size", "the text '7'"),
        ({"size": 7.5}, "size", "the value 7.5"),
        ({"size": True}, "size", "the value True"),
        ({"displayName": ["Oak"]}, "displayName", "a list"),
    ],
)
def test_a_member_that_is_off_is_named_with_what_was_there(change: dict[str, Any], member: str, there: str) -> None:
    read, (off,) = forms.read("things", [GOOD, GOOD | change, GOOD], Thing)
    assert (len(read), off.call, off.row, off.member) == (2, "things", 2, member)
    assert off.there.startswith(there)


@pytest.mark.parametrize("row", [None, [], "a", 3, {}])
def test_a_row_that_is_no_such_object_is_a_value_too(row: Any) -> None:
    read, (off,) = forms.read("things", [row], Thing)
    assert (read, off.row, off.name) == ((), 1, "")


def test_a_text_that_no_encoding_can_write_is_a_value_too() -> None:
    _, (off,) = forms.read("things", [GOOD | {"displayName": "\ud800"}], Thing)
    assert off.name == "a"


@pytest.mark.parametrize(("said", "means"), [(True, True), ("TRUE", True), ("false ", False), (False, False)], ids=repr)
def test_a_flag_is_also_read_as_powershell_writes_it(said: object, means: bool) -> None:
    ((thing,), _) = forms.read("things", [GOOD | {"enabled": said}], Thing)
    assert thing.enabled is means
    assert forms.read("things", [GOOD | {"enabled": "maybe"}], Thing)[0] == ()


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {})

    def rows_of(facts: Facts) -> Rows:
        for thing in facts.things:
            yield thing.id, Status.PASS, "read"

    check("a-check", "All is well", looks=("things",), optional=("others",), remedy="Mend it.")(rows_of)


def judged(**rows: tuple[Any, ...]) -> list[tuple[str, Status]]:
    answers = forms.reading({name: Look(name, NOW, found) for name, found in rows.items()})
    answers.rows("others", Inner)
    return [(one.subject, one.status) for one in judge(Facts(answers, answers.rows("things", Thing)))]


@pytest.mark.usefixtures("one_check")
def test_a_row_that_cannot_be_read_is_one_unknown_and_the_others_are_judged() -> None:
    bad = GOOD | {"id": "b", "size": None}
    assert judged(things=(GOOD, bad)) == [("a", Status.PASS), ("things: b", Status.UNKNOWN)]
    assert judged(things=(None,)) == [("things: row 1", Status.UNKNOWN)]


@pytest.mark.usefixtures("one_check")
def test_a_look_that_a_check_can_do_without_counts_where_it_is_there() -> None:
    assert judged(things=(GOOD,)) == [("a", Status.PASS)]
    assert judged(things=(GOOD,), others=({},)) == [("a", Status.PASS), ("others: row 1", Status.UNKNOWN)]


def test_what_two_forms_cannot_read_in_a_look_is_told_once_each() -> None:
    answers = forms.reading({"things": Look("things", NOW, ({"id": "a"},))})
    assert (answers.rows("things", Thing), answers.rows("things", Thing), answers.rows("things", Inner)) == ((), (), ())
    assert answers.unreadable["things"] == (
        Unreadable("things", 1, "a", "created", "missing"),
        Unreadable("things", 1, "", "dateTime", "missing"),
    )


def test_the_help_of_the_command_does_not_load_pydantic() -> None:
    code = "import sys; import runbook_lib.cli.main, runbook_lib.forms; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
