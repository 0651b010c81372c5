"""Whether an archive can be rewritten is read from what the services show, and what they do not show is unknown.

Azurite has no immutability policies, so a server of a few lines shows Azure's documented headers to Azure's own client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from runbook_lib.evidence.archive import store
from runbook_lib.evidence.archive.immutability import DENIED, Hold, Immutability, of_s3_bucket, of_s3_object

KEY = "bm90IGEga2V5IG9mIGFueWJvZHk="
UNTIL = "Wed, 22 Nov 2028 18:00:00 GMT"
SHOWN = {"policy": "x-ms-has-immutability-policy", "hold": "x-ms-has-legal-hold"}
VERSIONS = "x-ms-immutable-storage-with-versioning-enabled"
BLOB_UNTIL, BLOB_MODE = "x-ms-immutability-policy-until-date", "x-ms-immutability-policy-mode"


def container(policy: str = "false", hold: str = "false", versions: str = "false") -> dict[str, str]:
    """Return the headers of Get Container Properties."""
    return {SHOWN["policy"]: policy, SHOWN["hold"]: hold, VERSIONS: versions}


Azure = Callable[[Mapping[str, str], Mapping[str, str], int], Immutability]


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    """What shows such headers of a container and a blob, and returns how firmly the blob is said to be kept."""
    shown: dict[str, Any] = {}

    class Door(BaseHTTPRequestHandler):
        def answer(self) -> None:
            part = "container" if "restype=container" in self.path else "blob"
            self.send_response(shown["status"] if part == "container" else 200)
            fixed = {"Last-Modified": UNTIL, "ETag": '"1"', "Content-Length": "0", "x-ms-blob-type": "BlockBlob"}
            for name, value in (fixed | dict(shown[part])).items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_HEAD = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Door) as server:
        address = f"http://127.0.0.1:{server.server_port}/acct"
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING", f"AccountName=acct;AccountKey={KEY};BlobEndpoint={address};"
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def look(place: Mapping[str, str], blob: Mapping[str, str], status: int = 200) -> Immutability:
            shown.update(container=place, blob=blob, status=status)
            with store.opened("az://evidence/runs") as opened:
                return opened.immutability("contoso/a.txt" if blob else "")

        yield look
        server.shutdown()
        thread.join()


LOCKED = {BLOB_UNTIL: UNTIL, BLOB_MODE: "locked"}
UNLOCKED = {BLOB_UNTIL: UNTIL, BLOB_MODE: "unlocked"}
PLAIN = {"x-ms-access-tier": "Hot"}
AZURE: list[tuple[Mapping[str, str], Mapping[str, str], int, Hold, str]] = [
    (container(), {}, 200, Hold.NONE, "no retention policy"),
    (container(policy="true"), {}, 200, Hold.IN_FORCE, "Whether it is locked"),
    (container(hold="true"), {}, 200, Hold.IN_FORCE, "legal hold"),
    (container(versions="true"), {}, 200, Hold.UNKNOWN, "not shown"),
    ({}, {}, 200, Hold.UNKNOWN, "does not say"),
    ({}, {}, 403, Hold.UNKNOWN, "may not read"),
    (container(policy="true"), PLAIN, 200, Hold.IN_FORCE, "The container"),
    (container(versions="true"), PLAIN, 200, Hold.NONE, "this one has no policy"),
    (container(versions="true"), LOCKED, 200, Hold.LOCKED, "until 2028-11-22"),
    (container(versions="true"), UNLOCKED, 200, Hold.IN_FORCE, "unlocked"),
    (container(versions="true"), {"x-ms-legal-hold": "true"}, 200, Hold.IN_FORCE, "legal hold"),
    ({}, PLAIN, 200, Hold.UNKNOWN, "does not say"),
    ({}, PLAIN, 403, Hold.UNKNOWN, "may not read"),
    ({}, LOCKED, 403, Hold.LOCKED, "until 2028-11-22"),
]


@pytest.mark.parametrize(("place", "blob", "status", "hold", "words"), AZURE)
def test_azures_headers_say_how_firmly_an_object_is_kept(
    azure: Azure, place: Mapping[str, str], blob: Mapping[str, str], status: int, hold: Hold, words: str
) -> None:
    found = azure(place, blob, status)
    assert (found.hold, words in found.words) == (hold, True), found


def rule(**retention: Any) -> dict[str, Any]:
    """Return an ObjectLockConfiguration."""
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}


@pytest.mark.parametrize(
    ("configuration", "hold", "words"),
    [
        ({}, Hold.NONE, "no Object Lock"),
        ({"ObjectLockEnabled": "Enabled"}, Hold.NONE, "no default retention"),
        (rule(Mode="COMPLIANCE", Days=30), Hold.LOCKED, "30 days"),
        (rule(Mode="COMPLIANCE", Years=7), Hold.LOCKED, "7 years"),
        (rule(Mode="GOVERNANCE", Days=30), Hold.IN_FORCE, "s3:BypassGovernanceRetention"),
    ],
)
def test_a_buckets_object_lock_says_how_firmly_new_objects_are_kept(
    configuration: Mapping[str, Any], hold: Hold, words: str
) -> None:
    found = of_s3_bucket(configuration)
    assert (found.hold, words in found.words) == (hold, True), found


DATE = datetime(2028, 11, 22, 18, tzinfo=UTC)
BUCKET = of_s3_bucket(rule(Mode="COMPLIANCE", Days=30))


@pytest.mark.parametrize(
    ("shown", "bucket", "hold"),
    [
        ({"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": DATE}, DENIED, Hold.LOCKED),
        ({"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": DATE}, BUCKET, Hold.IN_FORCE),
        ({"ObjectLockLegalHoldStatus": "ON"}, of_s3_bucket({}), Hold.IN_FORCE),
        ({"ObjectLockLegalHoldStatus": "OFF"}, of_s3_bucket({}), Hold.NONE),
        ({}, BUCKET, Hold.UNKNOWN),
        ({}, DENIED, Hold.UNKNOWN),
    ],
)
def test_an_objects_retention_counts_and_not_its_buckets(
    shown: Mapping[str, Any], bucket: Immutability, hold: Hold
) -> None:
    assert of_s3_object(shown, bucket).hold is hold
