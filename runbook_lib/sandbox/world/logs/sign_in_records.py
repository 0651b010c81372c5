"""Sign-in log records: of people, and of service principals at work."""

from datetime import datetime

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import shape
from runbook_lib.sandbox.world.grants import service_principal
from runbook_lib.sandbox.world.state import Json, TenantState
from runbook_lib.sandbox.world.times import graph_time, span


def user_sign_in(tenant: TenantState, client: Json | None, user: Json, when: datetime, client_app: str) -> Json:
    """The record of a person's interactive sign-in to an app; None is an app without service principal here."""
    number = str(len(tenant.sign_ins))
    facts = client or {"appId": "", "displayName": None}
    return shape(
        "signIn",
        id=ids.object_id(tenant.id, "sign-in", number),
        correlationId=ids.object_id(tenant.id, "sign-in correlation", number),
        createdDateTime=graph_time(when),
        userDisplayName=user["displayName"],
        userPrincipalName=user["userPrincipalName"],
        userId=user["id"],
        appId=facts["appId"],
        appDisplayName=facts["displayName"],
        clientAppUsed=client_app,
        resourceTenantId=tenant.id,
        homeTenantId=tenant.id,
        signInEventTypes=["interactiveUser"],
    )


def add_app_sign_ins(tenant: TenantState, plan: list[Json], now: datetime) -> None:
    """Add what service principals did: every so often, the newest one interval ago."""
    for line in plan:
        for turn in range(1, line["times"] + 1):
            add_app_sign_in(tenant, line["app"], now - span(line["every"]) * turn)


def add_app_sign_in(tenant: TenantState, key: str, when: datetime) -> None:
    """Add that an app signed in by itself; raises ValueError for one that the tenant does not have."""
    app = next(app for app in tenant.apps.values() if app.key == key)
    client = service_principal(tenant, app.id)
    if client is None:
        raise ValueError(f"{tenant.key}: {key} has no service principal to sign in with")
    tenant.sign_ins.append(_app_sign_in(tenant, client, when, len(tenant.sign_ins) + 1))


def _app_sign_in(tenant: TenantState, client: Json, when: datetime, turn: int) -> Json:
    number = f"{client['appId']} {turn}"
    return shape(
        "signIn",
        id=ids.object_id(tenant.id, "sign-in", number),
        correlationId=ids.object_id(tenant.id, "sign-in correlation", number),
        createdDateTime=graph_time(when),
        appId=client["appId"],
        appDisplayName=client["displayName"],
        clientAppUsed="",
        deviceDetail=None,
        ipAddress="198.51.100.7",
        isInteractive=False,
        resourceTenantId=tenant.id,
        homeTenantId=client["appOwnerOrganizationId"],
        servicePrincipalId=client["id"],
        servicePrincipalName=client["displayName"],
        signInEventTypes=["servicePrincipal"],
    )
