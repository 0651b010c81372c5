"""The one HTTP edge, and the one home of requests: trust, proxies and limits of every request."""

from __future__ import annotations

import os
import re
import ssl
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import requests
import truststore
from requests.adapters import HTTPAdapter

from runbook_lib.display import scrub
from runbook_lib.errors import Unreachable
from runbook_lib.model import Cloud

THREADS = 8
"""Batches in flight. Eight are within 7 % of what the network allows; each spreads over mailboxes of its own."""


Session = requests.Session
"""A connection to services; `session` makes one."""
Request = requests.PreparedRequest
"""One request, ready to be sent."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two bytes of an answer."""


class _SystemTrust(HTTPAdapter):
    """Trusts what the operating system trusts, so that a company's own root certificate needs no setting here."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Give connections the system's trust instead of an empty one."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {**tls, "ssl_context": system_trust(verify)}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Let no connection read lists of authorities anew: its own one, or requests', which the system's replaces."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call, unused-ignore]
        conn.ca_certs = conn.ca_cert_dir = None

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Trust a proxy that speaks TLS itself as the hosts behind it."""
        if proxy.lower().startswith("https:"):
            options["proxy_ssl_context"] = system_trust()
        return super().proxy_manager_for(proxy, **options)


def system_trust(verify: bool | str = True) -> ssl.SSLContext:
    """Return what the operating system trusts, and the bundle `verify`, or the one that the environment names.

    Raises OSError for a bundle that is not there or holds no certificates.
    """
    named = (
        verify if isinstance(verify, str) else os.environ.get("REQUESTS_CA_BUNDLE", os.environ.get("CURL_CA_BUNDLE"))
    )
    return _read_trust(ssl.get_default_verify_paths(), named or "")


@lru_cache(maxsize=4)
def _read_trust(_paths: ssl.DefaultVerifyPaths, bundle: str) -> ssl.SSLContext:
    """Read it once for all connections of a process: that takes 40 ms, and truststore does it for each of them.

    Windows and macOS judge each certificate themselves.
    """
    trust: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform not in ("darwin", "win32"):
        trust = trust.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context
    if bundle:
        try:
            trust.load_verify_locations(*(None, bundle) if Path(bundle).is_dir() else (bundle,))
        except OSError as error:
            raise OSError(f"CA certificate bundle {bundle}: {error}") from error
    return trust


class _Session(requests.Session):
    """Trusts what the cloud's settings say, follows no redirect, and never waits for ever."""

    def __init__(self, ca_file: str) -> None:
        super().__init__()
        self._ca_file = ca_file
        self.headers["User-Agent"] = _user_agent()
        self.auth = lambda request: request  # a session with an auth of its own never looks into ~/.netrc
        adapter = HTTPAdapter if ca_file else _SystemTrust
        self.mount("https://", adapter(pool_maxsize=THREADS))

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:
        """Let the cloud's CA win over REQUESTS_CA_BUNDLE, and send nothing for this machine through a proxy."""
        merged = super().merge_environment_settings(url, *settings)
        if self._ca_file:
            merged["verify"] = self._ca_file
        if is_this_machine(urlsplit(url).hostname or ""):
            merged["proxies"] = {}
        return merged

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request, scrub its answer; raises Unreachable, in words, for whatever the network does."""
        options |= {"allow_redirects": False, "timeout": options.get("timeout") or TIMEOUT}
        try:
            answer = super().send(request, **options)
        except OSError as error:  # requests' own errors, and a file of certificates that is not there
            _read_trust.cache_clear()  # which somebody may correct before the next try
            raise unreachable(error, urlsplit(request.url or "").netloc) from error
        return answer if options.get("stream") else _scrubbed(answer)


def _scrubbed(answer: requests.Response) -> requests.Response:
    """Return an answer without the secrets that this program was given or has just sent: nothing of it is kept.

    A hash of its body in a log is thus the hash of what we kept.
    """
    sent = str(answer.request.headers.get("Authorization", "")).partition(" ")[2]
    held = [*scrub.given(), sent]
    answer._content = scrub.answer(answer.content, held)
    if scrub.holds("\n".join(answer.headers.values()).encode("utf-8", "replace"), held):
        for name, value in answer.headers.items():
            answer.headers[name] = scrub.text(value, held)
    return answer


def session(cloud: Cloud) -> requests.Session:
    """Return the connection to `cloud` for sign-in and Graph; whoever asked for it closes it."""
    return _Session(str(cloud.ca_file or ""))


def _user_agent() -> str:
    name = "spaceiq-calendar-runbook"
    try:
        return f"{name}/{version(name)}"
    except PackageNotFoundError:  # a checkout that was not installed
        return name


UNTRUSTED = "SSLCertVerificationError|CERTIFICATE_VERIFY_FAILED"  # Windows and macOS word it their own way


BROKEN = (
    (UNTRUSTED, "shows a TLS certificate that nobody vouches for here", "If the network inspects TLS, name its "
     "certificate in REQUESTS_CA_BUNDLE; for a cloud of your own, give ca_file in its settings."),
    ("CA certificate bundle", "cannot be checked: the file of trusted certificates is missing or unreadable",
     "Correct ca_file of the cloud, or REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE in the environment."),
    ("InvalidProxyURL|InvalidURL|InvalidSchema", "is behind a proxy whose address is malformed or of another kind than "
     "HTTP", "Write it as http://host:port in {variable}, or name the host in NO_PROXY if it needs no proxy."),
    ("ProxyError.*(NewConnection|NameResolution|TimeoutError|timed out)", "is behind a proxy that did not answer",
     "Check the proxy's address in {variable}, and that the proxy runs; NO_PROXY names hosts that need none."),
    ("ProxyError", "is behind a proxy that did not let us through", "Check {variable} and NO_PROXY."),
    ("NameResolution|getaddrinfo", "has no address: its name was not found", "Check the network and the name."),
    ("Timeout|timed out", "did not answer in time", "Check the network{proxy}, then run the cell again."),
    ("NewConnection|refused", "refused the connection", "Check that it is running, and the firewalls between."),
    ("", "broke the connection off", "Check the network{proxy}, then run the cell again."),
)  # fmt: skip
"""What the network's errors contain, what it means for a host, and what to do; the first that fits."""


PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""Where a proxy may be named, in the order in which requests looks."""


def unreachable(error: OSError, host: str) -> Unreachable:
    """Return in words why there was no answer; the error's own text may hold a proxy's password and is not shown."""
    text = f"{type(error).__name__}: {error}"
    words, remedy = next((words, remedy) for pattern, words, remedy in BROKEN if re.search(pattern, text))
    variable = _proxy_variable(host)
    proxy = f" and the proxy that {variable} names" if variable else ""
    return Unreachable(f"{host} {words}.", remedy.format(variable=variable or "the system's settings", proxy=proxy))


def _proxy_variable(host: str) -> str:
    """Return the variable that names a proxy for `host`, empty when none does; its value may hold a password."""
    direct = is_this_machine(urlsplit(f"//{host}").hostname or "") or proxy_bypass(host)
    return "" if direct else next((name for name in PROXIES if os.environ.get(name)), "")


def is_this_machine(host: str) -> bool:
    """Tell whether `host`, a name or an address without port, is loopback: nothing for it leaves this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
