"""The runbook's own app asks for exactly what its questions need, and is registered only when a person says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner, Result

from runbook_lib import settings, steps, vendors
from runbook_lib.cli import app, main
from runbook_lib.clients.entra import certificate
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.http import session
from runbook_lib.display.times import utc_now
from runbook_lib.errors import CloudError, Forbidden, UsageError
from runbook_lib.model import NO_APP, Json, RoomPlan, Tenant
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.setup import registration
from tests.fakes import TENANT, answer, error, scripted
from tests.people import browsing
from tests.sandbox.csdl import reference

METHODS = ("browser", "device-code", "certificate")
MakeTenant = Callable[..., Tenant]
Runbook = Callable[..., Result]


@pytest.mark.parametrize("kind", ["application", "delegated"])
def test_every_permission_id_is_microsoft_s(kind: str) -> None:
    lists = json.loads(reference("permissions-descriptions.json").read_text(encoding="utf-8"))
    theirs = {row["value"]: row["id"] for row in lists[f"{kind}ScopesList"]}
    ours = vendors.facts()["permission_ids"][kind]
    assert ours == {name: theirs[name] for name in ours}
    live = json.loads(reference("permission_ids.json").read_text(encoding="utf-8"))["permissions"]
    assert {name: live[name][kind]["id"] for name in ours if name in live} == {n: ours[n] for n in ours if n in live}


@pytest.mark.parametrize("method", METHODS)
def test_the_app_asks_for_what_the_steps_ask_and_can_write_nothing(method: str) -> None:
    asked: set[str] = set()
    for module in steps.load():
        asked |= set(getattr(module, "CALLS", ()))
    app_only = method == "certificate"
    wanted = {vendors.calls()[name].permission(app_only) for name in asked} - {""}
    has = {one.name for one in registration.needs(method)}
    assert not any("Write" in name for name in has)
    assert has - registration.PERSON_NEEDS.keys() == {name for name in wanted if "Write" not in name} | (
        {"User.Read"} if not app_only else set()
    )
    assert all(one.why and one.id for one in registration.needs(method))


@pytest.mark.parametrize("kind", ["application", "delegated"])
def test_no_id_stands_in_the_facts_that_nobody_needs(kind: str) -> None:
    needed = {one.name for method in METHODS for one in registration.needs(method) if one.kind == kind}
    assert vendors.facts()["permission_ids"][kind].keys() <= needed


@pytest.mark.parametrize(
    ("method", "types", "public"),
    [("browser", "Scope", False), ("device-code", "Scope", True), ("certificate", "Role", False)],
)
def test_the_registration_fits_the_sign_in_method(method: str, types: str, public: bool) -> None:
    made = registration.body(replace(TENANT, sign_in=replace(TENANT.sign_in, method=method)))
    (graph,) = made["requiredResourceAccess"]
    assert graph["resourceAppId"] == vendors.facts()["resources"]["Microsoft Graph"]
    assert {row["type"] for row in graph["resourceAccess"]} == {types}
    assert (made["isFallbackPublicClient"], made["signInAudience"]) == (public, "AzureADMyOrg")


def test_what_the_tenant_file_asks_for_beyond_reading_is_named() -> None:
    wants = replace(TENANT, rooms=RoomPlan(test_room="room@contoso.example"), revoke=("Mail.Read (application)",))
    words = " ".join(registration.beyond_reading(wants))
    for permission in ("Calendars.ReadWrite", "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant"):
        assert permission in words
    assert registration.beyond_reading(TENANT) == ()


BODY: Json = {"displayName": "Runbook"}
ROW = answer({"value": [{"appId": "new-app"}]})
NONE = answer({"value": []})
CREATED = answer({"appId": "new-app"}, 201)


def person(*answers: requests.Response) -> tuple[Graph, list[str]]:
    graph, script, _ = scripted(*answers, kind="person", permissions=frozenset({"Application.ReadWrite.All"}))
    sent: list[str] = []
    respond = script.answer

    def note(request: requests.PreparedRequest) -> requests.Response:
        sent.append(str(request.method))
        return respond(request)

    script.answer = note
    return graph, sent


def test_an_app_is_registered_once_and_waited_for_until_the_directory_shows_it() -> None:
    graph, sent = person(NONE, CREATED, NONE, NONE, ROW)
    slept: list[float] = []
    assert registration.create(graph, BODY, slept.append) == "new-app"
    assert (sent, slept) == (["GET", "POST", "GET", "GET", "GET"], [1.0, 2.0])


def test_a_second_app_of_the_same_name_is_not_registered() -> None:
    graph, sent = person(ROW)
    with pytest.raises(UsageError, match="registered already, with the client id new-app"):
        registration.create(graph, BODY)
    assert sent == ["GET"]


def test_an_app_that_never_shows_is_said_to_be_there() -> None:
    graph, sent = person(NONE, CREATED, NONE)
    with pytest.raises(CloudError, match="was registered, but the directory does not show it"):
        registration.create(graph, BODY, lambda _: None)
    assert sent.count("POST") == 1


def test_without_the_right_to_look_nothing_is_registered() -> None:
    graph, sent = person(error(403, "Authorization_RequestDenied"))
    with pytest.raises(CloudError, match=r"lacks the delegated permission Application\.Read\.All"):
        registration.create(graph, BODY)
    assert sent == ["GET"]


def test_without_the_right_to_register_the_permission_is_named() -> None:
    graph, _, _ = scripted(NONE, error(403, "Authorization_RequestDenied"), kind="person")
    with pytest.raises(Forbidden, match=r"delegated permission Application\.ReadWrite\.All"):
        registration.create(graph, BODY)


@pytest.fixture
def parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Path:
    """A folder of tenant files, a cloud file, and a folder for keys beside it."""
    folder = tmp_path / "parameters"
    folder.mkdir()
    lines = {"name": "sandbox", "login": sandbox.url, "graph": sandbox.url, "ca_file": str(sandbox.ca_file)}
    (tmp_path / "cloud.yaml").write_text(json.dumps(lines))
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def runbook(parameters: Path) -> Runbook:
    """Return what runs a command, with what a person types."""

    def run(*words: str, typed: str = "") -> Result:
        return CliRunner().invoke(main.app, words, input=typed)

    return run


@pytest.fixture
def here(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody sits at the terminal, with a browser."""
    monkeypatch.setattr(app, "person", lambda: True)
    with browsing(sandbox.ca_file, monkeypatch):
        yield


