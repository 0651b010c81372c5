"""Audit entries of what Graph calls change, made from the entries that consent writes (audit_records.py)."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from runbook_lib.sandbox.graph.routes import Call
from runbook_lib.sandbox.world.grants import service_principal
from runbook_lib.sandbox.world.logs import audit_records
from runbook_lib.sandbox.world.logs.audit_records import Actor
from runbook_lib.sandbox.world.state import App, Json


def actor_of(call: Call) -> Actor:
    """The actor behind a Graph call: the signed-in user, or the app's service principal."""
    who = call.caller
    user = call.tenant.users[who.user_id] if who.user_id else None
    app = None if user else service_principal(call.tenant, who.app_id)
    return Actor(call.world.now(), user, app, str(uuid4()))


def keep(call: Call, entry: Json) -> None:
    """Put an entry before the others, newest first."""
    call.tenant.directory_audits.insert(0, entry)


def _undone(entry: Json, activity: str) -> Json:
    """The entry of the opposite: what was new is old now."""
    for target in entry["targetResources"]:
        for fact in target["modifiedProperties"]:
            fact["oldValue"], fact["newValue"] = fact["newValue"], None
    return {**entry, "activityDisplayName": activity, "operationType": "Unassign"}


def assigned(call: Call, row: Json, *, removed: bool = False) -> None:
    """An application role given, or taken back."""
    rows = call.tenant.service_principals
    client, resource = rows[row["principalId"]], rows[row["resourceId"]]
    unnamed = {"id": row["appRoleId"], "value": "", "displayName": ""}
    role = next((known for known in resource["appRoles"] if known["id"] == row["appRoleId"]), unnamed)
    entry = audit_records.app_role_assigned(actor_of(call), client, resource, role)
    keep(call, _undone(entry, "Remove app role assignment from service principal") if removed else entry)


def granted(call: Call, row: Json, *, before: str | None = None, removed: bool = False) -> None:
    """Delegated permissions granted, changed from `before`, or taken back."""
    rows = call.tenant.service_principals
    entry = audit_records.scopes_granted(actor_of(call), rows[row["clientId"]], rows[row["resourceId"]], row, before)
    keep(call, _undone(entry, "Remove delegated permission grant") if removed else entry)


def principal_added(call: Call, row: Json, app: App) -> None:
    """A service principal made by a call."""
    keep(call, audit_records.service_principal_added(actor_of(call), row, app))


def changed(call: Call, row: Json, facts: Mapping[str, tuple[Any, Any]]) -> None:
    """Properties of a service principal changed: name -> old and new value."""
    entry = audit_records.service_principal_added(actor_of(call), row, _app(call, row))
    entry["targetResources"][0]["modifiedProperties"] = [
        {"displayName": name, "oldValue": json.dumps([old]), "newValue": json.dumps([new])}
        for name, (old, new) in facts.items()
    ]
    keep(call, {**entry, "activityDisplayName": "Update service principal", "operationType": "Update"})


def _app(call: Call, row: Json) -> App:
    """The registration behind a service principal; of an app that the sandbox does not run, what is known of it."""
    home = str(row["appOwnerOrganizationId"])
    stranger = App(
        row["appId"], row["appId"], row["displayName"], home, multi_tenant=True, public=False, permissions={}
    )
    return call.world.apps.get(row["appId"], stranger)


def application_added(call: Call, row: Json, app: App) -> None:
    """An app registered by a call."""
    entry = audit_records.service_principal_added(actor_of(call), row, app)
    entry["targetResources"][0]["type"] = "Application"
    keep(call, {**entry, "activityDisplayName": "Add application"})
