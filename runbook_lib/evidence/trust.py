"""Whose signatures count."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trust:
    """Who vouches for a seal: the SSH key that signs, whose signatures count, the time stamp authority and its CA."""

    key: Path | None = None
    signers: Path | None = None
    authority: str = ""
    authority_ca: Path | None = None


def trust(key: Path | None = None, signers: Path | None = None) -> Trust:
    """Return what the environment says, RUNBOOK_SIGNING_KEY and its like, unless it is said here."""
    return Trust(
        key or _named("RUNBOOK_SIGNING_KEY"),
        signers or _named("RUNBOOK_ALLOWED_SIGNERS"),
        os.environ.get("RUNBOOK_TIMESTAMP_AUTHORITY", ""),
        _named("RUNBOOK_TIMESTAMP_CA"),
    )


def _named(variable: str) -> Path | None:
    return Path(value).expanduser() if (value := os.environ.get(variable)) else None
