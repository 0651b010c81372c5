"""Microsoft's own clients, unchanged: MSAL in every flow, and azure-identity."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    AuthorizationCodeCredential,
    CertificateCredential,
    ClientSecretCredential,
)

from tests.sandbox.signing_in import GRAPH_DEFAULT, Client, claims_of, form, sent_back, tenant_of

SCOPES = ["User.Read", "Place.Read.All"]


def public(client: Client, tenant: str = "contoso.example", **options: Any) -> Any:
    authority = f"{client.sandbox.url}/{tenant}"
    return msal.PublicClientApplication(
        client.app.id, authority=authority, instance_discovery=False, http_client=client.session, **options
    )


def confidential(client: Client, credential: Any, tenant: str = "contoso.example") -> Any:
    return msal.ConfidentialClientApplication(
        client.app.id,
        authority=f"{client.sandbox.url}/{tenant}",
        client_credential=credential,
        instance_discovery=False,
        http_client=client.session,
    )


def credentials(client: Client) -> dict[str, Any]:
    """The same app's proofs in the forms that MSAL takes."""
    pem = client.sandbox.credentials.verifier_file.read_text()
    thumbprint = client.sandbox.describe()["apps"]["verifier"]["thumbprint"]
    return {
        "secret": client.secret,
        "certificate": {"private_key": pem, "public_certificate": pem},
        "thumbprint": {"private_key": pem, "thumbprint": thumbprint},
        "thumbprint with chain": {"private_key": pem, "thumbprint": thumbprint, "public_certificate": pem},
    }


@pytest.mark.parametrize("kind", ["secret", "certificate", "thumbprint", "thumbprint with chain"])
def test_msal_gets_app_tokens_with_every_kind_of_credential(client: Client, kind: str) -> None:
    app = confidential(client, credentials(client)[kind])
    first = app.acquire_token_for_client([GRAPH_DEFAULT])
    assert "Place.Read.All" in claims_of(first["access_token"])["roles"]
    again = app.acquire_token_for_client([GRAPH_DEFAULT])
    assert (again["token_source"], again["access_token"]) == ("cache", first["access_token"])


def test_msal_reports_refusals_as_entra_words_them(client: Client) -> None:
    refused = confidential(client, "wrong").acquire_token_for_client([GRAPH_DEFAULT])
    assert (refused["error"], refused["error_codes"]) == ("invalid_client", [7000215])
    with pytest.raises(ValueError, match="double check your tenant name"):
        public(client, "nobody.example")


def device_flow(app: Any, scopes: list[str]) -> Any:
    flow = app.initiate_device_flow(scopes)
    flow["interval"] = 0
    return app.acquire_token_by_device_flow(flow)


def test_msal_signs_in_with_a_device_code_and_stays_signed_in(client: Client) -> None:
    app = public(client)
    result = device_flow(app, SCOPES)
    assert result["id_token_claims"]["preferred_username"] == "admin@contoso.example"
    account = app.get_accounts()[0]
    assert app.acquire_token_silent(SCOPES, account=account)["access_token"] == result["access_token"]
    renewed = app.acquire_token_silent(SCOPES, account=account, force_refresh=True)
    assert renewed["access_token"] != result["access_token"]
    app.remove_account(account)
    assert app.get_accounts() == []


def test_msal_hears_why_a_device_code_came_to_nothing(client: Client) -> None:
    refused = device_flow(public(client, "tailspin.example"), SCOPES)
    assert refused["error_codes"] == [53003]
    client.sandbox.world.approval.answer = "cancel"
    declined = device_flow(public(client, "treyresearch.example"), SCOPES)
    assert declined["error"] == "authorization_declined"


def test_msal_checks_state_nonce_and_verifier_of_an_authorization_code_flow(client: Client) -> None:
    app = public(client)
    flow = app.initiate_auth_code_flow(
        SCOPES, redirect_uri="http://localhost:5000", response_mode="form_post", login_hint="adele@contoso.example"
    )
    back = sent_back(client.session.get(flow["auth_uri"], allow_redirects=False))
    result = app.acquire_token_by_auth_code_flow(flow, back)
    assert result["id_token_claims"]["preferred_username"] == "adele@contoso.example"
    assert app.acquire_token_by_auth_code_flow(flow, back)["error_codes"] == [54005]
    with pytest.raises(ValueError, match="state"):
        app.acquire_token_by_auth_code_flow(flow, back | {"state": "other"})


