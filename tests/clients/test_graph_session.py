"""The connection itself, over real TLS: whom it trusts, where it goes, and what it ignores of this machine."""

from __future__ import annotations

import re
import shutil
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.graph.client import Graph
from runbook_lib.clients.http import session, unreachable
from runbook_lib.errors import Unreachable
from runbook_lib.model import Cloud, Tenant
from runbook_lib.sandbox.server import Sandbox


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """A file with a CA that has nothing to do with the sandbox."""
    file = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


def works(cloud: Cloud) -> bool:
    with session(cloud) as http:
        return http.get(f"{cloud.graph}/v1.0/organization").status_code == 401


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("missing", [False, True])
def test_the_cloud_s_own_ca_wins_over_the_environment(
    rehearsal: Cloud, stranger: str, monkeypatch: pytest.MonkeyPatch, variable: str, missing: bool
) -> None:
    monkeypatch.setenv(variable, f"{stranger}.missing" if missing else stranger)
    assert works(rehearsal)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_without_a_ca_of_its_own_the_environment_and_the_system_say_whom_to_trust(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(rehearsal.ca_file))
    assert works(replace(rehearsal, ca_file=None))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_whom_to_trust_is_read_once_and_never_from_a_list_that_requests_brings(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str, tmp_path: Path
) -> None:
    shutil.copy(str(rehearsal.ca_file), own := tmp_path / "own.pem")
    monkeypatch.setenv(variable, str(own))
    read: list[str] = []
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(tmp_path))
    for name in ("load_verify_locations", "set_default_verify_paths"):
        monkeypatch.setattr(ssl.SSLContext, name, _noting(getattr(ssl.SSLContext, name), read))
    for _ in range(3):
        assert works(replace(rehearsal, ca_file=None))
    assert read == [
        "set_default_verify_paths",
        *(["load_verify_locations"] if variable == "REQUESTS_CA_BUNDLE" else []),
    ]


def _noting(load: Callable[..., None], calls: list[str]) -> Callable[..., None]:
    def noted(context: ssl.SSLContext, *files: Any) -> None:
        calls.append(load.__name__)
        load(context, *files)

    return noted


def test_a_certificate_that_nobody_vouches_for_is_refused(rehearsal: Cloud, stranger: str) -> None:
    for ca_file in (None, Path(stranger)):
        with pytest.raises(Unreachable, match="nobody vouches for") as caught:
            works(replace(rehearsal, ca_file=ca_file))
        assert "ca_file" in caught.value.remedy


def test_a_missing_file_of_certificates_is_said_so(rehearsal: Cloud, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="file of trusted certificates is missing"):
        works(replace(rehearsal, ca_file=tmp_path / "no.pem"))


def test_a_netrc_entry_replaces_no_token_and_is_never_sent(
    sandbox: Sandbox,
    tenant: Callable[..., Tenant],
    http: requests.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login megan password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str | None] = []
    http.hooks["response"] = [lambda answer, **_: seen.append(answer.request.headers.get("Authorization"))]
    known = tenant()
    graph = Graph(known, entra.sign_in(known, ["rooms"], http, attended=False, show=print), http)
    assert graph.look("rooms").population == "12 of 12"
    assert [str(one).partition(" ")[0] for one in seen] == ["None", "None", "Bearer"]
    assert sandbox.world.log


