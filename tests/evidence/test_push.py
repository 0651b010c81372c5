"""Sealed runs reach an archive whole, once and verified: a folder, Azure Blob by Azurite, S3 by moto."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import seal as sealing
from runbook_lib.evidence import verify
from runbook_lib.evidence.archive import receipts, store
from runbook_lib.evidence.archive.immutability import Hold
from runbook_lib.evidence.archive.push import at, check, fetch
from runbook_lib.evidence.bagit import Kind
from runbook_lib.evidence.trust import Trust
from tests.archives import (
    KEY,
    Archive,
    AzureArchive,
    FolderArchive,
    Frail,
    S3Archive,
    everything,
    name,
    new_bucket,
    new_container,
    push_to,
    pushed,
    running_azurite,
    running_moto,
)
from tests.fake_runs import NOW, two_steps


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Azurite, as the connection string of its account."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def azure(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureArchive]:
    """A new container at Azurite."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    with new_container(azurite) as container:
        yield container


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A running moto, as its address."""
    with running_moto() as address:
        yield address


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Archive]:
    """A new bucket at moto."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret-of-anybody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    with new_bucket() as bucket:
        yield bucket


PICTURE = "data/Plan #2, Räume?.png"
"""Addresses end at # and ?, names of files do not."""
EVERYWHERE = pytest.mark.parametrize("archive", ["folder", "azure", "s3"], indirect=True)


