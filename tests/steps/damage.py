"""Raw answers of every sandbox tenant, and one thing in them damaged: dropped, null, emptied, collapsed or retyped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.checks import judge
from runbook_lib.clients import exchange
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.http import session
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.errors import RunbookError
from runbook_lib.model import AccessLimit, Cloud, Look, Raw, RoomPlan, SignIn, SpaceSource, Status, Tenant
from runbook_lib.sandbox import control
from runbook_lib.sandbox.exchange import answers as sandbox_exchange
from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.spaceiq import api as sandbox_spaceiq
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.steps import permissions, preflight
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.sync import checks as sync

VERIFIER = "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"
TENANTS = ("contoso", "northwind", "woodgrove", "adatum", "fabrikam", "relecloud")
STEPS: Mapping[str, Any] = {"preflight": preflight, "permissions": permissions, "access": access, "sync": sync}
MOST_ROOMS = 25
"""Rooms kept of a large tenant: what each is there for stands among the first of its kind."""

GOOD = {
    Status.FAIL: 0,
    Status.UNKNOWN: 0,
    Status.PENDING: 1,
    Status.NOT_APPLICABLE: 2,
    Status.ACCEPTED: 2,
    Status.PASS: 3,
}
"""How good a verdict is. `unknown` is no better than `fail`: it is what a damaged proof of a fault has to become."""

Path_ = tuple[str | int, ...]
DAMAGES = ("drop", "null", "empty", "collapse", "retype")


@dataclass(frozen=True, repr=False)
class Answers:
    """What one step asked of one tenant, and where in it something can be damaged."""

    step: str
    tenant: Tenant
    raw: Raw
    places: Mapping[str, tuple[Path_, ...]]
    """By look, where in its rows something can be damaged."""
    before: Mapping[str, int]

    def __repr__(self) -> str:
        return f"{self.step} of {self.tenant.key}"


def collect(sandbox: Sandbox, folder: Path) -> list[Answers]:
    """Return the answers of every step for every tenant, read from the sandbox as the steps read them."""
    control.reset(sandbox.world, {})
    collected = []
    for key in TENANTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(spaceiq.TOKEN, sandbox_spaceiq.token(sandbox.world, key))
            for step, tenant, raw in _read(sandbox, key, folder):
                places = {name: found for name, look in raw.items() if (found := tuple(paths(list(look.rows))))}
                collected.append(Answers(step, tenant, raw, places, verdicts(step, raw, tenant)))
    return collected


def _read(sandbox: Sandbox, key: str, folder: Path) -> Iterator[tuple[str, Tenant, Raw]]:
    state, now = sandbox.world.tenant(key), sandbox.world.now().replace(microsecond=0)
    assert state is not None
    for room in [one for one in list(state.mailboxes.values()) if one.kind == "room" and one.state == "ok"][:3]:
        early, begin = now - timedelta(hours=1), now + timedelta(hours=1)
        meetings.book(state, f"admin@{state.domains[0]}", room.smtp, begin, begin + timedelta(hours=1), now=early)
    tenant = _tenant(sandbox, state, folder)
    answer = sandbox_exchange.answer(state, now, sandbox_exchange.plan(key))
    assert tenant.exchange_answer is not None
    tenant.exchange_answer.write_text(json.dumps(answer), encoding="utf-8")
    with session(tenant.cloud) as http:
        calls = tuple({call for module in STEPS.values() for call in module.CALLS})
        graph = Graph(tenant, entra.sign_in(tenant, calls, http, attended=False, show=print), http)
        reviewed = access.read(graph, tenant)
        yield "preflight", tenant, _small(preflight.read(graph, tenant))
        yield "permissions", tenant, _small(permissions.read(graph, tenant))
        yield "access", tenant, _small(reviewed)
        kept = {
            name: look for name, look in reviewed.items() if name.startswith(("service", "app_", "deleg", "resource"))
        }
        raw = sync.read(graph, tenant, {**kept, **_earlier(now, state)})
    yield "sync", tenant, _small({**raw, "booking": _booking(now)})


def _tenant(sandbox: Sandbox, state: TenantState, folder: Path) -> Tenant:
    domain = state.domains[0]
    limit = AccessLimit("application-access-policy", group=f"cronofy-rooms@{domain}", outsiders=(f"admin@{domain}",))
    return Tenant(
        key=state.key,
        name=state.name,
        tenant_id=state.id,
        domain=domain,
        admin=f"admin@{domain}",
        cloud=Cloud("sandbox", sandbox.url, sandbox.url, microsoft=False, ca_file=sandbox.ca_file),
        sign_in=SignIn("certificate", VERIFIER, sandbox.credentials.verifier_file),
        cronofy_app="10bb7e5b-b80b-4e6e-a209-f78581dbc79e",
        access_limit=limit,
        exchange_answer=folder / f"{state.key}.exchange.json",
        spaceiq=SpaceSource("graphql", None, {}, state.name.split()[0], f"{sandbox.url}/queries", "Bearer"),
        rooms=RoomPlan(test_room=next(iter(state.rooms.values()), {}).get("emailAddress") or ""),
    )


def _earlier(now: datetime, state: TenantState) -> Raw:
    """Return what an earlier look left behind: two rooms, one of which is gone, and when SpaceIQ was connected."""
    emails = [room["emailAddress"] for room in state.rooms.values() if room.get("emailAddress")][:2]
    day = f"{now - timedelta(days=3):%Y-%m-%d %H:%M} UTC"
    rows = [{"email": one, "state": "pending", "since": day, "first seen": day} for one in [*emails, "gone@x.example"]]
    at = (now - timedelta(days=2)).isoformat()
    said = ({"at": at, "by": "Dana"},)
    return {
        "rooms before": Look("rooms before", now - timedelta(days=3), tuple(rows)),
        "connected": Look("connected", now, said),
        "disconnected": Look("disconnected", now, said),
    }


def _booking(now: datetime) -> Look:
    rows = [
        {"leg": name, "status": status, "saw": "so", "seconds": 20.0, "at_least": 10.0}
        for name, status in (("Outlook: it answers", "pass"), ("SpaceIQ: it shows", "pass"), ("clean-up", "fail"))
    ]
    return Look("booking", now, tuple(rows))


def _small(raw: Raw) -> Raw:
    """Return the answers without what is there a hundred times; a role catalogue of a resource is kept by its first."""
    return {
        name: replace(look, rows=tuple(_shorter(row) for row in look.rows[:MOST_ROOMS])) for name, look in raw.items()
    }


def _shorter(value: Any) -> Any:
    """Return a row with at most `MOST_ROOMS` rows in each list of it, roles that Cronofy asks for among them."""
    if isinstance(value, dict):
        return {name: _shorter(one) for name, one in value.items()}
    return [_shorter(one) for one in value[:MOST_ROOMS]] if isinstance(value, list) and len(value) < 200 else value


def paths(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield where every leaf and branch of a JSON value is; of long lists of texts only the first."""
    if at:
        yield at
    pairs: Any = (
        value.items() if isinstance(value, dict) else enumerate(value[:MOST_ROOMS]) if isinstance(value, list) else ()
    )
    for name, one in pairs:
        yield from paths(one, (*at, name))


