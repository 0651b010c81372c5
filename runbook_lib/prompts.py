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

from runbook_lib.cards import Card
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


class Prompt:
    """One open question; `result` is what is known so far, `await` waits until a person has answered."""

    def __init__(
        self,
        result: Confirmation | Answer,
        keep: Callable[[str], str],
        waits: bool,
        who: str,
        then: Callable[[str], str] | None = None,
    ) -> None:
        """Make the form when a person is there to fill it (`waits`)."""
        self.result = result
        self._keep, self._then = keep, then
        self._answered: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._form: Any = _form(self, who) if waits else None

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the form, or without a person what is known."""
        if self._form is not None:
            return self._form._repr_mimebundle_(**options)
        return self.card()._repr_mimebundle_()

    def __repr__(self) -> str:
        """Return the question and its answer as plain text."""
        return str(self.card())

    def __await__(self) -> Generator[Any, None, Card]:
        """Wait for the person, if one is there, and return the card that says who said what and when."""
        if self._form is not None and not self._given():
            self._loop = asyncio.get_running_loop()
            self._answered = self._loop.create_future()
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

    def accept(self, text: str, who: str) -> str:
        """Take a person's answer and return what to tell him; raise RunbookError when it cannot be taken.

        An optional question may be left without answer.
        """
        if not who.strip():
            raise UsageError("Please enter your name: the record says who answered.")
        said = self.result
        skipped = isinstance(said, Answer) and said.optional and not text.strip()
        kept = "" if skipped else self._keep(text)
        did = self._then(text.strip()) if self._then and not skipped else ""
        by, at = who.strip(), datetime.now(UTC)
        if isinstance(said, Confirmation):
            self.result = replace(said, confirmed=True, by=by, at=at, source="form")
        else:
            self.result = replace(said, value=kept, by=by, at=at, source="form")
        if self._answered is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(_wake, self._answered)
        return f"✓ recorded for {by}. {did}"

    def _given(self) -> bool:
        return self.result.source == "form"


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _form(prompt: Prompt, who: str) -> Any:
    """Return the widget: the exact words, a name, a button; an answer field when a value is asked for."""
    import ipywidgets

    wide = ipywidgets.Layout(width="36em")
    told = ipywidgets.Label()
    name = ipywidgets.Text(value=who, description="Your name", layout=wide)
    said = prompt.result
    if isinstance(said, Confirmation):
        head, button = ipywidgets.Label(said.statement), ipywidgets.Button(description="I confirm")
        field: Any = None
    else:
        head, button = ipywidgets.Label(said.label), ipywidgets.Button(description="Answer")
        hint = "may stay empty" if said.optional else ""
        field = ipywidgets.Text(value=said.value, description="Answer", placeholder=hint, layout=wide)

    def press(_: object) -> None:
        try:
            told.value = prompt.accept(field.value if field else "", name.value)
        except RunbookError as error:
            told.value = str(error)
            return
        button.disabled = True
        if field:  # what was typed may be more than what is kept: an activation link, for instance
            field.value = prompt.result.value if isinstance(prompt.result, Answer) else ""

    button.on_click(press)
    return ipywidgets.VBox([head, *([field] if field else []), name, button, told])


def attest(tenant: Tenant, key: str, statement: str) -> Prompt:
    """Ask a person to confirm `statement`; unattended the tenant file's confirmation of `key` speaks, if any."""
    known = tenant.confirmations.get(key)
    waits = attended()
    who = known.by if known else ""
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

    `then` does something with what was typed and returns what it did. Unattended, `value` from the tenant file is the answer; without one the question is open, or when `optional`
    does not arise.
    """
    waits = attended()
    source = "" if waits or not value else "tenant file"
    return Prompt(Answer(key, label, value, source=source, optional=optional), keep, waits, "", then)
