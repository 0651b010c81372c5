"""Start and finish a step: the run's folder, the gate on earlier steps, the operator, the record."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runbook_lib import settings, vendors
from runbook_lib.checks import Facts, judged
from runbook_lib.clients import http as clients_http
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.display import frames
from runbook_lib.display.cards import Card
from runbook_lib.errors import GateClosed, UsageError
from runbook_lib.model import Answer, Confirmation, Finding, Json, Raw, Status, Tenant, worst
from runbook_lib.notebook import error_log, gates, live, prompts, status_cards
from runbook_lib.notebook.prompts import Prompt
from runbook_lib.notebook.status_cards import Closed, SignInCard
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.folder import STEPS
from runbook_lib.runs.presence import operator_name
from runbook_lib.runs.record import Record

PACKAGES = ("spaceiq-calendar-runbook", "papermill", "msal", "requests", "pandas", "ipywidgets")

LAST = "08_report"
"""The step after which a run can be closed."""
Part = Raw | tuple[Finding, ...] | frames.Table | Prompt | Status
"""What a step hands to `finish`: raw answers, findings, tables, prompts, and an outcome of its own."""


@dataclass
class Run:
    """One look at one step of one tenant's run."""

    step: str
    tenant: Tenant
    folder: Path
    look: int
    started: datetime
    attended: bool
    records: Mapping[str, Record]
    override: str = ""
    graphs: list[Graph] = field(default_factory=list)
    """Every sign-in of this look, the first one first; a change signs in again, with a scope of its own."""

    def __repr__(self) -> str:
        """Return the card as plain text."""
        return str(self.card())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show the card in the notebook."""
        return self.card()._repr_mimebundle_()

    @property
    def said(self) -> tuple[Confirmation, ...]:
        """Return what people confirmed in this run's earlier steps."""
        return gates.said(self.records)

    def sign_in(self, calls: Iterable[str]) -> Graph:
        """Sign in as the verb `sign_in` does; for a step that needs one more permission on the way."""
        return sign_in(self, calls)

    def card(self) -> Card:
        """Return where we are: step, tenant, run, what earlier steps came to, and what comes next."""
        cloud = self.tenant.cloud
        lines = {
            "you are here": status_cards.place(self.step),
            "tenant": f"{self.tenant.name} ({self.tenant.tenant_id})",
            "cloud": cloud.name if cloud.microsoft else f"{cloud.name}: rehearsal, not audit evidence",
            "run": f"{self.tenant.key}/{self.folder.name}" + (f", look {self.look}" if self.look > 1 else ""),
            "operator": f"{operator_name()}, {'attended' if self.attended else 'unattended'}",
            "signed in": status_cards.signed_in(self.records),
            "so far": status_cards.so_far(self.records),
            "outage": records.outage_words(self.records, self.started),
            "next": status_cards.following(self.step, self.tenant, self.records),
            "gate overridden": self.override,
        }
        return Card(STEPS[self.step], lines)


def start(step: str, tenant: str, run_id: str = "") -> Run:
    """Begin `step` for `tenant`: join the run `run_id`, or the newest run that is not sealed, or make a new one.

    Raises SettingsError for a bad tenant file, ArchiveError for a folder that cannot be used, GateClosed when an
    earlier step does not allow this one yet (unattended, a `pending` record says so).
    """
    if step not in STEPS:
        raise UsageError(f"There is no step {step!r}.", f"The steps are: {', '.join(STEPS)}.")
    frames.show_in_notebooks()
    now = datetime.now(UTC)
    known = (
        settings.everyone() if step == "09_portfolio" else settings.load(run_folders.home("parameters"), tenant, now)
    )
    folder = _folder(run_folders.home("outputs"), known.key, run_id, now)
    earlier = records.latest(folder)
    override = os.environ.get("RUNBOOK_OVERRIDE", "")
    look = run_folders.next_look(folder, step)
    run = Run(step, known, folder, look, now, prompts.attended(), earlier)
    error_log.keep(folder, step)
    waiting = gates.closed(step, known, earlier, attended=run.attended)
    if waiting and not override:
        if run.attended:
            live.Output().show(Closed(step, waiting))
        else:
            _write(run, Status.PENDING, waiting=waiting)
        raise GateClosed(waiting, "Do that first; or give a reason in RUNBOOK_OVERRIDE, which is recorded.")
    run.override = override if waiting else ""
    return run


