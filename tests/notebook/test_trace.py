"""What a broken cell shows and what its log keeps: words for people, the trace for an engineer, secrets for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.display import scrub
from runbook_lib.errors import GateClosed, RunbookError, Unreachable
from runbook_lib.notebook import error_log
from runbook_lib.sandbox.world.sign_ins import opaque

RUN = "20261122T210500Z-abcd"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs" / "contoso" / RUN


def broken(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_the_runbook_s_own_fault_is_two_sentences_and_the_place_of_its_trace(folder: Path) -> None:
    error = broken(ZeroDivisionError("division by zero"))
    log = error_log.logged(folder, "06_access", error)
    said = error_log.told(error, log)
    assert log == f"outputs/_logs/contoso/{RUN}.log"
    assert len(said) == 3
    assert "ZeroDivisionError: division by zero" in said[0]
    assert said[2] == f"The trace: {log}"
    written = error_log.path(folder).read_text(encoding="utf-8")
    assert "06_access\nTraceback (most recent call last)" in written
    assert 'tests/notebook/test_trace.py", line' in written.replace("\\", "/")


@pytest.mark.parametrize(
    ("error", "names_the_log"),
    [(Unreachable("No answer.", "Try again."), True), (GateClosed("Not yet.", "Do step 4."), False)],
)
def test_what_we_put_into_words_ourselves_stays_as_it_is(error: RunbookError, names_the_log: bool) -> None:
    said = error_log.told(error, "outputs/_logs/x.log")
    assert said[:2] == [error.message, f"What to do: {error.remedy}"]
    assert said[2:] == (["Details: outputs/_logs/x.log"] if names_the_log else [])


def test_a_cell_that_was_left_out_is_no_fault_of_the_runbook() -> None:
    said = error_log.told(NameError("name 'facts' is not defined"), "log")
    assert "a cell above this one has not run yet" in said[0]
    assert "from the top" in said[1]


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJncmFwaCIsImlzcyI6InN0cyJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Bearer {JWT}", JWT),
        ("refresh token 0.A" + opaque(), None),
        ("https://app.cronofy.com/enterprise_connect?state=s3cret&code=x", "s3cret"),
        ('{"access_token": "abcdefghijklmnop"}', "abcdefghijklmnop"),
        (f"state {'k3y' * 20}", "k3y" * 20),
        ("the token is hunter2-hunter2", "hunter2-hunter2"),
    ],
)
def test_no_secret_reaches_the_log_or_the_notebook(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, secret: str | None
) -> None:
    monkeypatch.setenv("RUNBOOK_SPACEIQ_TOKEN", "hunter2-hunter2")
    hidden = secret or text.split()[-1]
    error = broken(ValueError(text))
    said = " ".join(error_log.told(error, error_log.logged(folder, "07_sync", error)))
    assert hidden not in error_log.path(folder).read_text(encoding="utf-8")
    assert hidden not in said
    assert scrub.MASK in said


def test_the_log_is_kept_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_log, "LARGEST", 2000)
    for number in range(20):
        error_log.logged(folder, "06_access", broken(ValueError(f"number {number}")))
    kept = sorted(error_log.path(folder).parent.iterdir())
    assert [path.name for path in kept] == [f"{RUN}.log", f"{RUN}.log.1"]
    assert all(path.stat().st_size <= 2000 for path in kept)
    assert "number 19" in kept[0].read_text(encoding="utf-8")


def test_a_log_that_cannot_be_written_does_not_hide_the_error(folder: Path) -> None:
    error_log.path(folder).parent.parent.mkdir(parents=True)
    error_log.path(folder).parent.write_text("a file in the way")
    assert error_log.logged(folder, "06_access", broken(ValueError("x"))).startswith("nowhere, because ")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython as a notebook has it, which says what it would show."""
    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


def test_a_cell_that_breaks_still_counts_as_broken(
    folder: Path, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[type, str, list[str]]] = []
    monkeypatch.setattr(shell, "_showtraceback", lambda *error: shown.append(error))
    error_log.keep(folder, "06_access")
    result = shell.run_cell("1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    ((kind, value, lines),) = shown
    assert (kind, value) == (ZeroDivisionError, "division by zero")
    assert "fault, not yours" in lines[0]
    assert shell.run_cell("1 / 1").success
    written = error_log.path(folder).stat().st_size
    shell.run_cell("from runbook_lib.errors import GateClosed\nraise GateClosed('Closed.', 'Open it.')")
    assert shown[-1][0].__name__ == "GateClosed"
    assert error_log.path(folder).stat().st_size == written, "a closed gate is no error that anybody has to look into"