def new(runbook: Runbook, parameters: Path, *more: str) -> Json:
    basics = ("--domain", "contoso.example", "--name", "Contoso", "--admin", "admin@contoso.example")
    made = runbook("new", "mine", *basics, "--cloud", str(parameters.parent / "cloud.yaml"), "--json", *more)
    assert made.exit_code == 0, made.output
    row: Json = json.loads(made.stdout)
    return row


def test_a_certificate_s_way_from_nothing_to_a_look_at_the_tenant(
    runbook: Runbook, parameters: Path, contoso: TenantState, here: None
) -> None:
    key = parameters.parent / "keys" / "mine.pem"
    made = new(runbook, parameters, "--method", "certificate", "--certificate", str(key))
    assert (made["tenant_id"], made["next"]) == (contoso.id, "runbook app mine")
    done = runbook("app", "mine", "--create", "--new-certificate", "--json", typed="contoso.example\n")
    assert done.exit_code == 0, done.output
    created = json.loads(done.stdout[done.stdout.index("{") :])
    assert created["written"]
    tenant = settings.load(parameters, "mine")
    assert tenant.sign_in.client_id == created["client_id"]
    assert key.with_suffix(".cer").read_text() == certificate.read(key, "", utc_now()).public_pem
    assert "PRIVATE" not in key.with_suffix(".cer").read_text() + done.output
    with session(tenant.cloud) as http:
        assert http.get(created["admin_consent"]["url"]).headers["Location"].startswith("http://localhost?")
        credential = entra.sign_in(tenant, ["rooms"], http, attended=False, show=print)
        assert Graph(tenant, credential, http).look("rooms").population == "12 of 12"
    assert credential.identity.permissions == {one.name for one in registration.needs("certificate")}


def test_nothing_is_registered_without_the_typed_word(
    runbook: Runbook, parameters: Path, contoso: TenantState, here: None
) -> None:
    new(runbook, parameters)
    before = dict(contoso.apps)
    done = runbook("app", "mine", "--create", typed="yes\n")
    assert isinstance(done.exception, UsageError)
    assert "Nothing was registered" in str(done.exception)
    assert contoso.apps == before


