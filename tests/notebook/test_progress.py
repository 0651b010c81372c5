"""The line that says how far a long cell has come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.notebook import live
from runbook_lib.notebook.live import Line, Progress


class Watch:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the notebook's cell shows, in order, without a thread that looks at the real time."""
    said: list[str] = []

    def display(content: Line, **_: Any) -> Any:
        said.append(str(content))
        return SimpleNamespace(update=lambda later: said.append(str(later)))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(live, "EVERY", 3600)
    return said


def answer(path: str, page: Any) -> Any:
    return SimpleNamespace(url=f"https://graph.example{path}", json=lambda: page)


ROOMS = "/v1.0/places/microsoft.graph.room?$top=100&$count=true"


def test_a_quick_cell_says_nothing(shown: list[str]) -> None:
    watch = Watch()
    told = Progress(watch)
    told.begin()
    told.hear(answer(ROOMS, {"value": [{}] * 100, "@odata.count": 250}))
    watch.now = 1.9
    told.tell()
    told.end()
    assert shown == []


def test_a_long_cell_says_how_many_of_how_many_and_what_it_came_to(shown: list[str]) -> None:
    watch = Watch()
    told = Progress(watch)
    told.begin()
    told.hear(answer(ROOMS, {"value": [{}] * 100, "@odata.count": 250}))
    watch.now = 2.5
    told.tell()
    told.hear(answer(ROOMS + "&$skip=100", {"value": [{}] * 150, "@odata.count": 250}))
    told.hear(answer("/v1.0/users/a%40b.example/calendar/getSchedule", {"value": [{}] * 20}))
    told.hear(answer("/v1.0/$batch", {"responses": [{}] * 20}))
    watch.now = 9
    told.tell()
    told.end()
    assert shown == [
        "… 1 answer from Microsoft Graph (100 of 250 rooms) so far, 2 s",
        "… 4 answers from Microsoft Graph (250 of 250 rooms, 20 rooms' free/busy, 20 mailboxes) so far, 9 s;"
        " waiting for 6 s",
        "4 answers from Microsoft Graph (250 of 250 rooms, 20 rooms' free/busy, 20 mailboxes) in 9 s",
    ]


def test_each_cell_begins_anew_and_a_sign_in_is_not_counted(shown: list[str]) -> None:
    told = Progress(Watch())
    told.begin()
    told.hear(answer(ROOMS, {"value": [{}]}))
    told.begin()
    told.hear(answer("/tenant/oauth2/v2.0/token", {"value": "x"}))
    assert str(told) == "0 answers from Microsoft Graph"
    told.end()


def test_an_answer_that_is_no_json_or_no_list_counts_as_an_answer(shown: list[str]) -> None:
    def broken() -> Any:
        raise ValueError("no JSON")

    told = Progress(Watch())
    told.begin()
    told.hear(SimpleNamespace(url="https://graph.example/v1.0/organization", json=broken))
    told.hear(answer("/v1.0/me", [1]))
    assert str(told) == "2 answers from Microsoft Graph"
    told.end()


def test_every_cell_of_a_kernel_is_followed_once_however_often_it_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = InteractiveShell.instance()
    try:
        ours = Progress(Watch())
        monkeypatch.setattr(live, "_here", ours)
        first, second = (SimpleNamespace(hooks={"response": []}) for _ in range(2))
        for http in (first, second):
            live.follow(http)
        assert first.hooks["response"] == second.hooks["response"] == [ours.hear]
        assert [shell.events.callbacks[name].count(ours.begin) for name in ("pre_run_cell", "post_run_cell")] == [1, 0]
        ours.answers = 7
        shell.run_cell("1")
        assert ours.answers == 0
    finally:
        InteractiveShell.clear_instance()
