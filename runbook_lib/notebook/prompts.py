"""Questions to people: one cell shows the form, the next awaits it. The one home of ipywidgets.

Unattended (papermill, nbconvert) nothing waits and nothing is confirmed: the answer is what the tenant file holds, or
the question stays open.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runbook_lib.display.cards import Card
from runbook_lib.display.markup import shown
from runbook_lib.errors import RunbookError, UsageError
from runbook_lib.model import Answer, Confirmation, Tenant


def attended() -> bool:
    """Tell whether a person sits in front of this notebook.

    JupyterLab lets a kernel ask for input, papermill and nbconvert do not. RUNBOOK_ATTENDED and RUNBOOK_UNATTENDED
    decide where that sign is wrong.
    """
    if "RUNBOOK_UNATTENDED" in os.environ:
        return False
    if "RUNBOOK_ATTENDED" in os.environ:
        return True
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


_remembered: dict[str, str] = {}
"""What people answered in this kernel, by question; their name under NAME. Only what may be kept gets in here."""
NAME = ""


ARRIVES = 0.5
"""Seconds after which the page has drawn a form that the cell before showed."""


class Prompt:
    """One open question; `result` is what is known so far, `await` waits until a person has answered."""

    def __init__(
        self,
        result: Confirmation | Answer,
        keep: Callable[[str], str],
        waits: bool,
        who: str,
        then: Callable[[str], str] | None = None,
        prefilled: str = "",
    ) -> None:
        """Make the form when a person is there to fill it (`waits`); what is `prefilled` counts once he sends it."""
        self.result = result
        self._asked, self._keep, self._then = result, keep, then
        self._answered: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._form: _Form | None = _Form(self, who, prefilled) if waits else None

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the form, or without a person what is known; where no form can be drawn, the question is read."""
        if self._form is not None:
            return {**self._form.box._repr_mimebundle_(**options), "text/plain": str(self)}
        return self.card()._repr_mimebundle_()

    def __repr__(self) -> str:
        """Return the question and its answer as plain text."""
        return str(self.card())

    def __await__(self) -> Generator[Any, None, Card]:
        """Wait for the person, if one is there, and return the card that says who said what and when."""
        if self._form is not None and not self._given():
            self._loop = asyncio.get_running_loop()
            self._answered = self._loop.create_future()
            self._loop.call_later(ARRIVES, self._form.come)
            yield from self._answered.__await__()
        return self.card()

    def card(self) -> Card:
        """Return who said what, when and how, or that nobody has yet."""
        said = self.result
        at = f"{said.at:%Y-%m-%d %H:%M} UTC" if said.at else ""
        if isinstance(said, Confirmation):
            heard = "confirmed" if said.confirmed else "not confirmed yet"
            lines = {"statement": said.statement, "answer": heard, "by": said.by, "at": at, "from": said.source}
            return Card(said.key, {**lines, "note": said.note}, said.status)
        return Card(
            said.label, {"answer": said.value or "none", "by": said.by, "at": at, "from": said.source}, said.status
        )

    def fault(self, text: str) -> str:
        """Return why `text` cannot be taken as the answer; nothing when it can."""
        try:
            self._kept(text)
        except RunbookError as error:
            return str(error)
        return ""

    def _kept(self, text: str) -> str:
        """Return what of `text` is kept; an optional question may be left without answer."""
        skipped = isinstance(self._asked, Answer) and self._asked.optional and not text.strip()
        return "" if skipped else self._keep(text)

    def accept(self, text: str, who: str) -> str:
        """Take a person's answer and return what to tell him; raise RunbookError when it cannot be taken."""
        by, at, said = who.strip(), datetime.now(UTC), self._asked
        if not by:
            raise UsageError("Please enter your name: the record says who answered.")
        kept = self._kept(text)
        did = self._then(text.strip()) if self._then and text.strip() else ""
        _remembered[NAME] = by
        if isinstance(said, Confirmation):
            self.result = replace(said, confirmed=True, by=by, at=at, source="form")
        else:
            self.result = replace(said, value=kept, by=by, at=at, source="form")
            if kept and not said.optional and not self.fault(kept):
                _remembered[said.key] = kept
        if self._answered is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(_wake, self._answered)
        return f"✓ recorded for {by}, {at:%Y-%m-%d %H:%M} UTC. {did}".rstrip()

    def withdraw(self) -> str:
        """Take a confirmation back, as if it had not been given, and return what to tell the person."""
        self.result = self._asked
        return "Withdrawn: nothing is confirmed. Confirm again, and run the next cell again, when it is so."

    def close(self) -> Confirmation | Answer:
        """Return what is recorded; from now on the form takes nothing more, because the step is finished."""
        if self._form is not None:
            self._form.close()
        return self.result

    def _given(self) -> bool:
        return self.result.source == "form"


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _acknowledge(field: Any) -> None:
    """Tell the page when a change of `field` has been taken in, or it holds the next one back.

    A kernel that awaits an answer, with more cells waiting, does not say so itself (ipykernel 7.4).
    """
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    kernel = getattr(get_ipython(), "kernel", None)  # type: ignore[no-untyped-call, unused-ignore]
    if kernel is None:
        return

    def take(message: Any) -> None:
        field._handle_msg(message)
        idle, topic = {"execution_state": "idle"}, kernel._topic("status")
        kernel.session.send(kernel.iopub_socket, "status", idle, parent=message["header"], ident=topic)

    field.comm.on_msg(take)


