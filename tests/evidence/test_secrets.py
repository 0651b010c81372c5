"""No secret reaches the archive: the sandbox's own occur in no byte of it, and whatever does stops the seal unseen."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from runbook_lib import vendors
from runbook_lib.batch import pool
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import seal, secrets
from runbook_lib.runs import folder
from runbook_lib.sandbox import server
from runbook_lib.sandbox.entra import tokens
from tests.fake_runs import NOW, payload, two_steps

CHECKOUT = Path(__file__).resolve().parents[2]
SPACEIQ_TOKEN = "canary-8f2b1c74e05d4a6f9b3e"
PEOPLE = ("00_preflight", "06_access", "07_sync", "08_report")
SEGMENT = "Zm9vYmFyYmF6cXV4cXV1eA-_"
JWT = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"RS256"}', b'{"aud":"x"}'))
SECRETS = {
    "access token": f"{JWT}.{SEGMENT}",
    "refresh token": "1.AXYA" + SEGMENT * 4,
    "client secret": "aB38Q~" + "x" * 34,
    "token field": f'"refresh_token": "{SEGMENT}"',
    "address": f"https://login.microsoftonline.com/x?code={SEGMENT}&state=1",
    "header": f"Authorization: Bearer {SEGMENT}",
    "cache": '{"RefreshToken": {"x": {"credential_type": "RefreshToken"}}}',
    "cookie": f"ESTSAUTHPERSISTENT={SEGMENT}",
    "activation link": "https://app.cronofy.com/enterprise_connect/activate?token=abc123",
    "private key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ",
    "storage key": "AccountKey=" + "A" * 86 + "==",
    "password in an address": "https://dana:hunter22@contoso.example/",
}
INNOCENT = """\
62e90394-69f5-4237-9190-012177145e10 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
GET /v1.0/users?$skiptoken=RFNwdAIAAQAAABI6YWRtaW5AY29udG9zby5jb20&$filter=appId%20eq%20'10bb7e5b'
https://app.cronofy.com/oauth/authorize https://docs.cronofy.com/?page=scopes AADSTS65001 Bearer token access_token code
{"passwordCredentials": [], "keyCredentials": [{"keyId": "62e90394-69f5-4237-9190-012177145e10"}], "token": "granted"}
"""


def plain(secret: str) -> str:
    return secret


def in_base64(secret: str) -> str:
    return "data:x," + base64.b64encode(f"what came: {secret} and more of it".encode()).decode()


def in_base64_twice(secret: str) -> str:
    return in_base64(in_base64(secret))


def in_an_address(secret: str) -> str:
    return f"https://contoso.example/?back={quote(secret, safe='')}"


def in_json(secret: str) -> str:
    return json.dumps({"source": [json.dumps(secret)]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


@pytest.mark.parametrize("encode", [plain, in_base64, in_base64_twice, in_an_address, in_json])
@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_stops_the_seal_and_is_named_by_file_and_line_only(
    run: Path, kind: str, encode: Callable[[str], str]
) -> None:
    hidden = encode(SECRETS[kind])
    (run / "data/note.txt").write_text(f"one\ntwo\n{hidden}\n")
    before = payload(run)
    with pytest.raises(ArchiveError, match=r"data/note\.txt, line [34]: it looks like") as refused:
        seal.seal(run, clock=lambda: NOW)
    assert SEGMENT not in str(refused.value)
    assert hidden not in str(refused.value)
    assert "line 1" not in refused.value.message
    assert (payload(run), folder.is_sealed(run)) == (before, False)


def test_what_only_looks_like_a_secret_is_sealed(run: Path) -> None:
    (run / "data/note.txt").write_text(INNOCENT)
    (run / "data/picture.json").write_text(base64.b64encode(bytes(range(256)) * 99).decode())
    assert folder.is_sealed(seal.seal(run, clock=lambda: NOW))


def test_a_secret_in_a_workbook_or_in_letters_of_two_bytes_is_found(run: Path) -> None:
    with zipfile.ZipFile(run / "data/rooms.xlsx", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", SECRETS["client secret"])
    (run / "data/answer.txt").write_bytes(SECRETS["access token"].encode("utf-16"))
    found = {one.path for one in secrets.leaks(run, ())}
    assert found == {"data/rooms.xlsx", "data/answer.txt"}


def test_the_secrets_that_the_environment_gave_are_known_in_every_encoding(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_CERTIFICATE_PASSWORD", "päss w%rd/1")
    value = "päss w%rd/1".encode()
    written = [
        value,
        quote(value).encode(),
        value.hex().encode(),
        *(base64.b64encode(b"user:"[:skip] + value + b"!") for skip in range(4)),
    ]
    for number, form in enumerate(written):
        (run / f"data/{number}.txt").write_bytes(b"x " + form)
    assert [one.path for one in secrets.leaks(run, ())] == [f"data/{number}.txt" for number in range(len(written))]
    assert {one.kind for one in secrets.leaks(run, ())} == {"a secret that this program was given"}
    monkeypatch.setenv("RUNBOOK_CERTIFICATE_PASSWORD", "changed since")
    assert secrets.leaks(run, ()) == []
    monkeypatch.setenv("RUNBOOK_NOTIFY", "mailto://one:päss@relay.example tgram://two/päss w%rd/1")
    assert secrets.leaks(run, ()) == []
    (run / "data/told.txt").write_text("told tgram://two/päss at nine")
    assert [one.path for one in secrets.leaks(run, ())] == ["data/told.txt"]


def test_every_kind_that_is_looked_for_by_a_word_first_has_that_word_in_its_form() -> None:
    forms = secrets.known_forms()
    for kind, words in secrets.HINTS.items():
        form = forms[kind].pattern.lower().replace(rb"\.", b".")
        assert any(word.rstrip(b"=") in form for word in words.split()), kind


def test_an_activation_host_of_the_tenants_own_is_known(run: Path) -> None:
    path = run / "data/06_access.json"
    row = json.loads(path.read_text())
    row["settings"]["activation_hosts"] = ["links.eptura.example"]
    path.write_text(json.dumps(row))
    (run / "data/note.txt").write_text("https://links.eptura.example/a?t=12345")
    with pytest.raises(ArchiveError, match="an activation link with its query"):
        seal.seal(run, clock=lambda: NOW)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """Every byte that two tenants' runs left behind, and the secrets that were under way meanwhile."""
    root = tmp_path_factory.mktemp("secrets")
    shutil.copytree(CHECKOUT / "parameters", root / "parameters")
    issued: list[str] = []
    sign = tokens._sign

    def noted(*arguments: Any) -> str:
        issued.append(sign(*arguments))
        return issued[-1]

    with pytest.MonkeyPatch.context() as patch, server.serving(root / ".sandbox") as sandbox:
        patch.setattr(tokens, "_sign", noted)
        patch.setenv("RUNBOOK_PARAMETERS", str(root / "parameters"))
        patch.setenv("RUNBOOK_OUTPUTS", str(root / "outputs"))
        patch.setenv("RUNBOOK_SPACEIQ_TOKEN", SPACEIQ_TOKEN)
        pool.run(["contoso", "fabrikam"], PEOPLE, jobs=2, on_event=lambda _: None)
        pool.portfolio(root / "outputs")
        key = [line for line in sandbox.credentials.verifier_file.read_text().splitlines() if len(line) == 64]
        own = sandbox.credentials
        canaries = [own.verifier_secret, own.expired_secret, own.people_password, SPACEIQ_TOKEN, *key[:20], *issued]
        yield root / "outputs", canaries


@pytest.mark.timeout(300)
def test_no_byte_under_outputs_holds_a_secret_of_the_sandbox(rehearsed: tuple[Path, list[str]]) -> None:
    outputs, canaries = rehearsed
    assert len([path for path in outputs.rglob("*") if path.is_file()]) > 30
    assert len([one for one in canaries if one.startswith("eyJ")]) >= 2
    assert secrets.leaks(outputs, vendors.facts()["activation_hosts"], canaries) == []


@pytest.mark.timeout(300)
def test_each_of_these_secrets_would_have_been_found(rehearsed: tuple[Path, list[str]], tmp_path: Path) -> None:
    _, canaries = rehearsed
    for number, canary in enumerate(canaries):
        (tmp_path / f"{number:03}.txt").write_text(in_base64(canary) if number % 2 else canary)
    assert {one.path for one in secrets.leaks(tmp_path, (), canaries)} == {path.name for path in tmp_path.iterdir()}
