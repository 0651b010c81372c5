"""A first tenant file: the domain is looked up in public, the answers are checked, and nothing is left half written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
import yaml

from runbook_lib import settings, vendors
from runbook_lib.clients import http as clients_http
from runbook_lib.errors import CloudError, Unreachable, UsageError
from runbook_lib.model import NO_APP, Cloud, Json
from runbook_lib.setup import tenant_file
from runbook_lib.setup.tenant_file import Found, Place
from tests.fakes import CONTOSO, Script, answer

ANSWERS: Mapping[Place, str] = {
    ("name",): "Contoso",
    ("tenant_id",): CONTOSO,
    ("domain",): "contoso.com",
    ("admin",): "dana@contoso.com",
    ("cloud",): "global",
    ("sign_in", "method"): "browser",
    ("sign_in", "client_id"): NO_APP,
}
UNKNOWN = answer({"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found."}, 400)


def document(host: str, scope: str | None = None, part: str | None = None) -> requests.Response:
    body: Json = {"issuer": f"https://login.example/{CONTOSO.upper()}/v2.0", "msgraph_host": host}
    return answer(body | {"tenant_region_scope": scope} | ({"tenant_region_sub_scope": part} if part else {}))


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> dict[str, requests.Response]:
    """What each sign-in host answers; those that are not named know no tenant."""
    answers: dict[str, requests.Response] = {}

    def respond(request: requests.PreparedRequest) -> requests.Response:
        host = str(request.url).split("/")[2]
        asked.append(host)
        return answers.get(host, UNKNOWN)

    asked: list[str] = []
    real = clients_http.session

    def session(cloud: Cloud) -> requests.Session:
        http = real(cloud)
        http.mount("https://", Script(respond))
        return http

    monkeypatch.setattr(clients_http, "session", session)
    return answers


@pytest.mark.parametrize(
    ("login", "answered", "cloud", "region"),
    [
        ("login.microsoftonline.com", document("graph.microsoft.com", "EU"), "global", "EU"),
        ("login.microsoftonline.com", document("graph.microsoft.com"), "global", ""),
        ("login.microsoftonline.com", document("graph.microsoft.com", "NA", "GCC"), "gcc", "NA GCC"),
        ("login.microsoftonline.com", document("graph.microsoft.us", "USGov", "DODCON"), "gcc-high", "USGov DODCON"),
        ("login.microsoftonline.us", document("graph.microsoft.us", "USGov"), "gcc-high", "USGov"),
        ("login.microsoftonline.us", document("dod-graph.microsoft.us", "USGov", "DOD"), "dod", "USGov DOD"),
        ("login.partner.microsoftonline.cn", document("microsoftgraph.chinacloudapi.cn", "AS"), "china", "AS"),
    ],
)
def test_a_domain_is_found_in_whatever_cloud_it_lives(
    entra: dict[str, requests.Response], login: str, answered: requests.Response, cloud: str, region: str
) -> None:
    entra[login] = answered
    assert tenant_file.look_up("contoso.com", vendors.clouds()) == Found("contoso.com", CONTOSO, cloud, region)


def test_a_domain_that_no_cloud_knows_is_said_so(entra: dict[str, requests.Response]) -> None:
    hosts = r"login\.microsoftonline\.com, login\.microsoftonline\.us, login\.partner"
    with pytest.raises(UsageError, match=rf"no tenant with the domain contosso\.com \({hosts}") as caught:
        tenant_file.look_up("contosso.com", vendors.clouds())
    assert "spelling" in caught.value.remedy


def test_a_domain_of_another_cloud_than_the_named_one_is_refused(entra: dict[str, requests.Response]) -> None:
    entra["login.microsoftonline.com"] = document("graph.microsoft.us", "USGov", "DODCON")
    with pytest.raises(UsageError, match=r"cloud of graph\.microsoft\.us, which is none of global"):
        tenant_file.look_up("contoso.com", {"global": vendors.clouds()["global"]})


@pytest.mark.parametrize("answered", [answer(b"<html>"), answer({}, 503), answer({"a": 1}), answer([], 400)])
def test_an_answer_that_is_not_entra_s_is_no_answer(
    entra: dict[str, requests.Response], answered: requests.Response
) -> None:
    entra["login.microsoftonline.com"] = answered
    with pytest.raises(CloudError, match=r"login\.microsoftonline\.com answered"):
        tenant_file.look_up("contoso.com", vendors.clouds())


def test_without_network_the_words_are_the_network_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object, **__: object) -> None:
        raise requests.exceptions.ConnectionError("NameResolutionError")

    monkeypatch.setattr(requests.Session, "send", send)
    with pytest.raises(Unreachable, match="its name was not found"):
        tenant_file.look_up("contoso.com", vendors.clouds())


@pytest.mark.parametrize(
    ("typed", "domain"), [(" Contoso.COM ", "contoso.com"), ("dana@eu.contoso.com", "eu.contoso.com")]
)
def test_a_domain_may_be_typed_as_people_do(typed: str, domain: str) -> None:
    assert tenant_file.checked_domain(typed) == domain


@pytest.mark.parametrize("typed", ["", "contoso", "https://contoso.com/", "con toso.com", "contoso.com/x", "dana@"])
def test_what_is_no_domain_is_refused_before_anybody_is_asked(typed: str) -> None:
    with pytest.raises(UsageError, match="is not a domain"):
        tenant_file.checked_domain(typed)


@pytest.mark.parametrize("key", ["", "_x", "a b", "../x", "con", "LPT1", "x.yaml", "-x", "ä"])
def test_a_key_that_cannot_name_a_file_everywhere_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="cannot name a tenant"):
        tenant_file.write(tmp_path, key, ANSWERS)
    assert list(tmp_path.iterdir()) == []


def test_a_tenant_file_is_never_overwritten_nor_shadowed_on_windows(tmp_path: Path) -> None:
    (tmp_path / "Contoso.yaml").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        tenant_file.write(tmp_path, "contoso", ANSWERS)
    assert (tmp_path / "Contoso.yaml").read_text() == "mine"


def test_the_file_means_what_was_answered_and_nothing_of_the_example(tmp_path: Path) -> None:
    made = tenant_file.write(tmp_path, "contoso", ANSWERS)
    assert made == settings.load(tmp_path, "contoso")
    assert (made.name, made.sign_in.method, made.change.ticket) == ("Contoso", "browser", "")
    kept = yaml.safe_load((tmp_path / "contoso.yaml").read_text(encoding="utf-8"))
    assert kept.keys() - {"revoke", "exceptions", "confirmations"} == {place[0] for place in ANSWERS}
    assert [kept[name] for name in ("revoke", "exceptions", "confirmations")] == [[], [], {}]


def test_every_comment_of_the_example_is_kept() -> None:
    example = tenant_file.EXAMPLE.read_text(encoding="utf-8")
    made = tenant_file.render(example, ANSWERS)
    assert len(made.splitlines()) == len(example.splitlines())
    for before, after in zip(example.splitlines(), made.splitlines(), strict=True):
        comment = before.rpartition("  # ")[2] if "  # " in before else ""
        assert after.endswith(comment)


def test_whoever_uncomments_the_example_s_sections_has_a_valid_file_again(tmp_path: Path) -> None:
    tenant_file.write(tmp_path, "contoso", ANSWERS)
    path = tmp_path / "contoso.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    start = lines.index("# change:")
    end = next(number for number, line in enumerate(lines) if line.startswith("# cronofy_client_id"))
    lines[start:end] = [line[2:] for line in lines[start:end]]
    path.write_text("\n".join(lines), encoding="utf-8")
    tenant = settings.load(tmp_path, "contoso")
    assert (tenant.change.ticket, tenant.access_limit.mode) == ("CHG0012345", "application-access-policy")
    example = tenant_file.EXAMPLE.read_text(encoding="utf-8").splitlines()

    def words(line: str) -> tuple[int, list[str]]:
        return len(line) - len(line.lstrip()), line.split()

    assert [words(line) for line in lines[start:end]] == [words(line) for line in example[start:end]]


@pytest.mark.parametrize(
    "name",
    [
        "O'Brien: Söhne #1",
        "yes",
        "- dash",
        "007",
        '"',
        "a\\b",
        "日本",
        "{x}",
        "null",
        " # ",
        "trailing: ",
        "a\x85b: c",
        "a\x7f",
    ],
)
def test_any_name_is_read_back_as_it_was_typed(tmp_path: Path, name: str) -> None:
    assert tenant_file.write(tmp_path, "contoso", {**ANSWERS, ("name",): name}).name == name


def test_an_answer_that_the_schema_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'dana' is not an account name") as caught:
        tenant_file.write(tmp_path, "contoso", {**ANSWERS, ("admin",): "dana"})
    assert "Nothing was written" in caught.value.message
    assert "line" not in caught.value.message  # of a file that is not there
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        tenant_file.write(tmp_path / "nowhere", "contoso", ANSWERS)


def test_the_app_s_id_takes_the_placeholder_s_place_and_no_other(tmp_path: Path) -> None:
    tenant_file.write(tmp_path, "contoso", ANSWERS)
    path = tmp_path / "contoso.yaml"
    before = path.read_text(encoding="utf-8")
    assert tenant_file.replace_client_id(path, NO_APP, CONTOSO)
    assert path.read_text(encoding="utf-8") == before.replace(NO_APP, CONTOSO)
    assert not tenant_file.replace_client_id(path, NO_APP, "another")
    assert tenant_file.replace_client_id(path, CONTOSO, r"\g<0>")
    assert r"client_id: \g<0>" in path.read_text(encoding="utf-8")
    assert [one.name for one in tmp_path.iterdir()] == ["contoso.yaml"]
