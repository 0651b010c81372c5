"""An Azure Blob container as archive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.evidence.archive import immutability as judged
from runbook_lib.evidence.archive.immutability import DENIED, Immutability
from runbook_lib.evidence.archive.object_store import SECONDS, Cloud, _absent, _shown

FORBIDDEN = 403


LEASE_SECONDS = 60
"""How long Azure keeps a lease that nobody renews, which is the longest but for ever."""


HELD = (409, 412)
"""Azure's answers about a lease that is another one's: the page of Lease."""


@contextmanager
def azure(url: str) -> Iterator[Cloud]:
    """Open a container; the account is the address's or the environment's, national clouds are told by their host."""
    try:
        from adlfs import AzureBlobFileSystem
        from azure.core.exceptions import AzureError
        from fsspec.asyn import sync
    except ImportError as error:
        raise _absent(error) from error
    parts = urlsplit(url)
    container, host = (parts.username, parts.hostname or "") if "@" in parts.netloc else (parts.netloc, "")
    account = host.partition(".")[0]
    named = {"account_name": account, "account_host": host.replace(".dfs.", ".blob.")} if host else {}
    try:
        fs = AzureBlobFileSystem(skip_instance_cache=True, use_listings_cache=False, **named)
    except ValueError as error:
        remedy = "Set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING. See docs/archive.md."
        raise UsageError(f"The environment does not say, or not rightly, how to sign in at {url}.", remedy) from error
    try:
        service = fs.service_client
        if account and service.account_name != account:
            what = f"The address names the account {account}, AZURE_STORAGE_CONNECTION_STRING {service.account_name}."
            raise UsageError(what, "Unset the variable, or name its account.")
        yield Cloud(
            url=url,
            endpoint=_shown(service.url),
            identity=_azure_identity(fs),
            fs=fs,
            root=f"{container}/{parts.path.strip('/')}".rstrip("/"),
            look=lambda path: sync(fs.loop, _azure_look, service, container, path),
            broken=(OSError, ValueError, AzureError),
            lend=lambda path: partial(sync, fs.loop, _azure_lend(service.get_blob_client(container, path))),
        )
    finally:
        sync(fs.loop, _azure_close, fs)


def _azure_identity(fs: Any) -> str:
    """Return what adlfs uses of all that the environment offers, by its own order."""
    if fs.connection_string:
        return "connection string"
    if fs.credential:
        return "service principal" if fs.client_id else "Azure default credential"
    if fs.account_key:
        return "account key"
    return "shared access signature" if fs.sas_token else "anonymous"


async def _azure_look(service: Any, container: str, path: str) -> Immutability:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    place = service.get_container_client(container)
    try:
        whole = judged.of_azure_container(await place.get_container_properties(retry_total=0))
    except ResourceNotFoundError as error:
        raise FileNotFoundError(container) from error
    except HttpResponseError as error:
        if error.status_code != FORBIDDEN:
            raise
        whole = DENIED  # a signature for the container may list and write, yet not see its properties
    if not path:
        return whole
    return judged.of_azure_blob(await place.get_blob_client(path).get_blob_properties(), whole)


def _azure_lend(blob: Any) -> Callable[[str], Awaitable[bool]]:
    """Return what acquires, renews and releases a lease on the blob, and tells whether it was ours to have."""
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
    from azure.storage.blob.aio import BlobLeaseClient

    lease = BlobLeaseClient(blob)

    async def acquire() -> None:
        try:
            await lease.acquire(lease_duration=LEASE_SECONDS)
        except ResourceNotFoundError:
            await blob.upload_blob(b"", overwrite=False)  # HELD: somebody else made it just now
            await lease.acquire(lease_duration=LEASE_SECONDS)

    async def ask(what: str) -> bool:
        try:
            if what == "acquire":
                await acquire()
            else:
                await getattr(lease, what)(retry_total=0, connection_timeout=SECONDS, read_timeout=SECONDS)
        except HttpResponseError as error:
            gone = what != "acquire" and isinstance(error, ResourceNotFoundError)
            if not gone and error.status_code not in HELD:
                raise
            return False
        return True

    return ask


async def _azure_close(fs: Any) -> None:
    await fs.service_client.close()
    if fs.credential:
        await fs.credential.close()
        fs.sync_credential.close()
