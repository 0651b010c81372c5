"""A record's shape: every one that we write is as record.schema.json says, older ones stay readable, gaps are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib import settings
from runbook_lib.checks import CHECKS
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import seal
from runbook_lib.model import Confirmation, Finding, Json, Look, Status
from runbook_lib.runs import audit
from runbook_lib.runs import record as records
from runbook_lib.steps.access import checks as access  # noqa: F401 - registers the checks that these records name
from tests.fake_runs import NOW, SAID, TENANT, add, complete, new_run, passing, request, two_steps

FOUND = (
    Finding("no-extra-permissions", "Mail.Read (application)", Status.FAIL, "granted", "Remove it."),
    Finding("no-extra-permissions", "People.Read (delegated)", Status.ACCEPTED, "granted; accepted"),
    passing("no-extra-permissions", "User.Read (delegated)"),
)
ROLES = {
    "app_role_assignments": Look("appRoleAssignments of Cronofy", NOW, ({}, {}), 9, complete=False),
    "delegated_grants": Look("oauth2PermissionGrants", NOW, refusal="lacks Directory.Read.All", complete=False),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run."""
    return new_run(tmp_path / "outputs")


def stored(folder: Path, name: str = "06_access") -> Json:
    """Return a record as its file holds it."""
    row: Json = json.loads((folder / "data" / f"{name}.json").read_text())
    return row


def write(folder: Path, row: Json) -> Path:
    path = folder / "data" / "06_access.json"
    path.write_text(json.dumps(row))
    return path


def faults(row: Json) -> list[str]:
    """Return what is wrong with a record's JSON, once our own reader and jsonschema are of one mind about it."""
    found = list(records.faults(json.dumps(row).encode()))
    by_schema = [error.json_path for error in settings.validator(records.json_schema()).iter_errors(row)]
    assert bool(found) == bool(by_schema), (found, by_schema)
    return found


def test_the_published_schema_is_the_one_that_is_made_from_the_record() -> None:
    published = Path(records.__file__).with_name("record.schema.json")
    made = json.dumps(records.json_schema(), indent=1) + "\n"
    assert published.read_text(encoding="utf-8") == made, f"write the other one into {published}"
    settings.validator({}).check_schema(records.json_schema())


def test_every_record_that_is_written_is_valid(run: Path) -> None:
    complete(run, confirmations=(SAID, Confirmation("later", "words")), requests=(request(1), request(2, 403)))
    add(run, "06_access", *FOUND, look=2, raw=ROLES)
    add(run, "07_sync", look=2, waiting="Step 7 wants step 6 not failed.", override="urgent")
    rows = [stored(run, path.stem) for path in (run / "data").glob("*.json") if not path.name.endswith(".raw.json")]
    assert len(rows) == 10
    assert [faults(row) for row in rows] == [[]] * 10


def test_a_control_says_criterion_procedure_population_result_and_exceptions(run: Path) -> None:
    add(run, "06_access", *FOUND, raw=ROLES)
    [control] = stored(run)["controls"]
    assert control == {
        "control": "no-extra-permissions",
        "criterion": CHECKS["no-extra-permissions"].title,
        "procedure": ["appRoleAssignments of Cronofy", "oauth2PermissionGrants"],
        "population": [
            {"name": "app_role_assignments", "rows": 2, "total": 9, "complete": False},
            {"name": "delegated_grants", "rows": 0, "total": None, "complete": False},
        ],
        "judged": 3,
        "result": "fail",
        "exceptions": [
            {"subject": "Mail.Read (application)", "status": "fail", "saw": "granted"},
            {"subject": "People.Read (delegated)", "status": "accepted", "saw": "granted; accepted"},
        ],
        "evidence": "06_access.raw.json",
    }


def said(key: str, by: str) -> Confirmation:
    return Confirmation(key, "words", True, by, NOW, "form")


DID = said("disconnected", "Dana Hand")
PEOPLE: list[tuple[str, tuple[Confirmation, ...], str]] = [
    ("Kim", (), "not shown"),  # a plan, which the operator typed
    ("Kim", (DID,), "not shown"),
    ("", (said("change-approved", "Kim"),), "not shown"),  # nobody did anything yet
    ("", (said("change-approved", "Kim"), DID), "yes"),
    ("", (said("booking-tested", "Sam"), DID), "yes"),
    ("", (said("booking-tested", "Dana Hand"), DID), "no"),
    ("", (said("booking-tested", " dana  HAND "), DID), "no"),
    ("", (said("booking-tested", "dana"), DID), "no"),  # the account of the machine
    ("", (said("change-approved", "Kim"), said("booking-tested", "Dana Hand"), DID), "no"),
    ("", (said("change-approved", "Dana Hand"), said("booking-tested", "Sam"), DID), "no"),
    ("", (said("change-approved", "Dana Hand"), said("change-approved", "Kim"), DID), "yes"),
    ("", (said("change-approved", "Kim"), DID, said("activated", "Kim")), "no"),
    ("", (replace(said("change-approved", "Kim"), at=None), DID), "not shown"),
    ("", (replace(said("change-approved", "Kim"), confirmed=False), DID), "not shown"),
    ("", (said("change-approved", "  "), DID), "not shown"),
    ("", (said("change-approved", "Kim"), replace(DID, at=None)), "not shown"),
]


