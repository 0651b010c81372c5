"""Containers of Azure Blob and buckets of S3, as they are seen through adlfs and s3fs. The one home of fsspec.

A second write under `If-None-Match: *` is refused by both services, so nothing is ever replaced:
https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Credentials come from the environment as
adlfs (AZURE_STORAGE_*, else azure-identity's chain) and botocore (AWS_*, profile, role) read it, and from nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence.archive.immutability import Immutability

SECRET = re.compile(r"(?i)(AccountKey|SharedAccess\w+|sig|secret|token|password)(\s*[=:]\s*)[^\s&;,]+")
SECRET_VARIABLES = re.compile(r"(AZURE|AWS)_\w*(KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING)")
UNLOCKED = ("ObjectLockConfigurationNotFoundError", "NotImplemented")
"""How S3, or what speaks like it, says that a bucket has no lock."""
SECONDS = 10
"""How long a service may take to accept a connection."""


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


def _s3_code(error: OSError) -> str:
    """Return S3's own code of an error that s3fs translated."""
    reply = getattr(error.__cause__, "response", None)
    return str(reply["Error"].get("Code", "")) if isinstance(reply, dict) else ""
