"""`runbook doctor`: what works tonight, what is missing, and how to get it; no look stops another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook_lib import checks, settings, vendors
from runbook_lib.clients import http as clients_http
from runbook_lib.clients.entra import certificate
from runbook_lib.clients.entra import sign_in as entra
from runbook_lib.clients.entra.proof import SKEW
from runbook_lib.clients.graph import client as graph
from runbook_lib.display.times import utc_now
from runbook_lib.errors import RunbookError, SignInError
from runbook_lib.model import NO_APP, Cloud, Finding, Status, Tenant
from runbook_lib.setup import machine, registration, tenant_file
from runbook_lib.setup.machine import Row
from runbook_lib.steps import preflight

SOON = timedelta(days=30)
"""A certificate that runs out earlier is worth a word."""
FROM_PREFLIGHT = ("preflight", "connect", "credentials")
"""The modules whose checks the doctor borrows from notebook 00."""


@dataclass(slots=True)
class Visit:
    """One visit to the doctor: the folder of tenant files, the tenant's key if any, and how a person is asked."""

    parameters: Path
    key: str = ""
    attended: bool = False
    show: entra.Show = field(default=lambda _: None)
    clock: Callable[[], datetime] = utc_now
    tenant: Tenant | None = None
    door: graph.Graph | None = None


def examine(visit: Visit, looks: Mapping[str, machine.Look] | None = None) -> Iterator[Finding]:
    """Yield what every look saw, one after the other; a look that breaks is `unknown` and stops nothing."""
    for check, look in (machine.LOOKS if looks is None else looks).items():
        yield from _look(check, look)
    if visit.key:
        yield from _look("tenant file", partial(_tenant_file, visit))
    cloud = visit.tenant.cloud if visit.tenant else vendors.clouds()["global"]
    silent = set()
    for host, address in _hosts(cloud, visit.tenant).items():
        for finding in _look("network", partial(_reach, cloud, host, address, visit.clock)):
            yield finding
            silent |= {host} if finding.subject == host and finding.status is Status.FAIL else set()
    if visit.tenant:
        yield from _tenant(visit, visit.tenant, silent)


def _tenant(visit: Visit, tenant: Tenant, silent: Set[str]) -> Iterator[Finding]:
    """Yield what can be seen of the tenant; without its hosts, only what this computer knows of it."""
    yield from _look("app", partial(_app, tenant, visit.clock()))
    if silent & {"login", "graph"}:
        yield Finding("sign-in", "", Status.UNKNOWN, "not tried without the network", "See the network's lines above.")
        return
    yield from _look("domain", partial(_domain, tenant))
    with clients_http.session(tenant.cloud) as http:
        yield from _look("sign-in", partial(_sign_in, visit, tenant, http))
        if visit.door:
            yield from _look("permissions", partial(_permissions, tenant, visit.door.identity))
            yield from _preflight(visit.door, tenant)


def _look(check: str, look: machine.Look) -> Iterator[Finding]:
    try:
        for subject, status, saw, remedy in look():
            yield Finding(check, subject, status, saw, remedy)
    except RunbookError as error:
        yield Finding(check, "", Status.UNKNOWN, error.message, error.remedy, error.link)
    except Exception as error:  # whatever it is, the other looks go on
        yield Finding(check, "", Status.UNKNOWN, f"could not look: {type(error).__name__}: {error}")


def _tenant_file(visit: Visit) -> Iterator[Row]:
    try:
        visit.tenant = settings.load(visit.parameters, visit.key, visit.clock())
    except RunbookError as error:
        yield visit.key, Status.FAIL, error.message, error.remedy
        return
    yield visit.key, Status.PASS, f"{visit.tenant.name}, cloud {visit.tenant.cloud.name}", ""


def _hosts(cloud: Cloud, tenant: Tenant | None) -> dict[str, str]:
    hosts = {"login": f"{cloud.login}/common/v2.0/.well-known/openid-configuration", "graph": f"{cloud.graph}/v1.0/"}
    if tenant and tenant.spaceiq.source == "graphql":
        hosts["SpaceIQ"] = tenant.spaceiq.endpoint
    return hosts


def _reach(cloud: Cloud, host: str, address: str, clock: Callable[[], datetime]) -> Iterator[Row]:
    """Yield whether a host answers anything at all, who vouches for it, and by the sign-in's clock, what time it is."""
    place = urlsplit(address).netloc
    try:
        with clients_http.session(cloud) as http, http.get(address, stream=True) as answer:
            issuer, date = _issuer(answer), answer.headers.get("Date", "")
    except RunbookError as error:
        yield host, Status.FAIL, error.message, error.remedy
        return
    inspected = cloud.microsoft and host != "SpaceIQ" and issuer and issuer not in vendors.facts()["tls_issuers"]
    words = f": the network inspects TLS, with a certificate by {issuer} that this system trusts" if inspected else ""
    yield host, Status.PASS, f"{place} answers{words}", ""
    if host == "login" and date:
        off = (clock() - parsedate_to_datetime(date)).total_seconds()
        side = "ahead" if off > 0 else "behind"
        zone = f"{datetime.now(UTC).astimezone():%Z, UTC%z}"
        good = abs(off) <= SKEW
        remedy = "" if good else "Set this machine's clock: sign-ins fail with a wrong one."
        saw = f"{abs(off):.0f} s {side} of the cloud's; this machine's zone: {zone}"
        yield "clock", Status.PASS if good else Status.FAIL, saw, remedy