class _Form:
    """The widgets of one question: the exact words, an answer field when a value is asked for, a name, buttons."""

    def __init__(self, prompt: Prompt, who: str, prefilled: str) -> None:
        """Build them from top to bottom, in the order in which the tab key reaches them."""
        import ipywidgets

        said = prompt.result
        self.prompt, self.confirms = prompt, isinstance(said, Confirmation)
        wide = {
            "layout": ipywidgets.Layout(width="100%", max_width="42em"),
            "style": {"description_width": "7em"},
            # A field that tells of each letter holds letters back, and a quick person's click would overtake them: half
            # a name would be recorded. So a field tells once, when it is left.
            "continuous_update": False,
        }
        words = said.statement if isinstance(said, Confirmation) else said.label
        self.head = ipywidgets.HTML(f"<b>{shown(words)}</b>")
        hint = "may stay empty" if isinstance(said, Answer) and said.optional else ""
        self.field = ipywidgets.Text(value=prefilled, description="Answer", placeholder=hint, **wide)
        self.name = ipywidgets.Text(value=who, description="Your name", placeholder="first and last name", **wide)
        self.button = ipywidgets.Button(description="I confirm" if self.confirms else "Answer", button_style="primary")
        self.back = ipywidgets.Button(description="Withdraw", disabled=True, tooltip="until the step is finished")
        self.told = ipywidgets.HTML()
        buttons = ipywidgets.HBox([self.button, self.back] if self.confirms else [self.button])
        fields = [self.name] if self.confirms else [self.field, self.name]
        edge = ipywidgets.Layout(border_left="4px solid var(--jp-brand-color1, #1976d2)", padding="0 0 0 1em")
        self.box = ipywidgets.VBox([self.head, *fields, buttons, self.told], layout=edge)
        for field in (self.field, self.name):
            _acknowledge(field)
        self.button.on_click(self._press)
        self.back.on_click(self._withdraw)
        self.field.observe(self._typed, "value")

    def tell(self, words: str) -> None:
        """Show `words` under the buttons; a screen reader speaks them."""
        self.told.value = f"<span role='status'>{shown(words)}</span>"

    def come(self) -> None:
        """Bring the page and the keyboard here: after Run All the page stands at the notebook's end."""
        if not self.button.disabled:
            (self.name if self.confirms else self.field).focus()

    def close(self) -> None:
        """Take no more input."""
        self._open(False)
        self.back.disabled = True

    def _open(self, takes_input: bool) -> None:
        for widget in (self.field, self.name, self.button):
            widget.disabled = not takes_input

    def _typed(self, _: object) -> None:
        if not self.button.disabled:
            self.tell(self.prompt.fault(self.field.value) if self.field.value.strip() else "")

    def _press(self, _: object) -> None:
        try:
            told = self.prompt.accept(self.field.value, self.name.value)
        except RunbookError as error:
            self.tell(str(error))
            return
        self._open(False)
        self.back.disabled = False
        if isinstance(self.prompt.result, Answer):  # more was typed than is kept: an activation link, for instance
            self.field.value = self.prompt.result.value
        self.tell(told)

    def _withdraw(self, _: object) -> None:
        self.tell(self.prompt.withdraw())
        self._open(True)
        self.back.disabled = True


def attest(tenant: Tenant, key: str, statement: str) -> Prompt:
    """Ask a person to confirm `statement`; unattended the tenant file's confirmation of `key` speaks, if any."""
    known = tenant.confirmations.get(key)
    waits = attended()
    who = _remembered.get(NAME, known.by if known else "")
    result = replace(known, statement=statement) if known and not waits else Confirmation(key, statement)
    return Prompt(result, lambda text: text, waits, who)


def ask(
    key: str,
    label: str,
    value: str = "",
    keep: Callable[[str], str] = str.strip,
    optional: bool = False,
    then: Callable[[str], str] | None = None,
) -> Prompt:
    """Ask a person for a value; `keep` says what of it may be kept and raises RunbookError when it is no good.

    `then` does something with what was typed and returns what it did. Unattended, `value` from the tenant file is the
    answer; without one the question is open, or when `optional` does not arise.
    """
    waits = attended()
    known = Answer(key, label, optional=optional)
    if value and not waits:
        known = replace(known, value=value, source="tenant file")
    return Prompt(known, keep, waits, _remembered.get(NAME, ""), then, prefilled=_remembered.get(key, value))
