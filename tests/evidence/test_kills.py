"""A sealing or a push that was killed at any moment is finished by the next one, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from runbook_lib.evidence import seal, verify
from runbook_lib.evidence.archive.push import at
from runbook_lib.evidence.trust import Trust
from tests.archives import FolderArchive, name, push_to
from tests.fake_runs import NOW, two_steps

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the children are forked, which Windows does not do"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs and archives, and an environment that is put back afterwards."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "x")
    return tmp_path


def test_a_sealing_that_was_killed_can_be_repeated(place: Path) -> None:
    from tests.benchmarks import archive_kills

    toll = archive_kills.kill_seals(place / "seals", 4, random.Random(3))
    assert (toll.wrong, sum((toll.killed + toll.over).values())) == ([], 4)


def test_a_push_that_was_killed_can_be_finished_in_every_kind_of_archive(place: Path) -> None:
    from tests.benchmarks import archive_kills

    tolls = archive_kills.everywhere(place, 2, random.Random(3))
    assert [toll.wrong for toll in tolls] == [[], [], []]
    assert sum(sum((toll.killed + toll.over).values()) for toll in tolls) == 6


@pytest.fixture
def archive(place: Path) -> FolderArchive:
    (place / "archive").mkdir()
    return FolderArchive(place / "archive")


def test_a_temporary_file_never_lies_among_the_files_of_a_run(
    place: Path, archive: FolderArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = seal.seal(two_steps(place / "outputs"), clock=lambda: NOW)
    there: list[Path] = []
    real = os.fsync

    def look(handle: int) -> None:
        there.extend(path for path in archive.place.rglob("*.part"))
        real(handle)

    monkeypatch.setattr(os, "fsync", look)
    assert push_to(archive, run)[0].exit_code == 0
    assert {path.parent for path in there} == {archive.place / ".parts"}
    assert list(archive.place.rglob("*.part")) == []


@pytest.mark.parametrize(("hours", "code"), [(2, 0), (0, 3)])
def test_what_an_older_version_s_killed_push_left_is_swept_once_it_is_old(
    place: Path, archive: FolderArchive, hours: int, code: int
) -> None:
    run = seal.seal(two_steps(place / "outputs"), clock=lambda: NOW)
    left = archive.place / name(run) / "data" / ".a1b2c3_4.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (time.time() - hours * 3600,) * 2)
    assert push_to(archive, run)[0].exit_code == code
    assert left.exists() is (code != 0)


@pytest.mark.parametrize("stranger", [".a1b2c3_4.partly", "note.part", ".a1b2c3_45.part", ".A1B2C3_4.part"])
def test_a_stranger_s_file_is_never_swept(place: Path, archive: FolderArchive, stranger: str) -> None:
    run = seal.seal(two_steps(place / "outputs"), clock=lambda: NOW)
    left = archive.place / name(run) / stranger
    left.parent.mkdir(parents=True)
    left.write_bytes(b"ours")
    os.utime(left, (0, 0))
    [refused] = push_to(archive, run)
    assert (refused.exit_code, stranger in refused.words, left.exists()) == (3, True, True)


def test_a_push_of_a_run_in_anothers_place_sends_nothing(place: Path, archive: FolderArchive) -> None:
    run = seal.seal(two_steps(place / "outputs"), clock=lambda: NOW)
    moved = run.rename(run.with_name("20261201T000000Z-0000"))
    [refused] = push_to(archive, moved)
    assert (refused.exit_code, "in the place of" in refused.words) == (3, True)
    assert not (archive.place / "contoso").exists()


def test_an_archived_run_says_who_it_is_wherever_it_lies(place: Path, archive: FolderArchive) -> None:
    run = seal.seal(two_steps(place / "outputs"), clock=lambda: NOW)
    [done] = push_to(archive, run)
    found, _ = at(done.archived_at, Trust())
    assert (found.intact, found.seal) == (True, verify.seal_hash(run))