def damaged(value: Any, path: Path_, how: str) -> Any:
    """Return a copy of a JSON value with one thing in it damaged."""
    whole = deepcopy(value)
    parent = whole
    for step in path[:-1]:
        parent = parent[step]
    name = path[-1]
    if how == "drop":
        del parent[name]
    else:
        parent[name] = _other(parent[name], how)
    return whole


def _other(value: Any, how: str) -> Any:
    if how == "null":
        return None
    if how == "empty":
        return type(value)() if isinstance(value, str | list | dict) else ""
    if how == "collapse":
        return (value[0] if value else {}) if isinstance(value, list) else [value]
    return {str: 7, bool: "perhaps", int: "many", float: "much"}.get(type(value), "@{id=1; name=two}")


def may_be_honest(value: Any, path: Path_, how: str) -> bool:
    """Tell whether a service might answer so: one row less, or a list without rows. Then a verdict may be any."""
    there = value
    for step in path:
        there = there[step]
    return (how == "drop" and isinstance(path[-1], int)) or (
        how in ("empty", "drop", "null") and isinstance(there, list)
    )


def verdicts(step: str, raw: Raw, tenant: Tenant) -> dict[str, int]:
    """Return how good the worst finding of each check is; nothing where the answers are refused in words."""
    try:
        facts = STEPS[step].parse(raw, tenant)
        findings = judge(*(facts if isinstance(facts, tuple) else (facts,)))
    except RunbookError:
        return {}
    found: dict[str, int] = {}
    for one in findings:
        found[one.check] = min(found.get(one.check, 9), GOOD[one.status])
    return found


def better(answers: Answers, name: str, path: Path_, how: str) -> dict[str, tuple[int, int]]:
    """Return the checks that come out better once it is damaged there; anything but RunbookError is raised."""
    rows = damaged(list(answers.raw[name].rows), path, how)
    if name == "exchange":  # as the reader of the file takes it
        look = _imported(rows, answers.tenant)
    else:
        look = replace(answers.raw[name], rows=tuple(one if isinstance(one, dict) else {"was": one} for one in rows))
    after = verdicts(answers.step, {**answers.raw, name: look}, answers.tenant)
    if may_be_honest(list(answers.raw[name].rows), path, how):
        return {}
    return {check: (good, after[check]) for check, good in answers.before.items() if after.get(check, 0) > good}


def _imported(rows: Any, tenant: Tenant) -> Look:
    path = tenant.exchange_answer
    assert path is not None
    path.write_text(json.dumps(rows[0] if rows else None), encoding="utf-8")
    try:
        return exchange.read(tenant, datetime.now(UTC))["exchange"]
    except RunbookError as error:
        return Look("exchange", datetime.now(UTC), refusal=error.message)
