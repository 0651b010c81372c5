"""A damaged answer is told in words and makes no verdict better, wherever in it the damage is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from runbook_lib.sandbox.server import Sandbox
from tests.steps import damage
from tests.steps.damage import Answers


@pytest.fixture(scope="session")
def collected(cloud_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Answers]]:
    """The raw answers of every tenant, by step; read once."""
    found: dict[str, list[Answers]] = {step: [] for step in damage.STEPS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_TOKEN_CACHE", "memory")
        for answers in damage.collect(cloud_server, tmp_path_factory.mktemp("answers")):
            found[answers.step].append(answers)
    return found


def test_there_are_answers_of_every_tenant_to_every_step(collected: dict[str, list[Answers]]) -> None:
    assert {len(answers) for answers in collected.values()} == {len(damage.TENANTS)}
    (contoso,) = [one for one in collected["sync"] if one.tenant.key == "contoso"]
    assert {"rooms", "free_busy", "spaces", "exchange", "rooms before", "connected"} <= contoso.places.keys()
    assert sum(len(paths) for one in collected["sync"] for paths in one.places.values()) > 5_000


@pytest.mark.parametrize("step", damage.STEPS)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # one damage is as small as it gets
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(look=st.integers(0, 10**6), place=st.integers(0, 10**6), how=st.sampled_from(damage.DAMAGES))
def test_damage_is_told_in_words_and_makes_no_check_better(
    collected: dict[str, list[Answers]], step: str, look: int, place: int, how: str
) -> None:
    looks = [(answers, name) for answers in collected[step] for name in sorted(answers.places)]
    answers, name = looks[look % len(looks)]
    path = answers.places[name][place % len(answers.places[name])]
    assert damage.better(answers, name, path, how) == {}, f"{answers}: {name} {path} {how}"
