"""Tenant files: every fault at once, with its line and a remedy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib import settings
from runbook_lib.errors import SettingsError, UsageError

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
GOOD = """\
name: Contoso
tenant_id: 11111111-2222-3333-4444-55555555555A
domain: Contoso.com
admin: dana@contoso.com
sign_in: {method: browser, client_id: 11111111-2222-3333-4444-666666666666}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def faults(folder: Path, text: str) -> list[str]:
    (folder / "t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        settings.load(folder, "t", NOW)
    assert raised.value.remedy
    assert str(folder / "t.yaml") in raised.value.message
    return [line.strip() for line in raised.value.message.splitlines()[1:]]


def test_a_good_file_becomes_a_tenant(folder: Path) -> None:
    (folder / "t.yaml").write_text(GOOD, encoding="utf-8")
    tenant = settings.load(folder, "t", NOW)
    assert (tenant.key, tenant.domain, tenant.cloud.graph) == ("t", "contoso.com", "https://graph.microsoft.com")
    assert tenant.tenant_id == "11111111-2222-3333-4444-55555555555a"
    assert tenant.cronofy_app == "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
    assert "app.cronofy.com" in tenant.activation_hosts


@pytest.mark.parametrize("cloud", ["global", "gcc", "gcc-high", "dod", "china"])
def test_every_microsoft_cloud_has_its_own_hosts(folder: Path, cloud: str) -> None:
    (folder / "t.yaml").write_text(f"{GOOD}cloud: {cloud}\n", encoding="utf-8")
    found = settings.load(folder, "t", NOW).cloud
    assert found.microsoft
    assert found.login.startswith("https://login.")


def test_a_custom_cloud_is_a_file_beside_and_never_counts_as_microsofts(folder: Path) -> None:
    (folder / "cloud.yaml").write_text(
        "name: lab\nlogin: https://localhost:1\ngraph: https://localhost:1/\nca_file: ca.pem\n"
    )
    (folder / "t.yaml").write_text(f"{GOOD}cloud: cloud.yaml\n", encoding="utf-8")
    cloud = settings.load(folder, "t", NOW).cloud
    assert (cloud.name, cloud.graph, cloud.ca_file) == ("lab", "https://localhost:1", folder / "ca.pem")
    assert not cloud.microsoft


def test_all_faults_are_told_at_once_each_with_its_line(folder: Path) -> None:
    text = """\
name: Contoso
tenant_id: not-a-guid
domian: contoso.com
admin: dana
sign_in:
  method: magic
  client_id: 11111111-2222-3333-4444-666666666666
confirmations:
  disconnectd: {by: Sam, at: 2026-11-20T21:00:00Z}
  activated: {by: Sam, at: 2026-12-20T21:00:00Z}
"""
    assert faults(folder, text) == [
        "line 1: 'domain' is missing",
        "line 2: tenant_id: 'not-a-guid' is not a GUID such as 62e90394-69f5-4237-9190-012177145e10",
        "line 3: unknown key 'domian'; did you mean 'domain'?",
        "line 4: admin: 'dana' is not an account name such as dana@contoso.com",
        "line 6: sign_in.method: 'magic' is none of certificate, browser, device-code",
        "line 9: unknown key 'disconnectd'; did you mean 'disconnected'?",
        "line 10: 2026-12-20T21:00:00Z lies in the future; nobody can have confirmed it yet",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: the file holds no 'key: value' lines"),
        ("- a\n- b\n", "line 1: the file holds no 'key: value' lines"),
        ("name: [a\n", "line 2: not readable as YAML: did not find expected ',' or ']'"),
        (GOOD + "name: twice\n", "line 6: 'name' stands twice"),
        (GOOD + "cloud: mars\n", "line 6: 'mars' is neither one of global, gcc, gcc-high, dod, china nor a cloud file"),
        (
            GOOD.replace("browser", "certificate"),
            "line 5: method 'certificate' needs a line 'certificate:' with the PEM file",
        ),
        (
            GOOD + "confirmations:\n  disconnected: {by: Sam, at: 2026-11-23T21:00:00Z}\n",
            "line 7: 2026-11-23T21:00:00Z lies in the future; nobody can have confirmed it yet",
        ),
        (
            GOOD + "confirmations:\n  disconnected: {by: Sam, at: 2026-11-20T21:00:00}\n",
            "line 7: '2026-11-20T21:00:00' has no time zone; write 2026-11-22T21:05:00Z",
        ),
        (
            GOOD + "confirmations:\n  disconnected: {by: Sam, at: yesterday}\n",
            "line 7: 'yesterday' is not a time such as 2026-11-22T21:05:00Z",
        ),
        (
            GOOD + "exceptions:\n- {check: c, subject: s, reason: r, approved_by: a}\n",
            "line 7: 'until' is missing in exceptions.0",
        ),
        (
            GOOD + "exceptions:\n- {check: c, subject: s, reason: r, approved_by: a, until: 2027-02-31}\n",
            "line 7: '2027-02-31' is not a day such as 2027-03-31",
        ),
        (GOOD + "confirmations:\n  disconnected: {by: Sam}\n", "line 7: 'at' is missing in confirmations.disconnected"),
    ],
)
def test_a_fault_is_told_in_words_with_its_line(folder: Path, text: str, fault: str) -> None:
    assert faults(folder, text) == [fault]


