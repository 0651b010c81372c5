"""What a container of Azure Blob and a bucket of S3 have in common: objects by path, none ever replaced.

A second write under `If-None-Match: *` is refused by both services:
https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Credentials come from the environment,
and from nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence.archive.immutability import Immutability

SECRET = re.compile(r"(?i)(AccountKey|SharedAccess\w+|sig|secret|token|password)(\s*[=:]\s*)[^\s&;,]+")
SECRET_VARIABLES = re.compile(r"(AZURE|AWS)_\w*(KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING)")
SECONDS, TRIES = 10, 2
"""How long a service may take to accept a connection, and how often it is asked again."""


class Service(Protocol):
    """One container or bucket, by its own library; FileNotFoundError for what is not there."""

    @property
    def broken(self) -> tuple[type[Exception], ...]:
        """Return what its library raises when the service refuses or does not answer."""

    def put(self, key: str, content: bytes) -> None:
        """Upload a new object; raise FileExistsError when there is one."""

    def get(self, key: str) -> bytes:
        """Download an object."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the key of every object whose key begins so."""

    def look(self, key: str) -> Immutability:
        """Return what keeps the container from being changed, or the object when `key` names one."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A container or bucket, and a path in it."""

    url: str
    endpoint: str
    identity: str
    root: str
    service: Service

    def create(self, path: str, content: bytes) -> None:
        """Upload a new object; FileExistsError when there is one."""
        with self._told(path):
            self.service.put(self._at(path), content)

    def read(self, path: str) -> bytes:
        """Download the object."""
        with self._told(path):
            return self.service.get(self._at(path))

    def names(self, under: str) -> list[str]:
        """List the objects below `under`."""
        top = self._at(under)
        with self._told(""):
            return sorted(found.removeprefix(f"{top}/") for found in self.service.keys(f"{top}/" if top else ""))

    def immutability(self, path: str = "", /) -> Immutability:
        """Ask for the container's policy, or the object's."""
        with self._told(path):
            return self.service.look(self._at(path) if path else "")

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}".strip("/")

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            place = urlsplit(self.url)
            what = (
                f"{self.url.rstrip('/')} has no {path}."
                if path
                else (f"There is no container or bucket {place.username or place.hostname}.")
            )
            remedy = "Name one that exists: this runbook makes no container or bucket, and restores nothing by itself."
            raise ArchiveError(what, remedy) from error
        except self.service.broken as error:
            raise refused(self.url, error) from error


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


def shown(address: str) -> str:
    """Return a service's address without what in it may open anything."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def absent(error: ImportError) -> UsageError:
    """Say which package an archive in the cloud needs, and how it comes here."""
    return UsageError(f"Archives in the cloud need {error.name}, which is not installed.", "python runbook.py extras")
