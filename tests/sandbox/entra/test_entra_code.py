"""The authorization code flow: registered redirects, proof of key exchange, codes that work once, refresh."""

import base64
import hashlib
from datetime import timedelta

import pytest

from runbook_lib.sandbox.world import grants, ids
from runbook_lib.sandbox.world.times import graph_time
from tests.sandbox.signing_in import Client, app_of, claims_of, refusal, sent_back, tenant_of

CONTOSO = ids.tenant_id("contoso")
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


def test_a_code_becomes_tokens_of_the_hinted_user(client: Client) -> None:
    back = sent_back(client.authorize(login_hint="adele@contoso.example", nonce="n-1", client_info="1", **PKCE))
    assert set(back) == {"code", "state", "session_state", "client_info"}
    assert back["state"] == "a state"
    body = client.redeem(back["code"], code_verifier=VERIFIER, client_info="1").json()
    access, identity = claims_of(body["access_token"]), claims_of(body["id_token"])
    assert (access["upn"], access["idtyp"], access["appidacr"]) == ("adele@contoso.example", "user", "0")
    assert "User.Read" in access["scp"].split()
    assert "offline_access" not in access["scp"].split()
    assert "roles" not in access
    assert (identity["aud"], identity["nonce"], identity["ver"]) == (client.app.id, "n-1", "2.0")
    assert identity["iss"] == f"{client.sandbox.url}/{CONTOSO}/v2.0"
    assert identity["preferred_username"] == "adele@contoso.example"
    info = base64.urlsafe_b64decode(body["client_info"] + "==").decode()
    assert info == f'{{"uid":"{identity["oid"]}","utid":"{CONTOSO}"}}'
    assert 3600 <= body["expires_in"] < 5400


def test_without_a_hint_the_first_administrator_signs_in(client: Client) -> None:
    claims = claims_of(client.redeem(client.code()).json()["access_token"])
    assert claims["upn"] == "admin@contoso.example"
    assert claims["wids"] == ["62e90394-69f5-4237-9190-012177145e10", "b79fbf4d-3ef9-4689-8143-76b194e85509"]


@pytest.mark.parametrize("tenant", ["common", "organizations"])
def test_the_users_domain_chooses_the_tenant_for_everybody(client: Client, tenant: str) -> None:
    code = client.code(tenant, login_hint="lee@fabrikam.example")
    assert claims_of(client.redeem(code, tenant).json()["access_token"])["tid"] == ids.tenant_id("fabrikam")


def test_refresh_and_id_tokens_come_only_when_asked_for(client: Client) -> None:
    body = client.redeem(client.code(scope="User.Read")).json()
    assert set(body) == {"token_type", "scope", "expires_in", "ext_expires_in", "access_token"}


@pytest.mark.parametrize(
    ("scope", "written"),
    [
        ("User.Read", "User.Read"),
        ("user.read", "User.Read"),
        ("https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/User.Read"),
        ("https://graph.microsoft.com/.default", "https://graph.microsoft.com/.default"),
    ],
)
def test_granted_scopes_are_written_as_they_were_asked(client: Client, scope: str, written: str) -> None:
    assert written in client.redeem(client.code(scope=scope)).json()["scope"].split()


def test_form_post_is_a_page_that_posts_to_the_app(client: Client) -> None:
    response = client.authorize(response_mode="form_post", state='"><script>alert(1)</script>')
    assert response.status_code == 200
    assert 'action="http://localhost:1234"' in response.text
    assert "<script>alert" not in response.text
    fields = sent_back(response)
    assert fields["state"] == '"><script>alert(1)</script>'
    assert client.redeem(fields["code"]).status_code == 200


def test_fragment_mode_answers_in_the_fragment(client: Client) -> None:
    location = client.authorize(response_mode="fragment").headers["Location"]
    assert location.startswith("http://localhost:1234#code=")


def test_the_authorization_request_may_be_posted(client: Client) -> None:
    form = {
        "client_id": client.app.id,
        "response_type": "code",
        "redirect_uri": "http://localhost:9",
        "scope": "User.Read",
    }
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/authorize"
    assert "code" in sent_back(client.session.post(url, data=form, allow_redirects=False))


