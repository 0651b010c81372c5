"""What the card at the top of a notebook says of the evening, from the run's records alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib import gates
from runbook_lib.cards import Card, status_words
from runbook_lib.live import come_here
from runbook_lib.model import Status, Tenant
from runbook_lib.records import JUDGED, STEPS, Record

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
