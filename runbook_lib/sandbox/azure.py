"""The little of Azure Resource Manager that Azure's command lines want before they talk to Entra and Graph.

`az cloud register -n sandbox --endpoint-resource-manager https://localhost:8443` reads the metadata; signing in lists
tenants and subscriptions, of which there are none.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.world.catalogue import AZURE
from runbook_lib.sandbox.world.state import Json
from runbook_lib.sandbox.world.world import World

AUDIENCES = ["https://management.core.windows.net/", "https://management.azure.com/"]


async def endpoint(request: Request) -> Response:
    """Answer /metadata/endpoints, /subscriptions and /tenants."""
    world: World = request.state.world
    name = request.scope["path"].strip("/")
    if name == "metadata/endpoints":
        return JSONResponse(_metadata(f"https://{request.headers.get('host', 'localhost')}"))
    try:
        bearer = request.headers.get("authorization", "").partition(" ")[2]
        claims = tokens.verify_access_token(world, bearer, AZURE)
    except tokens.TokenRejected as rejected:
        return _refusal(401, "InvalidAuthenticationToken", rejected.message)
    if name == "subscriptions":
        return JSONResponse({"value": [], "count": {"type": "Total", "value": 0}})
    if name == "tenants":
        return JSONResponse({"value": _tenants(world, claims)})
    return _refusal(404, "ResourceNotFound", f"The sandbox has nothing at /{name}.")


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def _tenants(world: World, claims: Json) -> list[Json]:
    tenant = world.tenant(claims["tid"])
    if tenant is None:
        return []
    row: Json = {
        "id": f"/tenants/{tenant.id}",
        "tenantId": tenant.id,
        "countryCode": tenant.region.get("country", "US"),
        "displayName": tenant.name,
        "domains": tenant.domains,
        "tenantCategory": "Home",
        "defaultDomain": tenant.domains[0],
        "tenantType": "AAD",
    }
    return [row]


def _metadata(base: str) -> Json:
    """Where this cloud's services are; what it does not have is left out."""
    return {
        "name": "sandbox",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": AUDIENCES,
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": f"{base}/",
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "microsoftGraphResourceId": f"{base}/",
        "suffixes": {},
    }
