"""Who may call: from a bearer token to a caller, and from permissions.yaml to a refusal or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runbook_lib.sandbox.entra.tokens import TokenRejected, verify_access_token
from runbook_lib.sandbox.faults import GraphError, unauthorized
from runbook_lib.sandbox.graph.routes import Caller, Route
from runbook_lib.sandbox.world.catalogue import load_yaml
from runbook_lib.sandbox.world.world import Json, World

SELF_ONLY = frozenset({"User.Read", "User.ReadWrite"})


@dataclass(frozen=True)
class Requirement:
    """What one call wants: one of a kind's permissions, all of `every`, and for users one of the directory roles."""

    delegated: tuple[str, ...]
    application: tuple[str, ...]
    every: frozenset[str]
    roles: frozenset[str]
    denied: tuple[str, str] | None

    def of(self, kind: str) -> tuple[str, ...]:
        """The permissions of that kind of token, least first."""
        return self.delegated if kind == "delegated" else self.application


@cache
def requirements() -> Mapping[str, Requirement]:
    """Every call of permissions.yaml, "METHOD template", with what it wants."""
    table = load_yaml(Path(__file__).parent / "permissions.yaml")
    return {call: _requirement(row, table["roles"]) for row in table["calls"] for call in row["calls"]}


def _requirement(row: Json, roles: Json) -> Requirement:
    added = row.get("added") or {}

    def accepted(kind: str) -> tuple[str, ...]:
        listed: list[str] = row.get("both") or row.get(kind) or []
        return (*listed, *added.get(kind, []))

    denied = row.get("denied")
    return Requirement(
        delegated=accepted("delegated"),
        application=accepted("application"),
        every=frozenset(row.get("all", [])),
        roles=frozenset(roles[row["roles"]]) if "roles" in row else frozenset(),
        denied=(denied["code"], denied["message"]) if denied else None,
    )


def caller(world: World, authorization: str) -> Caller:
    """The caller of an Authorization header. Raises GraphError 401."""
    scheme, _, bearer = authorization.partition(" ")
    try:
        claims = verify_access_token(world, bearer.strip() if scheme.lower() == "bearer" else "")
    except TokenRejected as fault:
        raise unauthorized(fault.message) from None
    delegated = "scp" in claims
    permissions = claims["scp"].split() if delegated else claims.get("roles", [])
    return Caller(
        app_id=claims["appid"],
        app_name=claims.get("app_displayname", ""),
        kind="delegated" if delegated else "application",
        permissions=frozenset(permissions),
        user_id=claims["oid"] if delegated else None,
        wids=tuple(claims.get("wids", [])),
        tenant_id=claims["tid"],
    )


def authorize(who: Caller, route: Route) -> None:
    """Let the caller pass or raise GraphError 403 in the words of the workload that refuses."""
    wanted = requirements()[route.permission]
    listed = wanted.of(who.kind)
    if not (who.permissions.intersection(listed) and who.permissions >= wanted.every):
        raise refusal(route, listed or wanted.delegated)
    if who.kind == "delegated" and wanted.roles and not wanted.roles.intersection(who.wids):
        if wanted.denied and wanted.denied[0] == "Authentication_MSGraphPermissionMissing":
            raise GraphError(403, "Authentication_RequestFromUnsupportedUserRole", "User is not in the allowed roles")
        raise refusal(route, listed)


def refusal(route: Route, listed: tuple[str, ...]) -> GraphError:
    """The 403 of a route's workload."""
    if denied := requirements()[route.permission].denied:
        code, message = denied
        return GraphError(403, code, message.format(least=listed[0], any=",".join(listed)))
    if route.family == "exchange":
        return GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    return denied_by_directory()


def denied_by_directory() -> GraphError:
    """The directory's 403."""
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
