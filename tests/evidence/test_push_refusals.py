"""What of a pushed run stays here, what is refused, and what nothing may delete; the archive is a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import seal, verify
from runbook_lib.evidence.archive import receipts, store
from runbook_lib.evidence.archive.push import fetch
from runbook_lib.evidence.bagit import Kind
from runbook_lib.runs import record as records
from tests.archives import FolderArchive, Frail, everything, name, push_to, pushed
from tests.fake_runs import NOW, add, new_run, passing, payload, two_steps


@pytest.fixture
def folder(tmp_path: Path) -> FolderArchive:
    """An empty folder as archive."""
    (tmp_path / "archive").mkdir()
    return FolderArchive(tmp_path / "archive")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed run with two steps, in the outputs of this test."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return seal.seal(two_steps(tmp_path / "outputs"), clock=lambda: NOW)


def test_payload_goes_first_and_the_tag_manifest_last(folder: FolderArchive, run: Path) -> None:
    with store.opened(folder.url) as real:
        frail = Frail(real, 1000, [])
        pushed(frail, run)
    beside = [path.removeprefix(f"{name(run)}/") for path in frail.order if "/data/" not in path]
    assert frail.order[-len(beside) :] == [f"{name(run)}/{path}" for path in beside]
    assert beside[-1] == "tagmanifest-sha256.txt"


def test_an_archive_that_does_not_list_what_was_sent_is_not_believed(folder: FolderArchive, run: Path) -> None:
    with store.opened(folder.url) as real:
        forgetful = Frail(real, 1000, [])
        forgetful.names = lambda _: []  # type: ignore[attr-defined]
        [refused] = pushed(forgetful, run, remove_local=True)
    assert (refused.exit_code, verify.verify(run)) == (3, ())


def test_a_run_that_was_moved_keeps_chain_and_status(folder: FolderArchive, run: Path) -> None:
    push_to(folder, run, remove_local=True)
    later = new_run(run.parent.parent, at=NOW + timedelta(days=1))
    add(later, "06_access", passing())
    seal.seal(later, clock=lambda: NOW + timedelta(days=1))
    assert verify.verify(later) == ()
    assert verify.verdict(later).proofs[-1] == "Runs of this tenant sealed before it: 1, none missing."
    assert set(records.latest(run)) == {"01_disconnect", "06_access"}


def test_a_moved_run_is_whole_again_once_its_files_are_brought_back(folder: FolderArchive, run: Path) -> None:
    push_to(folder, run, remove_local=True)
    for path, content in everything(folder.place / name(run)).items():
        if not (run / path).exists():
            (run / path).write_bytes(content)
    assert verify.verify(run) == ()
    assert push_to(folder, run)[0].exit_code == 0


def test_a_run_is_kept_all_the_more_when_one_before_it_is_missing(folder: FolderArchive, run: Path) -> None:
    later = new_run(run.parent.parent, at=NOW + timedelta(days=1))
    add(later, "06_access", passing())
    seal.seal(later, clock=lambda: NOW + timedelta(days=1))
    shutil.rmtree(run)
    [kept] = push_to(folder, later)
    assert (kept.exit_code, kept.words) == (0, f"The run sealed before {later.name} is missing.")


def test_what_else_changes_in_a_moved_run_is_still_noticed(folder: FolderArchive, run: Path) -> None:
    push_to(folder, run, remove_local=True)
    record = run / "data/06_access.json"
    record.chmod(0o644)
    record.write_bytes(record.read_bytes() + b"\n")
    assert [(one.kind, one.path) for one in verify.verify(run)][1:] == [(Kind.CHANGED, "data/06_access.json")]
    assert push_to(folder, run)[0].exit_code == 3


def test_a_moved_run_is_not_pushed_elsewhere(folder: FolderArchive, run: Path, tmp_path: Path) -> None:
    push_to(folder, run, remove_local=True)
    (tmp_path / "other").mkdir()
    [refused] = push_to(FolderArchive(tmp_path / "other"), run)
    assert (refused.exit_code, folder.url in refused.words) == (1, True)


def tamper(run: Path) -> None:
    table = run / "data/tables/06_access.scopes.csv"
    table.chmod(0o644)
    table.write_text("permission\nnone\n")


def unseal(run: Path) -> None:
    (run / "tagmanifest-sha256.txt").unlink()


@pytest.mark.parametrize(("spoil", "code", "word"), [(tamper, 3, "scopes.csv"), (unseal, 5, "not sealed")])
def test_only_a_sealed_run_that_verifies_is_pushed(
    folder: FolderArchive, run: Path, spoil: Callable[[Path], None], code: int, word: str
) -> None:
    spoil(run)
    [refused] = push_to(folder, run, remove_local=True)
    assert (refused.exit_code, word in refused.words) == (code, True)
    assert everything(folder.place) == {}
    assert payload(run)


def test_a_file_that_changes_after_the_run_was_verified_is_not_sent(
    folder: FolderArchive, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = verify.verdict(run)
    monkeypatch.setattr(verify, "verdict", lambda *_: seen)
    tamper(run)
    [refused] = push_to(folder, run)
    assert (refused.exit_code, "changed while the run was pushed" in refused.words) == (3, True)
    assert not [path for path in everything(folder.place) if path.endswith("scopes.csv")]


def test_a_receipt_speaks_for_its_seal_and_its_folder_alone(folder: FolderArchive, run: Path, tmp_path: Path) -> None:
    push_to(folder, run)
    assert receipts.removed(run, verify.seal_hash(run)) == ""
    push_to(folder, run, remove_local=True)
    assert receipts.removed(run, verify.seal_hash(run)) == f"{folder.url}/{name(run)}"
    assert receipts.removed(run, "0" * 64) == ""
    copy = shutil.copytree(run, tmp_path / "elsewhere" / name(run))
    assert receipts.removed(copy, verify.seal_hash(run)) == ""
    assert Kind.DELETED in {one.kind for one in verify.verify(copy)}


def test_one_run_that_cannot_be_pushed_does_not_stop_the_others(folder: FolderArchive, run: Path) -> None:
    other = new_run(run.parent.parent, "fabrikam")
    add(other, "06_access", passing(), tenant={"key": "fabrikam", "name": "F", "tenant_id": "f", "domain": "f.example"})
    seal.seal(other, clock=lambda: NOW)
    tamper(run)
    assert [one.exit_code for one in push_to(folder, run, other)] == [3, 0]


def test_an_archive_that_is_outputs_itself_is_refused_and_nothing_is_lost(run: Path, tmp_path: Path) -> None:
    before = everything(run)
    (tmp_path / "link").symlink_to(tmp_path / "outputs")
    for same in (tmp_path / "outputs", tmp_path / "link"):
        with pytest.raises(UsageError, match="where the runs are kept"):
            push_to(FolderArchive(same), run, remove_local=True)
    assert everything(run) == before


def test_an_archive_inside_the_run_is_refused_and_nothing_is_lost(run: Path) -> None:
    before = everything(run)
    for inside in (run, run / "data"):
        with pytest.raises(UsageError, match="inside the run"):
            push_to(FolderArchive(inside), run, remove_local=True)
    assert everything(run) == before


def test_what_changes_or_comes_after_the_look_is_not_deleted(
    folder: FolderArchive, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, late = run / "data/06_access.raw.json", run / "data/late.ipynb"
    write = receipts.write

    def meanwhile(*arguments: Any) -> Path:
        raw.chmod(0o644)
        raw.write_text("{}")
        late.write_text("saved by JupyterLab just now")
        return write(*arguments)

    monkeypatch.setattr(receipts, "write", meanwhile)
    [kept] = push_to(folder, run, remove_local=True)
    assert (kept.exit_code, raw.read_text(), late.exists()) == (0, "{}", True)
    assert {(one.kind, one.path) for one in verify.verify(run)} >= {
        (Kind.CHANGED, "data/06_access.raw.json"),
        (Kind.ADDED, "data/late.ipynb"),
    }


def test_a_copy_of_a_run_is_pushed_under_its_own_name_and_never_removed(
    folder: FolderArchive, run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "mail" / "somewhere")
    with pytest.raises(UsageError, match="a copy"):
        push_to(folder, copy, remove_local=True)
    assert push_to(folder, copy)[0].run == name(run)


@pytest.mark.parametrize(
    "leads", ["../../escaped.txt", "/escaped.txt", "data/../../../escaped.txt", "C:escaped.txt", ".", ""]
)
def test_a_name_that_leads_out_of_the_run_is_fetched_nowhere(
    folder: FolderArchive, run: Path, tmp_path: Path, leads: str
) -> None:
    push_to(folder, run)
    with store.opened(folder.url) as real:
        evil = Frail(real, 0, [])
        evil.names = lambda _: [leads]  # type: ignore[attr-defined]
        evil.read = lambda _: b"x"  # type: ignore[attr-defined]
        with pytest.raises(ArchiveError, match="No sealed run has a file of the name"):
            fetch(evil, name(run), tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.rglob("escaped.txt"))
