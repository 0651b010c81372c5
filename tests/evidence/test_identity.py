"""A run is the run that it says it is: in its own place, of its own tenant, counted once; what is none is named."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, seal, verify
from runbook_lib.evidence.bagit import Kind
from runbook_lib.model import Status
from runbook_lib.report import changes, standing, story
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from tests.fake_runs import NOW, TENANT, add, complete, new_run, passing, two_steps


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of outputs that this program works in."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


def sealed(outputs: Path, days: int = 0, key: str = "contoso", status: Status = Status.PASS) -> Path:
    folder = new_run(outputs, key, NOW + timedelta(days=days))
    found = passing() if status is Status.PASS else passing("c", status.value)
    add(folder, "06_access", found, tenant={**TENANT, "key": key})
    return seal.seal(folder, clock=lambda: NOW + timedelta(days=days))


def swap(good: Path, place: Path) -> None:
    """Put one sealed run into the place of another."""
    shutil.rmtree(place)
    shutil.copytree(good, place)


def test_a_run_in_another_runs_place_is_a_fault_wherever_somebody_looks(outputs: Path) -> None:
    good, bad = sealed(outputs), sealed(outputs, days=1)
    swap(good, bad)
    assert verify.verify(good) == ()
    assert Kind.IDENTITY in {one.kind for one in verify.verify(bad)}
    stands = standing.standing(outputs, "contoso")
    assert (stands.outcome, stands.sealed) == (Status.UNKNOWN, False)
    assert f"in the place of contoso/{bad.name}" in stands.open[0].need
    for look in (records.all_records, records.outcomes, story.read, changes.words):
        with pytest.raises(records.NotItsOwn, match="in the place of"):
            look(bad)


def test_a_run_in_another_tenants_place_is_a_fault(outputs: Path) -> None:
    good = sealed(outputs)
    stolen = outputs / "fabrikam" / good.name
    shutil.copytree(good, stolen)
    [fault] = verify.verify(stolen)
    assert (fault.kind, fault.detail) == (
        Kind.IDENTITY,
        f"It is the run contoso/{good.name}, in the place of fabrikam/{good.name}.",
    )
    assert standing.standing(outputs, "fabrikam").outcome is Status.UNKNOWN


def test_a_copy_that_an_auditor_was_given_is_intact_wherever_it_lies(outputs: Path, tmp_path: Path) -> None:
    good = sealed(outputs)
    for place in (tmp_path / "mail" / good.name, tmp_path / "evidence of november", tmp_path / "x/contoso" / good.name):
        shutil.copytree(good, place)
        assert verify.verify(place) == ()


def test_a_record_of_another_run_inside_a_bag_is_a_fault_even_when_all_hashes_fit(
    outputs: Path, tmp_path: Path
) -> None:
    from tests.evidence.test_signature import seal_by_hand

    run, other = sealed(outputs), sealed(tmp_path / "elsewhere", days=3, key="fabrikam")
    shutil.copyfile(other / "data/06_access.json", run / "data/06_access.json.new")
    (run / "data/06_access.json").chmod(0o644)
    (run / "data/06_access.json.new").replace(run / "data/06_access.json")
    seal_by_hand(run)
    assert Kind.IDENTITY in {one.kind for one in verify.verify(run)}


def test_a_run_that_was_moved_before_it_was_sealed_is_not_sealed_there(outputs: Path) -> None:
    run = two_steps(outputs)
    moved = run.rename(outputs / "contoso" / "20261201T000000Z-0000")
    with pytest.raises(ArchiveError, match="in the place of"):
        seal.seal(moved, clock=lambda: NOW)


COPIES = ["{} - Copy", "{} copy", "restored-{}", "old runs", "{}_2", "Kopie von {}", "{}.bak", "{}.zip_extracted"]


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_made_in_the_file_manager_is_named_and_never_counted(outputs: Path, name: str) -> None:
    run = sealed(outputs)
    copy = outputs / "contoso" / name.format(run.name)
    shutil.copytree(run, copy)
    assert run_folders.runs(outputs, "contoso") == [run]
    [words] = run_folders.strangers(outputs, "contoso", NOW)
    assert f"contoso/{copy.name}" in words
    later = sealed(outputs, days=1)
    assert bagit.read_info(later)["Previous-Run"] == run.name
    shutil.rmtree(copy)
    assert verify.verify(later) == ()
    assert run_folders.strangers(outputs, "contoso", NOW + timedelta(days=1)) == ()


def test_a_copy_beside_the_runs_fails_its_own_verification(outputs: Path) -> None:
    run = sealed(outputs)
    copy = shutil.copytree(run, outputs / "contoso" / f"{run.name} - Copy")
    assert [one.kind for one in verify.verify(copy)] == [Kind.IDENTITY]


@pytest.mark.parametrize(
    ("ahead", "said"), [(timedelta(hours=1), 0), (timedelta(days=2), 1), (timedelta(days=9999), 1)]
)
def test_a_run_that_is_dated_in_the_future_is_said(outputs: Path, ahead: timedelta, said: int) -> None:
    new_run(outputs, at=NOW + ahead)
    found = run_folders.strangers(outputs, "contoso", NOW)
    assert [("in the future" in words) for words in found] == [True] * said


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # an address of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


ENDLESS = ["tagmanifest-sha256.txt", "manifest-sha256.txt", "bag-info.txt", "tagmanifest-sha256.txt.sig"]
INSIDE = ["data/06_access.json", "data/06_access.ipynb", "data/06_access.raw.json", "data/new.csv", "VERIFY.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither pipes nor devices among its files")
@pytest.mark.parametrize("make", [pipe, device, listening, loop])
@pytest.mark.parametrize("name", [*ENDLESS, *INSIDE, "tagmanifest-sha256.txt.tsr", "bagit.txt"])
def test_what_never_ends_is_a_fault_and_no_hang(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    run = seal.seal(two_steps(tmp_path / "outputs"), clock=lambda: NOW)
    (run / name).unlink(missing_ok=True)
    make(run / name)
    assert verify.verify(run)
    if name == "data/06_access.json":
        with pytest.raises(ArchiveError):
            records.all_records(run)


DEEP = ["[" * 200_000, '{"a":' * 200_000, '{"cells":' + "[" * 200_000 + "]" * 200_000 + "}"]


@pytest.mark.parametrize("name", ["data/06_access.json", "data/06_access.ipynb"])
@pytest.mark.parametrize("deep", DEEP, ids=["lists", "objects", "cells"])
def test_json_nested_without_end_is_a_fault_and_no_crash(tmp_path: Path, name: str, deep: str) -> None:
    run = seal.seal(two_steps(tmp_path / "outputs"), clock=lambda: NOW)
    (run / name).chmod(0o644)
    (run / name).write_text(deep)
    assert {Kind.CHANGED, Kind.RECORD} <= {one.kind for one in verify.verify(run) if one.path == name}


LITTER = [".DS_Store", "Thumbs.db", "desktop.ini", "._06_access.json"]


@pytest.mark.parametrize("name", LITTER)
@pytest.mark.parametrize("place", ["data", "data/tables"])
def test_what_a_file_manager_left_is_refused_before_sealing_and_named_after(
    tmp_path: Path, name: str, place: str
) -> None:
    run = two_steps(tmp_path / "outputs")
    (run / place / name).write_bytes(b"\0\0\0\1Bud1")
    with pytest.raises(ArchiveError, match="is no part of the run") as refused:
        seal.seal(run, clock=lambda: NOW)
    assert "Delete it" in refused.value.remedy
    (run / place / name).unlink()
    seal.seal(run, clock=lambda: NOW)
    (run / place / name).write_bytes(b"\0\0\0\1Bud1")
    [fault] = [one for one in verify.verify(run) if one.path == f"{place}/{name}"]
    assert (fault.kind, "left it there: delete it" in fault.detail) == (Kind.ADDED, True)


@pytest.mark.parametrize("name", ["Bildschirmfoto für Büro.png", "Ångström.txt", "한국어.csv"])
def test_a_name_that_a_file_system_spells_in_another_way_is_the_same_name(name: str) -> None:
    sealed_as, there = unicodedata.normalize("NFC", f"data/{name}"), unicodedata.normalize("NFD", f"data/{name}")
    assert sealed_as != there
    assert list(bagit.differences({sealed_as: "a" * 64}, {there: "a" * 64})) == []
    [changed] = bagit.differences({sealed_as: "a" * 64}, {there: "b" * 64})
    assert changed.kind is Kind.CHANGED
    both = list(bagit.differences({sealed_as: "a" * 64}, {sealed_as: "a" * 64, there: "a" * 64}))
    assert [(one.kind, one.path) for one in both] == [(Kind.ADDED, there)]


def test_the_verdict_on_a_whole_run_is_one_object(outputs: Path) -> None:
    run = new_run(outputs)
    complete(run)
    seal.seal(run, clock=lambda: NOW)
    found = verify.verdict(run)
    assert (found.intact, found.seal, found.folder) == (True, verify.seal_hash(run), run)
    assert found.proofs[-1] == "It is the first of its chain."
