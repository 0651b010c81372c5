"""The runbook's own app registration: read-only, with exactly the permissions that its questions need."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runbook_lib import vendors
from runbook_lib.errors import CloudError, UsageError
from runbook_lib.model import NO_APP, Json, SignIn, Tenant
from runbook_lib.vendors import Call

if TYPE_CHECKING:
    from runbook_lib.clients.entra.certificate import KeyPair
    from runbook_lib.clients.graph.client import Graph

NAMES = {
    "browser": "SpaceIQ calendar runbook (read-only)",
    "device-code": "SpaceIQ calendar runbook (read-only)",
    "certificate": "SpaceIQ calendar runbook (read-only, unattended)",
}
"""What the app is called, by sign-in method: what a person may do and what a key alone may do are two apps."""
RETURN_TO = "http://localhost"
"""Where the browser returns to after a sign-in, and after an admin consent: this machine."""
PERSON_NEEDS = {
    "openid": "to sign a person in",
    "profile": "to know whose sign-in it is",
    "offline_access": "to stay signed in for the evening",
}
"""msal asks for these with every sign-in of a person; unlisted, each user would be asked to consent to them:
https://learn.microsoft.com/entra/identity-platform/scopes-oidc (read 2026-11-22)."""
CALLS = ("own_registrations", "create_registration")
OPTIONAL = {"test_room": ("create_event",), "revoke": ("remove_app_role", "narrow_grant")}
"""What a tenant file may ask for beyond reading, and the calls that need more permission for it."""
WAIT = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks for a new registration: the directory shows it with some delay."""


@dataclass(frozen=True, slots=True)
class Need:
    """One permission of the app, and the questions that need it."""

    name: str
    kind: str
    id: str
    why: str


def questions(method: str) -> tuple[Call, ...]:
    """Return every call that a step can make with this sign-in method without a permission that writes."""
    asked = (call for call in vendors.calls().values() if call.name not in CALLS)
    permission = {call: call.permission(method == "certificate") for call in asked}
    return tuple(call for call, name in permission.items() if name and "Write" not in name)


def needs(method: str) -> tuple[Need, ...]:
    """Return the permissions for this sign-in method; none of them can write anything."""
    app_only = method == "certificate"
    kind = "application" if app_only else "delegated"
    whys: dict[str, list[str]] = {} if app_only else {name: [why] for name, why in PERSON_NEEDS.items()}
    for call in questions(method):
        whys.setdefault(call.permission(app_only), []).append(call.why)
    return tuple(Need(name, kind, vendors.permission_id(name, kind), "; ".join(why)) for name, why in whys.items())


def body(tenant: Tenant, pair: KeyPair | None = None) -> Json:
    """Return the application as Graph creates it: https://learn.microsoft.com/graph/api/application-post-applications.

    Every method gets the address to return to, because the admin-consent page refuses an app that has none.
    """
    method = tenant.sign_in.method
    access = [{"id": one.id, "type": "Role" if one.kind == "application" else "Scope"} for one in needs(method)]
    made: Json = {
        "displayName": NAMES[method],
        "signInAudience": "AzureADMyOrg",
        "isFallbackPublicClient": method == "device-code",
        "publicClient": {"redirectUris": [RETURN_TO]},
        "requiredResourceAccess": [{"resourceAppId": vendors.MICROSOFT_GRAPH, "resourceAccess": access}],
    }
    if pair:
        key = base64.b64encode(pair.public_der).decode()
        made["keyCredentials"] = [
            {"type": "AsymmetricX509Cert", "usage": "Verify", "key": key, "displayName": f"CN={tenant.key}"}
        ]
    return made


def consent_url(tenant: Tenant, client_id: str) -> str:
    """Return where an administrator consents: https://learn.microsoft.com/entra/identity-platform/v2-admin-consent."""
    return f"{tenant.cloud.login}/{tenant.tenant_id}/adminconsent?client_id={client_id}"


def portal_page(tenant: Tenant, client_id: str) -> str:
    """Return the portal's page with the app's permissions and the button that grants consent."""
    portal = tenant.cloud.portal or vendors.clouds()["global"].portal
    return f"{portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/CallAnAPI/appId/{client_id}"


