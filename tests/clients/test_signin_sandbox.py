"""Every way to sign in, through real msal and real TLS, against the sandbox's Entra."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit, urlunsplit

import pytest
import requests
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate
from requests.adapters import HTTPAdapter

from runbook_lib import vendors
from runbook_lib.clients.entra import certificate
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.entra.sign_in import Credential, SignInPrompt
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.http import session
from runbook_lib.errors import CertificateError, RunbookError, SignInError, WrongTenant
from runbook_lib.model import Tenant
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world.state import TenantState
from tests.people import browsing

MakeTenant = Callable[..., Tenant]


class Detour(HTTPAdapter):
    """Takes requests for Microsoft's hosts to the sandbox, which answers as if it were there."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = urlsplit(to)
        self.hosts: set[str] = set()
        self.scopes: set[str] = set()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        asked = urlsplit(str(request.url))
        self.hosts.add(asked.netloc)
        self.scopes.update(" ".join(parse_qs(str(request.body)).get("scope", [])).split())
        request.headers["Host"] = asked.netloc
        request.url = urlunsplit((self.to.scheme, self.to.netloc, asked.path, asked.query, ""))
        return super().send(request, **options)


@pytest.fixture
def person(sandbox: Sandbox, http: requests.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Somebody at this machine: signs in when a browser opens, and enters codes; what he was told is kept."""
    with browsing(sandbox.ca_file, monkeypatch):
        yield []


SignIn = Callable[..., Credential]


@pytest.fixture
def sign_in(sandbox: Sandbox) -> SignIn:
    """Return what signs in, with a person at hand who enters the code that he is told at once."""

    def sign_in(tenant: Tenant, http: requests.Session, told: list[str] | None = None) -> Credential:
        def show(prompt: SignInPrompt) -> None:
            if told is not None:
                told.append(str(prompt))
            if prompt.code:
                with requests.Session() as browser:
                    browser.verify = str(sandbox.ca_file)
                    browser.mount("https://", Detour(sandbox.url))
                    form = urljoin(prompt.url, "/common/oauth2/deviceauth")
                    assert "html" in browser.post(form, {"otc": prompt.code}).text

        return entra.sign_in(tenant, ["rooms", "free_busy"], http, attended=True, show=show)

    return sign_in


@pytest.mark.parametrize(
    ("method", "kind", "account"),
    [
        ("certificate", "application", "SpaceIQ Calendar Runbook"),
        ("browser", "person", "admin@contoso.example"),
        ("device-code", "person", "admin@contoso.example"),
    ],
)
def test_every_method_signs_in_and_reads_the_rooms_of_the_tenant(
    tenant: MakeTenant, http: requests.Session, person: list[str], method: str, kind: str, account: str, sign_in: SignIn
) -> None:
    known = tenant(method=method)
    credential = sign_in(known, http, person)
    identity = credential.identity
    assert (identity.kind, identity.account, identity.method, identity.tenant_id) == (
        *(kind, account, method),
        known.tenant_id,
    )
    assert identity.object_id
    wanted = vendors.calls()["free_busy"].permission(kind == "application")
    assert {wanted, "Place.Read.All"} <= identity.permissions
    graph = Graph(known, credential, http)
    assert graph.assert_tenant().complete
    assert graph.look("rooms").population == "12 of 12"
    assert not person or "5 minutes" in person[0] or "15 minutes" in person[0]


@pytest.mark.parametrize("method", ["certificate", "browser", "device-code"])
def test_a_token_is_reused_until_a_fresh_one_is_asked_for(
    tenant: MakeTenant, http: requests.Session, person: list[str], method: str, sign_in: SignIn
) -> None:
    credential = sign_in(tenant(method=method), http, person)
    first = credential.token()
    assert credential.token() == first
    fresh = credential.token(fresh=True)
    assert fresh != first
    assert credential.token() == fresh


@pytest.mark.parametrize(("seconds", "renewals"), [(3599, 0), (299, 2)])
def test_a_token_near_its_end_is_renewed_before_it_is_used(
    contoso: TenantState, tenant: MakeTenant, http: requests.Session, seconds: int, renewals: int, sign_in: SignIn
) -> None:
    contoso.modes["token_seconds"] = seconds
    credential = sign_in(tenant(), http)
    assert len({credential.token(), credential.token()}) == max(1, renewals)


def test_a_token_that_graph_calls_expired_is_renewed_on_the_way(
    sandbox: Sandbox, tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    known = tenant()
    graph = Graph(known, sign_in(known, http), http)
    sandbox.world.faults.order([Fault("expired", count=1)])
    assert graph.look("rooms").population == "12 of 12"
    assert [row["status"] for row in graph.log] == [401, 200]


def test_a_protected_pfx_opens_with_the_passphrase_of_the_environment(
    sandbox: Sandbox,
    tenant: MakeTenant,
    http: requests.Session,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    sign_in: SignIn,
) -> None:
    pem = sandbox.credentials.verifier_file.read_bytes()
    key, public = load_pem_private_key(pem, None), load_pem_x509_certificate(pem)
    pfx = pkcs12.serialize_key_and_certificates(None, key, public, None, BestAvailableEncryption(b"horse"))  # type: ignore[arg-type]
    (tmp_path / "runbook.pfx").write_bytes(pfx)
    known = tenant()
    known = replace(known, sign_in=replace(known.sign_in, certificate=tmp_path / "runbook.pfx"))
    with pytest.raises(CertificateError, match="another passphrase") as caught:
        sign_in(known, http)
    assert certificate.PASSWORD in caught.value.remedy
    monkeypatch.setenv("RUNBOOK_CERTIFICATE_PASSWORD", "horse")
    assert sign_in(known, http).identity.kind == "application"


def test_an_unregistered_certificate_is_refused_in_words(
    sandbox: Sandbox, tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    known = tenant()
    for app in sandbox.world.apps.values():
        app.certificates = []
    with pytest.raises(SignInError, match=r"Entra does not know the certificate \(AADSTS700027") as caught:
        sign_in(known, http)
    assert "Certificates & secrets" in caught.value.remedy


@pytest.mark.parametrize("method", ["certificate", "device-code"])
def test_a_tenant_that_this_cloud_does_not_have_is_refused_in_words(
    tenant: MakeTenant, http: requests.Session, method: str, sign_in: SignIn
) -> None:
    unknown = replace(tenant(method=method), tenant_id="33333333-3333-3333-3333-333333333333")
    with pytest.raises(SignInError, match=r"this cloud has no such tenant \(AADSTS90002") as caught:
        sign_in(unknown, http)
    assert "GCC High" in caught.value.remedy


@pytest.mark.parametrize("method", ["certificate", "device-code"])
def test_an_app_that_the_tenant_switched_off_is_refused_in_words(
    contoso: TenantState, tenant: MakeTenant, http: requests.Session, method: str, sign_in: SignIn
) -> None:
    known = tenant(method=method)
    for principal in contoso.service_principals.values():
        principal["accountEnabled"] = principal["appId"] != known.sign_in.client_id
    with pytest.raises(SignInError, match=r"switched off in this tenant \(AADSTS7000112"):
        sign_in(known, http)


def test_an_unknown_app_is_refused_in_words(tenant: MakeTenant, http: requests.Session, sign_in: SignIn) -> None:
    with pytest.raises(SignInError, match=r"does not exist in this tenant \(AADSTS700016"):
        sign_in(tenant(method="device-code", client_id="44444444-4444-4444-4444-444444444444"), http)


def test_a_person_who_declines_the_code_is_understood(
    contoso: TenantState, sandbox: Sandbox, tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    contoso.oauth2_permission_grants.clear()
    sandbox.world.approval.answer = "cancel"
    with pytest.raises(SignInError, match="declined") as caught:
        sign_in(tenant(method="device-code"), http)
    assert caught.value.remedy


def test_a_person_who_cancels_in_the_browser_is_understood(
    contoso: TenantState,
    sandbox: Sandbox,
    tenant: MakeTenant,
    http: requests.Session,
    person: list[str],
    sign_in: SignIn,
) -> None:
    contoso.oauth2_permission_grants.clear()
    sandbox.world.approval.answer = "cancel"
    with pytest.raises(SignInError, match=r"the person declined the permissions \(AADSTS65004"):
        sign_in(tenant(method="browser"), http, person)


def test_a_tenant_that_blocks_device_codes_sends_the_person_to_the_browser(
    contoso: TenantState, tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    contoso.modes["device_code_blocked"] = True
    with pytest.raises(SignInError, match=r"Conditional Access blocks this sign-in \(AADSTS53003") as caught:
        sign_in(tenant(method="device-code"), http)
    assert "use the browser or a certificate" in caught.value.remedy


def test_a_browser_that_nobody_uses_is_not_waited_for_for_ever(
    tenant: MakeTenant, http: requests.Session, monkeypatch: pytest.MonkeyPatch, sign_in: SignIn
) -> None:
    told: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda *_, **__: False)
    monkeypatch.setattr(entra, "PATIENCE", 1)
    with pytest.raises(SignInError, match="did not complete the flow in time"):
        sign_in(tenant(method="browser"), http, told)
    assert "No browser could be opened" in told[1]
    assert "/oauth2/v2.0/authorize?" in told[1]
    assert "prompt=select_account" in told[1]


def test_an_outage_of_entra_is_said_so(
    sandbox: Sandbox, tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    sandbox.world.faults.order([Fault("503", where="token", retry_after=None)])
    with pytest.raises(RunbookError, match="503"):
        sign_in(tenant(), http)


def test_a_sign_in_to_another_tenant_s_graph_is_noticed(
    tenant: MakeTenant, http: requests.Session, sign_in: SignIn
) -> None:
    contoso = tenant()
    credential = sign_in(contoso, http)
    elsewhere = replace(contoso, tenant_id="22222222-2222-2222-2222-222222222222", name="Fabrikam")
    with pytest.raises(WrongTenant, match="Graph answers for Contoso"):
        Graph(elsewhere, credential, http).assert_tenant()


@pytest.mark.parametrize("cloud", ["global", "gcc", "gcc-high", "dod", "china"])
@pytest.mark.parametrize("method", ["certificate", "device-code"])
def test_every_cloud_of_microsoft_is_asked_at_its_own_hosts_only(
    sandbox: Sandbox, tenant: MakeTenant, cloud: str, method: str, sign_in: SignIn
) -> None:
    place = replace(vendors.clouds()[cloud], ca_file=sandbox.ca_file)
    known = replace(tenant(method=method), cloud=place)
    hosts = {urlsplit(place.login).netloc, urlsplit(place.graph).netloc}
    detour, told = Detour(sandbox.url), list[str]()
    with session(place) as http:
        http.mount("https://", detour)
        credential = sign_in(known, http, told)
        assert Graph(known, credential, http).assert_tenant().complete
        assert credential.token(fresh=True)
    assert detour.hosts == hosts
    assert {scope.rpartition("/")[0] for scope in detour.scopes} - {""} == {place.graph}
