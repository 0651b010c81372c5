"""An address names a place and opens nothing; what a service says is told without its secrets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence.archive import store
from runbook_lib.evidence.archive.store import Folder

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.mark.parametrize(
    "url",
    [
        f"az://evidence/runs?sv=2024-11-04&sig={SECRET}",
        f"abfs://evidence@contoso.dfs.core.windows.net/runs?sig={SECRET}",
        f"abfs://evidence:{SECRET}@contoso.dfs.core.windows.net/runs",
        f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/runs",
        "s3://AKIAIOSFODNN7EXAMPLE@bucket/runs",
        f"s3://bucket/runs#{SECRET}",
        f"https://contoso.blob.core.windows.net/evidence?sig={SECRET}",
        f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={SECRET}",
        "az:///runs",
        "ftp://host/runs",
        "abfs://evidence@contoso.dfs.core.windows.net.evil.example/runs",
        "abfs://evidence@contoso.evil.example/runs",
        "az://evidence@127.0.0.1/runs",
    ],
)
def test_an_address_that_carries_a_credential_or_names_no_archive_is_refused(url: str) -> None:
    with (
        pytest.raises(UsageError, match=r"carries a credential|is no archive|names no|not Azure's") as refused,
        store.opened(url),
    ):
        pass
    assert SECRET not in str(refused.value)
    assert "AKIA" not in str(refused.value)
    assert refused.value.remedy


def test_a_folder_is_named_as_a_path_or_as_a_file_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my archive").mkdir()
    for url in (str(tmp_path / "my archive"), "my archive", (tmp_path / "my archive").as_uri()):
        with store.opened(url) as place:
            assert isinstance(place, Folder)
            assert place.place.samefile(tmp_path / "my archive")


def test_another_computers_folder_is_to_be_mounted() -> None:
    with pytest.raises(UsageError, match="another computer"), store.opened("file://server/share/runs"):
        pass


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no folder"), store.opened(str(tmp_path / "not-mounted")):
        pass
    assert not (tmp_path / "not-mounted").exists()


def test_a_file_is_created_once_and_in_one_piece(tmp_path: Path) -> None:
    with store.opened(str(tmp_path)) as place:
        place.create("a/b.txt", b"first")
        with pytest.raises(FileExistsError):
            place.create("a/b.txt", b"second")
        assert (place.read("a/b.txt"), place.names("a"), place.names("")) == (b"first", ["b.txt"], ["a/b.txt"])
        with pytest.raises(ArchiveError, match="cannot be read"):
            place.read("a/absent.txt")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "contoso").write_bytes(b"")
    with store.opened(str(tmp_path)) as place:
        assert place.names("fabrikam") == []
        with pytest.raises(ArchiveError, match="contoso cannot be read: "):
            place.names("contoso")


@pytest.mark.parametrize(
    ("url", "package"), [("az://evidence/runs", "azure.storage.blob"), ("s3://evidence/runs", "boto3")]
)
def test_without_the_extra_packages_the_command_that_adds_them_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"python runbook\.py extras") as absent, store.opened(url):
        pass
    assert package in absent.value.message


@pytest.mark.parametrize(
    "connection",
    ["", f"AccountKey={SECRET}", f"AccountName=other;AccountKey={SECRET}=;BlobEndpoint=http://127.0.0.1:9/other;"],
    ids=["none", "malformed", "another account's"],
)
def test_an_address_and_an_environment_that_do_not_fit_are_told_without_the_key(
    connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [one for one in os.environ if one.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    url = "abfs://evidence@contoso.dfs.core.windows.net/runs" if connection.startswith("AccountN") else "az://evidence"
    with pytest.raises(UsageError) as refused, store.opened(url):
        pass
    assert SECRET not in str(refused.value)
    assert "AZURE_STORAGE_CONNECTION_STRING" in str(refused.value)


def test_what_a_service_said_is_told_without_what_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook_lib.evidence.archive.object_store import refused

    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&se=2&something=else")
    said = OSError(f"403 at https://x/y?sv=1&se=2&something=else, AccountKey={SECRET}; sig={SECRET}\nsecond line")
    told = str(refused("az://evidence", said))
    assert "403 at https://x/y" in told
    assert not any(part in told for part in (SECRET, "something=else", "second line"))


def test_the_address_of_another_s3_service_is_shown_without_the_password_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://dana:{SECRET}@minio.contoso.example:9000")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, SECRET)
    with store.opened("s3://evidence/runs") as place:
        assert place.endpoint == "https://minio.contoso.example:9000"


SIGN_INS = [
    ({}, "Azure default credential"),
    ({"AZURE_STORAGE_ACCOUNT_KEY": f"{SECRET}="}, "account key"),
    ({"AZURE_STORAGE_SAS_TOKEN": f"sv=1&sig={SECRET}"}, "shared access signature"),
    ({"AZURE_STORAGE_ANON": "true"}, "anonymous"),
    (
        {
            "AZURE_STORAGE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
            "AZURE_STORAGE_TENANT_ID": "11111111-2222-3333-4444-666666666666",
            "AZURE_STORAGE_CLIENT_SECRET": SECRET,
        },
        "service principal",
    ),
]


@pytest.mark.parametrize(("environment", "kind"), SIGN_INS)
def test_the_account_of_a_national_cloud_is_asked_at_its_own_host_with_what_the_environment_offers(
    environment: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [one for one in os.environ if one.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with store.opened("abfs://evidence@contoso.dfs.core.chinacloudapi.cn/runs") as place:
        assert place.endpoint == "https://contoso.blob.core.chinacloudapi.cn/"
        assert place.identity == kind
        assert SECRET not in repr(place)
