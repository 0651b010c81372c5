"""Many generated tenants of the sandbox, their files, and what must hold of their archive however a batch was cut."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import nbformat

from runbook_lib.evidence import verify
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record

TENANT = """\
name: {name}
tenant_id: {id}
domain: {domain}
admin: admin@{domain}
cloud: {state}/cloud.yaml
sign_in: {{method: certificate, client_id: 7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11, certificate: {state}/verifier.pem}}
access_limit: {{mode: none, reason: rehearsal, approved_by: Robin Berg}}
confirmations:
"""
CONFIRMED = (
    "change-approved disconnected access-limited activated private-window signed-in-as-admin accepted-twice "
    "access-reviewed booking-tested"
)


def tenant_files(state: Path, parameters: Path) -> list[str]:
    """Write a file for every generated tenant of the sandbox that serves from `state` and return their keys."""
    parameters.mkdir(parents=True, exist_ok=True)
    tenants = json.loads((state / "describe.json").read_bytes())["tenants"]
    generated = [one for one in tenants if one["key"].startswith("gen-")]
    for one in generated:
        text = TENANT.format(**one, domain=one["domains"][0], state=state)
        text += "".join(f"  {name}: {{by: Robin Berg, at: 2026-11-20T21:00:00Z}}\n" for name in CONFIRMED.split())
        (parameters / f"{one['key']}.yaml").write_text(text, encoding="utf-8")
    return [one["key"] for one in generated]


def faults(outputs: Path, keys: list[str], steps: tuple[str, ...]) -> list[str]:
    """Return what is wrong with the archive of a finished batch: lost, doubled, truncated, unsealed, left over."""
    return [f"{key}: {fault}" for key in keys for fault in _faults(outputs, key, steps)]


def _faults(outputs: Path, key: str, steps: tuple[str, ...]) -> list[str]:
    folders = [folder for folder in run_folders.runs(outputs, key) if list((folder / "data").iterdir())]
    if len(folders) != 1:
        return [f"{len(folders)} runs"]
    folder = folders[0]
    found = [str(fault) for fault in verify.verify(folder)]
    kept = record.all_records(folder)
    with_notebook = Counter(one.step for one in kept if (folder / "data" / f"{one.name}.ipynb").exists())
    if with_notebook != Counter(steps):
        found.append(f"notebooks of {dict(with_notebook)}")
    for path in folder.rglob("*"):
        if path.suffix == ".ipynb":
            nbformat.validate(nbformat.read(path, as_version=4))
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        if path.name.startswith("."):
            found.append(f"{path.name} is left over")
    return found