def by_hand(tenant: Tenant) -> tuple[str, ...]:
    """Return what to click in the Entra admin center to make the same registration."""
    method, portal = tenant.sign_in.method, tenant.cloud.portal or vendors.clouds()["global"].portal
    kind = "Application" if method == "certificate" else "Delegated"
    named = ", ".join(one.name for one in needs(method))
    extra = {
        "browser": (),
        "device-code": ("Authentication > Advanced settings > Allow public client flows: Yes > Save.",),
        "certificate": ("Certificates & secrets > Certificates > Upload certificate: the .cer file, never the key.",),
    }[method]
    return (
        f"{portal} > App registrations > New registration. Name: {NAMES[method]}.",
        "Supported account types: this organizational directory only (single tenant).",
        f"Redirect URI: platform 'Public client/native (mobile & desktop)', {RETURN_TO}. Register.",
        *extra,
        f"API permissions > Add a permission > Microsoft Graph > {kind} permissions: {named}.",
        f"API permissions > Grant admin consent for {tenant.name}: as {_consenting()}.",
        f"Overview > Application (client) ID: copy it to client_id in parameters/{tenant.key}.yaml.",
    )


def _consenting() -> str:
    return " or ".join(vendors.facts()["consenting_roles"].values())


def beyond_reading(tenant: Tenant) -> tuple[str, ...]:
    """Return what the tenant file asks for that this read-only app cannot do, and which permission would let it."""
    wanted = {"test_room": bool(tenant.rooms.test_room), "revoke": bool(tenant.revoke)}
    app_only = tenant.sign_in.method == "certificate"
    return tuple(
        f"The tenant file names {key}: {call.why} needs {call.permission(app_only)}, which this app does not ask for."
        for key, names in OPTIONAL.items()
        for call in (vendors.calls()[name] for name in names)
        if wanted[key]
    )


def plan(tenant: Tenant, pair: KeyPair | None = None) -> Json:
    """Return everything that creating the registration takes, for machines."""
    client_id = tenant.sign_in.client_id
    known = client_id if client_id != NO_APP else "CLIENT_ID"
    return {
        "tenant": tenant.key,
        "method": tenant.sign_in.method,
        "permissions": [
            {"name": one.name, "kind": one.kind, "id": one.id, "why": one.why} for one in needs(tenant.sign_in.method)
        ],
        "application": body(tenant, pair),
        "create": {"method": "POST", "url": f"{tenant.cloud.graph}/v1.0/applications"},
        "by_hand": list(by_hand(tenant)),
        "admin_consent": {"url": consent_url(tenant, known), "portal": portal_page(tenant, known)},
        "beyond_reading": list(beyond_reading(tenant)),
    }


def registrar(tenant: Tenant, client_id: str, method: str) -> Tenant:
    """Return the tenant as the person sees it who registers the app: signed in through an app that is there already."""
    known = client_id or vendors.facts()["graph_command_line"]["client_id"]
    person = method or (tenant.sign_in.method if tenant.sign_in.method != "certificate" else "browser")
    return replace(tenant, sign_in=SignIn(person, known))


def create(graph: Graph, application: Json, sleep: Callable[[float], object] = time.sleep) -> str:
    """Register the application, unless one of its name is there, and return its client id.

    Raises UsageError when there is one, Forbidden without the permission, CloudError when it does not show up.
    """
    known = _registered(graph, application["displayName"])
    if known:
        raise UsageError(
            f"{application['displayName']} is registered already, with the client id {' and '.join(known)}.",
            "Put that into client_id in the tenant file; or delete it under App registrations and start again.",
        )
    graph.change("create_registration", application)
    for seconds in WAIT:
        if found := _registered(graph, application["displayName"]):
            return found[0]
        sleep(seconds)
    raise CloudError(
        f"{application['displayName']} was registered, but the directory does not show it yet.",
        "Copy its client id from App registrations into the tenant file.",
    )


def _registered(graph: Graph, name: str) -> list[str]:
    look = graph.look("own_registrations", name=name)
    if look.refusal:
        raise CloudError(look.refusal, look.remedy)
    return [str(row["appId"]) for row in look.rows]
