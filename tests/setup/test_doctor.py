"""The doctor looks at everything on its own, says what is missing and how to get it, and never breaks on the first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib import settings
from runbook_lib.cli import doctor, main, terminal
from runbook_lib.clients.entra import certificate
from runbook_lib.display.times import utc_now
from runbook_lib.errors import UsageError
from runbook_lib.model import Cloud, Finding, Status, Tenant
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.setup import doctor as setup_doctor
from runbook_lib.setup import machine
from runbook_lib.setup.doctor import Visit, examine
from runbook_lib.setup.machine import Look, Row

MakeTenant = Callable[..., Tenant]


def good() -> Iterator[Row]:
    yield "Python", Status.PASS, "3.13", ""


def refused() -> Iterator[Row]:
    yield from ()
    raise UsageError("This cannot be looked at.", "Do that.")


def broken() -> Iterator[Row]:
    yield "half", Status.PASS, "seen before it broke", ""
    raise ZeroDivisionError("oh")


@pytest.fixture
def visit(tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    """Return what visits the doctor with a tenant, and gives the findings by check and subject."""

    def go(looks: Mapping[str, Look] | None = None, known: Tenant | None = None, **more: Any) -> dict[str, Finding]:
        monkeypatch.setattr(settings, "load", lambda *_: known or tenant())
        found = examine(Visit(tmp_path, "contoso", **more), looks or {})
        return {f"{one.check}: {one.subject}": one for one in found}

    return go


def test_a_look_that_breaks_is_unknown_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_doctor, "_hosts", lambda *_: {})
    found = list(examine(Visit(Path()), {"a": refused, "b": broken, "c": good}))
    assert found == [
        Finding("a", "", Status.UNKNOWN, "This cannot be looked at.", "Do that."),
        Finding("b", "half", Status.PASS, "seen before it broke"),
        Finding("b", "", Status.UNKNOWN, "could not look: ZeroDivisionError: oh"),
        Finding("c", "Python", Status.PASS, "3.13"),
    ]


def test_a_healthy_tenant_passes_from_the_file_to_the_licence(visit: Callable[..., dict[str, Finding]]) -> None:
    found = visit()
    bad = {name: one for name, one in found.items() if one.status is not Status.PASS}
    assert bad == {}
    assert "belongs to the tenant" in found["domain: contoso.example"].saw
    assert "more days" in found["app: certificate"].saw
    assert found["permissions: of the app"].saw == "all 8 that the steps ask for"
    assert "sign-in logs can be read" in found["log-retention-known: audit log"].saw


def test_a_consent_that_is_missing_is_told_with_the_page_for_it(
    visit: Callable[..., dict[str, Finding]], contoso: TenantState, tenant: MakeTenant
) -> None:
    own = tenant().sign_in.client_id
    for principal in [one for one in contoso.service_principals.values() if one["appId"] == own]:
        del contoso.service_principals[principal["id"]]
    found = visit()["sign-in: certificate"]
    assert (found.status, "nobody has consented" in found.saw) == (Status.UNKNOWN, True)
    assert found.remedy.endswith(f"/{contoso.id}/adminconsent?client_id={own}")


def test_what_the_app_lacks_is_named_with_the_page_that_grants_it(
    visit: Callable[..., dict[str, Finding]], contoso: TenantState
) -> None:
    contoso.app_role_assignments.clear()
    found = visit()
    lacking = found["permissions: Place.Read.All"]
    assert (lacking.status, "CallAnAPI/appId/" in lacking.remedy) == (Status.FAIL, True)
    assert "to list every meeting room" in lacking.saw
    assert found["log-retention-known: licences"].status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("change", "name", "status", "words"),
    [
        ({"domain": "fabrikam.example"}, "domain: fabrikam.example", Status.FAIL, "Correct tenant_id or domain"),
        ({"domain": "nowhere.example"}, "domain: ", Status.UNKNOWN, "Check the spelling"),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, "app: registration", Status.PENDING, "runbook app"),
        ({"client_id": "14d82eec-204b-4c2f-b7e8-296a70dab67e"}, "app: registration", Status.PENDING, "runbook app"),
        ({"certificate": Path("missing.pem")}, "app: ", Status.UNKNOWN, "sign_in.certificate"),
        ({"method": "browser"}, "sign-in: browser", Status.UNKNOWN, "sign_in.method to certificate"),
    ],
)
def test_what_is_wrong_with_a_tenant_file_is_said_with_its_remedy(
    visit: Callable[..., dict[str, Finding]],
    tenant: MakeTenant,
    change: dict[str, Any],
    name: str,
    status: Status,
    words: str,
) -> None:
    known = tenant()
    own = {key: value for key, value in change.items() if key != "domain"}
    spoiled = replace(known, sign_in=replace(known.sign_in, **own), domain=change.get("domain", known.domain))
    found = visit(known=spoiled)
    assert found[name].status is status
    assert words in found[name].remedy
    assert "network: graph" in found


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [(timedelta(seconds=-299), Status.PASS, "behind"), (timedelta(minutes=6), Status.FAIL, "ahead")],
)
def test_a_wrong_clock_is_measured_against_the_cloud_s(
    visit: Callable[..., dict[str, Finding]], ahead: timedelta, status: Status, words: str
) -> None:
    found = visit(clock=lambda: utc_now() + ahead)["network: clock"]
    assert (found.status, words in found.saw) == (status, True)


def test_a_certificate_that_runs_out_soon_is_worth_a_word(
    visit: Callable[..., dict[str, Finding]], tenant: MakeTenant
) -> None:
    known = tenant()
    assert known.sign_in.certificate
    end: datetime = certificate.read(known.sign_in.certificate, "", utc_now()).certificate.not_valid_after_utc
    found = visit(clock=lambda: end - timedelta(days=29, hours=1))["app: certificate"]
    assert (found.status, found.saw) == (Status.PENDING, "valid for 29 more days")
    assert "--new-certificate" in found.remedy


def test_a_host_that_does_not_answer_fails_and_the_others_are_looked_at(
    visit: Callable[..., dict[str, Finding]], tenant: MakeTenant
) -> None:
    known = tenant()
    found = visit(known=replace(known, cloud=replace(known.cloud, graph="https://127.0.0.1:9")))
    assert found["network: graph"].status is Status.FAIL
    assert "refused the connection" in found["network: graph"].saw
    assert found["network: login"].status is Status.PASS
    assert found["sign-in: "].saw == "not tried without the network"


def test_a_network_that_inspects_tls_is_noticed(rehearsal: Cloud) -> None:
    rows = list(setup_doctor._reach(replace(rehearsal, microsoft=True), "graph", f"{rehearsal.graph}/v1.0/", utc_now))
    assert "inspects TLS, with a certificate by " in rows[0][2]
    assert rows[0][1] is Status.PASS


LOCK = """\
msal==1.39.0 \\
    --hash=sha256:aa
