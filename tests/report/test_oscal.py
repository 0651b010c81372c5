"""A run as OSCAL: valid by trestle's own validators, the same ids every time, and nothing satisfied that nobody saw."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import seal
from runbook_lib.model import Finding, Json, Status
from runbook_lib.report import controls, story
from runbook_lib.report.oscal import results as oscal
from runbook_lib.report.share import copy as shareable
from tests.fake_runs import LIMIT, NOW, SAID, SANDBOX, add, complete, new_run, organization, passing

EXCEPTIONS = [
    {"check": "ews-off", "subject": "EwsEnabled", "reason": "later", "approved_by": "Kim", "until": "2027-01-31"}
]
SETTINGS = {"change": {"ticket": "CHG-1", "approved_by": "Kim Chief"}, "access_limit": LIMIT, "exceptions": EXCEPTIONS}
FOUND = (
    Finding("no-extra-permissions", "Mail.Read <b>[x](https://evil.example)", Status.FAIL, "granted", "Remove it."),
    passing("no-extra-permissions", "User.Read"),
    Finding("consent-complete", "", Status.UNKNOWN, "lacks Directory.Read.All", "Grant it."),
    Finding("limit-took-effect", "", Status.PENDING, "wait an hour"),
    Finding("no-personal-consents", "", Status.NOT_APPLICABLE, "no such app"),
    Finding(
        "ews-off", "EwsEnabled", Status.ACCEPTED, "on; accepted", "Switch it off.", "https://learn.microsoft.com/x"
    ),
    passing("domain-verified"),
    Finding("of-a-later-version", "", Status.FAIL, "no"),
)


def new(outputs: Path) -> Path:
    """Return a run with a finding of every status, people, and raw answers."""
    folder = new_run(outputs)
    add(folder, "01_disconnect", confirmations=(SAID,))
    add(folder, "06_access", *FOUND, raw=organization(), minutes=5)
    record = folder / "data" / "06_access.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"settings": SETTINGS}))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run for a test to change."""
    return new(tmp_path / "outputs")