def _folder(outputs: Path, key: str, run_id: str, now: datetime) -> Path:
    if run_id:
        folder = outputs / key / run_id
        if not re.fullmatch(r"[0-9A-Za-z-]+", run_id) or not (folder / "data").is_dir():
            existing = ", ".join(path.name for path in run_folders.runs(outputs, key)[-3:])
            raise UsageError(f"There is no run {run_id!r} of {key}.", f"Newest runs: {existing or 'none'}.")
        if run_folders.is_sealed(folder):
            raise UsageError(f"The run {run_id} of {key} is sealed.", "Leave run_id empty to begin a new run.")
        return folder
    unsealed = [folder for folder in run_folders.runs(outputs, key) if not run_folders.is_sealed(folder)]
    return unsealed[-1] if unsealed else run_folders.new_run(outputs / key, now)


def raw_of(run: Run, step: str) -> Raw:
    """Return the raw answers of the newest look at an earlier `step`; raise UsageError when the run has none."""
    record = run.records.get(step)
    if record is None or not record.raw_sha256:
        raise UsageError(f"This run holds no answers of {step}.", f"Run {step} first, then this cell again.")
    return records.read_raw(run.folder / "data" / f"{record.name}.raw.json")


def sign_in(run: Run, calls: Iterable[str]) -> Graph:
    """Sign the runbook in with the least permissions for `calls` and prove that the answers come from the tenant.

    Raises SignInError, WrongTenant, Unreachable or CertificateError.
    """
    http = clients_http.session(run.tenant.cloud)
    if run.attended:
        live.follow(http)
    with SignInCard(run.tenant) as card:
        credential = entra.sign_in(run.tenant, calls, http, attended=run.attended, show=card.show)
        run.graphs.append(Graph(run.tenant, credential, http))
        run.graphs[-1].assert_tenant()
        card.as_whom = credential.identity.account
    return run.graphs[-1]


def judge(run: Run, *facts: Facts) -> tuple[Finding, ...]:
    """Return the findings of every check about `facts`, with the tenant file's exceptions applied."""
    return judged(facts, run.tenant, run.started)


def attest(run: Run, key: str, statement: str) -> Prompt:
    """Show the form in which a named person confirms `statement`; await it in the next cell."""
    return prompts.attest(run.tenant, key, statement)


def ask(
    run: Run,  # noqa: ARG001 - verbs of a notebook begin with the run
    key: str,
    label: str,
    value: str = "",
    keep: Callable[[str], str] = str.strip,
    optional: bool = False,
    then: Callable[[str], str] | None = None,
) -> Prompt:
    """Show the form of `run` that asks for a value; await it in the next cell.

    Only what `keep` returns is kept; `then` may do something with what was typed, once, and says what it did.
    """
    if value:
        keep(value)  # a value of the tenant file must be as good as a typed one
    return prompts.ask(key, label, value, keep, optional, then)