@pytest.mark.parametrize(
    ("more", "words", "why"),
    [
        ((), ("--create",), "nobody is here"),
        (("--client-id", TENANT.sign_in.client_id), ("--create",), "names an app already"),
        ((), ("--new-certificate",), "method is not certificate"),
        (("--method", "certificate", "--certificate", "missing.pem"), ("--create",), "nobody is here"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_words(
    runbook: Runbook, parameters: Path, more: tuple[str, ...], words: tuple[str, ...], why: str
) -> None:
    new(runbook, parameters, *more)
    done = runbook("app", "mine", *words)
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)


def test_a_key_is_not_made_inside_the_runbook_s_folder(runbook: Runbook, parameters: Path) -> None:
    inside = app.ROOT / "parameters" / "secret.pem"
    new(runbook, parameters, "--method", "certificate", "--certificate", str(inside))
    done = runbook("app", "mine", "--new-certificate")
    assert isinstance(done.exception, UsageError)
    assert "own folder" in str(done.exception)
    assert not inside.exists()


def test_a_key_is_not_made_where_the_certificate_to_upload_would_overwrite_it(
    runbook: Runbook, parameters: Path
) -> None:
    new(runbook, parameters, "--method", "certificate", "--certificate", "../mine.cer")
    done = runbook("app", "mine", "--new-certificate")
    assert isinstance(done.exception, UsageError)
    assert ".pem" in done.exception.remedy
    assert not (parameters.parent / "mine.cer").exists()


def test_the_plan_is_printed_for_people_and_for_machines(runbook: Runbook, parameters: Path) -> None:
    new(runbook, parameters, "--method", "device-code")
    plan = json.loads(runbook("app", "mine", "--json").stdout)
    assert plan["application"] == registration.body(settings.load(parameters, "mine"))
    assert plan["create"]["url"].endswith("/v1.0/applications")
    printed = runbook("app", "mine").stdout
    for words in ("Allow public client flows", json.dumps(plan["application"]), "adminconsent?client_id=", "az rest"):
        assert words in printed


def test_a_quick_look_is_warned_about_and_written(runbook: Runbook, parameters: Path) -> None:
    basics = ("--domain", "contoso.example", "--name", "C", "--admin", "a@contoso.example", "--quick-look")
    made = runbook("new", "mine", *basics, "--cloud", str(parameters.parent / "cloud.yaml"))
    assert "stays there after tonight" in " ".join(made.stderr.split())
    assert "Next: runbook doctor mine" in made.stdout
    tenant = settings.load(parameters, "mine")
    assert tenant.sign_in.client_id == vendors.facts()["graph_command_line"]["client_id"]
    assert NO_APP not in (parameters / "mine.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "--domain, --name, --admin"),
        (("--domain", "contoso.example"), "--name, --admin"),
        (("--method", "password"), "'password' is no way to sign in"),
        (("--method", "certificate", "--quick-look"), "A quick look is for a person"),
        (("--cloud", "mars"), "mars is no cloud file, and none of global"),
        (("--cloud", "global"), "login.microsoftonline.com"),
    ],
)
def test_an_answer_that_is_missing_or_wrong_stops_in_words(
    runbook: Runbook, parameters: Path, words: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ("--domain", "contoso.example", "--name", "C", "--admin", "a@contoso.example")
    given = words if "--domain" in words or not words else (*full, "--cloud", str(parameters.parent / "cloud.yaml"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing leaves this machine
    done = runbook("new", "mine", *given, *(words if given is not words else ()))
    assert done.exception is not None
    assert why in str(done.exception)
    assert list(parameters.iterdir()) == []


def test_a_person_is_asked_for_what_is_not_given(
    runbook: Runbook, parameters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_lib.cli.new.person", lambda: True)
    typed = "dana@contoso.example\n\nadmin@contoso.example\n\nbrowser\ny\n"
    done = runbook("new", "mine", "--cloud", str(parameters.parent / "cloud.yaml"), typed=typed)
    assert done.exit_code == 0, done.output
    tenant = settings.load(parameters, "mine")
    assert (tenant.name, tenant.domain, tenant.spaceiq_admin) == ("Contoso", "contoso.example", "")
    assert tenant.sign_in.client_id == vendors.facts()["graph_command_line"]["client_id"]


def test_a_person_who_mistypes_reads_why_and_is_asked_again(
    runbook: Runbook, parameters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_lib.cli.new.person", lambda: True)
    answers = "contoso\ncontoso.example\n\nadmin\nadmin@contoso\nadmin@contoso.example\n\npassword\nbrowser\nn\n"
    done = runbook("new", "mine", "--cloud", str(parameters.parent / "cloud.yaml"), typed=answers)
    assert done.exit_code == 0, done.output
    for reason in (
        "'contoso' is not a domain. Type the part behind the @",
        "'admin' is not an account name. Type it as people sign in, such as dana@contoso.com.",
        "'admin@contoso' is not an account name",
        "'password' is no way to sign in. Choose one of browser,",
    ):
        assert f"Error: {reason}" in done.stderr
    tenant = settings.load(parameters, "mine")
    assert (tenant.admin, tenant.sign_in.method) == ("admin@contoso.example", "browser")


def test_with_nobody_here_a_mistyped_account_ends_it_and_nothing_is_written(runbook: Runbook, parameters: Path) -> None:
    basics = ("--domain", "contoso.example", "--name", "C", "--admin", "admin@contoso")
    done = runbook("new", "mine", *basics, "--cloud", str(parameters.parent / "cloud.yaml"))
    assert isinstance(done.exception, UsageError)
    assert "'admin@contoso' is not an account name" in str(done.exception)
    assert list(parameters.iterdir()) == []
