"""Locks: one holder at a time, freed by the end of its process, and a share without locks told from a held one."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from runbook_lib.errors import ArchiveError
from runbook_lib.runs import lock
from runbook_lib.runs.lock import Held


def count_up(file: Path, times: int) -> None:
    """Add one to the number in a file so often, each time under its lock."""
    for _ in range(times):
        with lock.held(file.with_suffix(".lock"), wait_seconds=60):
            file.write_text(str(int(file.read_text() or 0) + 1))


def test_of_many_who_count_under_the_lock_nobody_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=count_up, args=(file, 50)) for _ in range(3)]
    for one in crowd:
        one.start()
    count_up(file, 50)
    for one in crowd:
        one.join()
    assert file.read_text() == "200"


def test_a_second_holder_is_refused_in_words_and_the_first_one_let_go_is_followed(tmp_path: Path) -> None:
    with lock.only_one(tmp_path / "contoso"):
        with pytest.raises(Held, match="Another process is working on contoso"), lock.only_one(tmp_path / "contoso"):
            pass
        with lock.only_one(tmp_path / "fabrikam"):
            pass
    with lock.only_one(tmp_path / "contoso"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_share_that_knows_no_locks_is_not_told_as_somebody_at_work(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(ArchiveError, match="cannot be locked") as told, lock.only_one(tmp_path / "contoso"):
        pass
    assert not isinstance(told.value, Held)
    assert "RUNBOOK_OUTPUTS" in told.value.remedy
