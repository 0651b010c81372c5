"""An Azure Blob container as archive. The one home of azure-storage-blob."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.evidence.archive import immutability as judged
from runbook_lib.evidence.archive.immutability import DENIED, Immutability
from runbook_lib.evidence.archive.object_store import SECONDS, TRIES, Cloud, absent, shown

FORBIDDEN = 403
LIMITS = {"connection_timeout": SECONDS, "retry_total": TRIES}
SERVICE_PRINCIPAL = ("AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_CLIENT_ID", "AZURE_STORAGE_CLIENT_SECRET")
FOLDER = "hdi_isfolder"
"""How an account with a hierarchical namespace marks what is a folder and no object:
https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-known-issues
"""


@contextmanager
def azure(url: str) -> Iterator[Cloud]:
    """Open a container; the account is the address's or the environment's, national clouds are told by their host."""
    try:
        from azure.core.exceptions import AzureError
        from azure.storage.blob import BlobServiceClient
    except ImportError as error:
        raise absent(error) from error
    parts = urlsplit(url)
    container, host = (parts.username or "", parts.hostname or "") if "@" in parts.netloc else (parts.netloc, "")
    with ExitStack() as open_until:
        service, identity = _service(BlobServiceClient, url, host.replace(".dfs.", ".blob."), open_until)
        account = host.partition(".")[0]
        if account and service.account_name != account:
            what = f"The address names the account {account}, AZURE_STORAGE_CONNECTION_STRING {service.account_name}."
            raise UsageError(what, "Unset the variable, or name its account.")
        broken = (OSError, ValueError, AzureError)
        held = Container(service.get_container_client(container), broken)
        yield Cloud(url, shown(service.url), identity, parts.path.strip("/"), held)


def _service(kind: Any, url: str, host: str, open_until: ExitStack) -> tuple[Any, str]:
    """Return the account's client and with what it signs in: the first of what the environment offers."""
    if connection := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        try:
            client = kind.from_connection_string(connection, **LIMITS)
        except ValueError as error:
            raise _unsaid(url) from error
        return open_until.enter_context(client), "connection string"
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if not host and not account:
        raise _unsaid(url)
    credential, identity = _credential(open_until)
    address = f"https://{host or f'{account}.blob.core.windows.net'}"
    return open_until.enter_context(kind(address, credential=credential, **LIMITS)), identity


def _credential(open_until: ExitStack) -> tuple[Any, str]:
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    given = os.environ.get
    if all(map(given, SERVICE_PRINCIPAL)):
        tenant, client, secret = (os.environ[name] for name in SERVICE_PRINCIPAL)
        return open_until.enter_context(ClientSecretCredential(tenant, client, secret)), "service principal"
    if key := given("AZURE_STORAGE_ACCOUNT_KEY"):
        return key, "account key"
    if signature := given("AZURE_STORAGE_SAS_TOKEN"):
        return signature, "shared access signature"
    if given("AZURE_STORAGE_ANON", "").lower() in ("true", "1"):
        return None, "anonymous"
    return open_until.enter_context(DefaultAzureCredential()), "Azure default credential"


def _unsaid(url: str) -> UsageError:
    remedy = "Set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING. See docs/archive.md."
    return UsageError(f"The environment does not say, or not rightly, how to sign in at {url}.", remedy)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, by its ContainerClient."""

    client: Any
    broken: tuple[type[Exception], ...]

    def put(self, key: str, content: bytes) -> None:
        """Upload a new blob."""
        from azure.core.exceptions import ResourceExistsError

        with _there(key):
            try:
                self.client.upload_blob(key, content, overwrite=False)
            except ResourceExistsError as error:
                raise FileExistsError(key) from error

    def get(self, key: str) -> bytes:
        """Download a blob."""
        with _there(key):
            content: bytes = self.client.download_blob(key).readall()
            return content

    def keys(self, prefix: str) -> Iterator[str]:
        """List blobs, and no folders."""
        with _there(prefix):
            for blob in self.client.list_blobs(name_starts_with=prefix, include=["metadata"]):
                if FOLDER not in (blob.metadata or {}):
                    yield blob.name

    def look(self, key: str) -> Immutability:
        """Judge the container's properties, or the blob's."""
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

        with _there(key):
            try:
                whole = judged.of_azure_container(self.client.get_container_properties(retry_total=0))
            except ResourceNotFoundError:
                raise
            except HttpResponseError as error:
                if error.status_code != FORBIDDEN:
                    raise
                whole = DENIED  # a signature for the container may list and write, yet not see its properties
            return judged.of_azure_blob(self.client.get_blob_client(key).get_blob_properties(), whole) if key else whole


@contextmanager
def _there(key: str) -> Iterator[None]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        yield
    except ResourceNotFoundError as error:
        raise FileNotFoundError(key) from error
