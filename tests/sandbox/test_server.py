"""The server: one port, its own certificate, a state folder that belongs to one process, a log without secrets."""

import json
import os
import signal
import socket
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import yaml
from cryptography import x509

from runbook_lib.sandbox import server as lock
from runbook_lib.sandbox.server import Sandbox, describe, listen, prepare, run_forever, serving
from runbook_lib.sandbox.world import keys
from runbook_lib.sandbox.world.world import Json
from tests.sandbox.signing_in import Client


@pytest.fixture(scope="module")
def own_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that no other server holds, with its keys made."""
    folder = tmp_path_factory.mktemp("own")
    keys.load(folder, datetime.now(UTC))
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_sandboxs_certificate_makes_it_trusted(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.url}/common/discovery/v2.0/keys"
    assert session.get(url).status_code == 200
    session.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        session.get(url)


def test_the_certificate_names_loopback_and_microsofts_hosts(sandbox: Sandbox) -> None:
    certificate = x509.load_pem_x509_certificate(sandbox.credentials.server_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = {str(name.value) for name in names}
    assert {"localhost", "127.0.0.1", "::1", "login.microsoftonline.com", "graph.microsoft.com"} <= known
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc > timedelta(days=300)


def test_secrets_are_readable_by_their_owner_alone(sandbox: Sandbox) -> None:
    private = ["server.pem", "signing.pem", "verifier.pem", "verifier.secret", "people.password", "describe.json"]
    assert {name: mode(sandbox.credentials.folder / name) for name in private} == dict.fromkeys(private, 0o600)


def test_credentials_are_kept_and_made_again_before_they_expire(own_dir: Path) -> None:
    now = datetime.now(UTC)
    first, second = keys.load(own_dir, now), keys.load(own_dir, now)
    assert first.verifier.der == second.verifier.der
    assert first.verifier_secret == second.verifier_secret
    server, later = first.server_file.read_bytes(), keys.load(own_dir, now + timedelta(days=364, hours=12))
    assert later.verifier.der != first.verifier.der
    assert later.signing.der != first.signing.der
    assert later.server_file.read_bytes() != server


def test_a_certificate_that_lacks_a_name_is_made_again(own_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.load(own_dir, datetime.now(UTC)).server_file.read_bytes()
    monkeypatch.setattr(keys, "SERVER_NAMES", [*keys.SERVER_NAMES, "graph.example"])
    assert keys.load(own_dir, datetime.now(UTC)).server_file.read_bytes() != before


def test_the_description_is_enough_to_sign_in(sandbox: Sandbox) -> None:
    told = json.loads((sandbox.credentials.folder / "describe.json").read_text())
    verifier = told["apps"]["verifier"]
    contoso = next(tenant for tenant in told["tenants"] if tenant["key"] == "contoso")
    form = {
        "grant_type": "client_credentials",
        "client_id": verifier["client_id"],
        "client_secret": verifier["secret"],
        "scope": f"{told['graph']}/.default",
    }
    url = f"{told['login']}/{contoso['id']}/oauth2/v2.0/token"
    token = requests.post(url, data=form, verify=told["ca_file"], timeout=10).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{told['graph_v1']}/organization", headers=headers, verify=told["ca_file"], timeout=10)
    assert answer.json()["value"][0]["displayName"] == "Contoso"
    assert (told["pid"], told["running"], told["approve"]) == (os.getpid(), True, "auto")
    assert Path(verifier["certificate_file"]).read_text().count("BEGIN") == 2
    assert {
        "upn": "admin@contoso.example",
        "name": "Megan Bowen",
        "roles": ["Global Administrator"],
        "enabled": True,
    } in (contoso["users"])


def test_the_cloud_file_is_what_a_tenant_file_points_to(sandbox: Sandbox) -> None:
    cloud = yaml.safe_load((sandbox.credentials.folder / "cloud.yaml").read_text())
    assert (cloud["name"], cloud["login"], cloud["graph"]) == ("sandbox", sandbox.url, sandbox.url)
    assert (sandbox.credentials.folder / cloud["ca_file"]).samefile(sandbox.ca_file)


def test_two_servers_do_not_share_a_folder(sandbox: Sandbox) -> None:
    with pytest.raises(lock.StateInUseError, match=str(os.getpid())), serving(sandbox.credentials.folder):
        pass


def test_a_folder_is_free_again_after_its_server(own_dir: Path) -> None:
    for _ in range(2):
        with serving(own_dir) as sandbox:
            assert lock.is_held(own_dir)
            assert describe(own_dir)["login"] == sandbox.url
        assert not lock.is_held(own_dir)
    told = describe(own_dir, 8443)
    assert (told["running"], told["pid"], told["login"]) == (False, None, "https://localhost:8443")


def test_preparing_makes_all_files_without_serving(tmp_path: Path) -> None:
    told = prepare(tmp_path, 9443)
    assert yaml.safe_load((tmp_path / "cloud.yaml").read_text())["login"] == "https://localhost:9443"
    assert told == json.loads((tmp_path / "describe.json").read_text())
    assert Path(told["ca_file"]).exists()


def test_a_port_in_use_is_an_error_and_leaves_the_folder_free(own_dir: Path) -> None:
    taken = listen("localhost", 0)
    try:
        with pytest.raises(OSError, match="in use"), serving(own_dir, port=taken[0].getsockname()[1]):
            pass
    finally:
        for bound in taken:
            bound.close()
    assert not lock.is_held(own_dir)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_it_listens_on_both_loopbacks(sandbox: Sandbox, family: socket.AddressFamily) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with socket.socket(family) as probe:
        assert probe.connect_ex(("127.0.0.1" if family == socket.AF_INET else "::1", port)) == 0


def test_plain_http_still_links_to_https(own_dir: Path) -> None:
    with serving(own_dir, tls=False) as sandbox:
        url = f"{sandbox.url}/contoso.example/v2.0/.well-known/openid-configuration"
        document = requests.get(url, headers={"Host": "login.microsoftonline.com"}, timeout=10).json()
    assert sandbox.url.startswith("http://")
    assert document["token_endpoint"].startswith("https://login.microsoftonline.com/")


def test_latency_delays_every_answer(own_dir: Path) -> None:
    with serving(own_dir, tls=False, latency_ms=80) as sandbox:
        answer = requests.get(f"{sandbox.url}/error?code=1", timeout=10)
    assert answer.elapsed >= timedelta(milliseconds=80)


def test_manual_approval_shows_pages(own_dir: Path) -> None:
    with serving(own_dir, auto_approve=False) as sandbox:
        assert sandbox.describe()["approve"] == "manual"
        sandbox.world.reset()
        assert not sandbox.world.approval.auto


def test_the_log_has_every_request_and_no_secret(client: Client) -> None:
    client.app_token()
    client.app_token(client_secret="a-wrong-one")
    client.session.get(f"{client.sandbox.url}/devicelogin?otc=SECRET123", allow_redirects=False)
    client.session.get(f"{client.sandbox.url}/v1.0/organization", headers={"Authorization": "Bearer x.y.z"})
    newest = client.sandbox.world.log[-4:]
    assert [(row["method"], row["status"]) for row in newest] == [
        ("POST", 200),
        ("POST", 401),
        ("GET", 302),
        ("GET", 401),
    ]
    assert newest[2]["url"] == f"{client.sandbox.url}/devicelogin?otc=***"
    text = (client.sandbox.credentials.folder / "requests.log").read_text()
    assert json.loads(text.splitlines()[-1]) == newest[3]
    for secret in (client.secret, "a-wrong-one", "SECRET123", "x.y.z"):
        assert secret not in text


def test_an_ordered_fault_hits_the_token_endpoint(client: Client) -> None:
    fault = {"kind": "429", "where": "token", "count": 1, "retry_after": "7"}
    client.session.post(f"{client.sandbox.url}/sandbox/faults", json=fault)
    refused = client.app_token()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert refused.json()["error"] == "temporarily_unavailable"
    assert client.app_token().status_code == 200


def test_many_clients_at_once_are_served(client: Client) -> None:
    answers: list[int] = []

    def ask() -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(client.sandbox.ca_file)
            answers.extend(Client(client.sandbox, session).app_token().status_code for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_cleanly(own_dir: Path, number: signal.Signals) -> None:
    seen = []

    def ready(told: Json) -> None:
        answer = requests.get(f"{told['login']}/error", verify=told["ca_file"], timeout=10)
        seen.append((answer.status_code, lock.is_held(own_dir), told["running"]))
        signal.raise_signal(number)

    before = signal.getsignal(number)
    run_forever(own_dir, port=0, on_ready=ready)
    assert seen == [(200, True, True)]
    assert not lock.is_held(own_dir)
    assert signal.getsignal(number) == before
