"""Tokens for the app itself: secrets, certificates, and everything that Entra refuses."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes

from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.entra.clients import ASSERTION_TYPE
from runbook_lib.sandbox.world import grants, ids
from runbook_lib.sandbox.world.catalogue import EXCHANGE, resources
from runbook_lib.sandbox.world.keys import Identity, make_identity
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.signing_in import GRAPH_DEFAULT, Client, app_of, claims_of, refusal, tenant_of

CONTOSO = ids.tenant_id("contoso")


def base64url(raw: bytes, *, padded: bool = False) -> str:
    text = base64.urlsafe_b64encode(raw).decode()
    return text if padded else text.rstrip("=")


def assertion(
    client: Client, *, header: Json | None = None, signer: Identity | None = None, alg: str = "PS256", **change: Any
) -> str:
    """A client assertion as MSAL makes it, with changes; a claim of None is left out."""
    identity = signer or client.sandbox.credentials.verifier
    now = int(time.time())
    claims = {
        "aud": f"{client.sandbox.url}/{CONTOSO}/oauth2/v2.0/token",
        "iss": client.app.id,
        "sub": client.app.id,
        "jti": "f3c1d2aa-0000-4000-8000-000000000000",
        "nbf": now,
        "iat": now,
        "exp": now + 600,
    } | change
    kept = {name: value for name, value in claims.items() if value is not None}
    named = {"x5t#S256": base64url(identity.thumbprint(hashes.SHA256()))} if header is None else header
    return jwt.encode(kept, identity.key, alg, headers=named)


def ask(client: Client, signed: str, **form: str) -> Any:
    sent = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed, "scope": GRAPH_DEFAULT}
    return client.token(**sent | form)


def test_a_secret_gets_a_token_with_the_granted_roles(client: Client) -> None:
    response = client.app_token()
    body = response.json()
    assert set(body) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)
    assert response.headers["Cache-Control"].startswith("no-store")
    claims = claims_of(body["access_token"])
    assert claims["aud"] == "https://graph.microsoft.com"
    assert claims["iss"] == f"https://sts.windows.net/{CONTOSO}/"
    assert (claims["tid"], claims["appid"], claims["idtyp"], claims["ver"]) == (CONTOSO, client.app.id, "app", "1.0")
    assert claims["oid"] == claims["sub"] == ids.object_id(CONTOSO, client.app.id)
    assert {"Place.Read.All", "AuditLog.Read.All"} <= set(claims["roles"])
    assert "scp" not in claims
    assert claims["exp"] - claims["iat"] == 3599


def test_roles_follow_the_grants_at_the_time_of_asking(client: Client) -> None:
    tenant = tenant_of(client.sandbox, "contoso")
    before = claims_of(client.app_token().json()["access_token"])["roles"]
    for identity, row in list(tenant.app_role_assignments.items()):
        if row["appRoleId"] == "913b9306-0ce1-42b8-9137-6a7df690a760":  # Place.Read.All
            del tenant.app_role_assignments[identity]
    after = claims_of(client.app_token().json()["access_token"])["roles"]
    assert set(before) - set(after) == {"Place.Read.All"}


def test_an_app_without_grants_gets_a_token_without_roles(client: Client) -> None:
    tenant_of(client.sandbox, "contoso").app_role_assignments.clear()
    assert "roles" not in claims_of(client.app_token().json()["access_token"])


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://graph.microsoft.com/.default", "https://graph.microsoft.com"),
        ("https://graph.microsoft.com//.default", "https://graph.microsoft.com/"),
        ("00000003-0000-0000-c000-000000000000/.default", "00000003-0000-0000-c000-000000000000"),
        ("https://outlook.office365.com/.default", "https://outlook.office365.com"),
        ("https://graph.microsoft.us/.default", "https://graph.microsoft.us"),
    ],
)
def test_the_audience_is_the_resource_as_it_was_asked_for(client: Client, scope: str, audience: str) -> None:
    assert claims_of(client.app_token(scope=scope).json()["access_token"])["aud"] == audience


def test_this_host_is_graph(client: Client) -> None:
    token = client.app_token(scope=f"{client.sandbox.url}/.default").json()["access_token"]
    assert "Place.Read.All" in tokens.verify_access_token(client.sandbox.world, token)["roles"]


def test_exchange_roles_are_exchanges_own(client: Client) -> None:
    tenant, cronofy = tenant_of(client.sandbox, "adatum"), app_of(client.sandbox.world, "cronofy-enterprise")
    principal = grants.service_principal(tenant, cronofy.id)
    assert principal
    held = grants.granted_roles(tenant, principal, resources()[EXCHANGE])
    assert held == ["full_access_as_app"]


def test_basic_authorization_is_a_way_to_send_the_secret(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "scope": GRAPH_DEFAULT}
    assert client.session.post(url, data=form, auth=(client.app.id, client.secret)).status_code == 200
    assert refusal(client.session.post(url, data=form, auth=(client.app.id, "no"))) == (401, "invalid_client", 7000215)


def test_the_older_endpoint_answers_for_a_resource(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/token"
    form = {"grant_type": "client_credentials", "client_id": client.app.id, "client_secret": client.secret}
    body = client.session.post(url, data=form | {"resource": "https://graph.microsoft.com"}).json()
    assert (body["resource"], body["expires_in"]) == ("https://graph.microsoft.com", "3599")
    assert int(body["expires_on"]) - int(body["not_before"]) == 3599
    assert refusal(client.session.post(url, data=form)) == (400, "invalid_request", 900144)


Case = tuple[str, dict[str, str], tuple[int, str, int]]
REFUSED: list[Case] = [
    ("contoso.example", {"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
    ("contoso.example", {"client_secret": "-"}, (401, "invalid_client", 7000218)),
    ("contoso.example", {"client_secret": "EXPIRED"}, (401, "invalid_client", 7000222)),
    ("contoso.example", {"grant_type": "-"}, (400, "invalid_request", 900144)),
    ("contoso.example", {"client_id": "-"}, (400, "invalid_request", 900144)),
    ("contoso.example", {"scope": "-"}, (400, "invalid_request", 900144)),
    ("contoso.example", {"grant_type": "magic"}, (400, "unsupported_grant_type", 70003)),
    ("contoso.example", {"scope": "User.Read"}, (400, "invalid_scope", 1002012)),
    ("contoso.example", {"scope": ".default"}, (400, "invalid_scope", 1002012)),
    ("contoso.example", {"scope": "https://graph.microsoft.com/User.Read.All"}, (400, "invalid_scope", 1002012)),
    ("contoso.example", {"scope": f"{GRAPH_DEFAULT} offline_access"}, (400, "invalid_scope", 70011)),
    ("contoso.example", {"scope": "https://nowhere.example/.default"}, (400, "invalid_resource", 500011)),
    ("contoso.example", {"client_id": "not-an-app"}, (400, "unauthorized_client", 700016)),
    ("contoso.example", {"client_id": ids.tenant_id("x")}, (400, "unauthorized_client", 700016)),
    ("fabrikam.example", {"client_id": "line-of-business"}, (400, "unauthorized_client", 700016)),
    ("treyresearch.example", {}, (401, "invalid_client", 7000229)),
    ("lamna.example", {}, (400, "unauthorized_client", 7000112)),
    ("nobody.example", {}, (400, "invalid_request", 90002)),
    ("contoso", {}, (400, "invalid_request", 900023)),
    ("common", {}, (400, "invalid_request", 50059)),
    ("organizations", {}, (400, "invalid_request", 50059)),
]


@pytest.mark.parametrize(("tenant", "form", "expected"), REFUSED)
def test_what_entra_refuses(client: Client, tenant: str, form: dict[str, str], expected: tuple[int, str, int]) -> None:
    known = {"EXPIRED": client.sandbox.credentials.expired_secret}
    known["line-of-business"] = app_of(client.sandbox.world, "line-of-business").id
    response = client.app_token(tenant, **{name: known.get(value, value) for name, value in form.items()})
    assert refusal(response) == expected
    assert client.secret not in response.text


def test_a_disabled_service_principal_gets_no_more_tokens(client: Client) -> None:
    principal = grants.service_principal(tenant_of(client.sandbox, "contoso"), client.app.id)
    assert principal
    principal["accountEnabled"] = False
    assert refusal(client.app_token()) == (400, "unauthorized_client", 7000112)


def test_only_post_asks_for_tokens(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/token"
    assert refusal(client.session.get(url)) == (400, "invalid_request", 900561)


def test_a_doubled_parameter_is_refused(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/token"
    pairs = [("grant_type", "client_credentials"), ("scope", "a/.default"), ("scope", "b/.default")]
    assert refusal(client.session.post(url, data=pairs)) == (400, "invalid_request", 9000411)


def test_json_is_no_form(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/token"
    assert refusal(client.session.post(url, json={"grant_type": "client_credentials"})) == (
        400,
        "invalid_request",
        900144,
    )


HEADERS: dict[str, Callable[[Identity], Json]] = {
    "sha256": lambda one: {"x5t#S256": base64url(one.thumbprint(hashes.SHA256()))},
    "sha256 padded": lambda one: {"x5t#S256": base64url(one.thumbprint(hashes.SHA256()), padded=True)},
    "sha1": lambda one: {"x5t": base64url(one.thumbprint(hashes.SHA1()))},
    "sha1 padded": lambda one: {"x5t": base64url(one.thumbprint(hashes.SHA1()), padded=True)},
    "kid": lambda one: {"kid": one.thumbprint(hashes.SHA1()).hex().upper()},
    "with chain": lambda one: {
        "x5t": base64url(one.thumbprint(hashes.SHA1())),
        "x5c": [base64.b64encode(one.der).decode()],
    },
}


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_certificate_proves_the_app(client: Client, alg: str, header: str) -> None:
    signed = assertion(client, header=HEADERS[header](client.sandbox.credentials.verifier), alg=alg)
    response = ask(client, signed)
    assert response.status_code == 200, response.text
    assert claims_of(response.json()["access_token"])["appidacr"] == "2"


@pytest.mark.parametrize(
    "audience",
    [
        "{url}/contoso.example/oauth2/v2.0/token",
        f"{{url}}/{CONTOSO}/v2.0",
        f"{{url}}/{CONTOSO}/oauth2/token",
        f"https://login.microsoftonline.com/{CONTOSO}/oauth2/v2.0/token",
        f"https://sts.windows.net/{CONTOSO}/",
    ],
)
def test_the_assertion_may_name_the_endpoint_or_the_issuer(client: Client, audience: str) -> None:
    assert ask(client, assertion(client, aud=audience.format(url=client.sandbox.url))).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aud": f"https://localhost:1/{CONTOSO}/oauth2/v2.0/token"}, 700023),
        ({"aud": f"https://evil.example/{CONTOSO}/oauth2/v2.0/token"}, 700023),
        ({"aud": "https://login.microsoftonline.com/fabrikam.example/oauth2/v2.0/token"}, 700023),
        ({"aud": "https://graph.microsoft.com"}, 700023),
        ({"aud": None}, 700023),
        ({"iss": "somebody", "sub": "somebody"}, 700021),
        ({"sub": "somebody"}, 50048),
        ({"sub": None}, 50048),
        ({"exp": int(time.time()) - 400, "nbf": int(time.time()) - 1000}, 700024),
        ({"nbf": int(time.time()) + 86400, "exp": int(time.time()) + 87000}, 700024),
        ({"exp": None}, 50027),
        ({"exp": "soon"}, 50027),
    ],
)
def test_a_wrong_assertion_is_refused(client: Client, change: Json, code: int) -> None:
    assert refusal(ask(client, assertion(client, **change))) == (401, "invalid_client", code)


@pytest.mark.parametrize("skew", [-240, 240])
def test_five_minutes_of_skew_are_forgiven(client: Client, skew: int) -> None:
    now = int(time.time()) + skew
    change: Json = {"nbf": now, "exp": now + 600} if skew > 0 else {"nbf": now - 600, "exp": now}
    assert ask(client, assertion(client, **change)).status_code == 200


def test_an_unregistered_certificate_is_refused(client: Client) -> None:
    stranger = make_identity("Stranger", datetime.now(UTC))
    response = ask(client, assertion(client, signer=stranger))
    assert refusal(response) == (401, "invalid_client", 700027)
    assert stranger.thumbprint(hashes.SHA256()).hex().upper() in response.json()["error_description"]


def test_a_borrowed_thumbprint_does_not_help_a_stranger(client: Client) -> None:
    stranger = make_identity("Stranger", datetime.now(UTC))
    own = client.sandbox.credentials.verifier
    header = {"x5t": base64url(own.thumbprint(hashes.SHA1())), "x5c": [base64.b64encode(stranger.der).decode()]}
    response = ask(client, assertion(client, signer=stranger, header=header))
    assert refusal(response) == (401, "invalid_client", 700027)
    assert "did not match" in response.json()["error_description"]


MALFORMED: dict[str, tuple[Callable[[Client], str], int]] = {
    "garbage": (lambda _: "garbage", 50027),
    "no thumbprint": (lambda client: assertion(client, header={}), 5002730),
    "odd thumbprint": (lambda client: assertion(client, header={"x5t": "!!"}), 700027),
    "a shared secret": (lambda _: jwt.encode({"iss": "x"}, "k" * 32, "HS256", headers={"x5t": "abc"}), 5002738),
    "no signature": (lambda _: jwt.encode({"iss": "x"}, "", "none", headers={"x5t": "abc"}), 5002738),
    "a spoiled signature": (lambda client: assertion(client)[:-8] + "AAAAAAAA", 700027),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_assertion_is_refused(client: Client, case: str) -> None:
    make, code = MALFORMED[case]
    assert refusal(ask(client, make(client))) == (401, "invalid_client", code)


def test_the_assertion_type_must_be_named(client: Client) -> None:
    response = ask(client, assertion(client), client_assertion_type="something")
    assert refusal(response) == (400, "invalid_request", 900144)


def test_the_clock_of_the_sandbox_decides(client: Client) -> None:
    signed = assertion(client)
    client.sandbox.world.offset += timedelta(hours=2)
    assert refusal(ask(client, signed)) == (401, "invalid_client", 700024)


SPOILED: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "malformed": lambda token: token.replace(".", ""),
    "signature": lambda token: token[:-8] + "AAAAAAAA",
}


@pytest.mark.parametrize("reason", SPOILED)
def test_graph_refuses_a_spoiled_token(client: Client, reason: str) -> None:
    token = client.app_token().json()["access_token"]
    with pytest.raises(tokens.TokenRejected) as caught:
        tokens.verify_access_token(client.sandbox.world, SPOILED[reason](token))
    assert caught.value.reason == reason


def test_graph_refuses_tokens_of_others_and_of_the_past(client: Client) -> None:
    world = client.sandbox.world
    exchange = client.app_token(scope="https://outlook.office365.com/.default").json()["access_token"]
    with pytest.raises(tokens.TokenRejected, match="audience"):
        tokens.verify_access_token(world, exchange)
    graph = client.app_token().json()["access_token"]
    assert tokens.verify_access_token(world, graph)["tid"] == CONTOSO
    world.offset += timedelta(hours=2)
    with pytest.raises(tokens.TokenRejected, match="expired"):
        tokens.verify_access_token(world, graph)
