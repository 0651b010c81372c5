"""The sign-in as a notebook shows it: address and code, the time left, and in the end as whom, or that it failed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from html import escape

from runbook_lib.cards import Card
from runbook_lib.live import Output, come_here, ticking
from runbook_lib.model import Status, Tenant
from runbook_lib.signin import SignInPrompt
from runbook_lib.throttle import utc_now

MINUTE = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a person is to do at this moment, and how long he may take."""

    prompt: SignInPrompt
    tenant: Tenant
    left: str
    new: bool = False

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.prompt} {self._whose()} … {self.left}"

    def _whose(self) -> str:
        return f"Sign in with an account of {self.tenant.domain}."

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter shows."""
        return {"text/html": self.html(), "text/plain": str(self)}

    def html(self) -> str:
        """Return it with the address as a link, and the code in a field that is easy to copy.

        Selecting and copying work by keyboard alone; the two scraps of script only save a key press.
        """
        prompt, steps = self.prompt, []
        if prompt.url:
            link = f"<a href='{escape(prompt.url)}' target='_blank' rel='noopener noreferrer'>{_short(prompt.url)}</a>"
            steps.append(f"Open {link} in a private window{'' if prompt.code else ' on this machine'}.")
        else:
            steps.append(escape(prompt.words))
        if prompt.code:
            steps.append(f"Enter this code: {_field(prompt.code)}")
        steps.append(escape(self._whose()))
        listed = "".join(f"<li style='margin:.4em 0'>{step}</li>" for step in steps)
        return (
            "<div style='border-left:4px solid var(--jp-brand-color1, #1976d2);padding:.2em 1em;margin:.3em 0'>"
            f"<div><b>Sign in to {escape(self.tenant.name)}</b></div><ol style='margin:.3em 0'>{listed}</ol>"
            f"<div role='status'>… {escape(self.left)}</div>{come_here() if self.new else ''}</div>"
        )


def _short(url: str) -> str:
    """Return an address as people read it: without the parameters, which are for the browser."""
    return escape(url.partition("?")[0])


def _field(code: str) -> str:
    look = "font:bold 1.3em monospace;width:9em;padding:.2em .4em;letter-spacing:.1em;border:1px solid currentColor"
    copy = escape(f"navigator.clipboard.writeText({code!r}).then(() => this.textContent = 'Copied')")
    button = "padding:.3em .8em;color:inherit;border:1px solid currentColor"
    return (
        f"<input aria-label='Code' value='{escape(code)}' style='{look}' onfocus='this.select()' spellcheck='false'> "
        f'<button type="button" class="jp-Button" style="{button}" onclick="{copy}">Copy</button>'
    )


class SignInCard:
    """The sign-in's place in the notebook while it waits for a person; without a prompt nothing shows."""

    def __init__(self, tenant: Tenant, clock: Callable[[], datetime] = utc_now) -> None:
        """Show nothing yet."""
        self.as_whom = ""
        self._tenant, self._clock, self._output, self._live = tenant, clock, Output(), ExitStack()
        self._prompt: SignInPrompt | None = None
        self._told = ""

    def __enter__(self) -> SignInCard:
        """Return this."""
        return self

    def show(self, prompt: SignInPrompt) -> None:
        """Bring `prompt` before the person, in place of an earlier one, and keep the time that is left true.

        One that nobody has to act on in time is only told, in the end.
        """
        if prompt.expires is None:
            self._told = str(prompt)
            return
        first, self._prompt = self._prompt is None, prompt
        self._tick(new=True)
        if first:
            self._live.enter_context(ticking(self._tick))

    def _tick(self, *, new: bool = False) -> None:
        if self._prompt and self._prompt.expires:
            self._output.show(Waiting(self._prompt, self._tenant, _left(self._prompt.expires, self._clock()), new))

    def __exit__(self, *broke: object) -> None:
        """Say how it ended; the code, which is spent now, goes."""
        self._live.close()
        done = self.as_whom and broke[0] is None
        if self._prompt or (done and self._told):
            words = self._told or f"Signed in as {self.as_whom}."
            lines = {
                "": words if done else "Not signed in; the reason stands below.",
                "at": f"{self._clock():{MINUTE}}",
            }
            self._output.show(Card("Sign-in", lines, Status.PASS if done else Status.FAIL))


def _left(until: datetime, now: datetime) -> str:
    minutes = int((until - now).total_seconds() // 60)
    left = "less than a minute" if minutes < 1 else "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"waiting for you, {left} left"
