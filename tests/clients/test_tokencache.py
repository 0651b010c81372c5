"""A person's sign-in is kept encrypted or not at all, is proved anew each time, and serves its own account only."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from runbook_lib.clients.entra import token_cache
from runbook_lib.clients.entra.sign_in import Credential, SignInPrompt
from runbook_lib.clients.entra.sign_in import sign_in as sign_in_itself
from runbook_lib.errors import SignInError, UsageError
from runbook_lib.model import NO_APP, Json, SignIn, Tenant
from tests.clients.test_signin import NOW, PERSON, WHO, entra, jwt, tokens
from tests.fakes import CLIENT, CONTOSO, FABRIKAM, Clock, Script, answer

DANA = "dana@contoso.example"
FOLDER = token_cache.folder  # which the tests replace


class Disguise:
    """Encrypts for a test: what it writes is not readable, and says nothing of what is in it."""

    is_encrypted = True

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def save(self, content: str) -> None:
        self.path.write_bytes(base64.b85encode(content.encode())[::-1])

    def load(self) -> str:
        return base64.b85decode(self.path.read_bytes()[::-1]).decode()


class Plain(Disguise):
    """What keeps a text as it is."""

    is_encrypted = False


def refuses(_: str) -> Disguise:
    raise RuntimeError("no keyring here\nand a long explanation")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's folder, empty."""
    monkeypatch.delenv(token_cache.SWITCH)
    monkeypatch.setattr(token_cache, "folder", lambda: tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def told() -> list[SignInPrompt]:
    """What the person was told."""
    return []


def sign_in(
    http: requests.Session,
    told: list[SignInPrompt],
    tenant: Tenant = PERSON,
    encrypt: token_cache.Encrypt = Disguise,
    calls: tuple[str, ...] = ("rooms",),
) -> Credential:
    return sign_in_itself(tenant, calls, http, attended=True, show=told.append, clock=Clock(), encrypt=encrypt)


def answers(cloud: Script, respond: Callable[[str], Json | None]) -> list[str]:
    """Answer the token endpoint with `respond(grant)`, None as before; return the grants that are asked for."""
    plain, grants = cloud.answer, list[str]()

    def token(request: requests.PreparedRequest) -> requests.Response:
        if not request.path_url.endswith("/token"):
            return plain(request)
        grants.append("refresh" if "grant_type=refresh_token" in str(request.body) else "person")
        given = respond(grants[-1])
        return plain(request) if given is None else answer(given, 400 if "error" in given else 200)

    cloud.answer = token
    return grants


@pytest.fixture
def signed_in(told: list[SignInPrompt]) -> None:
    """Dana has signed in already, in another kernel."""
    with entra(tokens({**WHO, "preferred_username": DANA})) as (http, _):
        sign_in(http, told)
    told.clear()


def test_a_later_kernel_signs_the_same_person_in_without_asking(told: list[SignInPrompt], state: Path) -> None:
    with entra(tokens()) as (http, cloud):
        first = sign_in(http, told)
        assert [bool(one.code) for one in told] == [True, False]
        assert "keeps it encrypted" in told[1].words
        assert told[1].words.endswith("until 'runbook signout contoso'.")
        grants = answers(cloud, lambda _: None)
        second = sign_in(http, told)
    assert grants == ["refresh"]
    assert second.identity == first.identity
    assert [one.words for one in told[2:]] == [
        "Signed in as megan@contoso.example. This machine kept the sign-in, encrypted; "
        "Microsoft Entra took it again just now."
    ]
    (file,) = (path for path in state.rglob("*") if path.is_file())
    assert file.name == f"{CONTOSO}.{CLIENT}.tokens"
    assert b"megan" not in file.read_bytes()
    if os.name == "posix":
        assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize(
    ("encrypt", "words"),
    [(refuses, "no encrypted store (no keyring here)."), (Plain, "because this system offers no encrypted store.")],
    ids=["refused", "would be plain text"],
)
def test_where_nothing_encrypts_nothing_is_written_and_the_person_is_told(
    encrypt: token_cache.Encrypt, words: str, told: list[SignInPrompt], state: Path
) -> None:
    with entra(tokens()) as (http, cloud):
        grants = answers(cloud, lambda _: None)
        sign_in(http, told, encrypt=encrypt)
        sign_in(http, told, encrypt=encrypt)
    assert grants == ["person", "person"]
    assert told[1].words.startswith("Signed in as megan@contoso.example. You will be asked again in each notebook")
    assert told[1].words.endswith(words)
    assert not state.exists()


def test_the_person_may_have_it_in_memory_only(
    told: list[SignInPrompt], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(token_cache.SWITCH, "memory")
    with entra(tokens()) as (http, _):
        sign_in(http, told)
    assert "RUNBOOK_TOKEN_CACHE says memory" in told[1].words
    assert not state.exists()


def test_a_store_that_fails_while_writing_is_told_and_stops_nothing(told: list[SignInPrompt]) -> None:
    class Full(Disguise):
        def save(self, _: str) -> None:
            raise OSError(28, "No space left on device")

    with entra(tokens()) as (http, _):
        assert sign_in(http, told, encrypt=Full).token()
    assert "No space left" in told[1].words


@pytest.mark.parametrize(
    "refreshed",
    [
        {"error": "invalid_grant", "error_description": "AADSTS50173: The grant was revoked."},
        tokens({**WHO, "tid": FABRIKAM}),
        tokens({**WHO, "aud": "another app"}),
        tokens({**WHO, "exp": NOW - 301}),
        tokens(access_token=jwt(tid=FABRIKAM)),
    ],
    ids=["revoked", "another tenant", "another app", "expired", "another's token"],
)
def test_a_kept_sign_in_is_proved_like_a_new_one_or_the_person_is_asked(
    refreshed: Json, told: list[SignInPrompt], signed_in: None
) -> None:
    with entra(tokens()) as (http, cloud):
        grants = answers(cloud, lambda grant: refreshed if grant == "refresh" else None)
        assert sign_in(http, told).identity.account == "megan@contoso.example"
    assert grants == ["refresh", "person"]
    assert told[0].code


@pytest.mark.parametrize("home", [FABRIKAM, ""], ids=["a guest's", "of no tenant"])
def test_a_kept_account_of_another_tenant_is_never_used(home: str, told: list[SignInPrompt], signed_in: None) -> None:
    store = token_cache.store(PERSON, Disguise)
    assert f"me.{CONTOSO}" in store.load()
    store.save(store.load().replace(f"me.{CONTOSO}", f"me.{home}"))
    with entra(tokens()) as (http, cloud):
        grants = answers(cloud, lambda _: None)
        sign_in(http, told)
    assert grants == ["person"]


def test_a_kept_sign_in_is_not_sent_to_another_cloud_s_host(told: list[SignInPrompt], signed_in: None) -> None:
    elsewhere = replace(PERSON, cloud=replace(PERSON.cloud, login="https://login.evil.example"))
    with entra(tokens()) as (http, cloud):
        http.mount(elsewhere.cloud.login, http.get_adapter(PERSON.cloud.login))
        grants = answers(cloud, lambda _: None)
        sign_in(http, told, elsewhere)
    assert grants == ["person"]


def test_another_tenant_or_app_has_a_file_of_its_own(told: list[SignInPrompt], signed_in: None) -> None:
    others = [replace(PERSON, tenant_id=FABRIKAM), replace(PERSON, sign_in=SignIn("device-code", FABRIKAM))]
    assert [token_cache.store(other, Disguise).load() for other in others] == ["", ""]


def test_only_the_account_of_the_tenant_file_is_taken_from_what_is_kept(
    told: list[SignInPrompt], signed_in: None
) -> None:
    for account, expected in ((DANA, ["refresh"]), ("megan@contoso.example", ["person"])):
        tenant = replace(PERSON, sign_in=replace(PERSON.sign_in, account=account))
        with entra(tokens({**WHO, "preferred_username": account.replace("dana", "Dana")})) as (http, cloud):
            grants = answers(cloud, lambda _: None)
            sign_in(http, told, tenant)
        assert grants == expected
    assert [one.accounts for one in token_cache.kept(encrypt=Disguise)] == [("megan@contoso.example",)]


def test_a_wrong_account_is_stopped_with_both_names_and_not_kept(told: list[SignInPrompt], state: Path) -> None:
    tenant = replace(PERSON, sign_in=replace(PERSON.sign_in, account=DANA))
    with entra(tokens()) as (http, _), pytest.raises(SignInError, match=r"megan@contoso\.example signed in") as caught:
        sign_in(http, told, tenant)
    assert caught.value.message.endswith(f"wants {DANA}.")
    assert not state.exists()


def test_a_sign_in_that_may_write_asks_the_person_and_is_not_kept(told: list[SignInPrompt], signed_in: None) -> None:
    before = token_cache.store(PERSON, Disguise).load()
    with entra(tokens()) as (http, cloud):
        grants = answers(cloud, lambda _: None)
        sign_in(http, told, calls=("remove_app_role",)).token(fresh=True)
    assert grants == ["person", "refresh"]
    assert told[-1].words.endswith("This sign-in may change something, so it is kept nowhere.")
    assert token_cache.store(PERSON, Disguise).load() == before


def test_a_renewed_sign_in_is_kept_too(told: list[SignInPrompt], signed_in: None) -> None:
    given = iter([tokens(refresh_token="second"), tokens(refresh_token="third")])
    with entra(tokens()) as (http, cloud):
        answers(cloud, lambda _: next(given))
        credential = sign_in(http, told)
        assert '"second"' in token_cache.store(PERSON, Disguise).load()
        credential.token(fresh=True)
    assert '"third"' in token_cache.store(PERSON, Disguise).load()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe half written"], ids=["empty", "garbage"])
def test_a_file_that_does_not_open_is_as_good_as_none(
    content: bytes, told: list[SignInPrompt], signed_in: None
) -> None:
    token_cache.store(PERSON, Disguise).file.write_bytes(content)
    with entra(tokens()) as (http, _):
        sign_in(http, told)
    assert told[0].code


def test_signing_out_overwrites_and_removes(signed_in: None, state: Path) -> None:
    (found,) = token_cache.kept(CONTOSO, Disguise)
    assert (found.accounts, found.tenant_id, found.client_id) == ((DANA,), CONTOSO, CLIENT)
    assert list(token_cache.kept(FABRIKAM, Disguise)) == []
    saved: list[str] = []

    class Keyring(Disguise):
        def save(self, content: str) -> None:
            saved.append(content)

    token_cache.forget(found, Keyring)
    assert saved == ["{}"]  # what a keyring holds outlives the file
    assert list(token_cache.kept(encrypt=Disguise)) == []


def test_a_sign_in_that_stays_in_the_keyring_is_not_called_removed(
    signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = token_cache.kept(encrypt=Disguise)
    with pytest.raises(UsageError, match="no keyring here") as caught:
        token_cache.forget(found, refuses)
    assert "unlock" in caught.value.remedy.lower()
    assert found.file.exists()
    monkeypatch.setenv(token_cache.SWITCH, "memory")  # which is about what will be kept, not about what is
    token_cache.forget(found, Disguise)
    assert not found.file.exists()


def test_a_file_of_another_name_can_be_removed_too(signed_in: None, state: Path) -> None:
    (state / "sign-ins" / f"{CONTOSO}.{CLIENT}.copy.tokens").write_text("")
    for one in token_cache.kept(CONTOSO, Disguise):
        token_cache.forget(one, Disguise)
    assert not list((state / "sign-ins").iterdir())


def test_a_kernel_that_runs_on_does_not_undo_a_sign_out(told: list[SignInPrompt], signed_in: None) -> None:
    with entra(tokens()) as (http, _):
        credential = sign_in(http, told)
        for one in token_cache.kept(encrypt=Disguise):
            token_cache.forget(one, Disguise)
        assert credential.token(fresh=True)
    assert list(token_cache.kept(encrypt=Disguise)) == []


def test_without_an_app_registration_the_person_is_sent_to_make_one(told: list[SignInPrompt]) -> None:
    with entra(tokens()) as (http, _), pytest.raises(UsageError, match="no app registration yet") as caught:
        sign_in(http, told, replace(PERSON, sign_in=SignIn("browser", NO_APP)))
    assert caught.value.remedy == "runbook app contoso"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="platformdirs knows the folders of each system")
def test_the_folder_is_where_the_platform_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert Path("/x/spaceiq-calendar-runbook") == FOLDER()
    monkeypatch.delenv("XDG_STATE_HOME")
    assert FOLDER().as_posix().endswith(".local/state/spaceiq-calendar-runbook")
