"""Device codes: answered by themselves, by a person, or not at all."""

from datetime import timedelta

import pytest

from runbook_lib.sandbox.world import ids
from runbook_lib.sandbox.world.state import Json
from tests.sandbox.signing_in import Client, app_of, claims_of, refusal, tenant_of

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def start(client: Client, tenant: str = "contoso.example", **form: str) -> Json:
    sent = {"client_id": client.app.id, "scope": "User.Read openid offline_access"} | form
    response = client.session.post(f"{client.sandbox.url}/{tenant}/oauth2/v2.0/devicecode", data=sent)
    body: Json = response.json()
    return body


def poll(client: Client, device: Json, tenant: str = "contoso.example", **form: str) -> tuple[int, str, int]:
    """The refusal of a poll; error and code are empty for tokens."""
    response = client.token(tenant, grant_type=GRANT, device_code=device["device_code"], **form)
    return refusal(response) if response.status_code != 200 else (200, "", 0)


def tokens(client: Client, device: Json, tenant: str = "contoso.example") -> Json:
    body: Json = client.token(tenant, grant_type=GRANT, device_code=device["device_code"]).json()
    return body


PENDING = (400, "authorization_pending", 70016)


def test_the_answer_tells_a_person_what_to_do(client: Client) -> None:
    device = start(client)
    assert (device["expires_in"], device["interval"]) == (900, 5)
    assert len(device["user_code"]) == 9
    assert device["verification_uri"] == f"{client.sandbox.url}/devicelogin"
    assert "verification_uri_complete" not in device
    assert device["user_code"] in device["message"]
    assert device["verification_uri"] in device["message"]


@pytest.mark.parametrize(
    ("tenant", "form", "code"),
    [
        ("contoso.example", {"client_id": ids.tenant_id("x")}, 700016),
        ("contoso.example", {"scope": ""}, 900144),
        ("contoso.example", {"scope": "Places.Read.All"}, 650053),
        ("nobody.example", {}, 90002),
    ],
)
def test_a_wrong_start_is_refused(client: Client, tenant: str, form: dict[str, str], code: int) -> None:
    assert start(client, tenant, **form)["error_codes"] == [code]


@pytest.mark.parametrize("tenant", ["contoso.example", "organizations", "common"])
def test_in_automatic_mode_the_second_poll_gets_tokens_once(client: Client, tenant: str) -> None:
    device = start(client, tenant)
    assert poll(client, device, tenant) == PENDING
    body = tokens(client, device, tenant)
    assert claims_of(body["access_token"])["upn"] == "admin@contoso.example"
    assert {"refresh_token", "id_token"} <= set(body)
    assert poll(client, device, tenant) == (400, "invalid_grant", 54005)


def test_a_named_person_answers_and_may_decline(client: Client) -> None:
    client.sandbox.world.approval.account = "adele@contoso.example"
    device = start(client)
    poll(client, device)
    assert claims_of(tokens(client, device)["access_token"])["upn"] == "adele@contoso.example"
    client.sandbox.world.approval.answer = "cancel"
    device = start(client, "treyresearch.example")
    client.sandbox.world.approval.account = "admin@treyresearch.example"
    assert poll(client, device, "treyresearch.example") == PENDING
    assert poll(client, device, "treyresearch.example") == (400, "authorization_declined", 65004)
    assert poll(client, device, "treyresearch.example") == (400, "authorization_declined", 65004)


def test_a_code_expires_after_fifteen_minutes(client: Client) -> None:
    device = start(client)
    client.sandbox.world.offset += timedelta(minutes=15)
    assert poll(client, device) == (400, "expired_token", 70020)


def test_an_unknown_code_and_anothers_code_are_refused(client: Client) -> None:
    assert poll(client, {"device_code": "nonsense"}) == (400, "bad_verification_code", 7000014)
    command_line = app_of(client.sandbox.world, "graph-command-line").id
    assert poll(client, start(client), client_id=command_line) == (400, "bad_verification_code", 7000014)


def test_a_confidential_app_cannot_poll_without_a_proof(client: Client) -> None:
    cronofy = app_of(client.sandbox.world, "cronofy-individual").id
    device = start(client, client_id=cronofy)
    assert poll(client, device, client_id=cronofy) == (401, "invalid_client", 7000218)


def test_conditional_access_blocks_the_flow_and_later_its_refresh_tokens(client: Client) -> None:
    device = start(client, "tailspin.example")
    assert poll(client, device, "tailspin.example") == PENDING
    assert poll(client, device, "tailspin.example") == (400, "invalid_grant", 53003)
    body = tokens(client, device, "tailspin.example")
    assert body["suberror"] == "message_only"
    assert tenant_of(client.sandbox, "tailspin").policies["conditionalAccessPolicies"][0]["id"] in body["claims"]

    device = start(client)
    poll(client, device)
    refresh_token = tokens(client, device)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": "User.Read offline_access"}
    again = client.token(**form).json()["refresh_token"]
    tenant_of(client.sandbox, "contoso").modes["device_code_blocked"] = True
    assert refusal(client.token(**form | {"refresh_token": again})) == (400, "invalid_grant", 530036)


def enter(client: Client, device: Json) -> str:
    """Type the user code at the page that the app names; answers the page that follows."""
    page = client.session.get(device["verification_uri"])
    assert 'name="otc"' in page.text
    return client.session.post(page.url, data={"otc": device["user_code"].lower()}).text


def test_a_person_enters_the_code_chooses_an_account_and_is_told_the_end(client: Client) -> None:
    client.sandbox.world.approval.auto = False
    device = start(client)
    assert poll(client, device) == PENDING
    assert poll(client, device) == PENDING
    page = enter(client, device)
    assert "Adele Vance" in page
    ctx = page.split('name="ctx" value="')[1].split('"')[0]
    url = f"{client.sandbox.url}/contoso.example/login"
    done = client.session.post(url, data={"ctx": ctx, "account": "adele@contoso.example"})
    assert "You may now close this window" in done.text
    assert claims_of(tokens(client, device)["access_token"])["upn"] == "adele@contoso.example"


def test_a_person_may_walk_away(client: Client) -> None:
    client.sandbox.world.approval.auto = False
    device = start(client)
    ctx = enter(client, device).split('name="ctx" value="')[1].split('"')[0]
    client.session.post(f"{client.sandbox.url}/contoso.example/login", data={"ctx": ctx, "cancel": "1"})
    assert poll(client, device) == (400, "authorization_declined", 65004)


def test_a_wrong_or_used_user_code_does_not_work(client: Client) -> None:
    device = start(client)
    poll(client, device)
    tokens(client, device)
    client.sandbox.world.approval.auto = False
    assert "That code didn" in enter(client, device)
    assert "That code didn" in enter(client, device | {"user_code": "NOTHING99"})
