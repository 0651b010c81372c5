"""Run folders made by the library's own writers, without notebooks, cloud or tenant file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.display import frames as display_frames
from runbook_lib.model import Answer, Confirmation, Finding, Json, Look, Status, worst
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.runs.folder import JUDGED
from runbook_lib.runs.record import Record

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
TENANT = {
    "key": "contoso",
    "name": "Contoso Ltd",
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "domain": "contoso.example",
}
MICROSOFT = {"name": "global", "graph": "https://graph.microsoft.com", "microsoft": True}
SANDBOX = {"name": "sandbox", "graph": "https://127.0.0.1:8443/graph", "microsoft": False}
DANA = {
    "kind": "application",
    "account": "SpaceIQ runbook",
    "object_id": "99999999-0000-0000-0000-000000000001",
    "tenant_id": TENANT["tenant_id"],
    "client_id": "99999999-0000-0000-0000-000000000002",
    "method": "certificate",
}
LIMIT = {"mode": "none", "reason": "rooms only", "approved_by": "Kim Chief", "group": "", "outsiders": []}
VERSIONS = {"python": "3.11.9", "spaceiq-calendar-runbook": "0.1.0"}
HOW_TO = {"title": "The how-to", "url": "https://knowledge.eptura.com/how-to", "read": "2026-11-22"}
SAID = Confirmation(
    "disconnected", "I pressed Delete and Yes.", True, "Dana Admin", NOW + timedelta(minutes=3), "typed in the form"
)


def new_run(outputs: Path, key: str = "contoso", at: datetime = NOW) -> Path:
    """Return an empty run's folder of its own name for each tenant and time."""
    folder = outputs / key / f"{at:%Y%m%dT%H%M%SZ}-abcd"
    (folder / "data").mkdir(parents=True)
    return folder


def request(number: int, status: int = 200) -> Json:
    """Return one line of the request log."""
    return {
        "time": (NOW + timedelta(seconds=number)).isoformat(),
        "method": "GET",
        "path": f"/v1.0/organization?page={number}",
        "status": status,
        "request_id": f"aaaaaaaa-0000-0000-0000-{number:012}",
        "client_request_id": "",
        "seconds": 0.1,
        "body_sha256": "0" * 64,
        "retries": 0,
    }


def notebook(shown: str) -> Json:
    """Return a notebook whose only output says where the record is."""
    output = {"output_type": "stream", "name": "stdout", "text": shown}
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 1, "source": "", "outputs": [output]}
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def add(
    folder: Path,
    step: str,
    *findings: Finding,
    look: int = 1,
    minutes: float = 0,
    raw: Mapping[str, Look] | None = None,
    frames: tuple[display_frames.Table, ...] = (),
    tenant: Mapping[str, str] | None = None,
    cloud: Mapping[str, Any] = MICROSOFT,
    confirmations: tuple[Confirmation, ...] = (),
    answers: tuple[Answer, ...] = (),
    requests: tuple[Json, ...] = (),
    **fields: Any,
) -> Record:
    """Write what one step leaves in `folder`: notebook, raw answers, tables and record."""
    stem = run_folders.look_name(step, look)
    data = folder / "data"
    raw = raw or {}
    if raw:
        run_folders.write_new(data / f"{stem}.raw.json", records.raw_json(raw))
    run_folders.write_new(
        data / f"{stem}.ipynb", run_folders.to_json(notebook(f"{folder.parent.name}/{folder.name}/data/{stem}.json"))
    )
    started = NOW + timedelta(minutes=minutes)
    record = Record(
        schema=records.SCHEMA,
        step=step,
        look=look,
        run=folder.name,
        tenant=dict(tenant or TENANT | {"key": folder.parent.name}),
        cloud=dict(cloud),
        outcome=worst([one.status for part in (findings, confirmations, answers) for one in part]),
        started=started,
        finished=started + timedelta(minutes=2),
        operator={"user": "dana", "attended": True, "signed_in": DANA if raw else None},
        findings=findings,
        confirmations=confirmations,
        answers=answers,
        looks=tuple(
            {
                "name": name,
                "call": one.call,
                "rows": len(one.rows),
                "total": one.total,
                "complete": one.complete,
                "refusal": one.refusal,
            }
            for name, one in raw.items()
        ),
        requests=requests,
        tables=tuple(write_table(data, stem, frame) for frame in frames),
        raw_sha256=hashlib.sha256(records.raw_json(raw)).hexdigest() if raw else "",
        settings={"change": {"ticket": "CHG-1", "approved_by": "Kim Chief"}, "access_limit": LIMIT},
        **{"override": "", "waiting": "", "versions": VERSIONS, "how_to": HOW_TO} | fields,
    )
    records.write(folder, record)
    return record


def passing(check: str = "domain-verified", subject: str = "contoso.example") -> Finding:
    """Return a finding that passes."""
    return Finding(check, subject, Status.PASS, "as documented")


def complete(folder: Path, **fields: Any) -> None:
    """Record every step of the run, all passing."""
    for number, step in enumerate(JUDGED):
        add(folder, step, passing(), minutes=5 * number, **fields)


def write_table(data: Path, stem: str, frame: display_frames.Table) -> str:
    """Write a table as a step does; return its path relative to `data`."""
    relative = f"tables/{stem}.{frame.attrs['name']}.csv"
    run_folders.write_new(data / relative, display_frames.csv(frame))
    return relative


def rooms(number: int, building: str = "Main", name: str = "Room") -> display_frames.Table:
    """Return a room table of `number` rooms, every third without a mailbox."""
    rows = [
        {
            "room": f"{name} {one}",
            "email": f"room{one}@contoso.example",
            "building": building,
            "floor": str(one),
            "capacity": "8",
            "state": "readable" if one % 3 else "no mailbox",
            "reason": "",
        }
        for one in range(number)
    ]
    return display_frames.table("rooms", rows, ["room", "email", "building", "floor", "capacity", "state", "reason"])


def lines(frame: display_frames.Table) -> list[dict[str, str]]:
    """Return the rows of a table, every cell as text."""
    return [{str(name): str(cell) for name, cell in row.items()} for row in frame.to_dict("records")]


def payload(folder: Path) -> dict[str, bytes]:
    """Return every byte of the payload by path."""
    return {str(path): path.read_bytes() for path in sorted((folder / "data").rglob("*")) if path.is_file()}


def two_steps(outputs: Path) -> Path:
    """Return a run with two steps, raw answers and a table, not sealed."""
    folder = new_run(outputs)
    scopes = display_frames.table("scopes", [{"permission": "Calendars.ReadWrite"}], ["permission"])
    add(folder, "01_disconnect", confirmations=(SAID,))
    add(folder, "06_access", passing(), raw=organization(), frames=(scopes,))
    return folder


def organization(*rows: Json) -> dict[str, Look]:
    """Return one raw answer."""
    return {"organization": Look("organization", NOW, rows or ({"id": TENANT["tenant_id"]},), 1)}
