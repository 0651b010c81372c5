"""What Entra remembers between requests: codes, refresh tokens, device codes, and people in the middle of a page."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

Value = TypeVar("Value")
KEPT = 10_000  # of each kind, the oldest are forgotten


@dataclass
class Approval:
    """How pages answer when nobody clicks: `auto` skips them; `account` is who, `answer` accept or cancel."""

    auto: bool = True
    account: str | None = None
    answer: str = "accept"


@dataclass
class Code:
    """An authorization code that was sent to a redirect URI."""

    tenant_id: str
    app_id: str
    user_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    challenge: str
    method: str
    expires: datetime
    redeemed: bool = False


@dataclass
class RefreshToken:
    """A refresh token: for one app and one user, for any resource."""

    tenant_id: str
    app_id: str
    user_id: str
    issued: datetime
    by_device_code: bool = False


@dataclass
class DeviceCode:
    """A device code; `answer` is pending, approved, declined or redeemed, `refusal` what a declined one is told."""

    tenant_name: str
    app_id: str
    scope: str
    expires: datetime
    user_code: str
    answer: str = "pending"
    refusal: Exception | None = None
    tenant_id: str = ""
    user_id: str = ""
    polled: bool = False


@dataclass
class Pending:
    """A person between two pages: the request that brought him here, who he says he is, what he answered.

    `kind` is authorize, device or adminconsent; `answer` is nothing yet, accept or cancel.
    """

    kind: str
    tenant_name: str
    path: str
    parameters: dict[str, str]
    account: str = ""
    answer: str = ""
    on_behalf: bool = False


@dataclass
class SignIns:
    """All that sign-in remembers; gone after a reset."""

    codes: dict[str, Code] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    devices: dict[str, DeviceCode] = field(default_factory=dict)
    user_codes: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Pending] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)


def remember(store: dict[str, Value], key: str, value: Value) -> str:
    """Keep a value under its key and answer the key; the oldest value goes when there are too many."""
    if len(store) >= KEPT:
        del store[next(iter(store))]
    store[key] = value
    return key


def opaque(prefix: str = "1.A") -> str:
    """A value that nobody can guess, in the form of Entra's codes."""
    return f"{prefix}{secrets.token_urlsafe(96)}"
