"""`runbook seal`, `runbook verify` and `runbook push`: what they say, what they exit with."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.errors import ArchiveError, UsageError
from tests.evidence.test_signature import forge, new_key
from tests.fake_runs import add, new_run, passing, two_steps


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with two steps, not sealed, in the outputs of this test."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return two_steps(tmp_path / "outputs")


def said(*arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and what it printed."""
    done = CliRunner().invoke(main.app, arguments)
    if isinstance(done.exception, ArchiveError | UsageError):
        raise done.exception
    return done.exit_code, done.output


def test_a_sealed_run_says_its_number_that_nobody_signed_and_verifies(run: Path) -> None:
    code, words = said("seal", "contoso")
    assert code == 0
    number = words.partition("for the change ticket: ")[2].partition("\n")[0]
    assert len(number) == 64
    assert "It is not signed" in words
    code, words = said("verify", "contoso")
    assert (code, number in words) == (0, True)
    assert "It is not signed" in words


def test_a_run_is_signed_with_the_key_named_and_verified_with_the_signers_named(run: Path, tmp_path: Path) -> None:
    key, signers = new_key(tmp_path / "dana"), tmp_path / "signers"
    signers.write_text(f"dana {key.with_suffix('.pub').read_text()}")
    assert "Signed with the key SHA256:" in said("seal", "contoso", "--key", str(key))[1]
    code, words = said("verify", "contoso", "--signers", str(signers))
    assert (code, " of dana." in words) == (0, True)
    forge(run)
    code, words = said("verify", "contoso", "--signers", str(signers), "--json")
    answer: dict[str, Any] = json.loads(words)
    assert (code, answer["intact"]) == (3, False)
    assert [one["kind"] for one in answer["faults"]] == ["signature"]


def test_what_is_said_into_a_pipe_of_windows_is_utf_8(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(pipe, encoding="cp1252"))
    monkeypatch.setattr("sys.argv", ["runbook", "verify", str(run)])
    with pytest.raises(SystemExit, match="3"):
        main.main()
    assert pipe.getvalue().decode().startswith("✗ not sealed")


def test_an_unsealed_run_does_not_verify(run: Path) -> None:
    code, words = said("verify", "contoso")
    assert (code, "not sealed" in words) == (3, True)


def no_key(run: Path) -> list[str]:
    return ["--key", str(run / "absent")]


def half_written(run: Path) -> list[str]:
    (run / "data/.abc.part").write_text("{")
    return []


@pytest.mark.parametrize("spoil", [no_key, half_written])
def test_a_refused_seal_says_why_and_leaves_the_run_open(run: Path, spoil: Callable[[Path], list[str]]) -> None:
    with pytest.raises(ArchiveError):
        said("seal", "contoso", *spoil(run))
    assert said("verify", "contoso")[0] == 3


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """An empty folder, as an address."""
    (tmp_path / "archive").mkdir()
    return (tmp_path / "archive").as_uri()


def test_a_sealed_run_is_pushed_verified_there_and_removed_here(run: Path, archive: str) -> None:
    said("seal", "contoso")
    code, words = said("push", "contoso", "--to", archive)
    assert (code, "11 objects sent, 0 there already" in words) == (0, True)
    assert "WARNING: not known to be immutable (unknown). A folder does not show" in words
    code, words = said("push", "contoso", "--to", archive, "--remove-local")
    assert (code, "0 objects sent, 11 there already" in words, "3 files removed here" in words) == (0, True, True)
    address = f"{archive}/contoso/{run.name}"
    code, words = said("verify", "contoso")
    assert (code, f"runbook verify {address}" in words) == (3, True)
    code, words = said("verify", address)
    assert (code, f"{address} is as it was sealed" in words, "Immutable: unknown." in words) == (0, True, True)
    assert said("status", "contoso")[0] == 0


def test_the_environment_names_the_archive_and_all_runs_are_pushed_but_the_open_ones(
    run: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="No archive is named"):
        said("push", "contoso")
    monkeypatch.setenv("RUNBOOK_ARCHIVE", archive)
    said("seal", "contoso")
    add(new_run(run.parent.parent, "fabrikam"), "06_access", passing())
    code, words = said("push", "--all", "--json")
    answer: dict[str, Any] = json.loads(words)
    assert (code, answer["archive"], answer["immutability"]["hold"]) == (5, archive, "unknown")
    assert [(one["run"].split("/")[0], one["exit_code"]) for one in answer["runs"]] == [("contoso", 0), ("fabrikam", 5)]
    assert "runbook seal" in answer["runs"][1]["words"]


def test_nothing_is_sent_where_immutability_is_required_and_not_seen(run: Path, archive: str, tmp_path: Path) -> None:
    said("seal", "contoso")
    with pytest.raises(UsageError, match="nothing was sent"):
        said("push", "contoso", "--to", archive, "--require-immutable")
    assert not list((tmp_path / "archive").iterdir())


def test_a_time_stamp_that_is_insisted_on_and_not_given_is_an_error_and_the_seal_stands(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="RUNBOOK_TIMESTAMP_AUTHORITY"):
        said("seal", "contoso", "--timestamp")
    assert said("verify", "contoso")[0] == 3
    monkeypatch.setenv("RUNBOOK_TIMESTAMP_AUTHORITY", "http://127.0.0.1:9/")
    with pytest.raises(ArchiveError, match="without a time stamp"):
        said("seal", "contoso", "--timestamp")
    assert said("verify", "contoso")[0] == 0
    with pytest.raises(ArchiveError, match="did not answer"):
        said("seal", "contoso", "--timestamp")
