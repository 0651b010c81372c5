"""A change in the tenant and its record are one thing: noted before, ended after, and never lost between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError, Forbidden, GraphError, Unreachable, WrongTenant
from runbook_lib.runs import writes
from tests.fake_runs import new_run

KILLED = """
import os, signal, sys
from pathlib import Path
from runbook_lib.runs import writes
with writes.writing(Path(sys.argv[1]), "07_sync", "book", "room@contoso.example"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return new_run(tmp_path)


def test_a_write_is_noted_before_it_happens_and_with_what_came_of_it(run: Path) -> None:
    with writes.writing(run, "07_sync", "book", "r1@contoso.example", "Room 1") as write:
        [begun] = writes.written(run)
        assert (begun.result, begun.ended, begun.target) == ("", None, "r1@contoso.example")
        write.answer["id"] = "event-1"
    [done] = writes.written(run)
    assert (done.result, done.answer, done.verb, done.subject) == ("done", {"id": "event-1"}, "book", "Room 1")
    assert done.ended is not None
    assert done.ended >= done.begun


def test_a_refusal_is_noted_and_stays_an_error(run: Path) -> None:
    refusal = Forbidden("No.", status=403, code="denied")
    with pytest.raises(Forbidden), writes.writing(run, "06_access", "revoke", "grant-1"):
        raise refusal
    [write] = writes.written(run)
    assert write.result == "refused"


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("gone"),
        GraphError("trouble", status=503, code="x"),
        WrongTenant("x"),
        OSError("reset"),
        KeyError("x"),
    ],
)
def test_an_error_that_is_no_answer_leaves_it_unknown_whether_the_write_was_done(run: Path, error: Exception) -> None:
    with pytest.raises(type(error)), writes.writing(run, "06_access", "revoke", "grant-1"):
        raise error
    [write] = writes.unsettled(run)
    assert write.result == "unknown"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a signal of POSIX")
def test_a_write_that_was_killed_shows_as_begun_and_never_ended(run: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(run)], check=False, cwd=Path(__file__).parents[2])
    assert child.returncode == -signal.SIGKILL
    [write] = writes.written(run)
    assert (write.verb, write.result, write.ended) == ("book", "", None)


@pytest.mark.parametrize("cut", [b'{"id": "x", "at"', b"{", b"\0\0\0"])
def test_a_line_that_a_crash_cut_off_spoils_no_other(run: Path, cut: bytes) -> None:
    with writes.writing(run, "06_access", "revoke", "one"):
        pass
    with (run / "data" / writes.FILE).open("ab") as file:
        file.write(cut)
    with writes.writing(run, "06_access", "revoke", "two"):
        pass
    assert [(write.target, write.result) for write in writes.written(run)] == [("one", "done"), ("two", "done")]


def test_each_line_is_on_the_disk_before_the_tenant_is_touched(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with writes.writing(run, "06_access", "revoke", "one"):
        assert len(synced) == 1
    assert len(synced) == 2


def test_a_write_that_cannot_be_noted_does_not_happen(run: Path) -> None:
    (run / "data" / writes.FILE).mkdir()
    happened = []
    with pytest.raises(ArchiveError, match="cannot be written"), writes.writing(run, "06_access", "revoke", "one"):
        happened.append("one")
    assert happened == []


def test_a_sealed_run_takes_no_more_lines(run: Path) -> None:
    (run / "tagmanifest-sha256.txt").write_text("")
    with pytest.raises(ArchiveError, match="is sealed"):
        writes.append(run / "data" / writes.FILE, {})


def test_a_line_of_somebody_else_is_named(run: Path) -> None:
    (run / "data" / writes.FILE).write_text('{"act": "begun"}\n')
    with pytest.raises(ArchiveError, match="none of ours"):
        writes.written(run)
