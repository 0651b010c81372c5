"""What all tests share: an environment without traps, one sandbox cloud for the whole run, and its tenants."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.http import session
from runbook_lib.model import Cloud, SignIn, Tenant

if TYPE_CHECKING:
    from runbook_lib.sandbox.server import Sandbox
    from runbook_lib.sandbox.world.state import TenantState

VERIFIER = "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"
TRAPS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC", "BROWSER")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what this machine's proxy, certificates, ~/.netrc and our own variables would do to a test."""
    for name in list(os.environ):
        if name in TRAPS or name.lower().endswith("_proxy") or name.startswith("RUNBOOK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no.netrc"))
    monkeypatch.setenv("RUNBOOK_TOKEN_CACHE", "memory")  # or a developer's own keyring would keep sign-ins of tests
    entra.DISCOVERED.clear()  # a test stands for a process


@pytest.fixture(scope="session")
def cloud_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One server for all tests; ask for `sandbox`, which puts it back to the start."""
    from runbook_lib.sandbox.server import serving  # only tests with a cloud pay for its import

    with serving(tmp_path_factory.mktemp("cloud")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(cloud_server: Sandbox) -> Sandbox:
    """A running sandbox cloud as it is at the start, without faults."""
    from runbook_lib.sandbox import control

    control.reset(cloud_server.world, {})
    return cloud_server


@pytest.fixture
def contoso(sandbox: Sandbox) -> TenantState:
    """The sandbox's healthy tenant, for a test to spoil."""
    found = sandbox.world.tenant("contoso")
    assert found is not None
    return found


@pytest.fixture
def rehearsal(sandbox: Sandbox) -> Cloud:
    """The sandbox as a cloud that a tenant file could name."""
    return Cloud("sandbox", sandbox.url, sandbox.url, microsoft=False, ca_file=sandbox.ca_file)


@pytest.fixture
def http(rehearsal: Cloud) -> Iterator[requests.Session]:
    """The connection to the sandbox that the runbook itself makes."""
    with session(rehearsal) as http:
        yield http


@pytest.fixture
def tenant(sandbox: Sandbox, rehearsal: Cloud) -> Callable[..., Tenant]:
    """Return what makes the tenant file of a sandbox tenant: tenant("contoso", method="browser")."""

    def make(key: str = "contoso", method: str = "certificate", client_id: str = VERIFIER) -> Tenant:
        state = sandbox.world.tenant(key)
        assert state is not None
        return Tenant(
            key=key,
            name=state.name,
            tenant_id=state.id,
            domain=state.domains[0],
            admin=f"admin@{state.domains[0]}",
            cloud=rehearsal,
            sign_in=SignIn(method, client_id, sandbox.credentials.verifier_file),
            cronofy_app="10bb7e5b-b80b-4e6e-a209-f78581dbc79e",
        )

    return make