@pytest.mark.parametrize(
    ("attended", "times"),
    [(False, ["openid-configuration", "token", "token"]), (True, ["openid-configuration", "token"] * 2)],
)
def test_a_batch_looks_up_entra_s_addresses_once_and_a_person_each_time(
    tenant: Callable[..., Tenant], http: requests.Session, attended: bool, times: list[str]
) -> None:
    asked: list[str] = []
    http.hooks["response"] = [lambda answer, **_: asked.append(answer.url.rpartition("/")[2])]
    for _ in range(2):
        entra.sign_in(tenant(), ["rooms"], http, attended=attended, show=print)
    assert asked == times


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_nothing_for_this_machine_goes_through_a_proxy(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://megan:secret@127.0.0.1:9")
    assert works(rehearsal)


def test_other_hosts_keep_the_proxy_of_the_environment_and_its_password_is_not_shown(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://megan:secret@127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"graph\.example is behind a proxy") as caught:
        works(replace(rehearsal, graph="https://graph.example"))
    assert "secret" not in str(caught.value)
    assert "HTTPS_PROXY" in caught.value.remedy


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://megan:secret@127.0.0.1:9", "a proxy that did not answer"),
        ("http://megan:secret@nowhere.invalid:3128", "a proxy that did not answer"),
        ("megan:secret@127.0.0.1:9", "a proxy whose address is malformed"),
        ("http://megan:secret@proxy:port", "a proxy whose address is malformed"),
        ("http://megan:sec#ret@127.0.0.1:9", "a proxy whose address is malformed"),
        ("ftp://megan:secret@127.0.0.1:9", "a proxy whose address is malformed or of another kind"),
        ("socks5://megan:secret@127.0.0.1:9", "a proxy whose address is malformed or of another kind"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_dead_or_malformed_proxy_is_blamed_by_its_variable_and_shows_no_credentials(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str, address: str, words: str
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(Unreachable, match=rf"^graph\.example is behind {words}") as caught:
        works(replace(rehearsal, graph="https://graph.example"))
    assert variable in caught.value.remedy
    assert re.findall("megan|sec", str(caught.value)) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "is behind a proxy that did not let us through"),
        (b"", "broke the connection off. Check the network and the proxy that HTTPS_PROXY names,"),
    ],
)
def test_a_proxy_that_refuses_or_hangs_up_is_named_too(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, answer: bytes, told: str
) -> None:
    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.handle_request).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://megan:secret@127.0.0.1:{proxy.server_address[1]}")
        with pytest.raises(Unreachable) as caught:
            works(replace(rehearsal, graph="https://graph.example"))
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_proxy_that_speaks_tls_is_trusted_as_the_hosts_behind_it(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ca, bundle = trustme.CA(), tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.socket = tls.wrap_socket(proxy.socket, server_side=True)
        threading.Thread(target=proxy.handle_request).start()
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with pytest.raises(Unreachable, match="a proxy that did not let us through"):
            works(replace(rehearsal, graph="https://graph.example", ca_file=None))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_bundle_that_is_of_no_use_is_named_until_it_is_corrected(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(Unreachable, match="file of trusted certificates is missing or unreadable"):
        works(replace(rehearsal, ca_file=None))
    shutil.copy(str(rehearsal.ca_file), bundle)
    assert works(replace(rehearsal, ca_file=None))


def test_a_bundle_that_is_corrected_counts_at_the_next_try(
    rehearsal: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stranger: str
) -> None:
    shutil.copy(stranger, bundle := tmp_path / "bundle.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(Unreachable, match="nobody vouches for"):
        works(replace(rehearsal, ca_file=None))
    shutil.copy(str(rehearsal.ca_file), bundle)
    assert works(replace(rehearsal, ca_file=None))


@pytest.mark.parametrize(
    "host", ["localhost:8443", "127.0.0.1:8443", "[::1]:8443", "graph.exempt.example", "localhost"]
)
def test_a_host_that_needs_no_proxy_blames_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://megan:secret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "exempt.example")
    told = unreachable(requests.exceptions.ReadTimeout("Read timed out."), host)
    assert told.remedy == "Check the network, then run the cell again."


@pytest.mark.parametrize("host", ["localhost.example", "127.example.com:8443"])
def test_a_host_that_only_sounds_like_this_machine_is_behind_the_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "HTTPS_PROXY" in unreachable(requests.exceptions.ReadTimeout("Read timed out."), host).remedy


def test_a_closed_port_is_said_so(rehearsal: Cloud) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} refused the connection"):
        works(replace(rehearsal, graph=f"https://127.0.0.1:{port}"))


def test_a_server_that_stays_silent_is_not_waited_for_for_ever(rehearsal: Cloud) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, session(rehearsal) as http:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="did not answer in time"):
            http.get(address, timeout=0.1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError("NameResolutionError(\"Failed to resolve 'graph.exmaple'\")"), "name was not found"),
        (requests.exceptions.ReadTimeout("Read timed out."), "did not answer in time"),
        (requests.exceptions.SSLError("[SSL] unexpected eof"), "broke the connection off"),
        (requests.exceptions.SSLError("SSLCertVerificationError('The root is not trusted')"), "nobody vouches for"),
        (requests.exceptions.ChunkedEncodingError("IncompleteRead(12 bytes read)"), "broke the connection off"),
        (OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /x"), "missing or unreadable"),
    ],
)
def test_the_network_s_errors_become_words(error: OSError, words: str) -> None:
    told = unreachable(error, "graph.example")
    assert words in told.message
    assert told.remedy
    assert "/x" not in str(told)


class Turner(BaseHTTPRequestHandler):
    """Sends everybody somewhere else."""

    seen: list[str] = []  # noqa: RUF012 - one server per test run

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def turner() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Turner) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_session_follows_no_redirect_for_anybody(rehearsal: Cloud, turner: str) -> None:
    with session(rehearsal) as http:
        assert http.get(f"{turner}/here", allow_redirects=True).status_code == 302
    assert Turner.seen == ["/here"]


def test_eight_batches_at_once_keep_their_connections(
    tenant: Callable[..., Tenant], http: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    known = tenant()
    graph = Graph(known, entra.sign_in(known, ["room_calendar"], http, attended=False, show=print), http)
    look = graph.look_each("room_calendar", [f"nobody{number}@contoso.example" for number in range(320)])
    assert (len(look.rows), look.complete) == (320, True)
    assert "Connection pool is full" not in caplog.text


def test_a_service_s_log_shows_which_program_asked(rehearsal: Cloud) -> None:
    with session(rehearsal) as http:
        assert str(http.headers["User-Agent"]).startswith("spaceiq-calendar-runbook")
