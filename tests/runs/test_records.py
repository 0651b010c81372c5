"""The run's folder: created, read back, never overwritten, never half-written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.model import Answer, Confirmation, Finding, Look, Status
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.record import Record
from tests.fake_runs import LIMIT, MICROSOFT, TENANT, add, new_run, passing

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = run_folders.new_run(tmp_path / "contoso", NOW)
    return made.rename(made.with_name("r"))


def record(step: str = "06_access", look: int = 1, outcome: Status = Status.PASS) -> Record:
    return Record(
        schema=records.SCHEMA,
        step=step,
        look=look,
        run="r",
        tenant=TENANT,
        cloud=MICROSOFT,
        outcome=outcome,
        started=NOW,
        finished=NOW,
        operator={"user": "dana", "attended": True, "signed_in": None},
        findings=(Finding("c", "subject", Status.FAIL, "saw", "remedy"),),
        confirmations=(Confirmation("k", "words", True, "Dana", NOW, "form"), Confirmation("open", "words")),
        answers=(Answer("a", "label", "value", at=NOW),),
        looks=({"name": "rooms", "call": "rooms", "rows": 0, "total": 0, "complete": True, "refusal": ""},),
        requests=(),
        tables=("tables/x.csv",),
        raw_sha256="",
        settings={"change": {"ticket": "", "approved_by": ""}, "access_limit": LIMIT},
        override="",
        versions={"python": "3.11.9", "spaceiq-calendar-runbook": "0.1.0"},
        how_to={"title": "The how-to", "url": "https://knowledge.eptura.com/how-to", "read": "2026-11-22"},
    )


def test_a_record_comes_back_as_it_was_written(folder: Path) -> None:
    path = records.write(folder, record())
    assert path.name == "06_access.json"
    assert records.read(path) == record()


def test_unknown_fields_of_a_newer_version_do_not_hinder_reading(folder: Path) -> None:
    path = records.write(folder, record())
    path.write_text(path.read_text(encoding="utf-8").replace('"schema"', '"invented": 1, "schema"'), encoding="utf-8")
    assert records.read(path) == record()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"outcome": "splendid"}'])
def test_a_damaged_record_is_named_with_a_remedy(folder: Path, text: str) -> None:
    (folder / "data" / "06_access.json").write_text(text)
    with pytest.raises(ArchiveError, match=r"06_access\.json is not a complete record") as raised:
        records.latest(folder)
    assert raised.value.remedy


def test_a_second_look_has_its_own_files_and_is_the_newest(folder: Path) -> None:
    assert run_folders.next_look(folder, "06_access") == 1
    records.write(folder, record(outcome=Status.FAIL))
    assert run_folders.next_look(folder, "06_access") == 2
    path = records.write(folder, record(look=2))
    assert path.name == "06_access.2.json"
    assert records.latest(folder)["06_access"].outcome is Status.PASS
    assert len(records.all_records(folder)) == 2


def test_what_a_crashed_look_left_behind_is_not_in_the_way(folder: Path) -> None:
    run_folders.write_new(folder / "data" / "06_access.raw.json", b"{}")
    run_folders.write_new(folder / "data" / "tables" / "06_access.2.scopes.csv", b"")
    run_folders.write_new(folder / "data" / "06_access.ipynb", b"{}")
    assert run_folders.next_look(folder, "06_access") == 3


def test_nothing_is_ever_overwritten(folder: Path) -> None:
    records.write(folder, record())
    with pytest.raises(ArchiveError, match="never overwritten"):
        records.write(folder, record(outcome=Status.FAIL))
    assert records.latest(folder)["06_access"].outcome is Status.PASS
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["06_access.json"]


def test_a_failed_write_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left on device") as raised:
        records.write(folder, record())
    assert "RUNBOOK_OUTPUTS" in raised.value.remedy
    assert list((folder / "data").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "contoso").write_text("a file is in the way")
    with pytest.raises(ArchiveError, match="cannot be written"):
        run_folders.new_run(tmp_path / "contoso", NOW)


def test_a_file_system_without_hard_links_still_gets_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    records.write(folder, record())
    with pytest.raises(ArchiveError, match="never overwritten"):
        records.write(folder, record())
    assert records.latest(folder)["06_access"] == record()


def test_runs_are_listed_oldest_first_and_only_runs(tmp_path: Path) -> None:
    second = run_folders.new_run(tmp_path / "contoso", NOW.replace(hour=22))
    first = run_folders.new_run(tmp_path / "contoso", NOW)
    (tmp_path / "contoso" / "notes").mkdir()
    assert run_folders.runs(tmp_path, "contoso") == [first, second]
    assert run_folders.runs(tmp_path, "nobody") == []


def test_the_tenants_outcome_is_the_worst_of_its_steps_and_never_the_reports() -> None:
    steps = {"06_access": record(), "07_sync": record("07_sync", outcome=Status.PENDING)}
    assert records.outcome(steps) is Status.PENDING
    assert records.outcome({**steps, "08_report": record("08_report", outcome=Status.FAIL)}) is Status.PENDING
    assert records.outcome({}) is Status.UNKNOWN


def test_raw_answers_come_back_as_they_were(folder: Path) -> None:
    raw = {"rooms": Look("rooms", NOW, ({"id": "ü"},), 2, False), "x": Look("x", NOW, refusal="no", remedy="ask")}
    path = folder / "data" / "07_sync.raw.json"
    run_folders.write_new(path, records.raw_json(raw))
    assert records.read_raw(path) == raw
    path.write_text("{")
    with pytest.raises(ArchiveError):
        records.read_raw(path)


def test_records_differ_when_anything_differs(folder: Path) -> None:
    path = records.write(folder, replace(record(), override="because"))
    assert records.read(path) != record()


def test_json_is_a_key_or_a_row_a_line_so_that_two_versions_can_be_compared() -> None:
    value = {
        "at": NOW,
        "rows": [{"a": 1, "b": [1, 2]}, {"a": "é\n"}],
        "inner": {"empty": {}, "none": [], "pair": (1, None)},
        7: True,
    }
    assert run_folders.to_json(value).decode() == (
        '{\n "at": "2026-11-22T21:00:00+00:00",\n "rows": [\n  {"a": 1, "b": [1, 2]},\n  {"a": "é\\n"}\n ],\n'
        ' "inner": {\n  "empty": {},\n  "none": [],\n  "pair": [\n   1,\n   null\n  ]\n },\n "7": true\n}\n'
    )
    assert json.loads(run_folders.to_json([value]))[0]["inner"] == {"empty": {}, "none": [], "pair": [1, None]}


def test_a_record_that_changed_on_disk_is_read_anew(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "00_preflight", passing())
    path = folder / "data" / "00_preflight.json"
    was = records.read(path)
    path.write_bytes(path.read_bytes().replace(b'"outcome": "pass"', b'"outcome": "fail"'))
    assert (was.outcome, records.read(path).outcome) == (Status.PASS, Status.FAIL)
