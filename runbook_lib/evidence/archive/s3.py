"""An S3 bucket as archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import UsageError
from runbook_lib.evidence.archive import immutability as judged
from runbook_lib.evidence.archive.immutability import DENIED, Immutability
from runbook_lib.evidence.archive.object_store import SECONDS, UNLOCKED, Cloud, _absent, _s3_code, _shown, refused


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
