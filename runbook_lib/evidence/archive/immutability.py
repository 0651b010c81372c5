"""What keeps an archived object from being changed or deleted, judged from what the service shows to whoever pushes.

A policy that somebody can still lift is told apart from one that nobody can. Azure,
https://learn.microsoft.com/azure/storage/blobs/immutable-storage-overview; S3,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Hold(StrEnum):
    """How firmly an object is kept."""

    LOCKED = "locked"
    """Nobody can change or delete it before its date."""
    IN_FORCE = "in force"
    """It cannot be changed or deleted now; whoever may lift the policy could, as far as is shown."""
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Immutability:
    """How firmly a place or an object is kept, and what was seen, as a sentence."""

    hold: Hold
    words: str


DENIED = Immutability(Hold.UNKNOWN, "These credentials may not read whether objects can be changed.")
VERSIONED = Immutability(
    Hold.UNKNOWN,
    "Versions can be made immutable in this container; whether new ones are is not shown before there is one.",
)


def of_azure_container(shown: Any) -> Immutability:
    """Judge a container by its properties, as azure.storage.blob.ContainerProperties names them.

    https://learn.microsoft.com/rest/api/storageservices/get-container-properties: it says that there is a policy, not
    whether it is locked or for how long; nor what new versions get by default.
    """
    if shown.has_immutability_policy:
        words = (
            "The container has a retention policy. Whether it is locked is shown only to those who manage the account."
        )
        return Immutability(Hold.IN_FORCE, words)
    if shown.has_legal_hold:
        return Immutability(Hold.IN_FORCE, "The container is under a legal hold, until somebody clears it.")
    if shown.immutable_storage_with_versioning_enabled:
        return VERSIONED
    if shown.has_immutability_policy is None:
        return Immutability(Hold.UNKNOWN, "The service does not say whether the container has a retention policy.")
    return Immutability(Hold.NONE, "The container has no retention policy and no legal hold.")


def of_azure_blob(shown: Any, container: Immutability) -> Immutability:
    """Judge a blob by its properties, as azure.storage.blob.BlobProperties names them, else by its container.

    https://learn.microsoft.com/rest/api/storageservices/get-blob-properties
    """
    policy = shown.immutability_policy
    if policy and policy.expiry_time:
        if str(policy.policy_mode).lower() == "locked":
            return Immutability(Hold.LOCKED, f"Kept by a locked policy until {_day(policy.expiry_time)}.")
        return Immutability(Hold.IN_FORCE, f"Kept by an unlocked policy until {_day(policy.expiry_time)}.")
    if shown.has_legal_hold:
        return Immutability(Hold.IN_FORCE, "Under a legal hold, until somebody clears it.")
    if container is VERSIONED:
        return Immutability(Hold.NONE, "The container allows immutable versions, but this one has no policy.")
    return container


def of_s3_bucket(configuration: Mapping[str, Any]) -> Immutability:
    """Judge a bucket by its ObjectLockConfiguration, empty when it has none.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLockConfiguration.html
    """
    if configuration.get("ObjectLockEnabled") != "Enabled":
        return Immutability(Hold.NONE, "The bucket has no Object Lock.")
    rule = configuration.get("Rule", {}).get("DefaultRetention", {})
    if not rule:
        words = "The bucket has Object Lock, but no default retention: new objects are not kept."
        return Immutability(Hold.NONE, words)
    length = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
    return _s3_mode(rule.get("Mode"), f"New objects are kept for {length}")


def of_s3_object(shown: Mapping[str, Any], bucket: Immutability) -> Immutability:
    """Judge an object by what HeadObject shows, which leaves the retention out for who may not see it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    if mode := shown.get("ObjectLockMode"):
        return _s3_mode(mode, f"Kept until {_day(shown['ObjectLockRetainUntilDate'])}")
    if shown.get("ObjectLockLegalHoldStatus") == "ON":
        return Immutability(Hold.IN_FORCE, "Under a legal hold, until somebody lifts it.")
    if bucket.hold is Hold.NONE:
        return bucket
    return Immutability(
        Hold.UNKNOWN, "No retention is shown; without s3:GetObjectRetention there would be none to see."
    )


def _s3_mode(mode: str | None, kept: str) -> Immutability:
    if mode == "COMPLIANCE":
        return Immutability(Hold.LOCKED, f"{kept}, in compliance mode.")
    return Immutability(Hold.IN_FORCE, f"{kept}, in governance mode: s3:BypassGovernanceRetention lifts it.")


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