@pytest.mark.parametrize(
    "uri", ["http://localhost", "http://localhost:1/", "http://127.0.0.1:65000", "http://localhost:5000/getAToken"]
)
def test_loopback_redirects_may_use_any_port(client: Client, uri: str) -> None:
    assert sent_back(client.authorize(redirect_uri=uri))["code"]


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("https://localhost:1234", 50011),
        ("http://localhost:1234/other", 50011),
        ("http://localhost.evil.example", 50011),
        ("https://evil.example/callback", 50011),
        ("-", 900971),
    ],
)
def test_an_unregistered_redirect_is_a_page_and_no_redirect(client: Client, uri: str, code: int) -> None:
    response = client.authorize(redirect_uri=uri)
    assert response.status_code == 400
    assert f"AADSTS{code}" in response.text
    assert "Location" not in response.headers


@pytest.mark.parametrize(
    ("tenant", "query", "code"),
    [
        ("contoso.example", {"client_id": ids.tenant_id("x")}, 700016),
        ("contoso.example", {"client_id": "-"}, 900144),
        ("nobody.example", {}, 90002),
        ("contoso", {}, 900023),
    ],
)
def test_an_unknown_app_or_tenant_is_a_page(client: Client, tenant: str, query: dict[str, str], code: int) -> None:
    response = client.authorize(tenant, **query)
    assert (response.status_code, f"AADSTS{code}" in response.text) == (400, True)


def test_a_single_tenant_app_cannot_use_common(client: Client) -> None:
    app = app_of(client.sandbox.world, "line-of-business")
    assert "AADSTS50194" in client.authorize("common", client_id=app.id, redirect_uri=app.web_uris[0]).text


@pytest.mark.parametrize(
    ("query", "error", "code"),
    [
        ({"response_type": "-"}, "invalid_request", 900144),
        ({"response_type": "token"}, "unsupported_response_type", 700051),
        ({"response_type": "id_token"}, "unsupported_response_type", 700054),
        ({"response_type": "magic"}, "unsupported_response_type", 70005),
        ({"response_mode": "carrier_pigeon"}, "invalid_request", 70007),
        ({"prompt": "always"}, "invalid_request", 90023),
        ({"scope": "-"}, "invalid_request", 900144),
        ({"scope": "Places.Read.All"}, "invalid_client", 650053),
        ({"scope": "https://nowhere.example/Read"}, "invalid_resource", 500011),
        ({"scope": "User.Read https://outlook.office.com/Mail.Read"}, "invalid_request", 28000),
        ({"scope": "https://graph.microsoft.com/.default User.Read"}, "invalid_scope", 70011),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S512"}, "invalid_request", 50149),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request", 501491),
        ({"login_hint": "former@contoso.example"}, "invalid_grant", 50057),
        ({"login_hint": "room-adams@contoso.example"}, "invalid_grant", 50057),
        ({"login_hint": "nobody@contoso.example"}, "invalid_grant", 50034),
        ({"login_hint": "lee@fabrikam.example"}, "access_denied", 50020),
        ({"prompt": "none"}, "login_required", 50058),
    ],
)
def test_other_refusals_go_back_to_the_app_with_its_state(
    client: Client, query: dict[str, str], error: str, code: int
) -> None:
    back = sent_back(client.authorize(**query))
    assert (back["error"], back["state"]) == (error, "a state")
    assert back["error_description"].startswith(f"AADSTS{code}: ")
    assert "code" not in back


def test_silent_requests_work_for_consented_apps_only(client: Client) -> None:
    hint = {"prompt": "none", "login_hint": "adele@contoso.example"}
    assert "code" in sent_back(client.authorize(**hint))
    back = sent_back(client.authorize("treyresearch.example", prompt="none", login_hint="spaceiq@treyresearch.example"))
    assert (back["error"], back["error_description"][:11]) == ("interaction_required", "AADSTS65001")


def test_a_disabled_app_and_a_missing_assignment_are_refused(client: Client) -> None:
    assert "AADSTS7000112" in sent_back(client.authorize("lamna.example"))["error_description"]
    principal = grants.service_principal(tenant_of(client.sandbox, "contoso"), client.app.id)
    assert principal
    principal["appRoleAssignmentRequired"] = True
    assert "AADSTS50105" in sent_back(client.authorize())["error_description"]