@pytest.fixture(params=["folder", "azure"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    """An empty archive: a folder and Azure Blob in turn, S3 as well where a test asks for all."""
    if request.param == "folder":
        (tmp_path / "archive").mkdir()
        return FolderArchive(tmp_path / "archive")
    found: Archive = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed run with two steps and a picture somebody put there, in the outputs of this test."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    folder = two_steps(tmp_path / "outputs")
    (folder / PICTURE).write_bytes(b"picture")
    return sealing.seal(folder, clock=lambda: NOW)


@EVERYWHERE
def test_a_run_arrives_whole_and_a_second_push_sends_nothing(archive: Archive, run: Path, tmp_path: Path) -> None:
    [first] = push_to(archive, run)
    files = everything(run)
    assert (first.exit_code, first.sent, first.there) == (0, len(files), 0), first.words
    with store.opened(archive.url) as place:
        assert everything(fetch(place, name(run), tmp_path / "fetched")) == files
    [second] = push_to(archive, run)
    assert (second.exit_code, second.sent, second.there) == (0, 0, len(files))
    found, _ = at(first.archived_at, Trust())
    assert (found.faults, found.seal) == ((), verify.seal_hash(run))


CUTS = [("folder", 0), ("folder", 3), ("folder", 10), ("azure", 0), ("azure", 10)]


@pytest.mark.parametrize(("archive", "uploads"), CUTS, indirect=["archive"])
def test_a_push_that_was_cut_off_is_visibly_no_sealed_run_and_goes_on_where_it_stopped(
    archive: Archive, run: Path, uploads: int
) -> None:
    files = everything(run)
    with store.opened(archive.url) as real:
        frail = Frail(real, uploads, [])
        [cut] = pushed(frail, run)
        assert (cut.exit_code, "The network is gone" in cut.words) == (1, True)
        assert len(real.names(name(run))) == uploads < len(files)
        assert f"{name(run)}/tagmanifest-sha256.txt" not in frail.order
    if uploads:
        assert [one.kind for one in at(f"{archive.url}/{name(run)}", Trust())[0].faults] == [Kind.UNSEALED]
    [again] = push_to(archive, run)
    assert (again.exit_code, again.sent, again.there) == (0, len(files) - uploads, uploads)


TAKEN = [("folder", "bag-info.txt"), ("azure", "tagmanifest-sha256.txt")]


@pytest.mark.parametrize(("archive", "path"), TAKEN, indirect=["archive"])
def test_an_object_with_other_content_is_named_and_not_replaced(archive: Archive, run: Path, path: str) -> None:
    archive.overwrite(f"{name(run)}/{path}", b"mine")
    [refused] = push_to(archive, run, remove_local=True)
    assert (refused.exit_code, f"{name(run)}/{path}" in refused.words) == (3, True)
    with store.opened(archive.url) as place:
        assert place.read(f"{name(run)}/{path}") == b"mine"
    assert verify.verify(run) == ()


@EVERYWHERE
def test_what_somebody_else_puts_there_meanwhile_is_not_replaced(archive: Archive, run: Path) -> None:
    same, other = "data/06_access.json", "data/06_access.raw.json"
    archive.overwrite(f"{name(run)}/{same}", (run / same).read_bytes())
    archive.overwrite(f"{name(run)}/{other}", b"mine")
    with store.opened(archive.url) as real:
        blind = Frail(real, 1000, [])
        blind.names = lambda _: []  # type: ignore[attr-defined]
        [refused] = pushed(blind, run)
        assert (refused.exit_code, other in refused.words, f"{same} " in refused.words) == (3, True, False)
        assert real.read(f"{name(run)}/{other}") == b"mine"
        assert "tagmanifest-sha256.txt" not in real.names(name(run))


def test_a_byte_flipped_in_the_archive_is_noticed_there(archive: Archive, run: Path) -> None:
    push_to(archive, run)
    path = "data/06_access.raw.json"
    archive.overwrite(f"{name(run)}/{path}", (run / path).read_bytes().swapcase())
    faults = at(f"{archive.url}/{name(run)}", Trust())[0].faults
    assert (Kind.CHANGED, path) in {(one.kind, one.path) for one in faults}
    assert push_to(archive, run)[0].exit_code == 3


def test_a_strangers_file_in_the_archive_is_named_before_anything_is_sent(archive: Archive, run: Path) -> None:
    archive.overwrite(f"{name(run)}/data/extra.csv", b"x")
    [refused] = push_to(archive, run, remove_local=True)
    assert (refused.exit_code, "data/extra.csv" in refused.words) == (3, True)
    with store.opened(archive.url) as place:
        assert place.names(name(run)) == ["data/extra.csv"]
    assert verify.verify(run) == ()


def test_files_are_removed_here_only_once_they_are_verified_there(archive: Archive, run: Path) -> None:
    before, seal = everything(run), verify.seal_hash(run)
    with store.opened(archive.url) as real:
        [cut] = pushed(Frail(real, 5, []), run, remove_local=True)
    assert (cut.exit_code, everything(run)) == (1, before)
    [moved] = push_to(archive, run, remove_local=True)
    stays = everything(run)
    assert (moved.exit_code, moved.removed) == (0, len(before) - len(stays))
    assert {path for path in before if path not in stays} == {
        "data/01_disconnect.ipynb",
        "data/06_access.ipynb",
        "data/06_access.raw.json",
        PICTURE,
    }
    [fault] = verify.verify(run)
    assert (fault.kind, f"runbook verify {moved.archived_at}" in fault.detail) == (Kind.ARCHIVED, True)
    assert verify.seal_hash(run) == seal
    [again] = push_to(archive, run, remove_local=True)
    assert (again.exit_code, again.sent, again.there) == (0, 0, len(before))
    archive.overwrite(f"{name(run)}/data/06_access.ipynb", b"{}")
    assert push_to(archive, run)[0].exit_code == 3


@EVERYWHERE
def test_the_receipt_says_where_when_by_whom_and_what_was_seen(
    archive: Archive, run: Path, request: pytest.FixtureRequest
) -> None:
    [done] = push_to(archive, run)
    receipt = json.loads(Path(done.receipt).read_text())
    assert Path(done.receipt).parent == receipts.place(name(run))
    assert not Path(done.receipt).is_relative_to(run)
    assert receipt["seal_sha256"] == verify.seal_hash(run)
    assert receipt["archived_at"] == f"{archive.url}/{name(run)}"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(receipt["at"])) < timedelta(minutes=1)
    kind = request.node.callspec.params["archive"]
    seen = {
        "folder": ("the account that runs this", Hold.UNKNOWN),
        "azure": ("connection string", Hold.NONE),
        "s3": ("AWS credentials from env", Hold.LOCKED),
    }
    assert (receipt["identity"], receipt["immutability"]["hold"]) == seen[kind]
    assert not any(secret in json.dumps(receipt) for secret in (KEY, "not-a-real-secret-of-anybody"))


@EVERYWHERE
def test_an_archive_that_is_not_known_to_be_immutable_is_refused_before_anything_is_sent(archive: Archive) -> None:
    with store.opened(archive.url) as place:
        if isinstance(archive, S3Archive):
            assert check(place, required=True).hold is Hold.LOCKED
        else:
            with pytest.raises(UsageError, match="nothing was sent"):
                check(place, required=True)


@pytest.mark.parametrize("archive", ["azure", "s3"], indirect=True)
def test_a_container_that_is_not_there_and_a_service_that_does_not_answer_are_told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = archive.url.partition("://")[0]
    with store.opened(f"{scheme}://absent-one/runs") as place, pytest.raises(ArchiveError, match="absent-one"):
        place.immutability()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    known = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", re.sub(r"http://[\d.:]+", "http://127.0.0.1:9", known))
    with store.opened(archive.url) as place, pytest.raises(ArchiveError, match="refused, or did not answer") as told:
        place.immutability()
    assert KEY not in str(told.value)
    assert told.value.remedy
