"""Discovery, keys and instance discovery, as clients read them before anybody signs in."""

import base64

import jwt
import pytest

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.world import ids
from tests.sandbox.signing_in import Client, claims_of, refusal, tenant_of

CONTOSO = ids.tenant_id("contoso")


def document(client: Client, tenant: str, version: str = "v2.0/", host: str = "") -> dict[str, object]:
    headers = {"Host": host} if host else {}
    url = f"{client.sandbox.url}/{tenant}/{version}.well-known/openid-configuration"
    found: dict[str, object] = client.session.get(url, headers=headers).json()
    return found


@pytest.mark.parametrize("name", ["contoso.example", "contoso.onmicrosoft.com", CONTOSO, CONTOSO.upper()])
def test_the_document_of_a_tenant_carries_its_guid(client: Client, name: str) -> None:
    found, root = document(client, name), f"{client.sandbox.url}/{CONTOSO}"
    assert found["issuer"] == f"{root}/v2.0"
    assert found["token_endpoint"] == f"{root}/oauth2/v2.0/token"
    assert found["authorization_endpoint"] == f"{root}/oauth2/v2.0/authorize"
    assert found["device_authorization_endpoint"] == f"{root}/oauth2/v2.0/devicecode"
    assert found["jwks_uri"] == f"{root}/discovery/v2.0/keys"
    assert found["tenant_region_scope"] == "NA"
    assert "tenant_region_sub_scope" not in found


def test_gcc_high_shows_in_the_sub_scope(client: Client) -> None:
    assert document(client, "tailspin.example")["tenant_region_sub_scope"] == "DODCON"


@pytest.mark.parametrize("name", ["common", "organizations"])
def test_the_document_of_everybody_has_a_template_for_the_tenant(client: Client, name: str) -> None:
    found = document(client, name)
    assert found["issuer"] == f"{client.sandbox.url}/{{tenantid}}/v2.0"
    assert found["token_endpoint"] == f"{client.sandbox.url}/{name}/oauth2/v2.0/token"
    assert found["tenant_region_scope"] is None


def test_version_1_has_the_older_issuer(client: Client) -> None:
    found = document(client, "contoso.example", version="")
    assert found["issuer"] == f"https://sts.windows.net/{CONTOSO}/"
    assert found["token_endpoint"] == f"{client.sandbox.url}/{CONTOSO}/oauth2/token"


@pytest.mark.parametrize(
    ("host", "graph"),
    [
        ("login.microsoftonline.com", "graph.microsoft.com"),
        ("login.microsoftonline.us", "graph.microsoft.us"),
        ("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
        ("sandbox.example:8443", "sandbox.example:8443"),
    ],
)
def test_links_follow_the_host_that_was_asked(client: Client, host: str, graph: str) -> None:
    found = document(client, "contoso.example", host=host)
    assert found["issuer"] == f"https://{host}/{CONTOSO}/v2.0"
    assert found["msgraph_host"] == graph


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nobody.example", 90002),
        ("11111111-2222-3333-4444-555555555555", 90002),
        ("contoso", 900023),
        ("not a tenant", 900023),
        ("-.example", 900023),
    ],
)
def test_an_unknown_tenant_is_refused_in_entras_json(client: Client, name: str, code: int) -> None:
    url = f"{client.sandbox.url}/{name}/v2.0/.well-known/openid-configuration"
    response = client.session.get(url, headers={"client-request-id": "c0ffee00-0000-4000-8000-000000000001"})
    body = response.json()
    assert refusal(response) == (400, "invalid_tenant", code)
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert f"Trace ID: {body['trace_id']} Correlation ID: c0ffee00-" in body["error_description"]
    assert body["error_uri"].endswith(f"/error?code={code}")
    assert response.headers["x-ms-request-id"] == body["trace_id"]
    assert response.headers["client-request-id"] == body["correlation_id"]


def test_instance_discovery_names_the_document_and_the_clouds(client: Client) -> None:
    url = f"{client.sandbox.url}/common/discovery/instance"
    asked = {
        "api-version": "1.1",
        "authorization_endpoint": f"{client.sandbox.url}/contoso.example/oauth2/v2.0/authorize",
    }
    body = client.session.get(url, params=asked).json()
    assert body["tenant_discovery_endpoint"] == (
        f"{client.sandbox.url}/contoso.example/v2.0/.well-known/openid-configuration"
    )
    aliases = {alias for row in body["metadata"] for alias in row["aliases"]}
    assert {"login.microsoftonline.com", "login.microsoftonline.us", client.sandbox.url[8:]} <= aliases


def test_instance_discovery_refuses_a_stranger(client: Client) -> None:
    url = f"{client.sandbox.url}/common/discovery/instance"
    asked = {"authorization_endpoint": "https://evil.example/common/oauth2/v2.0/authorize"}
    assert refusal(client.session.get(url, params=asked)) == (400, "invalid_instance", 50049)


@pytest.mark.parametrize("tenant", ["common", "contoso.example"])
def test_the_published_keys_verify_the_tokens(client: Client, tenant: str) -> None:
    key = client.session.get(f"{client.sandbox.url}/{tenant}/discovery/v2.0/keys").json()["keys"][0]
    token = client.app_token().json()["access_token"]
    assert jwt.get_unverified_header(token)["kid"] == key["kid"] == key["x5t"]
    public = jwt.PyJWK(key | {"alg": "RS256"}).key
    assert jwt.decode(token, public, algorithms=["RS256"], audience="https://graph.microsoft.com")["tid"] == CONTOSO
    assert base64.b64decode(key["x5c"][0]) == client.sandbox.credentials.signing.der


def test_the_user_realm_knows_managed_domains(client: Client) -> None:
    url = f"{client.sandbox.url}/common/userrealm"
    assert client.session.get(f"{url}/adele@contoso.example?api-version=1.0").json()["account_type"] == "Managed"
    assert client.session.get(f"{url}/x@nobody.example?api-version=1.0").json()["account_type"] == "Unknown"


def test_user_info_tells_about_a_users_token_and_nobody_elses(client: Client) -> None:
    tenant = tenant_of(client.sandbox, "contoso")
    adele = next(row for row in tenant.users.values() if row["displayName"] == "Adele Vance")
    token = tokens.access_token(client.sandbox.world, tenant, client.app, ["openid"], user=adele)
    url = f"{client.sandbox.url}/oidc/userinfo"
    body = client.session.get(url, headers={"Authorization": f"Bearer {token}"}).json()
    assert (body["sub"], body["name"]) == (claims_of(token)["sub"], "Adele Vance")
    assert client.session.get(url, headers={"Authorization": "Bearer x.y.z"}).status_code == 401
    app_only = client.app_token().json()["access_token"]
    assert client.session.get(url, headers={"Authorization": f"Bearer {app_only}"}).status_code == 403


def test_an_unknown_path_is_not_found(client: Client) -> None:
    assert client.session.get(f"{client.sandbox.url}/contoso.example/oauth2/v3.0/token").status_code == 404
