"""`runbook seal` and `runbook verify`: what they say, what they exit with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib import cli
from runbook_lib.errors import ArchiveError
from tests.fake_runs import two_steps
from tests.test_signature import forge, new_key


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with two steps, not sealed, in the outputs of this test."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return two_steps(tmp_path / "outputs")


def said(*arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and what it printed."""
    done = CliRunner().invoke(cli.app, arguments)
    if isinstance(done.exception, ArchiveError):
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
