"""What the sandbox's tests share: keys made once, a fresh world for each test, a server for a module."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from runbook_lib.sandbox.server import Sandbox, serving
from runbook_lib.sandbox.world import keys
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.sandbox.world.world import World
from tests.sandbox.signing_in import Client


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with its keys made: making them is slow, so all tests share one."""
    folder = tmp_path_factory.mktemp("sandbox")
    keys.load(folder, datetime.now(UTC))
    return folder


@pytest.fixture(scope="session")
def credentials(state_dir: Path) -> keys.Credentials:
    """The keys of the shared state folder."""
    return keys.load(state_dir, datetime.now(UTC))


@pytest.fixture
def world(credentials: keys.Credentials) -> World:
    """A world at its start."""
    return World(credentials)


@pytest.fixture
def contoso(world: World) -> TenantState:
    """The healthy tenant of the fresh world."""
    tenant = world.tenant("contoso")
    assert tenant is not None
    return tenant


@pytest.fixture(scope="session")
def running(state_dir: Path) -> Iterator[Sandbox]:
    """One server for all tests; use `sandbox`, which puts it back to the start."""
    with serving(state_dir) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """A running sandbox at its start: fresh world, real clock, automatic approval."""
    running.world.reset()
    return running


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    """A requests session that trusts the sandbox's certificate and nothing from the environment."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(sandbox.ca_file)
        yield session


@pytest.fixture
def client(sandbox: Sandbox, session: requests.Session) -> Client:
    """A client of the running sandbox at its start."""
    return Client(sandbox, session)