def test_a_code_works_once(client: Client) -> None:
    code = client.code()
    assert client.redeem(code).status_code == 200
    assert refusal(client.redeem(code)) == (400, "invalid_grant", 54005)


def test_a_refused_attempt_does_not_spend_the_code(client: Client) -> None:
    code = client.code(**PKCE)
    assert refusal(client.redeem(code, code_verifier="w" * 50)) == (400, "invalid_grant", 501481)
    assert client.redeem(code, code_verifier=VERIFIER).status_code == 200


def test_a_code_expires_after_ten_minutes(client: Client) -> None:
    code = client.code()
    client.sandbox.world.offset += timedelta(minutes=10)
    assert refusal(client.redeem(code)) == (400, "invalid_grant", 70008)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"code_verifier": "-"}, (400, "invalid_grant", 50148)),
        ({"code_verifier": "w" * 50}, (400, "invalid_grant", 501481)),
        ({"code_verifier": CHALLENGE}, (400, "invalid_grant", 501481)),
        ({"redirect_uri": "http://localhost:1235"}, (401, "invalid_client", 500112)),
        ({"redirect_uri": "-"}, (400, "invalid_request", 900144)),
        ({"code": "1.Anonsense"}, (400, "invalid_grant", 9002313)),
        ({"code": "-"}, (400, "invalid_request", 900144)),
        ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
        ({"client_id": "14d82eec-204b-4c2f-b7e8-296a70dab67e"}, (400, "invalid_grant", 70000)),
    ],
)
def test_a_code_is_bound_to_its_request(client: Client, change: dict[str, str], expected: tuple[int, str, int]) -> None:
    code = client.code(**PKCE)
    form = {"code": code, "code_verifier": VERIFIER} | change
    assert refusal(client.redeem(**form)) == expected


def test_a_plain_challenge_is_compared_as_it_is(client: Client) -> None:
    code = client.code(code_challenge=VERIFIER)
    assert client.redeem(code, code_verifier=VERIFIER).status_code == 200


def test_a_code_belongs_to_its_tenant(client: Client) -> None:
    assert refusal(client.redeem(client.code(), "fabrikam.example")) == (400, "invalid_grant", 700005)


def test_web_redirects_need_a_proof_and_native_ones_take_none(client: Client) -> None:
    web = {"redirect_uri": "http://localhost:7/getAToken"}
    assert refusal(client.redeem(client.code(**web), **web)) == (401, "invalid_client", 7000218)
    assert client.redeem(client.code(**web), **web, client_secret=client.secret).status_code == 200
    native = {"redirect_uri": "http://127.0.0.1:7"}
    response = client.redeem(client.code(**native), **native, client_secret=client.secret)
    assert refusal(response) == (401, "invalid_client", 700025)


def refresh(client: Client, token: str, tenant: str = "contoso.example", **form: str) -> dict[str, object]:
    sent = {"grant_type": "refresh_token", "refresh_token": token, "scope": "User.Read offline_access"}
    body: dict[str, object] = client.token(tenant, **sent | form).json()
    return body


def refresh_token(client: Client, **query: str) -> str:
    token: str = client.redeem(client.code(**query)).json()["refresh_token"]
    return token


def test_a_refresh_token_rotates_and_the_old_one_stays_good(client: Client) -> None:
    first = refresh_token(client)
    second = refresh(client, first)["refresh_token"]
    assert second != first
    assert "access_token" in refresh(client, str(second))
    assert "access_token" in refresh(client, first)


def test_a_refresh_token_gets_tokens_for_another_resource_if_it_is_consented(client: Client) -> None:
    token = refresh_token(client)
    refused = refresh(client, token, scope="https://outlook.office.com/Calendars.Read")
    assert (refused["error"], refused["error_codes"], refused["suberror"]) == (
        "invalid_grant",
        [65001],
        "consent_required",
    )


