"""Containers of Azure Blob and buckets of S3, as they are seen through adlfs and s3fs. The one home of fsspec.

A second write under `If-None-Match: *` is refused by both services, so nothing is ever replaced:
https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Credentials come from the environment as
adlfs (AZURE_STORAGE_*, else azure-identity's chain) and botocore (AWS_*, profile, role) read it, and from nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from runbook_lib import immutability as judged
from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.immutability import DENIED, Immutability

SECRET = re.compile(r"(?i)(AccountKey|SharedAccess\w+|sig|secret|token|password)(\s*[=:]\s*)[^\s&;,]+")
SECRET_VARIABLES = re.compile(r"(AZURE|AWS)_\w*(KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING)")
UNLOCKED = ("ObjectLockConfigurationNotFoundError", "NotImplemented")
"""How S3, or what speaks like it, says that a bucket has no lock."""
FORBIDDEN = 403
SECONDS = 10
"""How long a service may take to accept a connection."""
LEASE_SECONDS = 60
"""How long Azure keeps a lease that nobody renews, which is the longest but for ever."""
HELD = (409, 412)
"""Azure's answers about a lease that is another one's: the page of Lease."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A container or bucket, and a path in it, behind an fsspec file system."""

    url: str
    endpoint: str
    identity: str
    fs: Any
    root: str
    look: Callable[[str], Immutability]
    broken: tuple[type[Exception], ...]
    lend: Callable[[str], Callable[[str], bool]] | None = None

    def create(self, path: str, content: bytes) -> None:
        """Upload a new object; FileExistsError when there is one."""
        with self._told(path):
            try:
                self.fs.pipe_file(self._at(path), content, mode="create")
            except OSError as error:
                if _s3_code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                raise FileExistsError(path) from error

    def read(self, path: str) -> bytes:
        """Download the object."""
        with self._told(path):
            content: bytes = self.fs.cat_file(self._at(path))
            return content

    def names(self, under: str) -> list[str]:
        """List the objects below `under`, asking the service and no cache."""
        top = self._at(under)
        with self._told(under):
            self.fs.invalidate_cache()
            return sorted(found.removeprefix(f"{top}/") for found in self.fs.find(top))

    def immutability(self, path: str = "") -> Immutability:
        """Ask for the container's policy, or the object's."""
        with self._told(path):
            return self.look(self._at(path).partition("/")[2] if path else "")

    def lock(self, path: str) -> Lease | None:
        """Take a lease on the blob; S3 lends none."""
        if self.lend is None:
            remedy = "Use a container of Azure Blob, or a folder on a share; or push the runs later: runbook push."
            raise UsageError(f"{self.url} cannot keep two processes from one tenant: S3 lends no locks.", remedy)
        with self._told(path):
            lease = Lease(self.lend(self._at(path).partition("/")[2]), self._told, path)
            return lease if lease.ask("acquire") else None

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}".strip("/")

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            bucket = self.root.partition("/")[0]
            what = f"{self.url.rstrip('/')} has no {path}." if path else f"There is no container or bucket {bucket}."
            remedy = "Name one that exists: this runbook makes no container or bucket, and restores nothing by itself."
            raise ArchiveError(what, remedy) from error
        except self.broken as error:
            raise refused(self.url, error) from error


@dataclass(frozen=True, slots=True)
class Lease:
    """A blob that Azure lets nobody else hold for LEASE_SECONDS: it becomes free by itself when its holder dies.

    https://learn.microsoft.com/rest/api/storageservices/lease-blob. Where a policy keeps the container from being
    rewritten, a new blob and leases are not among what is prohibited:
    https://learn.microsoft.com/azure/storage/blobs/immutable-container-level-worm-policies
    """

    ask: Callable[[str], bool]
    told: Callable[[str], AbstractContextManager[None]]
    path: str

    def renew(self) -> bool:
        """Hold it for another LEASE_SECONDS, and tell whether it was still ours."""
        with self.told(self.path):
            return self.ask("renew")

    def release(self) -> None:
        """Let the next one have it at once."""
        with self.told(self.path):
            self.ask("release")


def refused(url: str, error: Exception) -> ArchiveError:
    """Say in one redacted line what a service, or the way to it, answered."""
    said = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
    for known in (value for variable, value in os.environ.items() if SECRET_VARIABLES.fullmatch(variable) and value):
        said = said.replace(known, "***")
    remedy = (
        "Check the address, the network, and that the credentials in the environment may list, read and create there; "
        "then push again: what is there already is not sent twice. See docs/archive.md."
    )
    said = SECRET.sub(r"\1\2***", said)[:300].rstrip(".")
    return ArchiveError(f"The archive {url} refused, or did not answer: {said}.", remedy)


def _shown(address: str) -> str:
    """Return a service's address without what in it may open anything."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _absent(error: ImportError) -> UsageError:
    return UsageError(f"Archives in the cloud need {error.name}, which is not installed.", "python runbook.py extras")


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


@contextmanager
def s3(url: str) -> Iterator[Cloud]:
    """Open a bucket; AWS_ENDPOINT_URL_S3 names another service that speaks S3."""
    try:
        from botocore.exceptions import BotoCoreError
        from fsspec.asyn import sync
        from s3fs import S3FileSystem
    except ImportError as error:
        raise _absent(error) from error
    parts = urlsplit(url)
    fs = S3FileSystem(
        skip_instance_cache=True,
        use_listings_cache=False,
        config_kwargs={"connect_timeout": SECONDS, "retries": {"max_attempts": 2}},
    )
    broken = (OSError, ValueError, BotoCoreError)
    try:
        client = fs.connect()
        held = sync(fs.loop, fs.session.get_credentials)
    except broken as error:
        raise refused(url, error) from error
    try:
        if held is None:
            raise UsageError("There are no AWS credentials.", "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret.")
        yield Cloud(
            url=url,
            endpoint=_shown(client.meta.endpoint_url),
            identity=f"AWS credentials from {held.method}",
            fs=fs,
            root=f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/"),
            look=lambda path: _s3_look(fs, parts.netloc, path),
            broken=broken,
        )
    finally:
        sync(fs.loop, client.close)


def _s3_look(fs: Any, bucket: str, path: str) -> Immutability:
    try:
        shown = fs.call_s3("get_object_lock_configuration", Bucket=bucket)
        whole = judged.of_s3_bucket(shown["ObjectLockConfiguration"])
    except PermissionError:
        whole = DENIED
    except OSError as error:
        if _s3_code(error) not in UNLOCKED:
            raise
        whole = judged.of_s3_bucket({})
    return judged.of_s3_object(fs.call_s3("head_object", Bucket=bucket, Key=path), whole) if path else whole


def _s3_code(error: OSError) -> str:
    """Return S3's own code of an error that s3fs translated."""
    reply = getattr(error.__cause__, "response", None)
    return str(reply["Error"].get("Code", "")) if isinstance(reply, dict) else ""