@pytest.fixture(scope="module")
def to(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the documents of a run, for tests to read."""
    root = tmp_path_factory.mktemp("oscal")
    written(new(root / "outputs"), root / "elsewhere" / "documents")
    return root / "elsewhere" / "documents"


@pytest.fixture(scope="module")
def made(to: Path) -> dict[str, Json]:
    """The documents by name."""
    return {name: json.loads((to / f"{name}.json").read_text("utf-8"))[name] for name in oscal.FILES}


@pytest.fixture(scope="module")
def result(made: dict[str, Json]) -> Json:
    """What the assessment found."""
    [found] = made["assessment-results"]["results"]
    return dict(found)


def written(folder: Path, to: Path) -> dict[str, Json]:
    """Write the documents and return them by name."""
    paths = oscal.write(story.read(folder), to)
    return {path.stem: json.loads(path.read_text("utf-8"))[path.stem] for path in paths}


def uuids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key == "uuid")
        yield from (one for inner in value.values() for one in uuids(inner))
    if isinstance(value, list):
        yield from (one for inner in value for one in uuids(inner))


def validated(workspace: Path) -> bool:
    """Tell what `trestle validate --all` says of a workspace."""
    from trestle.common.const import VAL_MODE_ALL
    from trestle.core.validator_factory import validator_factory

    everything = Namespace(trestle_root=workspace, all=True, file=None, type=None, name=None, quiet=True)
    found: int = validator_factory.get(Namespace(mode=VAL_MODE_ALL)).validate(everything)
    return found == 0


def test_trestle_s_own_validators_accept_every_document(to: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / ".trestle").mkdir(parents=True)
    (workspace / ".trestle" / "config.ini").touch()
    for path in to.iterdir():
        place = workspace / f"{path.stem.removesuffix('s')}s" / "run"
        place.mkdir(parents=True)
        shutil.copy(path, place / path.name)
    assert validated(workspace)
    broken = workspace / "assessment-results" / "run" / "assessment-results.json"
    text = broken.read_text()
    first, second = list(dict.fromkeys(uuids(json.loads(text))))[:2]
    broken.write_text(text.replace(second, first))
    assert not validated(workspace)


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("no-extra-permissions", ("not-satisfied", "fail")),
        ("consent-complete", ("not-satisfied", "other")),
        ("limit-took-effect", ("not-satisfied", "other")),
        ("ews-off", ("not-satisfied", "other")),
        ("no-personal-consents", ("satisfied", "other")),
        ("domain-verified", ("satisfied", "pass")),
        ("of-a-later-version", ("not-satisfied", "fail")),
        ("rooms-inside", ("not-satisfied", "other")),  # not judged in this run
    ],
)
def test_only_what_passed_or_does_not_arise_is_satisfied(result: Json, check: str, verdict: tuple[str, str]) -> None:
    findings = {one["target"]["target-id"]: one for one in result["findings"]}
    status = findings[f"{check}_obj"]["target"]["status"]
    assert (status["state"], status["reason"]) == verdict
    assert ("implementation-status" in findings[f"{check}_obj"]["target"]) == (check == "no-personal-consents")


def test_every_status_has_a_verdict_and_every_check_a_finding(result: Json) -> None:
    assert set(oscal.VERDICTS) == {*Status, None}
    reviewed = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    expected = {*controls.supports(), "of-a-later-version"}
    assert {one["control-id"] for one in reviewed} == expected
    assert {one["target"]["target-id"] for one in result["findings"]} == {f"{check}_obj" for check in expected}


def test_writing_again_gives_the_same_ids_and_another_run_gives_others(run: Path, tmp_path: Path) -> None:
    first, again = (written(run, tmp_path / name) for name in ("one", "two"))
    assert first == again
    ids = list(uuids(first["assessment-results"]))
    assert len(ids) == len(set(ids))
    other = new_run(tmp_path / "outputs", at=NOW.replace(day=23))
    complete(other)
    assert not set(ids) & set(uuids(written(other, tmp_path / "three")["assessment-results"]))


def test_whatever_refers_to_something_in_the_documents_finds_it_there(made: dict[str, Json]) -> None:
    known = set(uuids(made))
    text = json.dumps(made)
    for pattern in (r'"subject-uuid": "(.*?)"', r'"(?:actor|observation|risk|component)-uuid": "(.*?)"', r'"#(.*?)"'):
        found = set(re.findall(pattern, text))
        assert found
        assert found <= known, pattern


def test_evidence_is_the_file_with_the_hash_that_the_document_gives(to: Path, made: dict[str, Json]) -> None:
    resources = made["assessment-results"]["back-matter"]["resources"]
    assert {one["title"] for one in resources} == {"01_disconnect.json", "06_access.json", "06_access.raw.json"}
    for one in resources:
        [link] = one["rlinks"]
        content = (to / unquote(link["href"])).read_bytes()
        assert link["hashes"] == [{"algorithm": "SHA-256", "value": hashlib.sha256(content).hexdigest()}]


def test_a_failure_is_an_open_risk_and_an_exception_one_with_the_day_it_ends(result: Json) -> None:
    risks = {one["title"].split(" ")[-1]: one for one in result["risks"]}
    assert len(risks) == 3
    accepted, failed = risks["EwsEnabled"], next(one for one in risks.values() if "Mail.Read" in one["title"])
    assert (accepted["status"], accepted["deadline"]) == ("deviation-approved", "2027-01-31T23:59:59+00:00")
    assert failed["status"] == "open"
    assert "deadline" not in failed
    assert failed["remediations"][0]["description"] == "Remove it."


def test_what_a_tenant_controls_is_no_markup(result: Json) -> None:
    title = next(one["title"] for one in result["risks"] if "Mail.Read" in one["title"])
    assert r"Mail.Read \<b\>\[x\](https://evil.example)" in title


def test_people_are_parties_by_name_and_what_they_said_is_attested(made: dict[str, Json]) -> None:
    results = made["assessment-results"]
    parties = {one["uuid"]: one["name"] for one in results["metadata"]["parties"]}
    assert set(parties.values()) == {"dana", "Dana Admin"}  # the application that signed in is none
    assert set().union(*results["metadata"]["parties"]) == {"uuid", "type", "name"}
    [said] = results["results"][0]["attestations"]
    assert said["parts"][0]["prose"] == SAID.statement
    assert [parties[one] for one in said["responsible-parties"][0]["party-uuids"]] == ["Dana Admin"]


def test_a_rehearsal_says_so_in_every_document(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "outputs")
    complete(folder, cloud=SANDBOX)
    for one in written(folder, tmp_path / "to").values():
        assert one["metadata"]["remarks"] == "sandbox: rehearsal, not audit evidence"


def test_of_a_shareable_copy_the_documents_name_nobody(run: Path, tmp_path: Path) -> None:
    seal.seal(run, clock=lambda: NOW)
    copy = shareable.write(run, tmp_path / "outputs" / "_shareable" / "contoso" / run.name)
    made = written(copy, copy.with_name("oscal"))
    text = json.dumps(made)
    original = json.dumps(written(run, tmp_path / "original"))
    for name in ("Dana Admin", '"dana"'):
        assert name in original
        assert name not in text
    assert "person-1" in text
    raw = next(one for one in made["assessment-results"]["back-matter"]["resources"] if "raw" in one["title"])
    assert "not in this copy" in raw["description"]


def test_a_secret_in_the_records_is_not_passed_on(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "outputs")
    add(folder, "06_access", Finding("domain-verified", "Authorization: Bearer " + "x" * 40, Status.FAIL, "no"))
    with pytest.raises(ArchiveError, match="Authorization header"):
        written(folder, tmp_path / "to")
    assert list(tmp_path.iterdir()) == [tmp_path / "outputs"]


def test_the_command_writes_beside_the_run_and_overwrites_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(run.parent.parent))
    done = CliRunner().invoke(main.app, ["oscal", "contoso", "--json"])
    assert done.exit_code == 0, done.output
    documents = json.loads(done.stdout)["documents"]
    assert {Path(one).name for one in documents} == {f"{name}.json" for name in oscal.FILES}
    assert {Path(one).parent for one in documents} == {run.with_name(f"{run.name}-oscal")}
    again = CliRunner().invoke(main.app, ["oscal", "contoso"])
    assert isinstance(again.exception, UsageError)
    assert "is there already" in str(again.exception)


def test_nothing_is_written_into_the_run_itself(run: Path) -> None:
    with pytest.raises(UsageError, match="inside the run"):
        oscal.write(story.read(run), run / "data" / "oscal")
    assert not (run / "data" / "oscal").exists()


def test_without_the_extra_it_is_said_how_to_get_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trestle.oscal", None)
    with pytest.raises(UsageError, match=r"runbook\.py extras"):
        written(run, tmp_path / "to")