def finish(run: Run, *parts: Part) -> Card:
    """Write the step's record, raw answers and tables, and return the card with its outcome.

    The outcome is the worst of all findings and prompts; a step that has neither repeats what the run came to so far.
    """
    asked = [part.close() for part in parts if isinstance(part, Prompt)]
    findings = [one for part in parts if isinstance(part, tuple) for one in part]
    judged = [one.status for one in [*asked, *findings]] + [part for part in parts if isinstance(part, Status)]
    outcome = worst(judged) if judged else records.outcome(run.records)
    path = _write(run, outcome, parts, tuple(findings), asked)
    following = gates.next_step(run.step)
    open_points = sum(status not in (Status.PASS, Status.ACCEPTED, Status.NOT_APPLICABLE) for status in judged)
    lines = {
        "findings": f"{len(findings)}, of which {open_points} open" if findings else "",
        "recorded in": f"{run.tenant.key}/{run.folder.name}/data/{path.name}",
        "next": f"{following}.ipynb: {STEPS[following]}" if following else "",
        "it waits": _gate(run, following),
        "then": f"save every notebook, and close the run: runbook seal {run.tenant.key}" if run.step == LAST else "",
    }
    links = {"next": f"{following}.ipynb"} if following else {}
    return Card(f"{STEPS[run.step]}: finished", lines, outcome, links)


def _gate(run: Run, following: str) -> str:
    """Return what still keeps the next step closed, now that this one has its record."""
    known = records.latest(run.folder)
    return gates.closed(following, run.tenant, known, attended=run.attended) if run.attended else ""


def _write(
    run: Run,
    outcome: Status,
    parts: Iterable[Part] = (),
    findings: tuple[Finding, ...] = (),
    asked: Iterable[Confirmation | Answer] = (),
    waiting: str = "",
) -> Path:
    """Write raw answers and tables, and last the record that names them; return the record's path."""
    stem, data = run_folders.look_name(run.step, run.look), run.folder / "data"
    raw: Raw = {name: look for part in parts if isinstance(part, dict) for name, look in part.items()}
    raw_json = records.raw_json(raw)
    if raw:
        run_folders.write_new(data / f"{stem}.raw.json", raw_json)
    written = [_write_table(data, stem, part) for part in parts if isinstance(part, frames.Table)]
    record = Record(
        schema=records.SCHEMA,
        step=run.step,
        look=run.look,
        run=run.folder.name,
        **_whose(run.tenant),
        outcome=outcome,
        started=run.started,
        finished=datetime.now(UTC),
        operator=_operator(run),
        findings=findings,
        confirmations=tuple(one for one in asked if isinstance(one, Confirmation)),
        answers=tuple(one for one in asked if isinstance(one, Answer)),
        looks=tuple(_summary(name, raw) for name in raw),
        requests=tuple(request for door in run.graphs for request in door.log),
        tables=tuple(written),
        raw_sha256=hashlib.sha256(raw_json).hexdigest() if raw else "",
        settings=settings.plain(run.tenant),
        override=run.override,
        versions={"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        how_to=dict(vendors.facts()["how_to"]),
        waiting=waiting,
    )
    return records.write(run.folder, record)


def _write_table(data: Path, stem: str, frame: frames.Table) -> str:
    """Write `frame` to data/tables/<stem>.<name>.csv and return that path relative to `data`."""
    relative = f"tables/{stem}.{frame.attrs['name']}.csv"
    run_folders.write_new(data / relative, frames.csv(frame))
    return relative


def _whose(tenant: Tenant) -> dict[str, Json]:
    cloud = tenant.cloud
    return {
        "tenant": {"key": tenant.key, "name": tenant.name, "tenant_id": tenant.tenant_id, "domain": tenant.domain},
        "cloud": {"name": cloud.name, "graph": cloud.graph, "microsoft": cloud.microsoft},
    }


def _operator(run: Run) -> Json:
    """Return who runs this: the account of the machine, and as whom the runbook signed in first, if it did."""
    signed_in = asdict(run.graphs[0].identity) if run.graphs else None
    if signed_in:
        del signed_in["permissions"]
    return {"user": operator_name(), "attended": run.attended, "signed_in": signed_in}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that was not installed
        return "not installed"


def _summary(name: str, raw: Raw) -> Json:
    look = raw[name]
    return {
        "name": name,
        "call": look.call,
        "rows": len(look.rows),
        "total": look.total,
        "complete": look.complete,
        "refusal": look.refusal,
    }
