"""Where all tenants stand, in tables: worst first, and each need once with the tenants that have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import settings
from runbook_lib.display.cards import status_words
from runbook_lib.display.frames import Table, table
from runbook_lib.display.times import duration
from runbook_lib.model import Status, worst
from runbook_lib.report.standing import Standing, standings
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs.folder import JUDGED

if TYPE_CHECKING:
    from runbook_lib.notebook.run import Run


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All tenants' standings at one moment, worst first."""

    at: datetime
    standings: tuple[Standing, ...]

    @property
    def outcome(self) -> Status:
        """Return the worst tenant's outcome; `unknown` when there is no tenant."""
        return worst(one.outcome for one in self.standings)


def newest(run: Run) -> Portfolio:
    """Return where all tenants stand that have a tenant file or a run, seen from the portfolio run `run`."""
    return portfolio(run.folder.parent.parent, settings.keys(run_folders.home("parameters")), run.started)


def portfolio(outputs: Path, keys: Iterable[str], now: datetime) -> Portfolio:
    """Return where the tenants stand that have a run in `outputs`, and those in `keys` that have none yet."""
    folders = outputs.iterdir() if outputs.is_dir() else ()
    begun = {folder.name for folder in folders if folder.is_dir() and not folder.name.startswith(("_", "."))}
    found = standings(outputs, sorted(begun.union(keys)))
    return Portfolio(now, tuple(sorted(found, key=lambda one: (one.outcome.rank, one.key))))


def tenants(all_tenants: Portfolio) -> Table:
    """Return a line per tenant, worst first: outcome, why, how old, how much is open, and the link to its report."""
    rows = [
        {
            "outcome": status_words(one.outcome),
            "tenant": one.key,
            "name": one.name,
            "cloud": f"{one.cloud} (rehearsal)" if one.rehearsal else one.cloud,
            "steps": f"{len(one.steps.keys() & {*JUDGED})} of {len(JUDGED)}",
            **{status.value: one.count(status) or "" for status in (Status.FAIL, Status.UNKNOWN, Status.PENDING)},
            "what is open": one.reasons,
            "changed": "; ".join(one.changed),
            "last looked": _ago(one.finished, all_tenants.at) if one.finished else "never",
            "sealed": "yes" if one.sealed else "no",
            "report": one.page,
        }
        for one in all_tenants.standings
    ]
    columns = "outcome,tenant,name,cloud,steps,fail,unknown,pending,what is open,changed,last looked,sealed,report"
    return table("tenants", rows, columns.split(","))


def _ago(at: datetime, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC, {duration(now - at)} ago"


def all_to_do(all_tenants: Portfolio) -> Table:
    """Return what is left to do over all tenants: each need once, with the tenants that have it."""
    needs: dict[tuple[Status, str, str], dict[str, str]] = {}
    for tenant in all_tenants.standings:
        for one in tenant.open:
            needs.setdefault((one.status, one.need, one.remedy), {}).setdefault(tenant.key, one.link)
    ordered = sorted(needs.items(), key=lambda need: (need[0][0].rank, -len(need[1]), need[0][1]))
    rows = [
        {
            "status": status_words(status),
            "what": what,
            "tenants": len(links),
            "who": ", ".join(sorted(links)),
            "what to do": remedy,
            "where": next(filter(None, links.values()), ""),
        }
        for (status, what, remedy), links in ordered
    ]
    return table("all_to_do", rows, ["status", "what", "tenants", "who", "what to do", "where"])
