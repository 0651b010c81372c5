"""The pasted activation link: only the host of a good one is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.errors import UsageError
from runbook_lib.steps.activate import host_of
from tests.steps.facts import TENANT

keep = host_of(replace(TENANT, activation_hosts=("app.cronofy.com", "app-uk.cronofy.com")))


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://app.cronofy.com/enterprise_connect/oauth/authorize?state=s3cret&code=x", "app.cronofy.com"),
        ("  https://APP-UK.cronofy.com:443/x  ", "app-uk.cronofy.com"),
        (
            "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fapp.cronofy.com%2Fx%3Fstate%3Ds3cret&data=05",
            "app.cronofy.com",
        ),
        ("https://urldefense.com/v3/__https://app.cronofy.com/x?state=s3cret__;!!abc!def$", "app.cronofy.com"),
        (
            "https://urldefense.proofpoint.com/v2/url?u=https-3A__app.cronofy.com_x-3Fstate-3Ds3cret&d=DwMF",
            "app.cronofy.com",
        ),
    ],
)
def test_of_a_good_link_only_the_host_is_kept(link: str, host: str) -> None:
    assert keep(link) == host


@pytest.mark.parametrize(
    "link",
    [
        "",
        "app.cronofy.com/x",
        "http://app.cronofy.com/x",
        "javascript:alert(1)//app.cronofy.com",
        "https://app.cronofy.com.evil.example/x",
        "https://evil.example/app.cronofy.com",
        "https://app.cronofy.com@evil.example/",
        "https://user@app.cronofy.com/",
        "https://app.cronofy.com:8443/",
        "https://app.cronofy.com:port/",
        "https://[::1/",
        "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.example%2Fx",
        "https://safelinks.protection.outlook.com.evil.example/?url=https%3A%2F%2Fapp.cronofy.com%2F",
        "https://eur01.safelinks.protection.outlook.com/?data=05",
        "https://u1234.ct.sendgrid.net/ls/click?upn=opaque",
        "https://аpp.cronofy.com/",  # noqa: RUF001  a Cyrillic look-alike is the point
    ],
)
def test_a_link_that_must_not_be_opened_is_refused_without_repeating_it(link: str) -> None:
    with pytest.raises(UsageError) as refused:
        keep(link + ("?state=s3cret" if link else ""))
    assert "s3cret" not in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://localhost:8443/enterprise_connect?state=s3cret", "localhost:8443"),
        ("https://localhost:8444/enterprise_connect", ""),
        ("https://localhost/enterprise_connect", ""),
        ("https://user@localhost:8443/", ""),
    ],
)
def test_a_port_is_taken_only_where_the_tenant_file_names_host_and_port(link: str, host: str) -> None:
    rehearsed = host_of(replace(TENANT, activation_hosts=("localhost:8443",)))
    if host:
        assert rehearsed(link) == host
    else:
        with pytest.raises(UsageError):
            rehearsed(link)