@pytest.mark.parametrize(("approved", "confirmations", "eyes"), PEOPLE)
def test_four_eyes_want_a_confirmation_by_somebody_who_did_nothing_himself(
    approved: str, confirmations: tuple[Confirmation, ...], eyes: str
) -> None:
    operator = {"user": "dana", "signed_in": {"account": "dana@contoso.example"}}
    for order in (confirmations, confirmations[::-1]):
        found = audit.people([{"approved_by": approved, "planned_by": "Ira"}], [operator], order)
        assert found["four_eyes"] == eyes
    assert found["planned"] == ["Ira"]
    assert approved not in found["approved"] or not approved
    assert found["executed"][:2] == ["dana", "dana@contoso.example"]


def test_a_record_of_the_first_version_is_valid_and_readable(run: Path) -> None:
    record = add(run, "06_access", passing())
    old = stored(run) | {"schema": 1}
    del old["controls"], old["people"], old["waiting"]
    path = write(run, old)
    assert faults(old) == []
    read = records.read(path)
    assert (read.schema, read.findings, read.waiting) == (1, record.findings, "")
    assert faults(old | {"schema": 2}) != []


def test_a_record_of_a_newer_version_is_refused_with_what_to_do(run: Path) -> None:
    add(run, "06_access", passing())
    with pytest.raises(ArchiveError, match="has version 3 of the record; this runbook knows 2") as refused:
        records.read(write(run, stored(run) | {"schema": 3}))
    assert "newer runbook" in refused.value.remedy


def without_outcome(row: Json) -> str:
    del row["outcome"]
    return "outcome"


def without_tenant_name(row: Json) -> str:
    del row["tenant"]["name"]
    return "tenant.name"


def without_change(row: Json) -> str:
    del row["settings"]["change"]
    return "settings.change"


def without_population(row: Json) -> str:
    del row["looks"][0]["complete"]
    return "looks.0.complete"


def without_status(row: Json) -> str:
    del row["findings"][0]["status"]
    return "findings.0.status"


@pytest.mark.parametrize(
    "spoil", [without_outcome, without_tenant_name, without_change, without_population, without_status]
)
def test_what_a_record_lacks_is_named(run: Path, spoil: Callable[[Json], str]) -> None:
    add(run, "06_access", passing(), raw=ROLES)
    row = stored(run)
    lacking = spoil(row)
    with pytest.raises(ArchiveError) as refused:
        records.read(write(run, row))
    assert f"it lacks {lacking}" in refused.value.message


def test_a_record_with_values_of_the_wrong_kind_is_not_sealed(tmp_path: Path) -> None:
    folder = two_steps(tmp_path / "outputs")
    row = stored(folder)
    row["looks"][0]["rows"] = "many"
    write(folder, row)
    with pytest.raises(ArchiveError, match=r"looks\.0\.rows is not as it should be"):
        seal.seal(folder, clock=lambda: NOW)


WRITTEN = sorted((Path(__file__).parent / "records").glob("*.json"))
"""A record as each version of this program wrote it, by that version's own code."""


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_a_record_that_an_earlier_version_wrote_is_read_whole(path: Path) -> None:
    row = json.loads(path.read_bytes())
    record = records.read(path)
    assert faults(row) == []
    assert record.finished == datetime(2026, 11, 22, 21, 5, tzinfo=UTC)
    assert [one.status for one in record.findings] == [Status.FAIL]
    assert [(one.confirmed, one.at is not None) for one in record.confirmations] == [(True, True), (False, False)]
    assert (record.answers[0].value, record.looks[0]["total"]) == ("CHG-1", None)
    for name in ("tenant", "cloud", "operator", "settings", "versions", "how_to"):
        assert getattr(record, name) == row[name], "nothing that an object holds is lost"
    assert settings.revive(record.settings).key == "contoso"


def test_there_is_a_record_of_every_version() -> None:
    assert {records.read(path).schema for path in WRITTEN} == set(range(1, records.SCHEMA + 1))


@pytest.mark.parametrize("word", ["half \ud83d of a pair", "\udfff", "ends \ud800"])
def test_half_a_pair_of_letters_in_an_answer_does_not_break_the_record(run: Path, word: str) -> None:
    add(run, "06_access", Finding("c", word, Status.FAIL, word), raw={"rooms": Look("rooms", NOW, ({"id": word},), 1)})
    record = records.read(run / "data" / "06_access.json")
    assert "?" in record.findings[0].subject
    assert records.read_raw(run / "data" / "06_access.raw.json")["rooms"].rows == ({"id": word},)


@pytest.mark.parametrize("time", ["2026-11-22T21:00:00", "2026-11-22T21:00:00+01:00", "yesterday", 5, None])
def test_a_time_without_zone_or_of_another_one_is_no_time_of_a_record(run: Path, time: object) -> None:
    add(run, "06_access", passing())
    with pytest.raises(ArchiveError, match="finished is not as it should be"):
        records.read(write(run, stored(run) | {"finished": time}))


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"a":' * 200_000, '{"schema": 2, "step": ' + "[" * 200_000])
def test_json_nested_without_end_is_a_damaged_record_and_no_crash(run: Path, deep: str) -> None:
    path = run / "data" / "06_access.json"
    path.write_text(deep)
    with pytest.raises(ArchiveError, match="not a complete record"):
        records.read(path)
    path.with_suffix(".raw.json").write_text(deep)
    with pytest.raises(ArchiveError, match="does not hold raw answers"):
        records.read_raw(path.with_suffix(".raw.json"))


def test_what_could_not_be_read_again_is_not_written(run: Path) -> None:
    with pytest.raises(ArchiveError, match=r"06_access is not written: tenant\.name is not as it should be"):
        add(run, "06_access", passing(), tenant={**TENANT, "name": 7})  # type: ignore[dict-item]
    assert not (run / "data" / "06_access.json").exists()
