"""An S3 bucket as archive, or a bucket of what speaks like it. The one home of boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.evidence.archive import immutability as judged
from runbook_lib.evidence.archive.immutability import DENIED, Immutability
from runbook_lib.evidence.archive.object_store import SECONDS, TRIES, Cloud, absent, refused, shown

UNLOCKED = ("ObjectLockConfigurationNotFoundError", "NotImplemented")
"""How S3, or what speaks like it, says that a bucket has no lock."""
THERE = ("PreconditionFailed", "ConditionalRequestConflict")
"""How it says that an object exists already, or is being made by somebody else right now."""
ABSENT = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
REFUSED = ("AccessDenied", "403", "Forbidden")


@contextmanager
def s3(url: str) -> Iterator[Cloud]:
    """Open a bucket; AWS_ENDPOINT_URL_S3 names another service that speaks S3."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise absent(error) from error
    broken = (OSError, ValueError, BotoCoreError, ClientError)
    parts = urlsplit(url)
    try:
        session = boto3.Session()
        held = session.get_credentials()
        client = session.client("s3", config=Config(connect_timeout=SECONDS, retries={"max_attempts": TRIES}))
    except broken as error:
        raise refused(url, error) from error
    with closing(client):
        if held is None:
            raise UsageError("There are no AWS credentials.", "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret.")
        identity = f"AWS credentials from {held.method}"
        bucket = Bucket(client, parts.netloc, broken)
        yield Cloud(url, shown(client.meta.endpoint_url), identity, parts.path.strip("/"), bucket)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket, by boto3's client."""

    client: Any
    name: str
    broken: tuple[type[Exception], ...]

    def put(self, key: str, content: bytes) -> None:
        """Upload a new object."""
        with _there(key):
            self.client.put_object(Bucket=self.name, Key=key, Body=content, IfNoneMatch="*")

    def get(self, key: str) -> bytes:
        """Download an object."""
        with _there(key):
            content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
            return content

    def keys(self, prefix: str) -> Iterator[str]:
        """List objects, page by page."""
        with _there(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                yield from (found["Key"] for found in page.get("Contents", ()))

    def look(self, key: str) -> Immutability:
        """Judge the bucket's lock, or the object's."""
        with _there(key):
            whole = self._lock()
            return judged.of_s3_object(self.client.head_object(Bucket=self.name, Key=key), whole) if key else whole

    def _lock(self) -> Immutability:
        from botocore.exceptions import ClientError

        try:
            answer = self.client.get_object_lock_configuration(Bucket=self.name)
        except ClientError as error:
            if _code(error) in REFUSED:
                return DENIED
            if _code(error) not in UNLOCKED:
                raise
            return judged.of_s3_bucket({})
        return judged.of_s3_bucket(answer["ObjectLockConfiguration"])


@contextmanager
def _there(key: str) -> Iterator[None]:
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if _code(error) in ABSENT:
            raise FileNotFoundError(key) from error
        if _code(error) in THERE:
            raise FileExistsError(key) from error
        raise


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
