"""What cannot be sealed is named, and a sealing that was interrupted can be repeated; nothing is lost either way."""

from __future__ import annotations

import errno
import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import seal, verify
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record
from tests.fake_runs import NOW, TENANT, add, passing, payload, two_steps


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


def spoil_nothing(folder: Path) -> None:
    seal.seal(folder, clock=lambda: NOW)


def no_records(folder: Path) -> None:
    for path in (folder / "data").glob("*.*"):
        path.unlink()


def truncate_a_record(folder: Path) -> None:
    path = folder / "data/06_access.json"
    path.write_bytes(path.read_bytes()[:200])


def truncate_a_notebook(folder: Path) -> None:
    (folder / "data/06_access.ipynb").write_text('{"cells": [')


def lose_raw(folder: Path) -> None:
    (folder / "data/06_access.raw.json").unlink()


def lose_a_table(folder: Path) -> None:
    (folder / "data/tables/06_access.scopes.csv").unlink()


def leave_half_a_file(folder: Path) -> None:
    (folder / "data/.abc.part").write_text("{")


def mix_tenants(folder: Path) -> None:
    add(folder, "07_sync", passing(), tenant={**TENANT, "tenant_id": "another"})


def link(folder: Path) -> None:
    (folder / "data/photo.png").symlink_to("/etc/hostname")


def link_a_folder(folder: Path) -> None:
    (folder / "data/photos").symlink_to("/etc")


def odd_name(folder: Path) -> None:
    (folder / "data/50%25.png").write_text("x")


def two_lines_in_a_name(folder: Path) -> None:
    (folder / "data/a\nb.png").write_text("x")


def undecodable_name(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/data/\xff.png")).write_text("x")


UNSEALABLE = [
    (spoil_nothing, "sealed already"),
    (no_records, "has no records"),
    (truncate_a_record, "data/06_access.json"),
    (truncate_a_notebook, "data/06_access.ipynb"),
    (lose_raw, "06_access.raw.json"),
    (lose_a_table, "06_access.scopes.csv"),
    (leave_half_a_file, "half written"),
    (mix_tenants, "07_sync"),
    (link, "data/photo.png"),
    (link_a_folder, "data/photos"),
    (odd_name, "50%25.png"),
    (two_lines_in_a_name, "a\\nb.png"),
    (undecodable_name, "png"),
]


@pytest.mark.parametrize(("spoil", "named"), UNSEALABLE, ids=[one.__name__ for one, _ in UNSEALABLE])
def test_what_cannot_be_sealed_is_named_with_a_remedy(run: Path, spoil: Callable[[Path], None], named: str) -> None:
    spoil(run)
    before = payload(run)
    with pytest.raises(ArchiveError) as refused:
        seal.seal(run, clock=lambda: NOW)
    assert named in refused.value.message
    assert refused.value.remedy
    assert payload(run) == before
    assert run_folders.is_sealed(run) is (spoil is spoil_nothing)


@pytest.mark.parametrize("written_before", range(5))
def test_sealing_that_was_interrupted_leaves_an_unsealed_run_and_can_be_repeated(
    run: Path, monkeypatch: pytest.MonkeyPatch, written_before: int
) -> None:
    before, write_new = payload(run), run_folders.write_new
    names: list[str] = []

    def full_disk(path: Path, content: bytes) -> None:
        if len(names) == written_before:
            raise ArchiveError(str(path), "Free space.") from OSError(errno.ENOSPC, "No space left on device")
        names.append(path.name)
        write_new(path, content)

    monkeypatch.setattr(run_folders, "write_new", full_disk)
    with pytest.raises(ArchiveError):
        seal.seal(run, clock=lambda: NOW)
    assert not run_folders.is_sealed(run)
    monkeypatch.setattr(run_folders, "write_new", write_new)
    seal.seal(run, clock=lambda: NOW)
    assert verify.verify(run) == ()
    assert payload(run) == before


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as a full quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_quota_that_is_used_up_leaves_the_run_as_it_was(run: Path, size: int) -> None:
    before = sorted(run.rglob("*")), payload(run)
    with limited(size), pytest.raises(ArchiveError, match="cannot be written") as refused:
        seal.seal(run, clock=lambda: NOW)
    assert "Free space" in refused.value.remedy
    assert (sorted(run.rglob("*")), payload(run)) == before
    seal.seal(run, clock=lambda: NOW)
    assert verify.verify(run) == ()


def read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Simulated, because root may write anywhere."""

    def denied(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(folder))

    monkeypatch.setattr(tempfile, "mkstemp", denied)
    return "Read-only file system"


def locked_by_an_editor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """As Windows does with a file that another program keeps to itself; a record is read before any hash is made."""
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.name == "06_access.json":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    return str(folder / "data/06_access.json")


def left_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an interrupted sealing left is open elsewhere, so Windows does not let it go."""
    (folder / "VERIFY.txt").write_text("left")
    unlink = Path.unlink

    def denied(path: Path, missing_ok: bool = False) -> None:
        if path.name == "VERIFY.txt":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", denied)
    return str(folder / "VERIFY.txt")


@pytest.mark.parametrize("spoil", [read_only, locked_by_an_editor, left_open])
def test_what_the_system_refuses_is_no_damage_and_sealing_can_be_repeated(
    run: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path, pytest.MonkeyPatch], str]
) -> None:
    before = payload(run)
    with monkeypatch.context() as spoilt:
        word = spoil(run, spoilt)
        beside = sorted(run.rglob("*"))
        with pytest.raises(ArchiveError) as refused:
            seal.seal(run, clock=lambda: NOW)
    assert word in refused.value.message
    assert "damaged" not in refused.value.message
    assert refused.value.remedy
    assert (sorted(run.rglob("*")), payload(run)) == (beside, before)
    seal.seal(run, clock=lambda: NOW)
    assert verify.verify(run) == ()


def rewrite(run: Path, **fields: object) -> None:
    """Change fields of a record, or take them out with None."""
    path = run / "data/06_access.json"
    row = json.loads(path.read_bytes()) | fields
    path.write_bytes(run_folders.to_json({name: value for name, value in row.items() if value is not None}))


def test_a_record_of_a_newer_runbook_is_no_damage_but_for_the_newer_runbook(run: Path) -> None:
    rewrite(run, schema=record.SCHEMA + 1)
    with pytest.raises(ArchiveError) as refused:
        seal.seal(run, clock=lambda: NOW)
    assert "damaged" not in refused.value.message
    assert refused.value.remedy == "Read it with the newer runbook that wrote it."
    rewrite(run, schema=record.SCHEMA)
    seal.seal(run, clock=lambda: NOW)
    (run / "data/06_access.json").chmod(0o644)
    rewrite(run, schema=record.SCHEMA + 1)
    with pytest.raises(ArchiveError, match="this runbook knows"):  # could not look, which is no verdict
        verify.verify(run)


def test_a_record_of_an_older_runbook_is_sealed_and_verified(run: Path) -> None:
    rewrite(run, schema=1, waiting=None, controls=None, people=None)
    seal.seal(run, clock=lambda: NOW)
    assert verify.verify(run) == ()
