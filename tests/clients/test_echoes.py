"""A service that says our secrets back, in thirty forms: nothing that we keep holds them, and the run can be sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from runbook_lib.clients import http
from runbook_lib.clients.spaceiq import api
from runbook_lib.display import scrub
from runbook_lib.errors import ArchiveError, CloudError
from runbook_lib.evidence import seal
from runbook_lib.model import Finding, Json, Look, SpaceSource, Status
from runbook_lib.runs import folder as run_folders
from tests.fake_runs import NOW, add, new_run
from tests.hostile import ECHOES
from tests.steps.facts import TENANT

SECRET = "canary-Kx7mP2qR9tV4wZ1aB6cD8eF"


class Echo(BaseAdapter):
    """A service that answers each request with these bytes and headers."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.content, self.status, self.headers = content, status, headers

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.raw, answer.request = self.status, BytesIO(self.content), request
        answer.headers.update(self.headers)
        return answer

    def close(self) -> None:
        """Nothing is open."""


def service(said: object, status: int = 200, headers: Mapping[str, str] | None = None) -> requests.Session:
    """Return a session of ours to a service that says this whatever it is asked."""
    session = http.session(TENANT.cloud)
    session.mount("https://", Echo(json.dumps(said).encode(), status, headers or {}))
    return session


def spaceiq(session: requests.Session, log: list[Json]) -> api.SpaceIQ:
    """Return SpaceIQ's client on that session, with the secret as its token."""
    source = SpaceSource("graphql", None, {}, "Contoso", "https://spaceiq.example/queries", "Bearer")
    return api.SpaceIQ(replace(TENANT, spaceiq=source), session, log, SECRET, sleep=lambda _: None)


@pytest.mark.parametrize("echo", ECHOES)
def test_what_is_kept_of_an_echo_holds_no_secret_and_is_sealed(echo: str, tmp_path: Path) -> None:
    said, log = ECHOES[echo](SECRET), []  # type: ignore[var-annotated]
    headers = {"x-request-id": said.encode("ascii", "ignore").decode().replace("\n", "")}
    with service({"data": {"rooms": [{"name": said}]}}, headers=headers) as session:
        rows = spaceiq(session, log).ask("{rooms{name}}")["rooms"]
    error = {"errors": [{"message": f"{said} is not valid"}]}
    with service(error, 400) as session, pytest.raises(CloudError) as refused:
        spaceiq(session, log).ask("{rooms{name}}")
    kept = json.dumps([rows, log, str(refused.value)]).encode()
    assert not scrub.holds(kept, [SECRET])
    run = new_run(tmp_path)
    look = Look("spaces", NOW, tuple(rows), refusal=refused.value.message, remedy=refused.value.remedy)
    finding = Finding("rooms-readable", rows[0]["name"], Status.FAIL, refused.value.message)
    add(run, "07_sync", finding, raw={"spaces": look}, requests=tuple(log))
    assert run_folders.is_sealed(seal.seal(run, clock=lambda: NOW))


@pytest.mark.parametrize("echo", ECHOES)
def test_what_came_by_another_way_is_found_before_the_seal(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(api.TOKEN, f"{SECRET}\r\n")
    run = new_run(tmp_path)
    add(run, "07_sync", Finding("rooms-readable", "a room", Status.FAIL, f"saw {ECHOES[echo](SECRET)}"))
    with pytest.raises(ArchiveError, match=r"07_sync\.json, line \d+: it looks like a secret that this program"):
        seal.seal(run, clock=lambda: NOW)


def test_an_answer_without_a_secret_is_the_very_bytes_that_came() -> None:
    content = {"data": {"rooms": [{"name": "Room é", "n": 1.0}]}}
    with service(content, headers={"x-request-id": "abc-1"}) as session:
        answer = session.get("https://spaceiq.example/", headers={"Authorization": f"Bearer {SECRET}"})
    assert (answer.content, answer.headers["x-request-id"]) == (json.dumps(content).encode(), "abc-1")


def test_the_secrets_of_the_environment_are_scrubbed_also_where_none_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_CERTIFICATE_PASSWORD", SECRET)
    with service({"error_description": f"no: {SECRET}"}, 400) as session:
        answer = session.post("https://login.example/token")
    assert SECRET not in answer.text
    assert answer.json() == {"error_description": f"no: {scrub.MASK}"}
