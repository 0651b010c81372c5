"""Ask the sandbox's Graph without a network: a signed token, one request, the answer as httpx gives it."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.graph import app as edge
from runbook_lib.sandbox.world import grants
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.sandbox.world.world import World

VERIFIER = "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"


def graph_app(world: World) -> ASGIApp:
    """The Graph part of the cloud alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"world": world}
        response = await edge.endpoint(Request(scope, receive))
        await response(scope, receive, send)

    return app


class Asking:
    """A caller with a token of one tenant: `user` None is an app with roles, else a user's scopes."""

    def __init__(self, world: World, key: str, permissions: Iterable[str], user: str | None = None) -> None:
        tenant = world.tenant(key)
        assert tenant is not None
        self.world, self.tenant = world, tenant
        app = tenant.apps[VERIFIER]
        person = grants.person(tenant, f"{user}@{tenant.domains[0]}") if user else None
        self.token = tokens.access_token(world, tenant, app, permissions, user=person)
        self.app = graph_app(world)

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """Send one request under /v1.0, or under /beta when the path says so."""
        url = path if path.startswith(("/beta", "https://")) else f"/v1.0{path}"
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return asyncio.run(self._exchange(method, url, headers, json))

    async def _exchange(self, method: str, url: str, headers: dict[str, str], json: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://graph.microsoft.com") as client:
            return await client.request(method, url, headers=headers, json=json)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET a path; keyword arguments are headers, with _ for -."""
        return self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def eventual(self, path: str) -> httpx.Response:
        """GET with ConsistencyLevel: eventual."""
        return self.send("GET", path, headers={"ConsistencyLevel": "eventual"})


def tenant_of(world: World, key: str = "contoso") -> TenantState:
    """A tenant that must exist."""
    tenant = world.tenant(key)
    assert tenant is not None
    return tenant


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and error code of a refusal."""
    return response.status_code, response.json()["error"]["code"]
