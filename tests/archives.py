"""Archives to push to: a folder, Azure Blob by Azurite and S3 by moto; and what goes wrong on the way to one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.archive import store
from runbook_lib.evidence.archive.push import Pushed, Wish, push
from runbook_lib.evidence.archive.store import Store
from runbook_lib.evidence.trust import Trust
from tests.programs import program

AZURITE = Path(__file__).parent / "azurite" / "node_modules" / ".bin" / "azurite-blob"
INSTALL = "npm ci --prefix tests/azurite --ignore-scripts --no-audit --no-fund"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's well-known account: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite"""


class Archive(Protocol):
    """A place to push to, and how somebody else writes there, whatever is there."""

    @property
    def url(self) -> str:
        """Return its address."""

    def overwrite(self, path: str, content: bytes) -> None:
        """Put other bytes at a path of the archive."""


@dataclass
class FolderArchive:
    place: Path

    @property
    def url(self) -> str:
        return self.place.as_uri()

    def overwrite(self, path: str, content: bytes) -> None:
        file = self.place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(content)


@dataclass
class AzureArchive:
    url: str
    service: Any

    def overwrite(self, path: str, content: bytes) -> None:
        container, _, prefix = self.url.removeprefix("az://").partition("/")
        self.service.get_blob_client(container, f"{prefix}/{path}").upload_blob(content, overwrite=True)


@dataclass
class S3Archive:
    url: str
    client: Any

    def overwrite(self, path: str, content: bytes) -> None:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self.client.put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=content)


@contextmanager
def running_azurite(place: Path) -> Iterator[str]:
    """Run Azurite and give the connection string of its account."""
    azurite = program("azurite-blob", str(AZURITE), install=INSTALL)
    options = "--blobPort 0 --inMemoryPersistence --skipApiVersionCheck --disableTelemetry"
    with subprocess.Popen([azurite, *options.split()], cwd=place, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        listens = (re.search(r"listens on (http://\S+)", line) for line in process.stdout)
        address = next(found[1] for found in listens if found)
        yield f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address}/{ACCOUNT};"
        process.terminate()


@contextmanager
def new_container(connection: str) -> Iterator[AzureArchive]:
    """Make a container."""
    from azure.storage.blob import BlobServiceClient

    container = f"c{uuid4().hex}"
    with BlobServiceClient.from_connection_string(connection) as service:
        service.create_container(container)
        yield AzureArchive(f"az://{container}/runs", service)


@contextmanager
def running_moto() -> Iterator[str]:
    """Run moto and give its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def new_bucket() -> Iterator[S3Archive]:
    """Make a bucket whose objects are kept for 30 days, where the environment says."""
    import boto3

    bucket = f"b{uuid4().hex}"
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    with closing(boto3.client("s3")) as client:
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
        yield S3Archive(f"s3://{bucket}/runs", client)


def name(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"


def pushed(place: Store, *runs: Path, remove_local: bool = False) -> list[Pushed]:
    return list(push(place, runs, Wish(Trust(), remove_local), clock=lambda: datetime.now(UTC), tell=lambda _: None))


def push_to(archive: Archive, *runs: Path, remove_local: bool = False) -> list[Pushed]:
    with store.opened(archive.url) as place:
        return pushed(place, *runs, remove_local=remove_local)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Frail:
    """A store whose network breaks after so many uploads, and which notes in which order they came."""

    real: Store
    uploads: int
    order: list[str]

    def create(self, path: str, content: bytes) -> None:
        if len(self.order) >= self.uploads:
            raise ArchiveError("The network is gone.", "Push again.")
        self.order.append(path)
        self.real.create(path, content)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.real, attribute)
