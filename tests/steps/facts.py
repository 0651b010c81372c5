"""Small facts for the tests of the steps: a tenant, and raw answers as Graph sends them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from runbook_lib.model import Cloud, Json, Look, SignIn, Tenant

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
TENANT = Tenant(
    key="contoso",
    name="Contoso",
    tenant_id="11111111-2222-3333-4444-555555555555",
    domain="contoso.example",
    admin="dana@contoso.example",
    cloud=Cloud("global", "https://login.microsoftonline.com", "https://graph.microsoft.com", True),
    sign_in=SignIn("certificate", "11111111-2222-3333-4444-666666666666"),
    cronofy_app="10bb7e5b-b80b-4e6e-a209-f78581dbc79e",
)


def look(call: str, *rows: Json, **more: object) -> Look:
    """Return a complete look with `rows`."""
    return Look(call, NOW, rows=rows, **more)  # type: ignore[arg-type]


def refused(call: str) -> Look:
    """Return a look that Graph refused."""
    return Look(call, NOW, refusal=f"{call} was refused", remedy="Grant the permission.")


def with_cloud(login: str) -> Tenant:
    """Return the tenant in a cloud that Microsoft does not run."""
    return replace(TENANT, cloud=Cloud("sandbox", login, f"{login}/graph", False))
