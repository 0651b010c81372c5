"""The sign-in in the notebook: where to go with which code, how long yet, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from runbook_lib.clients.entra.sign_in import SignInPrompt
from runbook_lib.errors import WrongTenant
from runbook_lib.notebook.status_cards import SignInCard
from tests.steps.facts import TENANT

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
PAGE = f"{TENANT.cloud.login}/common/oauth2/deviceauth"
DEVICE = SignInPrompt("Open it.", PAGE, "ABC123", NOW + timedelta(minutes=14, seconds=30))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cell shows, in order."""
    said: list[Any] = []

    def display(content: Any, **_: Any) -> Any:
        said.append(content)
        return SimpleNamespace(update=said.append)

    monkeypatch.setattr("IPython.display.display", display)
    return said


def test_the_code_can_be_copied_and_the_address_followed_while_the_kernel_waits(shown: list[Any]) -> None:
    with SignInCard(TENANT, lambda: NOW) as card:
        card.show(DEVICE)
        html = shown[0]._repr_mimebundle_()["text/html"]
        card.as_whom = "megan@contoso.example"
    assert f'href="{PAGE}"' in html
    assert "value='ABC123'" in html
    assert "14 minutes left" in html
    assert f"account of {TENANT.domain}" in html
    assert len(shown) == 2
    assert "megan@contoso.example" in str(shown[1])
    assert "ABC123" not in str(shown[1]), "the code is spent, and the notebook is saved"


def test_the_time_left_is_told_anew_only_when_it_reads_differently(shown: list[Any]) -> None:
    times = [NOW, NOW, NOW + timedelta(minutes=13), NOW + timedelta(minutes=14)]
    with SignInCard(TENANT, lambda: times[0]) as card:
        card.show(DEVICE)
        for _ in range(3):
            times.pop(0)
            card._tick()
        card.as_whom = "megan"
    assert ["left" in str(one) and str(one).rpartition(", ")[2] for one in shown[:3]] == [
        "14 minutes left",
        "1 minute left",
        "less than a minute left",
    ]


def test_a_refusal_is_told_as_one_and_raised(shown: list[Any]) -> None:
    def sign_in() -> None:
        with SignInCard(TENANT, lambda: NOW) as card:
            card.show(DEVICE)
            card.as_whom = "eve@fabrikam.example"
            raise WrongTenant("That is another tenant.")

    with pytest.raises(WrongTenant):
        sign_in()
    assert str(shown[-1]).startswith("[✗ fail] Sign-in")
    assert "Not signed in" in str(shown[-1])


def test_a_sign_in_that_asks_nobody_shows_nothing_or_what_it_has_to_tell(shown: list[Any]) -> None:
    with SignInCard(TENANT, lambda: NOW) as card:
        card.as_whom = "the app"
    assert shown == []
    with SignInCard(TENANT, lambda: NOW) as card:
        card.show(SignInPrompt("Signed in as Megan: kept on this machine."))
        card.as_whom = "Megan"
    assert "Signed in as Megan: kept on this machine." in str(shown[0])


def test_what_a_service_says_is_escaped(shown: list[Any]) -> None:
    with SignInCard(TENANT, lambda: NOW) as card:
        card.show(SignInPrompt("w", "https://x/<b>'", "<i>'", NOW))
        card.as_whom = "m"
    html = shown[0]._repr_mimebundle_()["text/html"]
    assert "<b>'" not in html
    assert "<i>'" not in html
