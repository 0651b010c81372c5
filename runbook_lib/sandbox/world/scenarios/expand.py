"""From a compact scenario to a full tenant: organization, domains, people, roles, consents, policies."""

from datetime import datetime, timedelta
from typing import Any

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.catalogue import directory_roles, owners, resource_id, resources, shape
from runbook_lib.sandbox.world.consent import record_consent
from runbook_lib.sandbox.world.grants import person, service_principal
from runbook_lib.sandbox.world.logs.sign_in_records import add_app_sign_ins, user_sign_in
from runbook_lib.sandbox.world.scenarios.rooms import add_rooms, mailbox
from runbook_lib.sandbox.world.scenarios.spaces import add_spaces
from runbook_lib.sandbox.world.state import App, Json, TenantState
from runbook_lib.sandbox.world.times import graph_time, span

LICENCES = {
    "premium": "06ebc4ee-1bb5-47dd-8120-11324bc54e06",  # SPE_E5
    "free": "18181a46-0d4e-45cd-891e-60aabd171b4e",  # STANDARDPACK, which has no Entra ID P1
}


def expand(key: str, scenario: Json, apps: dict[str, App], now: datetime) -> TenantState:
    """Make the tenant that a scenario describes, as it stands at `now`; `apps` are the registrations by app id."""
    tenant = TenantState(
        key=key,
        id=ids.tenant_id(key),
        name=scenario["name"],
        domains=scenario["domains"],
        premium=scenario.get("licence", "premium") == "premium",
        region=scenario.get("region", {"scope": "NA"}),
        modes=dict(scenario.get("modes") or {}),
        apps={app.id: app for app in apps.values() if app.multi_tenant or app.home == ids.tenant_id(key)},
    )
    created = graph_time(now - timedelta(days=1200))
    _add_organization(tenant, created)
    _add_resources(tenant)
    for human in scenario["people"]:
        _add_person(tenant, human, created)
    for request in scenario.get("consents") or []:
        _consent(tenant, request, now)
    add_app_sign_ins(tenant, scenario.get("app_sign_ins") or [], now)
    _add_policies(tenant, scenario.get("policies") or {}, created)
    add_rooms(tenant, scenario.get("rooms") or {}, created)
    add_spaces(tenant, scenario.get("spaceiq") or {}, now)
    for group in scenario.get("groups") or []:
        _add_group(tenant, group, created)
    return tenant


def _add_organization(tenant: TenantState, created: str) -> None:
    last = len(tenant.domains) - 1
    facts: list[Json] = [
        {"id": name, "isDefault": i == 0, "isInitial": i == last} for i, name in enumerate(tenant.domains)
    ]
    tenant.domain_objects = {fact["id"]: shape("domain", **fact) for fact in facts}
    tenant.organization = shape(
        "organization",
        id=tenant.id,
        createdDateTime=created,
        displayName=tenant.name,
        countryLetterCode=tenant.region.get("country", "US"),
        technicalNotificationMails=[f"it@{tenant.domains[0]}"],
        verifiedDomains=[
            shape("verifiedDomain", name=fact["id"], isDefault=fact["isDefault"], isInitial=fact["isInitial"])
            for fact in facts
        ],
    )


def _add_resources(tenant: TenantState) -> None:
    """The service principals of Microsoft's own APIs, which publish the permissions."""
    for resource in resources().values():
        identity = ids.object_id(tenant.id, resource.app_id)
        tenant.service_principals[identity] = shape(
            "servicePrincipal",
            id=identity,
            appId=resource.app_id,
            appDisplayName=resource.name,
            displayName=resource.name,
            appOwnerOrganizationId=owners()["microsoft"],
            appRoles=resource.app_roles,
            oauth2PermissionScopes=resource.permission_scopes,
            servicePrincipalNames=[resource.app_id],
        )


def _add_person(tenant: TenantState, human: Json, created: str) -> None:
    address = f"{human['alias']}@{tenant.domains[0]}"
    identity = ids.object_id(tenant.id, "user", address)
    given, _, surname = human["name"].partition(" ")
    tenant.users[identity] = shape(
        "user",
        id=identity,
        accountEnabled=human.get("enabled", True),
        createdDateTime=created,
        displayName=human["name"],
        givenName=given,
        surname=surname,
        jobTitle=human.get("title"),
        department=human.get("department"),
        mail=address,
        mailNickname=human["alias"],
        proxyAddresses=[f"SMTP:{address}", f"smtp:{human['alias']}@{tenant.domains[-1]}"],
        usageLocation=tenant.region.get("country", "US"),
        userPrincipalName=address,
        assignedLicenses=[{"disabledPlans": [], "skuId": LICENCES["premium" if tenant.premium else "free"]}],
    )
    tenant.mailboxes[address.lower()] = mailbox(address, "user", identity, human.get("time_zone", "UTC"))
    for role in human.get("roles", []):
        _assign_role(tenant, identity, role)


