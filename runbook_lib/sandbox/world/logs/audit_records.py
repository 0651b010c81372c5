"""Directory audit records of consent, in the shapes that Entra writes (values are JSON text inside strings).

https://learn.microsoft.com/entra/identity/enterprise-apps/app-perms-audit-logs
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from runbook_lib.sandbox.world.state import App, Json


@dataclass(frozen=True)
class Actor:
    """Who did it (a user, or an app by its service principal), when, and the correlation id that one consent shares."""

    when: datetime
    user: Json | None
    app: Json | None
    correlation_id: str

    @property
    def initiated_by(self) -> Json:
        """The initiatedBy property: exactly one of user and app."""
        user = self.user and {
            "id": self.user["id"],
            "displayName": None,
            "userPrincipalName": self.user["userPrincipalName"],
            "ipAddress": "203.0.113.24",
            "userType": None,
            "homeTenantId": None,
            "homeTenantName": None,
        }
        app = self.app and {
            "appId": self.app["appId"],
            "displayName": self.app["displayName"],
            "servicePrincipalId": self.app["id"],
            "servicePrincipalName": None,
        }
        return {"user": user, "app": app}

    @property
    def time(self) -> str:
        """When, with the seven digits of the audit log."""
        return self.when.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def _record(actor: Actor, activity: str, operation: str, targets: list[Json], details: dict[str, str]) -> Json:
    return {
        "id": _record_id(actor, activity, targets),
        "category": "ApplicationManagement",
        "correlationId": actor.correlation_id,
        "result": "success",
        "resultReason": "",
        "activityDisplayName": activity,
        "activityDateTime": actor.time,
        "loggedByService": "Core Directory",
        "operationType": operation,
        "initiatedBy": actor.initiated_by,
        "targetResources": targets,
        "additionalDetails": [{"key": key, "value": value} for key, value in details.items()],
    }


def _record_id(actor: Actor, activity: str, targets: list[Json]) -> str:
    """An id in Entra's form, the same for the same event."""
    mark = uuid5(UUID(actor.correlation_id), activity + json.dumps(targets, sort_keys=True))
    return f"Directory_{actor.correlation_id}_{mark.hex[:5].upper()}_{mark.int % 10**9}"


def _target(principal: Json, *, named: bool, changes: Iterable[Json] = ()) -> Json:
    return {
        "id": principal["id"],
        "displayName": principal["displayName"] if named else None,
        "type": "ServicePrincipal",
        "userPrincipalName": None,
        "groupType": None,
        "modifiedProperties": list(changes),
    }


def _change(name: str, new: Any, old: Any = None) -> Json:
    """One modified property; its values are JSON written into a string, an absent old value is null."""
    return {
        "displayName": name,
        "oldValue": None if old is None else json.dumps(old),
        "newValue": json.dumps(new),
    }


def service_principal_added(actor: Actor, principal: Json, app: App) -> Json:
    """Add service principal: the app appeared in the tenant."""
    changes = [
        _change("AccountEnabled", [True], []),
        _change("AppPrincipalId", [app.id], []),
        _change("DisplayName", [principal["displayName"]], []),
        _change("ServicePrincipalName", [app.id], []),
        _change("Included Updated Properties", "AccountEnabled, AppPrincipalId, DisplayName, ServicePrincipalName"),
        _change("TargetId.ServicePrincipalNames", app.id),
    ]
    details = {
        "User-Agent": "EvoSTS",
        "ServicePrincipalProvisioningType": "ConsentFramework",
        "AppOwnerOrganizationId": app.home,
        "AppId": app.id,
    }
    return _record(actor, "Add service principal", "Add", [_target(principal, named=True, changes=changes)], details)


def app_role_assigned(actor: Actor, client: Json, resource: Json, role: Json) -> Json:
    """Add app role assignment to service principal: one application permission was granted on a resource."""
    changes = [
        _change("AppRole.Id", role["id"]),
        _change("AppRole.Value", role["value"]),
        _change("AppRole.DisplayName", role["displayName"]),
        _change("AppRoleAssignment.CreatedDateTime", actor.time),
        _change("AppRoleAssignment.LastModifiedDateTime", actor.time),
        *_client_changes(client, resource),
    ]
    targets = [_target(resource, named=True, changes=changes), _target(client, named=False)]
    details = {"User-Agent": "EvoSTS", "AppId": resource["appId"]}
    return _record(actor, "Add app role assignment to service principal", "Assign", targets, details)


def scopes_granted(actor: Actor, client: Json, resource: Json, grant: Json, old: str | None) -> Json:
    """Add delegated permission grant, or its amendment: the whole scope string, before and after."""
    changes = [
        _change("DelegatedPermissionGrant.Scope", f" {grant['scope']}", old if old is None else f" {old}"),
        _change("DelegatedPermissionGrant.ConsentType", grant["consentType"]),
        *_client_changes(client, resource),
    ]
    targets = [_target(resource, named=True, changes=changes), _target(client, named=False)]
    details = {"User-Agent": "EvoSTS", "AppId": resource["appId"]}
    return _record(actor, "Add delegated permission grant", "Assign", targets, details)


def _client_changes(client: Json, resource: Json) -> list[Json]:
    return [
        _change("ServicePrincipal.ObjectID", client["id"]),
        _change("ServicePrincipal.DisplayName", client["displayName"]),
        _change("ServicePrincipal.AppId", client["appId"]),
        _change("ServicePrincipal.Name", client["appId"]),
        _change("TargetId.ServicePrincipalNames", ";".join(resource["servicePrincipalNames"])),
    ]


def consented(actor: Actor, client: Json, after: list[Json], before: list[Json], *, admin: bool, for_all: bool) -> Json:
    """Consent to application: what one press of Accept did to the delegated grants, and for whom."""
    changes = [
        _change("ConsentContext.IsAdminConsent", str(admin)),
        _change("ConsentContext.IsAppOnly", "False"),
        _change("ConsentContext.OnBehalfOfAll", str(for_all)),
        _change("ConsentContext.Tags", client["tags"][0] if client["tags"] else ""),
        _change("ConsentAction.Permissions", f"{_permissions(before)} => {_permissions(after)}; "),
        _change("TargetId.ServicePrincipalNames", client["appId"]),
    ]
    details = {"User-Agent": "EvoSTS", "AppId": client["appId"]}
    return _record(actor, "Consent to application", "Assign", [_target(client, named=True, changes=changes)], details)


def _permissions(grants: list[Json]) -> str:
    rows = (
        f"[Id: {row['id']}, ClientId: {row['clientId']}, PrincipalId: {row['principalId'] or ''}, "
        f"ResourceId: {row['resourceId']}, ConsentType: {row['consentType']}, Scope: {row['scope']}, "
        "CreatedDateTime: , LastModifiedDateTime ]"
        for row in grants
    )
    return f"[{', '.join(rows)}]"