def test_a_refresh_shows_what_is_granted_now(client: Client) -> None:
    token, tenant = refresh_token(client), tenant_of(client.sandbox, "contoso")
    for row in tenant.oauth2_permission_grants.values():
        row["scope"] = row["scope"].replace("Place.Read.All", "")
    body = refresh(client, token, scope="User.Read")
    assert "Place.Read.All" not in str(body["scope"])
    assert refresh(client, token, scope="Place.Read.All")["error_codes"] == [65001]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"refresh_token": "1.Anonsense"}, 9002313),
        ({"refresh_token": "-"}, 900144),
        ({"client_id": "14d82eec-204b-4c2f-b7e8-296a70dab67e"}, 9002313),
        ({"scope": "Places.Read.All"}, 650053),
        ({"client_secret": "wrong"}, 7000215),
    ],
)
def test_a_wrong_refresh_is_refused(client: Client, form: dict[str, str], code: int) -> None:
    assert refresh(client, **{"token": refresh_token(client)} | form)["error_codes"] == [code]


def test_a_refresh_token_ends_with_time_revocation_and_account(client: Client) -> None:
    world, tenant = client.sandbox.world, tenant_of(client.sandbox, "contoso")
    token = refresh_token(client, login_hint="adele@contoso.example")
    adele = grants.person(tenant, "adele@contoso.example")
    assert adele
    adele["signInSessionsValidFromDateTime"] = graph_time(world.now() + timedelta(minutes=1))
    assert refresh(client, token)["error_codes"] == [50173]
    adele["signInSessionsValidFromDateTime"], adele["accountEnabled"] = None, False
    assert refresh(client, token)["error_codes"] == [50057]
    adele["accountEnabled"] = True
    world.offset += timedelta(days=91)
    assert refresh(client, token)["error_codes"] == [700082]


def test_microsofts_own_clients_are_preauthorised_for_a_few_scopes(client: Client) -> None:
    azure = app_of(client.sandbox.world, "azure-cli").id
    code = client.code(client_id=azure, scope="https://management.core.windows.net//.default offline_access")
    body = client.redeem(code, client_id=azure).json()
    assert claims_of(body["access_token"])["aud"] == "https://management.core.windows.net/"
    graph = refresh(client, body["refresh_token"], client_id=azure, scope="https://graph.microsoft.com//.default")
    assert "Directory.AccessAsUser.All" in str(graph["scope"])
    asked = refresh(client, body["refresh_token"], client_id=azure, scope="Calendars.Read")
    assert asked["error_codes"] == [65002]


PASSWORD = {"grant_type": "password", "username": "adele@contoso.example", "scope": "User.Read"}


def test_a_password_works_where_one_factor_is_enough(client: Client) -> None:
    password = client.sandbox.credentials.people_password
    body = client.token(**PASSWORD, password=password).json()
    assert claims_of(body["access_token"])["upn"] == "adele@contoso.example"


@pytest.mark.parametrize(
    ("tenant", "form", "code"),
    [
        ("contoso.example", {"password": "wrong"}, 50126),
        ("contoso.example", {"username": "nobody@contoso.example"}, 50034),
        ("contoso.example", {"username": "former@contoso.example"}, 50057),
        ("tailspin.example", {"username": "omar@tailspin.example"}, 50076),
        ("common", {}, 9001023),
        ("organizations", {"username": "x@nobody.example"}, 90002),
    ],
)
def test_a_password_is_refused_otherwise(client: Client, tenant: str, form: dict[str, str], code: int) -> None:
    sent = PASSWORD | {"password": client.sandbox.credentials.people_password} | form
    response = client.token(tenant, **sent)
    assert (response.status_code, response.json()["error_codes"]) == (400, [code])


def test_a_sign_in_is_logged(client: Client) -> None:
    client.code(login_hint="adele@contoso.example")
    newest = tenant_of(client.sandbox, "contoso").sign_ins[-1]
    assert (newest["userPrincipalName"], newest["appId"]) == ("adele@contoso.example", client.app.id)


def test_logging_out_goes_to_a_registered_address_only(client: Client) -> None:
    url = f"{client.sandbox.url}/contoso.example/oauth2/v2.0/logout"
    known = client.session.get(url, params={"post_logout_redirect_uri": "http://localhost:3"}, allow_redirects=False)
    assert known.headers["Location"] == "http://localhost:3"
    stranger = client.session.get(
        url, params={"post_logout_redirect_uri": "https://evil.example"}, allow_redirects=False
    )
    assert (stranger.status_code, "signed out" in stranger.text) == (200, True)
