"""What a person must have done before a step, and what the card says of it; from records alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.model import AccessLimit, Answer, Status
from runbook_lib.notebook import gates, status_cards
from runbook_lib.notebook.status_cards import Closed
from runbook_lib.runs import record
from runbook_lib.runs.folder import STEPS
from runbook_lib.runs.record import Record
from tests import fake_runs
from tests.steps.facts import TENANT

WAIVED = replace(TENANT, access_limit=AccessLimit("none", reason="small", approved_by="Robin"))
AT = datetime(2026, 11, 22, 18, 2, tzinfo=UTC)


@pytest.fixture
def done(tmp_path: Path) -> dict[str, Record]:
    """A run of which every step has its record."""
    folder = fake_runs.new_run(tmp_path)
    fake_runs.complete(folder)
    return record.latest(folder)


@pytest.mark.parametrize("step", gates.IN_ORDER[1:])
def test_a_person_does_steps_1_to_5_in_their_order_and_a_batch_looks_at_any(step: str, done: dict[str, Record]) -> None:
    before = gates.IN_ORDER[gates.IN_ORDER.index(step) - 1]
    assert gates.closed(step, WAIVED, done, attended=True) == ""
    del done[before]
    assert f"open {before}.ipynb" in gates.closed(step, WAIVED, done, attended=True)
    assert gates.closed(step, WAIVED, done, attended=False) == ""


@pytest.mark.parametrize("step", ["00_preflight", "06_access", "07_sync", "08_report", "09_portfolio"])
def test_a_look_may_be_taken_any_time(step: str) -> None:
    assert gates.closed(step, TENANT, {}, attended=True) == ""


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("00_preflight", "before step 1 of 7"),
        ("06_access", "step 6 of 7"),
        ("08_report", "after step 7 of 7"),
        ("09_portfolio", ""),
    ],
)
def test_the_card_says_which_step_this_is(step: str, words: str) -> None:
    assert status_cards.place(step) == words


def test_the_card_says_who_did_what_when_and_who_was_signed_in_where(done: dict[str, Record]) -> None:
    said = Answer("domain", "Domain", "contoso.com", by="Megan", at=AT)
    done["01_disconnect"] = replace(done["01_disconnect"], confirmations=(fake_runs.SAID,), answers=(said,))
    lines = status_cards.so_far(done).splitlines()
    assert lines[1] == "01 ✓ pass, Dana Admin, Megan, 2026-11-22 18:07 UTC"
    assert lines[0] == "00 ✓ pass, dana, 2026-11-22 18:02 UTC", "without a name, the account of the machine"
    assert status_cards.signed_in(done) == ""
    who = {**done["06_access"].operator, "signed_in": fake_runs.DANA}
    for step in ("02_connect", "06_access"):
        done[step] = replace(done[step], operator=who)
    assert status_cards.signed_in(done) == (
        "SpaceIQ runbook (certificate) to Contoso Ltd, in 06_access, 2026-11-22 18:32 UTC"
    )


def test_the_card_says_what_the_next_step_wants_and_whether_it_is_so(done: dict[str, Record]) -> None:
    assert "wants the before-snapshot" in status_cards.following("00_preflight", TENANT, {})
    assert status_cards.following("02_connect", TENANT, done) == STEPS["03_activate"]
    assert status_cards.following("04_credentials", WAIVED, done).endswith("the limit waived by name: so")
    assert status_cards.following("04_credentials", TENANT, done).endswith("the limit waived by name: not so yet")
    assert status_cards.following("08_report", TENANT, done) == ""


def test_a_closed_gate_links_to_the_notebook_that_opens_it(done: dict[str, Record]) -> None:
    del done["04_credentials"]
    closed = Closed("05_permissions", gates.closed("05_permissions", WAIVED, done, attended=True))
    assert '<a href="04_credentials.ipynb">' in closed._repr_mimebundle_()["text/html"]
    assert str(closed).startswith(f"[{Status.PENDING.symbol} pending] Step 5.")
