"""Where sealed runs are kept for good: Azure Blob, S3 or a folder. What is there is never replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import bagit
from runbook_lib.evidence.archive.immutability import Hold, Immutability
from runbook_lib.runs import folder

AZURE, S3 = ("abfs", "abfss", "az"), ("s3",)
WRITE_LIKE = (
    "Write az://CONTAINER/PATH, abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, s3://BUCKET/PATH or a folder."
)

CREDENTIAL = re.compile(r"(?i)\b(AccountKey|SharedAccessSignature|sig)=")
"""What a connection string or a signature holds: https://learn.microsoft.com/azure/storage/common/storage-sas-overview."""
AZURE_HOST = re.compile(
    r"[a-z0-9]+\.(dfs|blob)\.core\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)"
    r"|[a-z0-9]+\.z\d\d\.(dfs|blob)\.storage\.azure\.net"
)
"""Hosts that Microsoft runs: https://learn.microsoft.com/azure/storage/common/storage-account-overview."""

NO_CREDENTIAL = "Leave it away; credentials come from the environment (AZURE_STORAGE_*, AWS_*). See docs/archive.md."


class Store(Protocol):
    """A place for objects by path; every method raises ArchiveError when the place refuses or does not answer."""

    @property
    def url(self) -> str:
        """Return the address, good from anywhere."""

    @property
    def endpoint(self) -> str:
        """Return whose service it is."""

    @property
    def identity(self) -> str:
        """Return what kind of credential it was opened with."""

    def create(self, path: str, content: bytes) -> None:
        """Keep `content` at `path`; raise FileExistsError, and change nothing, when something is there."""

    def read(self, path: str) -> bytes:
        """Return the bytes at `path`, as they are kept there now; raise ArchiveError when there are none."""

    def names(self, under: str) -> list[str]:
        """Return the path, from `under`, of every object below it."""

    def immutability(self, path: str = "", /) -> Immutability:
        """Return what keeps the place, or the object at `path`, from being changed."""


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """Open the place at `url`; raise UsageError for an address that names none or carries a credential.

    Raises ArchiveError when the place does not exist, refuses or does not answer.
    """
    if CREDENTIAL.search(url):
        raise UsageError("The address carries a credential.", NO_CREDENTIAL)
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("", "file"):
        yield Folder(_path(url) if scheme else Path(url).expanduser())
    elif scheme in (*AZURE, *S3):
        _check(url)
        from runbook_lib.evidence.archive import azure_blob, s3

        with (azure_blob.azure if scheme in AZURE else s3.s3)(url) as cloud:
            yield cloud
    else:
        raise UsageError(f"{scheme}:// is no archive that this runbook knows.", WRITE_LIKE)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    host = "" if parts.netloc.lower() in ("", "localhost") else f"//{parts.netloc}"
    if host and os.name != "nt":
        raise UsageError(f"{url} names another computer's folder.", "Mount the share and name the folder.")
    return Path(url2pathname(host + parts.path))


def _check(url: str) -> None:
    """Refuse an address that opens anything, as it stands in logs, or that would take our token to a stranger."""
    parts = urlsplit(url)
    keyed = parts.password is not None or (parts.scheme == "s3" and parts.username is not None)
    if keyed or parts.query or parts.fragment:
        raise UsageError(f"The {parts.scheme}:// address carries a credential or a query.", NO_CREDENTIAL)
    if not parts.hostname:
        raise UsageError(f"{url} names no container or bucket.", WRITE_LIKE)
    if "@" in parts.netloc and not AZURE_HOST.fullmatch(parts.hostname):
        remedy = f"{WRITE_LIKE} For a host of your own name it in AZURE_STORAGE_CONNECTION_STRING, and write az://."
        raise UsageError(f"{parts.hostname} is not Azure's, so no sign-in is sent there.", remedy)


PARTS = ".parts"
"""Where files of a folder's archive are written before they are linked into place: a run holds its own files alone."""
ABANDONED = 3600
"""A temporary file that nobody has written to for so many seconds was left by a push that was killed."""


class Folder:
    """A folder, on this computer or a share."""

    endpoint = "file system"
    identity = "the account that runs this"

    def __init__(self, place: Path) -> None:
        """Open a folder that is there: a share that is not mounted would be an archive on the wrong disk."""
        if not place.is_dir():
            raise ArchiveError(f"There is no folder {place}.", "Make it, or mount the share it lies on.")
        self.place = place.absolute()
        self.url = self.place.as_uri()

    def create(self, path: str, content: bytes) -> None:
        """Write the file in one piece; FileExistsError when it is there."""
        try:
            folder.write_new(self.place / path, content, self.place / PARTS)
        except ArchiveError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise error.__cause__ from None
            raise ArchiveError(
                error.message, "Free space or correct the permissions there, then push again."
            ) from error

    def sweep(self, run: str) -> None:
        """Take away what pushes that were killed left behind: their temporary files, and nothing else."""
        try:
            for place in (self.place / PARTS, self.place / run):
                folder.sweep(place, ABANDONED)
        except OSError as error:
            raise _unreadable(Path(error.filename or self.place), error) from error

    def read(self, path: str) -> bytes:
        """Return the file's bytes."""
        try:
            return folder.content(self.place / path)
        except OSError as error:
            raise _unreadable(self.place / path, error) from error

    def names(self, under: str) -> list[str]:
        """Return every file below `under`; a share that fails is no empty folder."""
        top = self.place / under
        try:
            return sorted(path.relative_to(top).as_posix() for path in bagit.files(top))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(top, error) from error

    def immutability(self, _path: str = "", /) -> Immutability:
        """Say that nothing can be said."""
        return Immutability(
            Hold.UNKNOWN, "A folder does not show whether its files can be changed; ask whoever runs the storage."
        )


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    remedy = "Correct the permissions, or mount the share again; then repeat the command."
    return ArchiveError(f"{path} cannot be read: {error.strerror}.", remedy)
