"""The sandbox's facts as data: app registrations, permissions of the resources, directory roles, object shapes."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runbook_lib.sandbox.world.state import App, Json

HERE = Path(__file__).parent
GRAPH = "00000003-0000-0000-c000-000000000000"
EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
AZURE = "797f4846-ba00-4fd7-ba43-dac1f8f63013"


def load_yaml(path: Path) -> Any:
    """Read one YAML file (UTF-8)."""
    with path.open("rb") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


@cache
def _shapes() -> Json:
    shapes: Json = load_yaml(HERE / "shapes.yaml")
    return shapes


def shape(kind: str, **values: Any) -> Json:
    """A fresh object of that kind with all its properties, the given ones filled in."""
    return {name: _fresh(value) for name, value in _shapes()[kind].items()} | values


def _fresh(value: Any) -> Any:
    """A copy of plain data; copy.deepcopy is ten times slower, and large tenants have thousands of objects."""
    if isinstance(value, dict):
        return {name: _fresh(inner) for name, inner in value.items()}
    return [_fresh(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Resource:
    """An API that publishes permissions: names to ids, and the lists its service principal shows."""

    app_id: str
    name: str
    role_ids: dict[str, str]
    scope_ids: dict[str, str]
    admin_scopes: frozenset[str]
    app_roles: list[Json]
    permission_scopes: list[Json]


@cache
def resources() -> dict[str, Resource]:
    """Every resource of graph_roles.yaml by its app id."""
    rows = [*load_yaml(HERE / "graph_roles.yaml"), *_registrations()["more_resources"]]
    return {row["appId"]: _resource(row) for row in rows}


def _resource(row: Json) -> Resource:
    roles: dict[str, list[str]] = row.get("appRoles") or {}
    scopes: dict[str, list[str]] = row.get("oauth2PermissionScopes") or {}
    return Resource(
        app_id=row["appId"],
        name=row["displayName"],
        role_ids={name: fact[0] for name, fact in roles.items()},
        scope_ids={name: fact[0] for name, fact in scopes.items()},
        admin_scopes=frozenset(name for name, fact in scopes.items() if fact[1] == "Admin"),
        app_roles=[_app_role(name, *fact) for name, fact in roles.items()],
        permission_scopes=[_permission_scope(name, *fact) for name, fact in scopes.items()],
    )


def _app_role(name: str, role_id: str, title: str) -> Json:
    return {
        "allowedMemberTypes": ["Application"],
        "description": title,
        "displayName": title,
        "id": role_id,
        "isEnabled": True,
        "origin": "Application",
        "value": name,
    }


def _permission_scope(name: str, scope_id: str, kind: str, title: str) -> Json:
    return {
        "adminConsentDescription": title,
        "adminConsentDisplayName": title,
        "id": scope_id,
        "isEnabled": True,
        "type": kind,
        "userConsentDescription": title,
        "userConsentDisplayName": title,
        "value": name,
    }


@cache
def directory_roles() -> dict[str, Json]:
    """Directory roles by display name: template, description, consents_to."""
    roles: dict[str, Json] = load_yaml(HERE / "roles.yaml")
    return roles


@cache
def _registrations() -> Json:
    registrations: Json = load_yaml(HERE / "apps.yaml")
    return registrations


def owners() -> dict[str, str]:
    """Tenant ids of the publishers that are not tenants of the sandbox."""
    ids: dict[str, str] = _registrations()["owners"]
    return ids


def resource_id(name: str) -> str:
    """The app id of a resource by its short name in the scenarios (graph, exchange)."""
    app_id: str = _registrations()["resources"][name]["id"]
    return app_id


@cache
def resource_uris() -> dict[str, str]:
    """Identifier URIs without trailing slash, and app ids, to the resource's app id."""
    named = {uri: row["id"] for row in _registrations()["resources"].values() for uri in row["uris"]}
    return named | {app_id: app_id for app_id in resources()}


def app(key: str, home: str) -> App:
    """A fresh registration from apps.yaml, owned by the tenant id `home`."""
    row = _registrations()["apps"][key]
    permissions = {resource_id(name): wanted for name, wanted in row["permissions"].items()}
    return App(**{**_fresh(row), "key": key, "home": home, "permissions": permissions})


def app_homes() -> dict[str, str]:
    """Every registration's key and the name of its owner."""
    return {key: row["home"] for key, row in _registrations()["apps"].items()}
