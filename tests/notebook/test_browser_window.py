"""A private window opens on the administrator's own machine, and nowhere else."""

from __future__ import annotations

import http.client
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import pytest

from runbook_lib.notebook import private_window
from runbook_lib.notebook.private_window import is_own_machine, open_privately

LINK = "https://app.cronofy.com/x?state=s3cret"


@pytest.fixture
def started() -> list[list[str]]:
    return []


def asked(address: str, path: str = "") -> tuple[int, str]:
    """Ask as a browser would that follows nothing; return the status and where it leads, 0 when nobody answers."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", path or parts.path)
        answer = connection.getresponse()
    except ConnectionError:
        return 0, ""
    finally:
        connection.close()
    return answer.status, answer.headers.get("Location", "")


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
    [[opened, how, address]] = started
    assert (opened, how) == (str(tmp_path / program), option)
    assert asked(address) == (303, LINK)
    assert "private window" in words
    assert "s3cret" not in words


def test_windows_programs_are_found_where_they_are_installed(tmp_path: Path, started: list[list[str]]) -> None:
    program = tmp_path / r"Microsoft\Edge\Application" / "msedge.exe"
    program.parent.mkdir(parents=True)
    program.write_text("")
    words = open_privately(LINK, environment={"PROGRAMFILES": str(tmp_path)}, platform="win32", start=started.append)
    assert started[0][:2] == [str(program), "--inprivate"]
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


def test_the_link_is_in_no_list_of_processes_and_can_be_had_once(tmp_path: Path, started: list[list[str]]) -> None:
    open_privately(LINK, environment=with_programs(tmp_path, "firefox"), platform="linux", start=started.append)
    address = started[0][2]
    assert address.startswith("http://127.0.0.1:")
    assert not {"s3cret", "cronofy"} & {word for word in ("s3cret", "cronofy") if word in str(started)}
    for guess in ("/", "/favicon.ico", f"{urlsplit(address).path}x", "//"):
        assert asked(address, guess) == (404, "")
    assert asked(address) == (303, LINK)
    assert asked(address)[1] == ""


def test_nobody_waits_for_a_browser_that_never_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_window, "PATIENCE", 0)
    address = private_window.once(LINK)
    deadline = monotonic() + 30
    while asked(address)[0] and monotonic() < deadline:
        continue
    assert asked(address) == (0, "")
