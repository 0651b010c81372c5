"""Signing in against an Entra of a few lines: whom the runbook refuses to be, and the words for every refusal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from runbook_lib import vendors
from runbook_lib.clients.entra import sign_in as signin
from runbook_lib.clients.entra.sign_in import Credential, SignInPrompt
from runbook_lib.clients.http import session
from runbook_lib.errors import RunbookError, SignInError, Unreachable, WrongTenant
from runbook_lib.model import Json, SignIn, Tenant
from tests.fakes import CLIENT, CONTOSO, FABRIKAM, TENANT, Clock, Script, answer

NOW = Clock().now.timestamp()
PERSON = replace(TENANT, sign_in=SignIn("device-code", CLIENT))
LOGIN = f"https://login.example/{CONTOSO}"
CODE = {
    "user_code": "ABC123",
    "device_code": "d",
    "verification_uri": "https://login.example/device",
    "expires_in": 900,
}
WHO = {"aud": CLIENT, "exp": NOW + 3600, "tid": CONTOSO, "oid": "me", "preferred_username": "megan@contoso.example"}


def encoded(claims: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def jwt(**claims: Any) -> str:
    return f"{encoded({'alg': 'none'})}.{encoded(claims)}.c2lnbmVk"


def tokens(who: Json = WHO, home: str = CONTOSO, **others: Any) -> Json:
    scope = "https://graph.example/User.Read https://graph.example/Place.Read.All openid profile"
    answer = {"access_token": jwt(tid=CONTOSO, scp="User.Read Place.Read.All"), "id_token": jwt(**who), "scope": scope}
    times = {"expires_in": 3600, "refresh_token": "rt", "token_type": "Bearer"}
    return {**answer, **times, "client_info": encoded({"uid": "me", "utid": home}), **others}


@contextmanager
def entra(
    token: Json | requests.Response, device: Json | None = None, status: int = 200
) -> Iterator[tuple[requests.Session, Script]]:
    """Return a connection to an Entra that answers with this token and device code."""

    def respond(request: requests.PreparedRequest) -> requests.Response:
        if request.path_url.endswith("/openid-configuration"):
            places = {"issuer": f"{LOGIN}/v2.0", "authorization_endpoint": f"{LOGIN}/oauth2/v2.0/authorize"}
            here = {"token_endpoint": f"{LOGIN}/oauth2/v2.0/token"}
            return answer({**places, **here, "device_authorization_endpoint": f"{LOGIN}/oauth2/v2.0/devicecode"})
        if request.path_url.endswith("/devicecode"):
            return answer(CODE if device is None else device)
        return answer(token, status) if isinstance(token, dict) else token

    script = Script(respond)
    with session(PERSON.cloud) as http:
        http.mount("https://login.example", script)
        yield http, script


def sign_in(
    http: requests.Session, tenant: Tenant = PERSON, *, attended: bool = True, show: signin.Show = print
) -> Credential:
    calls = ["rooms", "room_calendar"]
    return signin.sign_in(tenant, calls, http, attended=attended, show=show, clock=Clock())


def form(request: requests.PreparedRequest) -> dict[str, list[str]]:
    return parse_qs(str(request.body))


def test_a_person_is_told_where_to_enter_which_code() -> None:
    shown: list[SignInPrompt] = []
    with entra(tokens()) as (http, cloud):
        credential = sign_in(http, show=shown.append)
    page, words = "https://login.example/device", "in a private window and enter ABC123 within 15 minutes."
    assert shown[0] == SignInPrompt(f"Open {page} {words}", page, "ABC123", Clock().now + timedelta(minutes=15))
    assert str(shown[0]) == f"Open {page} {words}"
    assert credential.identity == signin.Identity(
        kind="person",
        account="megan@contoso.example",
        object_id="me",
        tenant_id=CONTOSO,
        client_id=CLIENT,
        method="device-code",
        permissions=frozenset({"User.Read", "Place.Read.All"}),
    )
    asked = set(form(cloud.requests[1])["scope"][0].split())
    needed = {"https://graph.example/User.Read", "https://graph.example/Place.Read.All"}
    assert asked == needed | {"openid", "profile", "offline_access"}


def test_an_opaque_access_token_is_taken_at_its_scope() -> None:
    with entra(tokens(access_token="opaque")) as (http, _):
        credential = sign_in(http)
        assert credential.token() == "opaque"
    assert credential.identity.permissions >= {"User.Read", "Place.Read.All"}


@pytest.mark.parametrize("token", ["a.b.c", "x.WzFd.y", "..", "ä.ö.ü", f"x.{encoded({'tid': FABRIKAM})[:-3]}.y"])
def test_a_token_that_cannot_be_read_is_no_reason_to_stop(token: str) -> None:
    with entra(tokens(access_token=token)) as (http, _):
        assert sign_in(http).token() == token


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        (tokens({**WHO, "tid": FABRIKAM}), f"megan@contoso.example belongs to the tenant {FABRIKAM}"),
        (tokens({**WHO, "tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}), "belongs to the tenant 9188040d"),
        (tokens({name: value for name, value in WHO.items() if name != "tid"}), "belongs to the tenant None"),
        (tokens(home=FABRIKAM), f"is a guest here; the account belongs to the tenant {FABRIKAM}"),
        (tokens(access_token=jwt(tid=FABRIKAM)), f"access token belongs to the tenant {FABRIKAM}"),
    ],
    ids=["another tenant", "personal account", "no tenant", "guest", "another's token"],
)
def test_an_account_or_token_of_another_tenant_is_refused(answered: Json, words: str) -> None:
    with entra(answered) as (http, _), pytest.raises(WrongTenant, match=words) as caught:
        sign_in(http)
    assert f"Contoso ({CONTOSO})" in caught.value.message
    assert "private window" in caught.value.remedy


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        (tokens({**WHO, "aud": "another app"}), "no proof of who signed in"),
        (tokens({**WHO, "exp": NOW - 301}), "has expired"),
        ({name: value for name, value in tokens().items() if name != "id_token"}, "no proof of who signed in"),
    ],
    ids=["for another app", "expired", "missing"],
)
def test_a_proof_that_proves_nothing_is_refused(answered: Json, words: str) -> None:
    with entra(answered) as (http, _), pytest.raises(SignInError, match=words):
        sign_in(http)


@pytest.mark.parametrize("method", ["browser", "device-code"])
def test_without_a_person_there_is_no_sign_in_that_needs_one(method: str) -> None:
    with (
        entra(tokens()) as (http, cloud),
        pytest.raises(SignInError, match=f"Nobody is here to sign in by {method}") as e,
    ):
        sign_in(http, replace(PERSON, sign_in=SignIn(method, CLIENT)), attended=False)
    assert "sign_in.method to certificate" in e.value.remedy
    assert cloud.requests == []


HINTS: Mapping[int | str, Json] = vendors.facts()["sign_in_errors"]


@pytest.mark.parametrize("code", [code for code in HINTS if isinstance(code, int)])
def test_every_known_code_becomes_words_with_a_remedy_and_microsoft_s_page(code: int) -> None:
    text = f"AADSTS{code}: Words of Microsoft. Trace ID: t Correlation ID: {CONTOSO} Timestamp: now"
    refused = {"error": "invalid_grant", "error_description": text, "error_codes": [code]}
    with entra(tokens(), device=refused) as (http, _), pytest.raises(SignInError) as caught:
        sign_in(http)
    assert caught.value.message == (
        "Microsoft Entra did not sign the runbook in to Contoso: "
        f"{HINTS[code]['cause']} (AADSTS{code}, correlation id {CONTOSO})"
    )
    assert caught.value.remedy == HINTS[code]["remedy"]
    assert caught.value.link == f"https://login.microsoftonline.com/error?code={code}"


@pytest.mark.parametrize("name", [name for name in HINTS if isinstance(name, str) and name != "authorization_pending"])
def test_every_known_refusal_without_a_code_becomes_words(name: str) -> None:
    with (
        entra({"error": name}, status=400) as (http, _),
        pytest.raises(SignInError, match=HINTS[name]["cause"]) as caught,
    ):
        sign_in(http)
    assert (caught.value.remedy, caught.value.link) == (HINTS[name]["remedy"], "")


def test_a_code_that_nobody_entered_in_time_is_said_so() -> None:
    with (
        entra({"error": "authorization_pending"}, CODE | {"expires_in": 0, "interval": 1}, 400) as (http, _),
        pytest.raises(SignInError, match="nobody entered the code in time"),
    ):
        sign_in(http)


def test_an_unknown_code_keeps_the_words_of_microsoft() -> None:
    text = f"AADSTS99: Something new.\r\nTrace ID: t\r\nCorrelation ID: {CONTOSO}"
    with (
        entra({"error": "x", "error_description": text}, status=400) as (http, _),
        pytest.raises(SignInError) as caught,
    ):
        sign_in(http)
    assert caught.value.message.endswith(f"AADSTS99: Something new. (AADSTS99, correlation id {CONTOSO})")


def test_the_hints_cover_the_codes_that_the_field_meets() -> None:
    documented = (
        "65001 65004 90094 90093 90095 900941 900981 90090 650056 65005 50105 700016 7000112 50020 50034 16000 90072 "
        "500208 50057 50076 50079 50158 53000 53001 53003 530032 530035 500021 500022 500212 500213 90002 90038 900382 "
        "900432"
    )
    assert set(map(int, documented.split())) <= HINTS.keys()


@pytest.mark.parametrize("status", [500, 503])
def test_a_broken_entra_is_a_refused_sign_in(status: int) -> None:
    with entra({}, status=status) as (http, _), pytest.raises(SignInError, match=f"HTTP Error: {status}"):
        sign_in(http)


def test_an_answer_that_is_no_json_is_a_refused_sign_in() -> None:
    with entra(answer(b"<html>")) as (http, _), pytest.raises(SignInError) as caught:
        sign_in(http)
    assert "<html>" not in str(caught.value)


def test_a_network_that_fails_says_so_itself() -> None:
    def broken(_: requests.PreparedRequest) -> requests.Response:
        raise requests.exceptions.ConnectTimeout

    with session(PERSON.cloud) as http:
        http.mount("https://login.example", Script(broken))
        with pytest.raises(Unreachable, match=r"login\.example did not answer in time"):
            sign_in(http)


def test_no_secret_is_in_the_repr() -> None:
    with entra(tokens()) as (http, _):
        credential = sign_in(http)
    assert repr(credential) == "Credential(megan@contoso.example, person, device-code)"
    assert credential.token() not in repr(credential) + repr(credential.identity)


def test_a_token_of_another_tenant_is_refused_on_renewal_too() -> None:
    answers = iter([tokens(), tokens(access_token=jwt(tid=FABRIKAM))])
    with entra(tokens()) as (http, cloud):
        plain = cloud.answer

        def respond(request: requests.PreparedRequest) -> requests.Response:
            return answer(next(answers)) if request.path_url.endswith("/token") else plain(request)

        cloud.answer = respond
        credential = sign_in(http)
        assert credential.token() == credential.token()
        with pytest.raises(WrongTenant):
            credential.token(fresh=True)


def test_a_sign_in_that_cannot_be_renewed_has_ended() -> None:
    without = {name: value for name, value in tokens(expires_in=10).items() if name != "refresh_token"}
    with entra(without) as (http, _):
        credential = sign_in(http)
        with pytest.raises(RunbookError, match="the sign-in has ended") as caught:
            credential.token()
    assert caught.value.remedy == "Run the sign-in cell again."
