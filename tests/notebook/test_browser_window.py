"""A private window opens on the administrator's own machine, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.notebook.private_window import is_own_machine, open_privately

LINK = "https://app.cronofy.com/x?state=s3cret"


@pytest.fixture
def started() -> list[list[str]]:
    return []


def with_programs(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        program = folder / name
        program.write_text("")
        program.chmod(0o755)
    return {"PATH": str(folder), "DISPLAY": ":0"}


@pytest.mark.parametrize(
    ("program", "option"),
    [("microsoft-edge", "--inprivate"), ("chromium", "--incognito"), ("firefox", "-private-window")],
)
def test_a_browser_that_is_there_opens_a_private_window(
    tmp_path: Path, started: list[list[str]], program: str, option: str
) -> None:
    words = open_privately(LINK, environment=with_programs(tmp_path, program), platform="linux", start=started.append)
    assert started == [[str(tmp_path / program), option, LINK]]
    assert "private window" in words
    assert "s3cret" not in words


def test_windows_programs_are_found_where_they_are_installed(tmp_path: Path, started: list[list[str]]) -> None:
    program = tmp_path / r"Microsoft\Edge\Application" / "msedge.exe"
    program.parent.mkdir(parents=True)
    program.write_text("")
    words = open_privately(LINK, environment={"PROGRAMFILES": str(tmp_path)}, platform="win32", start=started.append)
    assert started == [[str(program), "--inprivate", LINK]]
    assert words == "Opened in a private window of Microsoft Edge."


@pytest.mark.parametrize(
    "environment",
    [{"JUPYTERHUB_USER": "dana", "DISPLAY": ":0"}, {"SSH_CONNECTION": "1 2 3 4", "DISPLAY": ":0"}, {}],
)
def test_nothing_opens_on_a_machine_where_nobody_sits(
    tmp_path: Path, started: list[list[str]], environment: dict[str, str]
) -> None:
    there = {**with_programs(tmp_path, "firefox"), **environment} if environment else {"PATH": str(tmp_path)}
    words = open_privately(LINK, environment=there, platform="linux", start=started.append)
    assert started == []
    assert "yourself" in words


def test_without_a_browser_the_person_is_told(tmp_path: Path, started: list[list[str]]) -> None:
    words = open_privately(LINK, environment=with_programs(tmp_path), platform="linux", start=started.append)
    assert started == []
    assert words.startswith("No browser was found")


def test_a_desktop_is_ones_own_machine() -> None:
    assert is_own_machine({}, "win32")
    assert is_own_machine({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert not is_own_machine({"JUPYTERHUB_API_URL": "x"}, "win32")