def test_a_file_that_is_not_utf8_is_told_so(folder: Path) -> None:
    (folder / "t.yaml").write_bytes("name: Müller\n".encode("latin-1"))
    with pytest.raises(SettingsError, match="not UTF-8"):
        settings.load(folder, "t", NOW)


@pytest.mark.parametrize("key", ["contosso", "../contoso", "_example"])
def test_an_unknown_tenant_is_told_with_the_ones_there_are(folder: Path, key: str) -> None:
    (folder / "contoso.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        settings.load(folder, key, NOW)
    assert "contoso" in raised.value.remedy


def test_the_cloud_file_of_the_sandbox_says_how_it_comes_to_be(folder: Path) -> None:
    assert "'runbook sandbox' writes it" in faults(folder, f"{GOOD}cloud: ../.sandbox/cloud.yaml\n")[0]


def test_the_example_explains_every_key_and_is_itself_sound(folder: Path) -> None:
    parameters = settings.SCHEMA.parent
    (folder / "mine.yaml").write_text((parameters / "_example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    tenant = settings.load(folder, "mine", NOW)
    assert tenant.name == "Contoso Ltd"
    assert "_example" not in settings.keys(parameters)


def test_the_account_that_may_sign_in_is_known_whatever_its_case_and_in_no_record(folder: Path) -> None:
    text = GOOD.replace("browser,", "browser, account: Dana@Contoso.com,")
    (folder / "contoso.yaml").write_text(text)
    tenant = settings.load(folder, "contoso", NOW)
    assert tenant.sign_in.account == "dana@contoso.com"
    assert "account" not in settings.plain(tenant)["sign_in"]
    assert faults(folder, GOOD.replace("browser,", "browser, account: dana,")) == [
        "line 5: sign_in.account: 'dana' is not an account name such as dana@contoso.com"
    ]


def test_what_a_record_keeps_of_the_file_names_no_path(folder: Path) -> None:
    text = GOOD.replace("method: browser", "method: certificate, certificate: secret.pem")
    (folder / "t.yaml").write_text(text, encoding="utf-8")
    kept = settings.plain(settings.load(folder, "t", NOW))
    assert "secret.pem" not in str(kept)
    assert str(folder) not in str(kept)


STRANGE = {
    "a value in braces": "domain: {{ domain }}",
    "an unknown tag": "domain: !secret x",
    "an alias in itself": "change: &a {ticket: x, more: *a}\nother: &b [*b]",
    "billion laughs": "\n".join(
        [
            "a0: &a0 [x, x, x, x, x, x, x, x, x]",
            *(f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)),
        ]
    ),
    "brackets": "domain: " + "[" * 200_000,
    "braces": "{" * 200_000,
    "dashes": "- " * 200_000 + "x",
    "questions": "? " * 100_000 + "x",
    "a long file": "# " + "x" * 500_000,
    "no text": "\x00\x01",
    "a list": "[1, 2]",
    "two documents": "a: 1\n---\nb: 2",
    "tabs": "a:\n\t- b",
    "a date in no calendar": "exceptions: [{until: 2027-02-30}]",
    "a key that is a list": "? [a, b]\n: c",
    "no whole number": "name: !!int x",
    "no number": "name: !!float x",
    "no yes and no": "name: !!bool x",
    "no time": "name: !!timestamp x",
    "no bytes": "name: !!binary €",
    "a bare prefix": "name: 0x_",
    "another bare prefix": "name: 0b_",
    "a ring of many digits": "ring: " + "9" * 5000,
    "a number within a list": "ews_accounts: [a, {b: !!int x}]",
    "no pairs": "name: !!pairs x",
    "no set": "name: !!set [a]",
}


@pytest.mark.parametrize("name", STRANGE)
def test_no_tenant_file_stops_anybody_but_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "odd.yaml").write_text(STRANGE[name], encoding="utf-8")
    with pytest.raises(SettingsError, match=r"odd\.yaml has \d+ fault"):
        settings.load(tmp_path, "odd")
    assert settings.ring(tmp_path, "odd") == ""


def test_a_file_that_may_not_be_read_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.yaml").write_text("name: x")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SettingsError, match="cannot be read: Permission denied"):
        settings.load(tmp_path, "theirs")


def test_files_of_other_programs_are_no_tenants_and_misnamed_ones_are_said(tmp_path: Path) -> None:
    for name in (
        "good.yaml",
        "._good.yaml",
        ".#good.yaml",
        "_example.yaml",
        "old.yml",
        "Big.YAML",
        "x.yaml.txt",
        "a b.yaml",
    ):
        (tmp_path / name).write_text("name: x")
    assert settings.keys(tmp_path) == ["good"]
    assert settings.misnamed(tmp_path) == ["Big.YAML", "a b.yaml", "old.yml", "x.yaml.txt"]
    with pytest.raises(UsageError) as told:
        settings.load(tmp_path, "old")
    assert "old.yml" in told.value.remedy


@pytest.mark.parametrize("key", ["../good", "good/..", "", ".", "a b", "._good", 365])
def test_a_key_that_no_tenant_can_have_is_told_in_words(tmp_path: Path, key: object) -> None:
    (tmp_path / "good.yaml").write_text("name: x")
    with pytest.raises(UsageError, match="There is no tenant file"):
        settings.load(tmp_path, key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("ring: pilot", "pilot"),
        ('"ring": pilot', "pilot"),
        ("ring : pilot", "pilot"),
        ("ring: !!str pilot", "pilot"),
        ("ring: 'pilot'  # ours", "pilot"),
        ("{ring: 3}", "3"),
        ("ring: 10", ""),
        ("ring: 0", ""),
        ("ring: [pilot]", ""),
        ("rooms:\n  ring: 9", ""),
        ("# ring: 1", ""),
    ],
)
def test_a_ring_is_read_as_the_file_is_read(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "t.yaml").write_text(line)
    assert settings.ring(tmp_path, "t") == named


MERGED = """\
confirmations:
  disconnected: &one {by: Kim, at: '2031-01-01T00:00:00Z'}
  activated: {<<: *one}
  connected: {<<: {by: Kim, at: '2026-01-01T00:00:00'}}
"""


def test_values_that_a_merge_key_carries_in_are_checked_like_all_others(folder: Path) -> None:
    found = faults(folder, GOOD + MERGED)
    assert sum("lies in the future" in one for one in found) == 2
    assert sum("has no time zone" in one for one in found) == 1
