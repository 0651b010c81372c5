"""What cannot be sealed is named, and a sealing that was interrupted can be repeated; nothing is lost either way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib import evidence, records
from runbook_lib.errors import ArchiveError
from tests.fake_runs import NOW, TENANT, add, passing, payload, two_steps


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


def spoil_nothing(folder: Path) -> None:
    evidence.seal(folder, clock=lambda: NOW)


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
        evidence.seal(run, clock=lambda: NOW)
    assert named in refused.value.message
    assert refused.value.remedy
    assert payload(run) == before
    assert records.is_sealed(run) is (spoil is spoil_nothing)


@pytest.mark.parametrize("written_before", range(5))
def test_sealing_that_was_interrupted_leaves_an_unsealed_run_and_can_be_repeated(
    run: Path, monkeypatch: pytest.MonkeyPatch, written_before: int
) -> None:
    before, write_new = payload(run), records.write_new
    names: list[str] = []

    def full_disk(path: Path, content: bytes) -> None:
        if len(names) == written_before:
            raise ArchiveError(str(path), "Free space.") from OSError(errno.ENOSPC, "No space left on device")
        names.append(path.name)
        write_new(path, content)

    monkeypatch.setattr(records, "write_new", full_disk)
    with pytest.raises(ArchiveError):
        evidence.seal(run, clock=lambda: NOW)
    assert not records.is_sealed(run)
    monkeypatch.setattr(records, "write_new", write_new)
    evidence.seal(run, clock=lambda: NOW)
    assert evidence.verify(run) == ()
    assert payload(run) == before
