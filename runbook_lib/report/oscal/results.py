"""A run as OSCAL documents: what was looked at, with which evidence, and which objectives it satisfies.

Four files that refer to each other: the catalog of our checks, their mapping to known frameworks, the assessment plan,
and the assessment results. Every id follows from run and check, so that writing twice gives the same ids. The model is
NIST's (https://pages.nist.gov/OSCAL/), each document is validated by compliance-trestle, whose one home this is.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from runbook_lib import steps, vendors
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import bagit, secrets
from runbook_lib.model import Finding, Json, Status, worst
from runbook_lib.report import controls, ticket
from runbook_lib.report.oscal import plan
from runbook_lib.report.oscal.plan import URN, checks, line, metadata, objective, props, reviewed, text, title, uid_in
from runbook_lib.report.story import Story, question, summary
from runbook_lib.runs import audit, folder
from runbook_lib.runs.record import Record

FILES = ("catalog", "mapping-collection", "assessment-plan", "assessment-results")
VERDICTS: dict[Status | None, tuple[str, str, str]] = {
    Status.PASS: ("satisfied", "pass", "It is so."),
    Status.NOT_APPLICABLE: ("satisfied", "other", "The question does not arise in this tenant."),
    Status.ACCEPTED: ("not-satisfied", "other", "It is not so; an exception with reason, approver and expiry stands."),
    Status.PENDING: ("not-satisfied", "other", "It waits for a person, or for a slow effect inside its budget."),
    Status.UNKNOWN: ("not-satisfied", "other", "It could not be looked at, so nothing is known."),
    Status.FAIL: ("not-satisfied", "fail", "It is not so."),
    None: ("not-satisfied", "other", "No look of this run judged it."),
}
"""State, reason and remark of an objective by the worst of its findings."""


def write(told: Story, to: Path) -> tuple[Path, ...]:
    """Write the documents of a run into the new folder `to`, all or none, and return their paths.

    Raises UsageError when the extra is not installed, or `to` is there or inside the run; ArchiveError when it cannot
    be written or a document would hold a secret.
    """
    as_json = _oscal()
    if to.exists():
        raise UsageError(f"{to} is there already.", "Delete or move it first, or name another folder with --out.")
    if to.resolve().is_relative_to(told.folder.resolve()):
        raise UsageError(f"{to} lies inside the run, which is closed or will be.", "Name another folder with --out.")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".") as place:
            made = Path(place) / to.name
            for name, body in _documents(told, to).items():
                folder.write_new(made / f"{name}.json", as_json(name, body))
            _refuse_secrets(made, told)
            made.rename(to)
    except OSError as error:
        raise folder.unwritable(to, error) from error
    return tuple(to / f"{name}.json" for name in FILES)


def _oscal() -> Callable[[str, Json], bytes]:
    """Return what validates the body of a document and gives the bytes of its file."""
    try:
        from trestle.oscal import OSCAL_VERSION
        from trestle.oscal.assessment_plan import AssessmentPlan
        from trestle.oscal.assessment_results import AssessmentResults
        from trestle.oscal.catalog import Catalog
        from trestle.oscal.mapping import MappingCollection
    except ImportError as error:
        raise UsageError("OSCAL needs the extra oscal.", "Install it: python runbook.py extras") from error
    models = dict(zip(FILES, (Catalog, MappingCollection, AssessmentPlan, AssessmentResults), strict=True))

    def as_json(name: str, body: Json) -> bytes:
        body["metadata"]["oscal-version"] = OSCAL_VERSION
        written: str = models[name](**body).oscal_serialize_json(pretty=True)
        return f"{written}\n".encode()

    return as_json


def _refuse_secrets(made: Path, told: Story) -> None:
    hosts = {host for one in told.looks for host in one.settings.get("activation_hosts", ())}
    if found := secrets.leaks(made, hosts.union(vendors.facts()["activation_hosts"])):
        kinds = ", ".join(sorted({one.kind for one in found}))
        raise ArchiveError(f"The documents would hold a secret ({kinds}).", "Find it in the records, and revoke it.")


def _documents(told: Story, to: Path) -> dict[str, Json]:
    return {
        "catalog": plan.catalog(told),
        "mapping-collection": plan.mapping(told),
        "assessment-plan": plan.plan(told),
        "assessment-results": _results(told, to),
    }


def _results(told: Story, to: Path) -> Json:
    subject = f"What was found in {told.tenant['name']}, run {told.folder.name}"
    return {
        "uuid": uid_in(told, "results"),
        "metadata": metadata(told, subject, **_parties(told)),
        "import-ap": {"href": "assessment-plan.json"},
        "results": [_result(told)],
        "back-matter": {"resources": [one for record in told.looks for one in _resources(told, record, to)]},
    }


def _result(told: Story) -> Json:
    seen = [(record, row) for record in told.judged for row in _rows(record)]
    risks = {
        (one.check, one.subject): _risk(told, record, one)
        for record in told.judged
        for one in record.findings
        if one.status in (Status.FAIL, Status.ACCEPTED)
    }
    sealed, eyes = "yes" if told.sealed else "no", _people(told)["four_eyes"]
    whole: Json = {
        "uuid": uid_in(told, "result"),
        "title": f"Run {told.folder.name}: {told.outcome}",
        "description": text(summary(told)),
        "start": min(one.started for one in told.looks).isoformat(),
        "end": max(one.finished for one in told.looks).isoformat(),
        "props": props(outcome=told.outcome, sealed=sealed, four_eyes=eyes),
        "reviewed-controls": reviewed(told),
        "attestations": list(_attestations(told)),
        "observations": [_observation(told, record, row) for record, row in seen],
        "risks": list(risks.values()),
        "findings": [_finding(told, check, seen, risks) for check in checks(told)],
        "remarks": text(ticket.text(told)),
    }
    return _without_empty(whole)


def _without_empty(part: Json) -> Json:
    """Return the part without lists that have nothing in them, which OSCAL does not allow."""
    return {name: value for name, value in part.items() if value != []}


def _observed(told: Story, record: Record, check: str) -> str:
    return uid_in(told, "observation", record.name, check)


def _rows(record: Record) -> list[Json]:
    steps.load()  # a control says what was asked only for a check that is known
    return audit.controls(record.findings, record.looks, f"{record.name}.raw.json" if record.raw_sha256 else "")


def _people(told: Story) -> Json:
    """Return who planned, approved, executed and verified; an application that signed in is no person."""
    signed_in = [one.operator["signed_in"] or {} for one in told.looks]
    programs = {one["account"] for one in signed_in if one.get("kind") == "application"}
    people = ticket.people_of(told)
    return people | {done: [one for one in people[done] if one not in programs] for done in ticket.PEOPLE}


def _parties(told: Story) -> Json:
    """Return the people by name alone, as the record has them: who they are to each other is what four eyes needs."""
    people = {done: list(map(line, names)) for done, names in _people(told).items() if done in ticket.PEOPLE and names}
    everyone = dict.fromkeys(name for names in people.values() for name in names)
    if not people:
        return {}
    return {
        "roles": [{"id": f"{done}-by", "title": f"{done.capitalize()} by"} for done in people],
        "parties": [{"uuid": _party(told, name), "type": "person", "name": name} for name in everyone],
        "responsible-parties": [
            {"role-id": f"{done}-by", "party-uuids": [_party(told, name) for name in names]}
            for done, names in people.items()
        ],
    }


def _party(told: Story, name: str) -> str:
    return uid_in(told, "party", line(name))


def _attestations(told: Story) -> Iterator[Json]:
    """Yield what people confirmed, in the words that were put to them."""
    for record in told.looks:
        for one in record.confirmations:
            if one.confirmed:
                at = one.at.isoformat() if one.at else "unknown"
                words = {
                    "name": "confirmation",
                    "ns": URN,
                    "prose": text(one.statement),
                    "props": props(at=at, source=one.source),
                    "links": [{"href": f"#{uid_in(told, 'file', f'{record.name}.json')}", "rel": "reference"}],
                }
                role = {"role-id": f"{audit.part(one)}-by", "party-uuids": [_party(told, one.by)]}
                yield {"responsible-parties": [role], "parts": [words]}


def _observation(told: Story, record: Record, row: Json) -> Json:
    """Return what one look saw about one check: population, evidence and everything that was not in order."""
    support = controls.supports().get(row["control"])
    status = Counter(one.status for one in record.findings if one.check == row["control"])
    counts = ", ".join(f"{count} {status}" for status, count in status.items())
    asked = "; ".join(f"{one['name']}: {_of(one)}" for one in row["population"])
    evidence = [f"{record.name}.json", *filter(None, [row["evidence"]])]
    odd = [f"{one['subject']}: {one['status']}: {one['saw']}" for one in row["exceptions"]]
    return {
        "uuid": _observed(told, record, row["control"]),
        "title": title(question(row["control"])),
        "description": f"{row['judged']} findings: {counts}.",
        "props": props(step=record.name, population=asked or "the tenant file"),
        "methods": [support.method if support else "EXAMINE"],
        "types": ["control-objective"],
        "origins": [{"actors": [{"type": "tool", "actor-uuid": uid_in(told, "tool")}]}],
        "subjects": [{"subject-uuid": uid_in(told, one), "type": "component"} for one in ("tenant", "cronofy")],
        "relevant-evidence": [
            {"href": f"#{uid_in(told, 'file', name)}", "description": f"data/{name} of the run"} for name in evidence
        ],
        "collected": record.finished.isoformat(),
        **({"remarks": text("\n".join(["Not in order:", *odd]))} if odd else {}),
    }


def _of(population: Json) -> str:
    total = population["total"] if population["total"] is not None else population["rows"]
    return f"{population['rows']} of {total if population['complete'] else '?'}"


def _risk(told: Story, record: Record, found: Finding) -> Json:
    """Return what is not as documented, what would correct it, and by when, where a day is known."""
    support, deadline = controls.supports().get(found.check), _deadline(record, found)
    link = {"links": [{"href": found.link, "rel": "reference"}]} if found.link.startswith("https://") else {}
    words = text(found.remedy) or "See the report."
    remedy = {"lifecycle": "recommendation", "title": "What to do", "description": words}
    return {
        "uuid": uid_in(told, "risk", found.check, found.subject),
        "title": title(f"Not so: {question(found.check)} {found.subject}"),
        "description": text(f"{found.subject}: {found.saw}"),
        "statement": f"The check {support.why}, and what it looks for is not so." if support else "It is not so.",
        "status": "deviation-approved" if found.status is Status.ACCEPTED else "open",
        **({"deadline": f"{deadline}T23:59:59+00:00"} if deadline else {}),
        "remediations": [{"uuid": uid_in(told, "remedy", found.check, found.subject), **remedy, **link}],
        "related-observations": [{"observation-uuid": _observed(told, record, found.check)}],
    }


def _deadline(record: Record, found: Finding) -> str:
    """Return the day on which an exception ends, or Microsoft ends what was found; empty where no day is known."""
    if found.status is Status.ACCEPTED:
        days = {(one["check"], one["subject"]): str(one["until"]) for one in record.settings.get("exceptions", ())}
        return days.get((found.check, found.subject), "")
    return str(vendors.facts()["exchange"]["ews_ends"]) if found.check == "ews-off" else ""


def _finding(told: Story, check: str, seen: list[tuple[Record, Json]], risks: dict[tuple[str, str], Json]) -> Json:
    """Return whether the check's objective is satisfied; what nobody looked at never is."""
    results = [row["result"] for _, row in seen if row["control"] == check]
    status = worst(results) if results else None
    state, reason, remark = VERDICTS[status]
    target: Json = {
        "type": "objective-id",
        "target-id": objective(check),
        "status": {"state": state, "reason": reason, "remarks": remark},
    }
    if status is Status.NOT_APPLICABLE:
        target["implementation-status"] = {"state": "not-applicable"}
    found: Json = {
        "uuid": uid_in(told, "finding", check),
        "title": title(question(check)),
        "description": f"The runbook's outcome: {status or 'not judged'}.",
        "props": props(outcome=status or "not-judged", supports=controls.references(check)),
        "target": target,
        "related-observations": [
            {"observation-uuid": _observed(told, record, check)} for record, row in seen if row["control"] == check
        ],
        "related-risks": [{"risk-uuid": one["uuid"]} for (of, _), one in risks.items() if of == check],
    }
    return _without_empty(found)


def _resources(told: Story, record: Record, to: Path) -> Iterator[Json]:
    """Yield the files an observation rests on, with the hash by which anybody finds them in the sealed manifest."""
    path = told.folder / "data" / f"{record.name}.json"
    yield _resource(told, path, bagit.sha256(path), to)
    if record.raw_sha256:
        yield _resource(told, path.with_suffix(".raw.json"), record.raw_sha256, to)


def _resource(told: Story, path: Path, sha256: str, to: Path) -> Json:
    where = Path(os.path.relpath(path.resolve(), to.resolve())).as_posix()
    hashes = [{"algorithm": "SHA-256", "value": sha256}]
    here = "" if path.exists() else "; it is not in this copy, only its hash is known"
    return {
        "uuid": uid_in(told, "file", path.name),
        "title": path.name,
        "description": f"data/{path.name} of {told.tenant['key']}/{told.folder.name}{here}",
        "rlinks": [{"href": quote(where), "media-type": "application/json", "hashes": hashes}],
    }