def _issuer(answer: Any) -> str:
    """Return who issued the certificate of the connection, empty where that cannot be seen."""
    socket: Any = getattr(answer.raw.connection, "sock", None)  # a pooled connection may be given back already
    shown = socket.getpeercert(binary_form=True) if socket else None
    return certificate.issuer(shown) if shown else ""


def _domain(tenant: Tenant) -> Iterator[Row]:
    found = tenant_file.look_up(tenant.domain, {tenant.cloud.name: tenant.cloud})
    same = found.tenant_id == tenant.tenant_id
    remedy = "" if same else "Correct tenant_id or domain in the tenant file; one of them is another organization's."
    yield tenant.domain, Status.PASS if same else Status.FAIL, f"belongs to the tenant {found.tenant_id}", remedy


def _app(tenant: Tenant, now: datetime) -> Iterator[Row]:
    method, client_id = tenant.sign_in.method, tenant.sign_in.client_id
    if client_id == NO_APP:
        yield "registration", Status.PENDING, "the tenant file names no app yet", f"runbook app {tenant.key}"
    elif client_id == vendors.facts()["graph_command_line"]["client_id"]:
        yield "registration", Status.PENDING, "Microsoft's shared app, for a quick look", f"runbook app {tenant.key}"
    else:
        yield "registration", Status.PASS, client_id, ""
    if method != "certificate":
        return
    file = tenant.sign_in.certificate
    pair = certificate.read(file, os.environ.get(certificate.PASSWORD, ""), now)
    left = pair.certificate.not_valid_after_utc - now
    remedy = "" if left >= SOON else f"Make a new one: runbook app {tenant.key} --new-certificate"
    yield "certificate", Status.PASS if left >= SOON else Status.PENDING, f"valid for {left.days} more days", remedy
    if file and certificate.is_open(file):
        again = f"chmod 600 {file}; if somebody may have read it, make a new one."
        yield "key", Status.FAIL, "other accounts of this computer may read the file", again


def _sign_in(visit: Visit, tenant: Tenant, http: Any) -> Iterator[Row]:
    questions = [call.name for call in registration.questions(tenant.sign_in.method)]
    try:
        credential = entra.sign_in(tenant, questions, http, attended=visit.attended, show=visit.show, clock=visit.clock)
    except SignInError as error:
        page = registration.consent_url(tenant, tenant.sign_in.client_id) if "consent" in error.remedy else ""
        yield tenant.sign_in.method, Status.UNKNOWN, error.message, f"{error.remedy} {page}".strip()
        return
    door = graph.Graph(tenant, credential, http)
    door.assert_tenant()
    visit.door = door
    identity = door.identity
    yield tenant.sign_in.method, Status.PASS, f"{identity.account} ({identity.kind}) in {tenant.name}", ""


def _permissions(tenant: Tenant, identity: entra.Identity) -> Iterator[Row]:
    """Compare what the sign-in may do with what all steps ask, without asking."""
    needed = [one for one in registration.needs(tenant.sign_in.method) if one.name not in registration.PERSON_NEEDS]
    lacking = [one for one in needed if one.name not in identity.permissions]
    for one in lacking:
        remedy = f"Grant it with admin consent: {registration.portal_page(tenant, identity.client_id)}"
        yield one.name, Status.FAIL, f"the {one.kind} permission is lacking: {one.why}", remedy
    if not lacking:
        yield "of the app", Status.PASS, f"all {len(needed)} that the steps ask for", ""


def _preflight(door: graph.Graph, tenant: Tenant) -> Iterator[Finding]:
    """Yield what notebook 00 finds about tenant, administrator and licence: what is not as it should be, and a count.

    What only Exchange's answer can tell is for the notebook, which makes the script that asks.
    """
    try:
        facts = preflight.parse(preflight.read(door, tenant), tenant)
    except RunbookError as error:
        yield Finding("preflight", "", Status.UNKNOWN, error.message, error.remedy, error.link)
        return
    found = [one for one in checks.judge(*facts) if checks.CHECKS[one.check].step in FROM_PREFLIGHT]
    good = [one for one in found if one.status in (Status.PASS, Status.NOT_APPLICABLE)]
    yield from (one for one in found if one not in good or one.check == "log-retention-known")
    yield Finding("preflight", "", Status.PASS, f"{len(good)} of {len(found)} findings of 00_preflight are good")