def test_msal_shows_the_error_that_came_back_to_the_app(client: Client) -> None:
    app = public(client)
    flow = app.initiate_auth_code_flow(["Mail.Read"], redirect_uri="http://localhost:5000", response_mode="form_post")
    client.sandbox.world.approval.answer = "cancel"
    back = sent_back(client.session.get(flow["auth_uri"], allow_redirects=False))
    assert app.acquire_token_by_auth_code_flow(flow, back)["error"] == "access_denied"


@pytest.mark.parametrize("kind", ["secret", "certificate"])
def test_a_web_app_redeems_its_code_with_its_credential(client: Client, kind: str) -> None:
    app = confidential(client, credentials(client)[kind], "organizations")
    uri = "http://localhost:5000/getAToken"
    flow = app.initiate_auth_code_flow(
        SCOPES, redirect_uri=uri, response_mode="form_post", login_hint="lee@fabrikam.example"
    )
    back = sent_back(client.session.get(flow["auth_uri"], allow_redirects=False))
    result = app.acquire_token_by_auth_code_flow(flow, back)
    assert result["id_token_claims"]["tid"] == tenant_of(client.sandbox, "fabrikam").id
    assert app.acquire_token_silent(SCOPES, account=app.get_accounts()[0])["token_source"] == "cache"


@contextlib.contextmanager
def browser(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A browser that submits the sign-in's form to the app that waits on loopback."""
    threads = []

    def visit(url: str) -> None:
        action, fields = form(client.session.get(url))
        requests.post(action, data=fields, timeout=10)

    def opened(_: object, url: str, *_args: object, **_options: object) -> bool:
        threads.append(threading.Thread(target=visit, args=(url,)))
        threads[-1].start()
        return True

    class Browser:
        open = opened

    monkeypatch.setattr("webbrowser.get", lambda *_: Browser())
    monkeypatch.setattr("webbrowser.open", lambda url, **_: opened(None, url))
    yield
    for thread in threads:
        thread.join()


def test_msal_signs_in_with_a_browser(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    app = public(client)
    with browser(client, monkeypatch):
        result = app.acquire_token_interactive(SCOPES, login_hint="adele@contoso.example", timeout=20)
    assert result["id_token_claims"]["name"] == "Adele Vance"
    assert app.get_accounts()[0]["username"] == "adele@contoso.example"


def test_msal_redeems_a_refresh_token_from_elsewhere(client: Client) -> None:
    token = client.redeem(client.code()).json()["refresh_token"]
    assert public(client).acquire_token_by_refresh_token(token, SCOPES)["access_token"]
    refused = public(client).acquire_token_by_refresh_token("1.Anonsense", SCOPES)
    assert refused["error_codes"] == [9002313]


def test_what_nobody_consented_to_is_told_when_silent(client: Client) -> None:
    app = public(client)
    device_flow(app, ["User.Read"])
    account = app.get_accounts()[0]
    refused = app.acquire_token_silent_with_error(["Mail.Read"], account=account)
    assert (refused["suberror"], refused["error_codes"]) == ("consent_required", [65001])


def azure(client: Client) -> dict[str, Any]:
    """Options that point azure-identity at the sandbox."""
    transport = RequestsTransport(connection_verify=str(client.sandbox.ca_file), use_env_settings=False)
    return {"authority": client.sandbox.url, "disable_instance_discovery": True, "transport": transport}


def test_azure_identity_gets_tokens_with_secret_and_certificate(client: Client) -> None:
    tenant = tenant_of(client.sandbox, "contoso").id
    certificate = str(Path(client.sandbox.credentials.verifier_file))
    with ClientSecretCredential(tenant, client.app.id, client.secret, **azure(client)) as credential:
        assert "roles" in claims_of(credential.get_token(GRAPH_DEFAULT).token)
    with CertificateCredential(tenant, client.app.id, certificate, **azure(client)) as credential:
        assert "roles" in claims_of(credential.get_token(GRAPH_DEFAULT).token)
    with (
        ClientSecretCredential(tenant, client.app.id, "wrong", **azure(client)) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token(GRAPH_DEFAULT)


def test_azure_identity_signs_people_in(client: Client) -> None:
    tenant, uri = tenant_of(client.sandbox, "contoso").id, "http://localhost:8400"
    code = client.code(redirect_uri=uri, scope=f"{GRAPH_DEFAULT} offline_access")
    with AuthorizationCodeCredential(tenant, client.app.id, code, uri, **azure(client)) as credential:
        assert claims_of(credential.get_token(GRAPH_DEFAULT).token)["upn"] == "admin@contoso.example"
