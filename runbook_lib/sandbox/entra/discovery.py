"""What clients read before anybody signs in: OpenID configuration, instance discovery, signing keys, user realm."""

import base64

from starlette.responses import Response

from runbook_lib.sandbox.entra import http
from runbook_lib.sandbox.entra.http import EVERYBODY, Ask, EntraError, find_tenant
from runbook_lib.sandbox.world.keys import MICROSOFT_HOSTS
from runbook_lib.sandbox.world.state import Json, TenantState

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
CLOUDS = [  # the instances that Entra lists for each cloud
    ("login.microsoftonline.com", "login.windows.net", ["login.windows.net", "login.microsoft.com", "sts.windows.net"]),
    ("login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn", ["login.chinacloudapi.cn"]),
    ("login.microsoftonline.us", "login.microsoftonline.us", ["login.usgovcloudapi.net"]),
]


def openid_configuration(ask: Ask) -> Response:
    """The discovery document of a tenant by GUID or domain, or of common and organizations.

    https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc
    """
    try:
        tenant = None if ask.tenant_name in (*EVERYBODY, "consumers") else find_tenant(ask)
    except EntraError as error:
        error.error = "invalid_tenant"
        raise
    version = "v2.0" if "/v2.0/" in ask.path else ""
    return http.answer(ask, _document(ask, tenant, version), cached=True)


def issuer(ask: Ask, tenant_id: str) -> str:
    """Who signs id tokens of version 2.0 on this host."""
    return f"{ask.base}/{tenant_id}/v2.0"


def _document(ask: Ask, tenant: TenantState | None, version: str) -> Json:
    name = tenant.id if tenant else ask.tenant_name
    root = f"{ask.base}/{name}"
    named = tenant.id if tenant else CONSUMERS if name == "consumers" else "{tenantid}"
    oauth = f"{root}/oauth2/{version}".rstrip("/")
    graph = MICROSOFT_HOSTS.get(ask.host, ask.host)
    document: Json = {
        "token_endpoint": f"{oauth}/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{root}/discovery/{version}/keys".replace("//keys", "/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer(ask, named) if version else f"https://sts.windows.net/{named}/",
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": f"https://{graph}/oidc/userinfo",
        "authorization_endpoint": f"{oauth}/authorize",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{oauth}/logout",
        "claims_supported": CLAIMS,
        "kerberos_endpoint": f"{root}/kerberos",
        "tenant_region_scope": tenant.region["scope"] if tenant else None,
        "cloud_instance_name": ask.host.removeprefix("login."),
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": graph,
        "rbac_url": "https://pas.windows.net",
    }
    if tenant and (part := tenant.region.get("sub_scope")):
        document["tenant_region_sub_scope"] = part
    return document


CLAIMS = [
    *("sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host", "aud"),
    *("exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash"),
    "email",
]


def instance_discovery(ask: Ask) -> Response:
    """The clouds and their host names, this host among them; an unknown host is AADSTS50049."""
    asked = ask.query.get("authorization_endpoint", f"{ask.base}/common/oauth2/v2.0/authorize")
    host, _, rest = asked.removeprefix("https://").partition("/")
    if host not in MICROSOFT_HOSTS and host != ask.host:
        raise EntraError("invalid_instance", 50049, "Unknown or invalid instance.")
    body: Json = {
        "tenant_discovery_endpoint": f"https://{host}/{rest.split('/')[0]}/v2.0/.well-known/openid-configuration",
        "api-version": ask.query.get("api-version", "1.1"),
        "metadata": [
            {"preferred_network": network, "preferred_cache": cache, "aliases": [network, *aliases]}
            for network, cache, aliases in CLOUDS
        ],
    }
    if ask.host not in MICROSOFT_HOSTS:
        own = {"preferred_network": ask.host, "preferred_cache": ask.host, "aliases": [ask.host]}
        body["metadata"].append(own)
    return http.answer(ask, body, cached=True)


def signing_keys(ask: Ask) -> Response:
    """The public keys as a JSON web key set; the version 2.0 set says for which issuer."""
    tenant = None if ask.tenant_name in (*EVERYBODY, "consumers") else find_tenant(ask)
    signing = ask.world.credentials.signing
    numbers = signing.key.public_key().public_numbers()
    key: Json = {
        "kty": "RSA",
        "use": "sig",
        "kid": signing.key_id,
        "x5t": signing.key_id,
        "n": _base64url(numbers.n),
        "e": _base64url(numbers.e),
        "x5c": [base64.b64encode(signing.der).decode()],
        "cloud_instance_name": ask.host.removeprefix("login."),
    }
    if "/v2.0/" in ask.path:
        key["issuer"] = issuer(ask, tenant.id if tenant else "{tenantid}")
    return http.answer(ask, {"keys": [key]}, cached=True)


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def user_realm(ask: Ask) -> Response:
    """Whether a user's domain is managed here; MSAL asks before it sends a password."""
    name = ask.path.rsplit("/", 1)[-1]
    domain = name.rpartition("@")[2]
    known = ask.world.tenant(domain) if "." in domain else None
    body: Json = {"ver": "1.0", "account_type": "Managed" if known else "Unknown", "domain_name": domain}
    if known:
        body |= {"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline"}
    return http.answer(ask, body)
