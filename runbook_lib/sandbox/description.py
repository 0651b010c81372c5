"""What a client needs to know about a sandbox: addresses, certificate, apps, tenants, people; and its cloud file."""

import json
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import hashes

from runbook_lib.sandbox.spaceiq import api
from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.keys import Credentials, write_private
from runbook_lib.sandbox.world.world import App, Json, World

DESCRIPTION = "describe.json"
CLOUD = "cloud.yaml"


def describe(world: World, url: str, pid: int | None) -> Json:
    """Everything about a sandbox at `url` as one JSON; `pid` is the server's process, None when none serves."""
    credentials = world.credentials
    return {
        "name": "sandbox",
        "running": pid is not None,
        "pid": pid,
        "approve": "auto" if world.approval.auto else "manual",
        "login": url,
        "graph": url,
        "graph_v1": f"{url}/v1.0",
        "graph_beta": f"{url}/beta",
        "control": f"{url}/sandbox",
        "device_login": f"{url}/devicelogin",
        "ca_file": str(credentials.ca_file.resolve()),
        "cloud_file": str((credentials.folder / CLOUD).resolve()),
        "requests_log": str((credentials.folder / "requests.log").resolve()),
        "apps": {app.key: _app(app, credentials) for app in world.apps.values()},
        "password": credentials.people_password,
        "spaceiq": f"{url}/queries",
        "rehearsal": f"{url}/rehearsal",
        "tenants": [
            _tenant(key, scenario) | {"spaceiq_token": api.token(world, key)}
            for key, scenario in world.scenarios.items()
        ],
    }


def _app(app: App, credentials: Credentials) -> Json:
    facts: Json = {
        "client_id": app.id,
        "name": app.name,
        "public": app.public,
        "multi_tenant": app.multi_tenant,
        "redirect_uris": app.redirect_uris,
    }
    if app.key != "verifier":
        return facts
    file = str(credentials.verifier_file.resolve())
    return facts | {
        "secret": credentials.verifier_secret,
        "expired_secret": credentials.expired_secret,
        "certificate_file": file,
        "key_file": file,
        "thumbprint": credentials.verifier.thumbprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - as Entra shows it
        "thumbprint_sha256": credentials.verifier.thumbprint(hashes.SHA256()).hex().upper(),
    }


def _tenant(key: str, scenario: Json) -> Json:
    users = [
        {
            "upn": f"{human['alias']}@{scenario['domains'][0]}",
            "name": human["name"],
            "roles": human.get("roles", []),
            "enabled": human.get("enabled", True),
        }
        for human in scenario["people"]
    ]
    facts = {"key": key, "id": ids.tenant_id(key), "name": scenario["name"], "domains": scenario["domains"]}
    return facts | {"story": scenario.get("story", ""), "users": users}


def write(folder: Path, description: Json) -> None:
    """Write describe.json (it holds secrets: mode 0600) and the cloud file that tenants' `cloud:` points to."""
    write_private(folder / DESCRIPTION, json.dumps(description, indent=2).encode())
    cloud = {"name": "sandbox", "login": description["login"], "graph": description["graph"], "ca_file": "ca.pem"}
    (folder / CLOUD).write_text(yaml.safe_dump(cloud, sort_keys=False), encoding="utf-8")


def read(folder: Path) -> Json:
    """The description that was written last; empty when there is none."""
    try:
        found: Json = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