pywin32==312 ; sys_platform == 'win32' \\
numpy==2.4.6 ; python_full_version < '3.12' \\
numpy==2.5.5 ; python_full_version >= '3.12' \\
unneeded==1
"""


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"msal": "1.39.0", "numpy": "2.5.5"}, [(Status.PASS, "2 as in the lock")]),
        ({"numpy": "2.4.6"}, [(Status.FAIL, "not installed: msal")]),
        ({"msal": "1.2"}, [(Status.PENDING, "not the version of the lock: msal 1.2")]),
        ({}, [(Status.FAIL, "not installed: msal")]),
    ],
)
def test_packages_are_compared_with_the_lock(
    tmp_path: Path, installed: dict[str, str], expected: list[tuple[Status, str]]
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK)
    wanted = ("msal", "pywin32", "numpy")
    rows = machine.packages(lock, lambda name: installed.get(name, ""), lambda: wanted)
    assert [(status, saw) for _, status, saw, _ in rows] == expected


def test_without_a_lock_nothing_is_compared(tmp_path: Path) -> None:
    assert [row[1] for row in machine.packages(tmp_path / "none")] == [Status.NOT_APPLICABLE]


def test_the_packages_that_the_runbook_needs_are_known_to_the_last() -> None:
    needed = machine.needed("jupyterlab")
    assert {"jupyter-server", "tornado", "traitlets"} <= needed
    assert machine.needed("not-a-package") == frozenset()


def test_the_outputs_folder_is_tried_and_measured(tmp_path: Path) -> None:
    assert [row[:2] for row in machine.outputs(tmp_path / "new")] == [
        ("outputs folder", Status.PASS),
        ("free disk", Status.PASS),
    ]
    (tmp_path / "file").write_text("")
    ((_, status, saw, remedy),) = machine.outputs(tmp_path / "file" / "below")
    assert (status, "cannot be written" in saw, "RUNBOOK_OUTPUTS" in remedy) == (Status.FAIL, True, True)


def test_a_proxy_is_shown_without_its_password(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://dana:hunter2@proxy.contoso.example:8080", "no_proxy": "localhost"}
    rows = list(machine.proxies({**environment, "SSL_CERT_FILE": str(tmp_path / "gone.pem")}))
    assert [row[:3] for row in rows[:2]] == [
        ("HTTPS_PROXY", Status.PASS, "proxy.contoso.example:8080"),
        ("NO_PROXY", Status.PASS, "localhost"),
    ]
    assert (rows[2][1], rows[2][3]) == (Status.FAIL, "Correct or unset SSL_CERT_FILE.")
    assert "hunter2" not in str(rows)
    for value in ("http://dana:hun/ter2#@proxy:8080/", "dana:hun@ter2@proxy:8080"):
        assert [row[2] for row in machine.proxies({"ALL_PROXY": value})] == ["proxy:8080"]


def test_extras_and_tools_that_are_absent_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(
        machine, "requires", lambda _: ["msal>=1", 'adlfs>=1; extra == "store"', "x; extra == 'notify'"]
    )
    rows = [*machine.tools(), *machine.extras(lambda name: name if name == "x" else "")]
    assert {row[1] for row in rows} == {Status.NOT_APPLICABLE, Status.PASS}
    assert [row[2] for row in rows[2:]] == ["notify", "without store"]
    assert all(row[3] for row in rows if row[1] is Status.NOT_APPLICABLE)


@pytest.mark.parametrize(("look", "name"), machine.LOOKS.items())
def test_every_look_at_this_machine_sees_something(look: str, name: Look) -> None:
    rows = list(name())
    assert rows or look == "proxies"
    assert all(saw for _, _, saw, _ in rows)


@pytest.mark.parametrize(("mode", "told"), [(0o640, True), (0o600, False)])
def test_a_key_that_others_can_read_is_told(tenant: MakeTenant, tmp_path: Path, mode: int, told: bool) -> None:
    known, key = tenant(), tmp_path / "key.pem"
    assert known.sign_in.certificate
    key.write_bytes(known.sign_in.certificate.read_bytes())
    key.chmod(mode)
    sign_in = replace(known.sign_in, certificate=key)
    rows = [row for row in setup_doctor._app(replace(known, sign_in=sign_in), utc_now()) if row[0] == "key"]
    assert [row[1] for row in rows] == [Status.FAIL] * (told and os.name == "posix")
    assert all(f"chmod 600 {key}" in row[3] for row in rows)


def test_what_a_tenant_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x1b]0;you are safe\x07\x9b1m[red]Röom"
    doctor._print_findings([Finding("app", "", Status.PASS, evil)])
    terminal.say(f"{evil}\nsecond line", error=False)
    said = capsys.readouterr().out
    assert said.count("[red]Röom") == 2
    assert "\nsecond line\n" in said
    assert not set("\x1b\x07\x9b") & set(said)


def test_where_there_is_no_input_at_all_nobody_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not terminal.person()


def test_the_command_prints_json_and_ends_with_the_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path))
    monkeypatch.setattr(setup_doctor, "_hosts", lambda *_: {})
    monkeypatch.setattr(machine, "LOOKS", {"python": good})
    done = CliRunner().invoke(main.app, ["doctor", "nobody", "--json"])
    python, row = json.loads(done.stdout)
    assert python["saw"] == "3.13"
    assert (row["check"], row["status"], done.exit_code) == ("tenant file", "fail", 3)
    assert "To make one: runbook new nobody" in row["remedy"]
