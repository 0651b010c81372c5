"""Questions to people: nobody's silence is ever taken for a word."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runbook_lib.errors import UsageError
from runbook_lib.model import Answer, Confirmation, Status
from runbook_lib.notebook import prompts
from runbook_lib.notebook.prompts import Prompt
from tests.steps.facts import TENANT

AT = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
KNOWN = replace(TENANT, confirmations={"done": Confirmation("done", "", True, "Sam", AT, "tenant file", "quick")})


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "_remembered", {})


@pytest.fixture
def unattended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_UNATTENDED", "1")


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNBOOK_UNATTENDED", raising=False)
    monkeypatch.setenv("RUNBOOK_ATTENDED", "1")


async def awaited(prompt: Prompt, *, within: float = 0.2) -> str:
    async def wait() -> str:
        return str(await prompt)

    return await asyncio.wait_for(wait(), within)


def test_unattended_an_unanswered_question_stays_pending_and_waits_for_nobody(unattended: None) -> None:
    prompt = prompts.attest(TENANT, "done", "I did it.")
    assert "not confirmed yet" in asyncio.run(awaited(prompt))
    assert prompt.result.status is Status.PENDING


def test_unattended_the_tenant_file_speaks_with_name_time_and_source(unattended: None) -> None:
    prompt = prompts.attest(KNOWN, "done", "I did it.")
    said = asyncio.run(awaited(prompt))
    assert prompt.result == Confirmation("done", "I did it.", True, "Sam", AT, "tenant file", "quick")
    for words in ("I did it.", "confirmed", "Sam", "2026-11-20 21:00 UTC", "tenant file", "quick"):
        assert words in said


def test_attended_the_tenant_file_confirms_nothing_but_prefills_the_name(attended: None) -> None:
    prompt = prompts.attest(KNOWN, "done", "I did it.")
    assert prompt.result == Confirmation("done", "I did it.")
    assert form(prompt).name.value == "Sam"


def test_attended_the_cell_waits_until_a_person_has_pressed_the_button(attended: None) -> None:
    async def evening() -> str:
        prompt = prompts.attest(TENANT, "done", "I did it.")
        with pytest.raises(TimeoutError):
            await awaited(prompt, within=0.05)
        asyncio.get_running_loop().call_later(0.01, press, prompt, "Dana Diaz")
        return await awaited(prompt, within=2)

    said = asyncio.run(evening())
    assert "confirmed" in said
    assert "Dana Diaz" in said
    assert "form" in said


def form(prompt: Prompt) -> prompts._Form:
    assert prompt._form is not None
    return prompt._form


def press(prompt: Prompt, name: str, answer: str | None = None) -> None:
    form(prompt).name.value = name
    if answer is not None:
        form(prompt).field.value = answer
    form(prompt).button.click()


def told(prompt: Prompt) -> str:
    return re.sub(r"<[^>]+>", "", str(form(prompt).told.value))


def test_without_a_name_nothing_is_recorded(attended: None) -> None:
    prompt = prompts.attest(TENANT, "done", "I did it.")
    press(prompt, "  ")
    assert prompt.result.status is Status.PENDING
    assert "your name" in told(prompt)


def keep_half(text: str) -> str:
    if "|" not in text:
        raise UsageError("There is no bar in it.", "Put one in.")
    return text.partition("|")[0]


def test_of_an_answer_only_what_may_be_kept_is_kept_also_in_the_form(attended: None) -> None:
    prompt = prompts.ask("link", "Link", keep=keep_half)
    press(prompt, "Dana", "host|s3cret")
    assert isinstance(prompt.result, Answer)
    assert (prompt.result.value, prompt.result.by, prompt.result.source) == ("host", "Dana", "form")
    assert form(prompt).field.value == "host"
    assert "s3cret" not in str([form(prompt).told.value, prompts._remembered])


def test_a_bad_answer_is_told_and_not_recorded(attended: None) -> None:
    prompt = prompts.ask("link", "Link", keep=keep_half)
    press(prompt, "Dana", "nothing")
    assert told(prompt) == "There is no bar in it. Put one in."
    assert prompt.result.status is Status.PENDING


@pytest.mark.parametrize(
    ("value", "optional", "status"),
    [("contoso.com", False, Status.PASS), ("", False, Status.PENDING), ("", True, Status.NOT_APPLICABLE)],
)
def test_unattended_an_answer_comes_from_the_tenant_file_or_stays_open(
    unattended: None, value: str, optional: bool, status: Status
) -> None:
    prompt = prompts.ask("domain", "Domain", value, optional=optional)
    asyncio.run(awaited(prompt))
    assert prompt.result.status is status
    assert prompt.result.source == ("tenant file" if value else "")


def test_what_people_and_tenants_wrote_is_escaped(unattended: None) -> None:
    html = prompts.attest(TENANT, "done", "<b>I</b>").card().html()
    assert "<b>I</b>" not in html


def test_without_a_kernel_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNBOOK_ATTENDED", "RUNBOOK_UNATTENDED"):
        monkeypatch.delenv(name, raising=False)
    assert not prompts.attended()


def test_what_is_to_be_done_with_an_answer_is_done_once_it_is_good(attended: None) -> None:
    done: list[str] = []

    def then(text: str) -> str:
        done.append(text)
        return "Opened."

    prompt = prompts.ask("link", "Link", keep=keep_half, then=then)
    press(prompt, "Dana", "nothing")
    assert done == []
    press(prompt, "Dana", "host|s3cret")
    assert done == ["host|s3cret"]
    assert told(prompt).startswith("✓ recorded for Dana, ")
    assert told(prompt).endswith(" UTC. Opened.")
    assert "s3cret" not in repr(prompt)


def test_an_optional_question_may_be_left_without_answer(attended: None) -> None:
    prompt = prompts.ask("link", "Link", keep=keep_half, optional=True)
    press(prompt, "Dana", "")
    assert (prompt.result.status, prompt.result.by) == (Status.NOT_APPLICABLE, "Dana")


def test_what_is_typed_is_checked_once_the_field_is_left_and_an_empty_one_is_no_fault_yet(attended: None) -> None:
    prompt = prompts.ask("link", "Link", keep=keep_half)
    for typed, words in [("x", "There is no bar in it. Put one in."), ("x|y", ""), ("  ", "")]:
        form(prompt).field.value = typed
        assert told(prompt) == words
    assert prompt.result.status is Status.PENDING


def test_what_only_stands_in_the_form_is_no_answer(attended: None) -> None:
    prompt = prompts.ask("domain", "Domain", "contoso.com")
    assert form(prompt).field.value == "contoso.com"
    assert prompt.result.status is Status.PENDING
    press(prompt, "Dana")
    assert prompt.result.by == "Dana"


def test_a_confirmation_can_be_withdrawn_and_given_again_until_the_step_is_finished(attended: None) -> None:
    async def evening() -> None:
        prompt = prompts.attest(TENANT, "done", "I did it.")
        press(prompt, "Dana")
        assert "confirmed" in await awaited(prompt)
        form(prompt).back.click()
        assert prompt.result == Confirmation("done", "I did it.")
        with pytest.raises(TimeoutError):
            await awaited(prompt, within=0.05)
        press(prompt, "Dana")
        assert prompt.close().status is Status.PASS

    asyncio.run(evening())


def test_where_no_form_can_be_drawn_the_question_is_read(attended: None) -> None:
    shown = prompts.attest(TENANT, "done", "I did it.")._repr_mimebundle_()
    assert set(shown) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert "statement: I did it." in shown["text/plain"]
    assert "VBox" not in shown["text/plain"]


def test_a_field_tells_its_text_once_so_that_no_click_can_overtake_half_of_it(attended: None) -> None:
    asked = form(prompts.ask("domain", "Domain"))
    assert not asked.field.continuous_update
    assert not asked.name.continuous_update


def test_the_page_comes_to_the_form_that_waits_and_to_none_that_was_answered(
    attended: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[str] = []
    monkeypatch.setattr("ipywidgets.Text.focus", lambda field: came.append(field.description))
    monkeypatch.setattr(prompts, "ARRIVES", 0.01)

    async def evening() -> None:
        for prompt in (prompts.attest(TENANT, "done", "I did it."), prompts.ask("domain", "Domain")):
            with pytest.raises(TimeoutError):
                await awaited(prompt, within=0.1)
            press(prompt, "Dana", "contoso.com")
            await awaited(prompt)
            form(prompt).come()

    asyncio.run(evening())
    assert came == ["Your name", "Answer"]


def test_a_finished_step_takes_nothing_more(attended: None) -> None:
    prompt = prompts.attest(TENANT, "done", "I did it.")
    assert prompt.close().status is Status.PENDING
    assert all(widget.disabled for widget in (form(prompt).name, form(prompt).button, form(prompt).back))


def test_a_cell_that_is_run_again_knows_name_and_answer_but_confirms_nothing(attended: None) -> None:
    press(prompts.ask("domain", "Domain"), "Dana", "contoso.com")
    press(prompts.attest(TENANT, "done", "I did it."), "Dana")
    again, confirmed = prompts.ask("domain", "Domain", "other.com"), prompts.attest(KNOWN, "done", "I did it.")
    assert (form(again).field.value, form(again).name.value) == ("contoso.com", "Dana")
    assert form(confirmed).name.value == "Dana"
    assert {again.result.status, confirmed.result.status} == {Status.PENDING}


def test_an_answer_that_would_be_no_good_as_kept_or_may_be_left_out_is_not_remembered(attended: None) -> None:
    press(prompts.ask("link", "Link", keep=keep_half), "Dana", "host|s3cret")
    press(prompts.ask("word", "Word", optional=True), "Dana", "contoso.com")
    assert form(prompts.ask("link", "Link", keep=keep_half)).field.value == ""
    assert form(prompts.ask("word", "Word", optional=True)).field.value == ""