def _assign_role(tenant: TenantState, user_id: str, name: str) -> None:
    fact = directory_roles()[name]
    role_id = ids.object_id(tenant.id, "role", fact["template"])
    tenant.directory_roles.setdefault(
        role_id,
        shape(
            "directoryRole",
            id=role_id,
            displayName=name,
            description=fact["description"],
            roleTemplateId=fact["template"],
        ),
    )
    tenant.role_members.setdefault(role_id, []).append(user_id)
    assignment = ids.joined_id(fact["template"], user_id)
    tenant.role_assignments[assignment] = shape(
        "unifiedRoleAssignment", id=assignment, principalId=user_id, roleDefinitionId=fact["template"]
    )


def _consent(tenant: TenantState, request: Json, now: datetime) -> None:
    """One consent of the scenario: what was granted, by whom (a person's alias or an app's key), and when.

    Without `roles` and `scopes` it is everything that the registration asks for, less what `without` lists.
    """
    app = app_of(tenant, request["app"])
    wanted = {kind: request.get(kind) for kind in ("roles", "scopes")}
    plain = all(names is None for names in wanted.values())
    permissions = app.permissions if plain else _by_resource(wanted)
    left_out = request.get("without", [])
    user = person(tenant, f"{request['by']}@{tenant.domains[0]}") if "by" in request else None
    when = now - span(request["ago"])
    client = record_consent(
        tenant,
        app,
        {
            resource: {kind: [name for name in names if name not in left_out] for kind, names in kinds.items()}
            for resource, kinds in permissions.items()
        },
        when=when,
        user=user,
        by_app=service_principal(tenant, app_of(tenant, request["by_app"]).id) if "by_app" in request else None,
        for_all=not request.get("for_self", False),
    )
    client |= request.get("principal", {})
    if user is not None:
        tenant.sign_ins.append(user_sign_in(tenant, client, user, when, "Browser"))


def app_of(tenant: TenantState, key: str) -> App:
    """The registration of that key in apps.yaml; KeyError when the tenant cannot use it."""
    for app in tenant.apps.values():
        if app.key == key:
            return app
    raise KeyError(key)


def _by_resource(wanted: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """From {"roles": {"graph": [...]}} to {resource app id: {"roles": [...]}}."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, named in wanted.items():
        for name, permissions in (named or {}).items():
            found.setdefault(resource_id(name), {})[kind] = permissions
    return found


def _add_group(tenant: TenantState, group: Json, created: str) -> None:
    """A mail-enabled security group, such as an application access policy takes; `members: rooms` are all rooms."""
    address = f"{group['alias']}@{tenant.domains[0]}"
    identity = ids.object_id(tenant.id, "group", address)
    rooms = [box.user_id for box in tenant.mailboxes.values() if box.kind == "room"]
    named = [ids.object_id(tenant.id, "user", f"{alias}@{tenant.domains[0]}") for alias in group["members"]]
    tenant.groups[identity] = shape(
        "group",
        id=identity,
        createdDateTime=created,
        displayName=group["name"],
        mail=address,
        mailEnabled=True,
        mailNickname=group["alias"],
        proxyAddresses=[f"SMTP:{address}"],
        _members=rooms if group["members"] == "rooms" else named,
    )


def _add_policies(tenant: TenantState, changes: Json, created: str) -> None:
    blank = shape("conditionalAccessPolicy")
    tenant.policies = {
        "authorizationPolicy": shape("authorizationPolicy") | changes.get("authorization", {}),
        "adminConsentRequestPolicy": shape("adminConsentRequestPolicy") | changes.get("admin_consent_request", {}),
        "conditionalAccessPolicies": [
            shape(
                "conditionalAccessPolicy",
                id=ids.object_id(tenant.id, "policy", policy["displayName"]),
                createdDateTime=created,
                displayName=policy["displayName"],
                state=policy["state"],
                conditions=blank["conditions"] | policy["conditions"],
            )
            for policy in changes.get("conditional_access", [])
        ],
    }
