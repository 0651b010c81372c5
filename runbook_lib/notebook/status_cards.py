"""What the card at the top of a notebook says of the evening, from the run's records alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from runbook_lib import vendors
from runbook_lib.clients.entra.sign_in import SignInPrompt
from runbook_lib.display.cards import Card, status_words
from runbook_lib.display.markup import https, linked, shown
from runbook_lib.display.times import utc_now
from runbook_lib.model import Status, Tenant
from runbook_lib.notebook import gates
from runbook_lib.notebook.live import Output, come_here, ticking
from runbook_lib.runs.folder import JUDGED, STEPS
from runbook_lib.runs.record import Record

MINUTE = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed gate, in front of a person: which notebook opens it. The error that follows says why."""

    step: str
    waiting: str

    def __str__(self) -> str:
        """Return it in words."""
        return str(self._card())

    def _card(self) -> Card:
        found = re.search(r"\b\d\d_[a-z]+", self.waiting)
        target = f"{found[0]}.ipynb" if found else ""
        return Card(f"{STEPS[self.step]}: not yet", {"go to": target}, Status.PENDING, {"go to": target})

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter shows, and bring the page there."""
        return {"text/html": f"<div>{self._card().html()}{come_here()}</div>", "text/plain": str(self)}


def place(step: str) -> str:
    """Return which of the how-to's seven steps this is, or before or after which."""
    number = list(STEPS).index(step)
    last = len(JUDGED) - 1
    if number > last:
        return f"after step {last} of {last}" if step == "08_report" else ""
    return f"step {number} of {last}" if number else f"before step 1 of {last}"


def so_far(records: Mapping[str, Record]) -> str:
    """Return a line for each step that has a record: what it came to, by whom, when."""
    return "\n".join(_done(record) for _, record in sorted(records.items())) or "nothing yet"


def _done(record: Record) -> str:
    said = [*(one.by for one in record.confirmations), *(one.by for one in record.answers)]
    by = ", ".join(dict.fromkeys(filter(None, said))) or record.operator["user"]
    look = f", look {record.look}" if record.look > 1 else ""
    waiting = f"; {record.waiting}" if record.waiting else ""
    return f"{record.step[:2]} {status_words(record.outcome)}, {by}, {record.finished:{MINUTE}}{look}{waiting}"


def signed_in(records: Mapping[str, Record]) -> str:
    """Return as whom the runbook was signed in last in this run, to which tenant, in which step; else nothing."""
    known = [record for record in records.values() if record.operator["signed_in"]]
    if not known:
        return ""
    last = max(known, key=lambda record: record.finished)
    who = last.operator["signed_in"]
    return f"{who['account']} ({who['method']}) to {last.tenant['name']}, in {last.step}, {last.finished:{MINUTE}}"


def following(step: str, tenant: Tenant, records: Mapping[str, Record]) -> str:
    """Return the next step, and what its gate wants."""
    after = gates.next_step(step)
    wants = gates.of_next(step, tenant, records)
    return "; ".join(filter(None, (STEPS.get(after, ""), wants)))


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
        if prompt.url and (address := https(prompt.url, _hosts(self.tenant))):
            link = linked(_short(address), address)
            steps.append(f"Open {link} in a private window{'' if prompt.code else ' on this machine'}.")
        elif prompt.url:
            whose = f"{self.tenant.cloud.name} has no sign-in page at this address, so do not open it"
            steps.append(f"{shown(whose)}: {_short(prompt.url)}")
        else:
            steps.append(shown(prompt.words))
        if prompt.code:
            steps.append(f"Enter this code: {_field(prompt.code)}")
        steps.append(shown(self._whose()))
        listed = "".join(f"<li style='margin:.4em 0'>{step}</li>" for step in steps)
        return (
            "<div style='border-left:4px solid var(--jp-brand-color1, #1976d2);padding:.2em 1em;margin:.3em 0'>"
            f"<div><b>Sign in to {shown(self.tenant.name)}</b></div><ol style='margin:.3em 0'>{listed}</ol>"
            f"<div role='status'>… {shown(self.left)}</div>{come_here() if self.new else ''}</div>"
        )


def _hosts(tenant: Tenant) -> list[str]:
    """Return where people sign in to the tenant's cloud; an address elsewhere is somebody else's."""
    own = urlsplit(tenant.cloud.login).netloc
    return [own, *vendors.facts()["device_sign_in_hosts"]] if tenant.cloud.microsoft else [own]


def _short(url: str) -> str:
    """Return an address as people read it: without the parameters, which are for the browser."""
    return shown(url.partition("?")[0])


def _field(code: str) -> str:
    look = "font:bold 1.3em monospace;width:9em;padding:.2em .4em;letter-spacing:.1em;border:1px solid currentColor"
    copy = shown(f"navigator.clipboard.writeText({json.dumps(code)}).then(() => this.textContent = 'Copied')")
    button = "padding:.3em .8em;color:inherit;border:1px solid currentColor"
    return (
        f"<input aria-label='Code' value='{shown(code)}' style='{look}' onfocus='this.select()' spellcheck='false'> "
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
