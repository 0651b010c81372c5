"""App registrations of a tenant, drawn from what the token endpoint knows of each app."""

import base64
import binascii
import secrets
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

from runbook_lib.sandbox.graph.directory import changes, rules, trail
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found, route
from runbook_lib.sandbox.world.catalogue import resources
from runbook_lib.sandbox.world.ids import object_id
from runbook_lib.sandbox.world.state import App, Json, Secret, TenantState

PAGE = "https://learn.microsoft.com/graph/api/"
OMITS = "createdDateTime (null), most properties"
AUDIENCES = {True: "AzureADMultipleOrgs", False: "AzureADMyOrg"}
WRITABLE = (
    "displayName",
    "signInAudience",
    "requiredResourceAccess",
    "keyCredentials",
    "passwordCredentials",
    "publicClient",
    "web",
    "isFallbackPublicClient",
)
TWO_YEARS = timedelta(days=730)


def application(tenant: TenantState, app: App) -> Json:
    """A registration as Graph shows it: credentials without their keys and secrets."""
    return {
        "id": object_id(tenant.id, "application", app.id),
        "deletedDateTime": None,
        "appId": app.id,
        "applicationTemplateId": None,
        "createdDateTime": None,
        "displayName": app.name,
        "description": None,
        "identifierUris": [],
        "isFallbackPublicClient": app.public,
        "notes": None,
        "publisherDomain": tenant.domains[0],
        "signInAudience": AUDIENCES[app.multi_tenant],
        "tags": [],
        "api": {"oauth2PermissionScopes": [], "preAuthorizedApplications": [], "knownClientApplications": []},
        "appRoles": [],
        "publicClient": {"redirectUris": app.native_uris},
        "web": {"redirectUris": app.web_uris, "homePageUrl": None, "logoutUrl": None},
        "requiredResourceAccess": [_required(app_id, wanted) for app_id, wanted in app.permissions.items()],
        "keyCredentials": [_key(certificate) for certificate in app.certificates],
        "passwordCredentials": [_password(secret) for secret in app.secrets],
    }


def _required(app_id: str, wanted: dict[str, list[str]]) -> Json:
    known = resources()[app_id]
    roles = [{"id": known.role_ids[name], "type": "Role"} for name in wanted.get("roles", [])]
    scopes = [{"id": known.scope_ids[name], "type": "Scope"} for name in wanted.get("scopes", [])]
    return {"resourceAppId": app_id, "resourceAccess": [*roles, *scopes]}


def _fingerprint(data: bytes) -> str:
    text = sha256(data).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def _key(certificate: bytes) -> Json:
    fixed = {"customKeyIdentifier": None, "displayName": None, "key": None, "endDateTime": None, "startDateTime": None}
    return fixed | {"keyId": _fingerprint(certificate), "type": "AsymmetricX509Cert", "usage": "Verify"}


def _password(secret: Secret) -> Json:
    fixed = {"customKeyIdentifier": None, "displayName": None, "secretText": None, "startDateTime": None}
    end = secret.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    return fixed | {"hint": secret.value[:3], "keyId": _fingerprint(secret.value.encode()), "endDateTime": end}


def registered(call: Call) -> list[Json]:
    """The registrations that belong to the caller's tenant."""
    return [application(call.tenant, app) for app in call.tenant.apps.values() if app.home == call.tenant.id]


@route("GET", "/applications", page=PAGE + "application-list", omits=OMITS)
def list_applications(call: Call) -> Reply:
    """The tenant's own app registrations."""
    return answers.collection(call, registered(call), "application", "applications", rules.APPLICATIONS)


@route("GET", "/applications/$count", page=PAGE + "application-list")
def count_applications(call: Call) -> Reply:
    """The number of app registrations as text."""
    return answers.count_only(call, registered(call), "application", rules.APPLICATIONS)


@route("GET", "/applications/{id}", "/applications(appId='{id}')", page=PAGE + "application-get", omits=OMITS)
def get_application(call: Call) -> Reply:
    """One registration by object id or by application id."""
    property_name = "appId" if "(" in call.path and "appid" in call.path.lower() else "id"
    for row in registered(call):
        if row[property_name] == call.params["id"].lower():
            return answers.entity(call, row, "application", "applications")
    raise not_found(call.params["id"])


@route(
    "POST",
    "/applications",
    page=PAGE + "application-post-applications",
    omits="properties other than " + ", ".join(WRITABLE),
)
def create_application(call: Call) -> Reply:
    """Register an app; it can sign in at once. A password's text appears in this answer only."""
    body = changes.checked(call.body, "application", WRITABLE)
    changes.required(body, "application", ["displayName"])
    audience = body.get("signInAudience", "AzureADMyOrg")
    if audience not in ("AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount"):
        raise bad_request("Invalid value specified for property 'signInAudience' of resource 'Application'.")
    expires = call.world.now() + TWO_YEARS
    identity = str(uuid4())
    app = App(
        key=identity,
        id=identity,
        name=body["displayName"],
        home=call.tenant.id,
        multi_tenant=audience != "AzureADMyOrg",
        public=bool(body.get("isFallbackPublicClient")),
        permissions=_permissions(body.get("requiredResourceAccess", [])),
        native_uris=list((body.get("publicClient") or {}).get("redirectUris", [])),
        web_uris=list((body.get("web") or {}).get("redirectUris", [])),
        secrets=[Secret(secrets.token_urlsafe(30), expires) for _ in body.get("passwordCredentials", [])],
        certificates=[_certificate(row.get("key")) for row in body.get("keyCredentials", [])],
    )
    call.world.apps[app.id] = call.tenant.apps[app.id] = app
    row = application(call.tenant, app)
    trail.application_added(call, row, app)
    reply = answers.entity(call, row, "application", "applications", status=201)
    for shown, secret in zip(row["passwordCredentials"], app.secrets, strict=True):
        shown["secretText"] = secret.value
    reply.headers["Location"] = f"{call.base}/applications/{row['id']}"
    return reply


def _permissions(wanted: list[Json]) -> dict[str, dict[str, list[str]]]:
    """Permission names by resource. Raises GraphError 400 for a resource that the cloud does not have."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in wanted:
        if row["resourceAppId"] not in resources():
            raise bad_request(f"Resource '{row['resourceAppId']}' of requiredResourceAccess does not exist.")
        known = resources()[row["resourceAppId"]]
        asked = {access["id"] for access in row.get("resourceAccess", [])}
        found[row["resourceAppId"]] = {
            "roles": [name for name, identity in known.role_ids.items() if identity in asked],
            "scopes": [name for name, identity in known.scope_ids.items() if identity in asked],
        }
    return found


def _certificate(key: object) -> bytes:
    """The DER of a keyCredential. Raises GraphError 400 for a value that is not base64."""
    try:
        return base64.b64decode(str(key or ""), validate=True)
    except binascii.Error:
        raise bad_request("Key credential 'key' is not valid base64.") from None
