"""Scope strings: which resource they name, and which of its delegated permissions."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from runbook_lib.sandbox.entra.http import EntraError
from runbook_lib.sandbox.world.catalogue import GRAPH, Resource, resource_uris, resources
from runbook_lib.sandbox.world.state import App, TenantState

OPENID = ("openid", "profile", "email", "offline_access")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Wanted:
    """A parsed scope parameter: one resource, how the client wrote it, the permissions, OpenID scopes apart."""

    resource: Resource
    prefix: str
    names: tuple[str, ...]
    openid: tuple[str, ...]
    default: bool

    @property
    def audience(self) -> str:
        """The aud claim of a token for it."""
        return audience(self.prefix, self.resource)


def audience(prefix: str, resource: Resource) -> str:
    """The aud claim that Entra puts in: the resource as the client wrote it, else its app id; this host as Graph."""
    written = prefix.removesuffix("/")
    if written.rstrip("/") in resource_uris():
        return written
    return resource.app_id if not written else "https://graph.microsoft.com"


def split(scope: str) -> tuple[str, str]:
    """One scope as (resource with trailing slash or nothing, permission)."""
    prefix, slash, name = scope.rpartition("/")
    return prefix + slash, name


def find_resource(prefix: str, host: str, tenant: TenantState | None) -> Resource:
    """The resource of a prefix; this host and loopback are Graph. Raises AADSTS500011 for one that nobody knows."""
    written = prefix.rstrip("/")
    known = resource_uris().get(written) if written else GRAPH
    address = urlsplit(written)
    if known is None and address.scheme == "https" and (address.netloc == host or address.hostname in LOOPBACK):
        known = GRAPH
    if known is None:
        where = tenant.name if tenant else "Microsoft Services"
        message = (
            f"The resource principal named {prefix.removesuffix('/')} was not found in the tenant named {where}. This "
            "can happen if the application has not been installed by the administrator of the tenant or consented to "
            "by any user in the tenant. You might have sent your authentication request to the wrong tenant."
        )
        raise EntraError("invalid_resource", 500011, message)
    return resources()[known]


def parse(text: str, host: str, app: App, tenant: TenantState | None) -> Wanted:
    """Understand the scope parameter of a request for a user; raises AADSTS70011, 28000, 500011 or 650053."""
    asked = list(dict.fromkeys(text.split()))
    openid = tuple(scope.lower() for scope in asked if scope.lower() in OPENID)
    pairs = [split(scope) for scope in asked if scope.lower() not in OPENID]
    found = {find_resource(prefix, host, tenant).app_id for prefix, _ in pairs}
    if len(found) > 1:
        message = (
            "Provided value for the input parameter scope is not valid because it contains more than one resource. "
            f"Scope {text} is not valid."
        )
        raise EntraError("invalid_request", 28000, message)
    resource = resources()[found.pop()] if found else resources()[GRAPH]
    names = [name for _, name in pairs]
    default = ".default" in names
    if default and len(names) > 1:
        message = f".default scope can't be combined with resource-specific scopes. The scope {text} is not valid."
        raise EntraError("invalid_scope", 70011, message)
    canonical = {name.lower(): name for name in resource.scope_ids}
    for name in names:
        if name != ".default" and name.lower() not in canonical:
            message = (
                f"The application '{app.name}' asked for scope '{name}' that doesn't exist on the resource "
                f"'{resource.app_id}'. Contact the app vendor."
            )
            raise EntraError("invalid_client", 650053, message)
    wanted = tuple(canonical[name.lower()] for name in names if name != ".default")
    return Wanted(resource, pairs[0][0] if pairs else "", wanted, openid, default)
