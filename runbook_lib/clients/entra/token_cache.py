"""The one home of msal_extensions: a person's sign-in kept encrypted on this machine, or not kept at all.

Encrypted by the operating system for the user's account: DPAPI on Windows, the Keychain on macOS, libsecret on Linux.
https://learn.microsoft.com/entra/msal/python/advanced/msal-python-token-cache-serialization (2024-02-07)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from runbook_lib.errors import UsageError
from runbook_lib.model import Json, Tenant

NAME = "spaceiq-calendar-runbook"
SWITCH = "RUNBOOK_TOKEN_CACHE"
"""The environment variable that, set to `memory`, keeps every sign-in in memory."""
ENDING = ".tokens"
NOTHING = "{}"
NO_STORE = "this system offers no encrypted store"


class Encryptor(Protocol):
    """What saves and loads one text, encrypted; msal_extensions' persistences are of this shape."""

    is_encrypted: bool

    def save(self, content: str) -> object:
        """Keep `content` in place of what was kept."""

    def load(self) -> str:
        """Return what was kept; raises OSError when that is nothing, or unreadable."""


Encrypt = Callable[[str], Encryptor]
"""What makes an Encryptor for a file's path; raises anything where the system cannot encrypt."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept sign-in: whose, to which tenant, through which app."""

    accounts: tuple[str, ...]
    tenant_id: str
    client_id: str
    file: Path


@dataclass(frozen=True, slots=True)
class Store:
    """Where a tenant's sign-in by one app is kept; `why_not` says why it is not kept on disk, empty when it is."""

    file: Path
    why_not: str = ""
    encryptor: Encryptor | None = field(default=None, repr=False)

    def load(self) -> str:
        """Return what was kept, empty when nothing (readable) is."""
        if self.encryptor is None or not self.file.exists():
            return ""
        try:
            return str(self.encryptor.load())
        except Exception:  # another machine's or account's, half written, a locked keyring: the person is asked again
            return ""

    def save(self, content: str) -> str:
        """Keep `content`, readable for this user only; return why that was not possible, empty when it was."""
        if self.encryptor is None:
            return self.why_not
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.parent.chmod(0o700)
            os.close(os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600))  # the encryptor would make it with any mode
            self.encryptor.save(content)
        except Exception as error:
            return _no_store(error)
        return ""


def _no_store(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{NO_STORE} ({first or type(error).__name__})"


def folder() -> Path:
    """Return this user's folder for what the runbook keeps between its runs, by the platform's convention."""
    return Path(platformdirs.user_state_path(NAME, appauthor=False))


def encrypted(path: str) -> Encryptor:
    """Return the operating system's encrypted store for `path`; raises what msal_extensions raises without one."""
    import msal_extensions  # type: ignore[import-untyped, unused-ignore]

    persistence: Encryptor = msal_extensions.build_encrypted_persistence(path)
    return persistence


def store(tenant: Tenant, encrypt: Encrypt | None = None) -> Store:
    """Return where the sign-in to `tenant` by the app of its tenant file is kept."""
    file = folder() / "sign-ins" / f"{tenant.tenant_id}.{tenant.sign_in.client_id.lower()}{ENDING}"
    if os.environ.get(SWITCH, "").lower() == "memory":
        return Store(file, f"{SWITCH} says memory")
    return _store(file, encrypt)


def _store(file: Path, encrypt: Encrypt | None) -> Store:
    try:
        encryptor = (encrypt or encrypted)(str(file))
    except Exception as error:  # each system refuses with a class of its own
        return Store(file, _no_store(error))
    if not encryptor.is_encrypted:
        return Store(file, NO_STORE)
    return Store(file, "", encryptor)


def why_not(encrypt: Encrypt | None = None) -> str:
    """Return why no sign-in can be kept on this machine, empty when it can."""
    return _store(folder() / "sign-ins" / "probe", encrypt).why_not


def kept(tenant_id: str = "", encrypt: Encrypt | None = None) -> Iterator[Kept]:
    """Yield every sign-in that is kept on this machine, of one tenant or of all."""
    for file in sorted((folder() / "sign-ins").glob(f"*{ENDING}")):
        tenant, _, client = file.name.removesuffix(ENDING).partition(".")
        if tenant == tenant_id or not tenant_id:
            yield Kept(_accounts(_store(file, encrypt).load()), tenant, client, file)


def forget(one: Kept, encrypt: Encrypt | None = None) -> None:
    """Remove a kept sign-in from this machine, from the Keychain or libsecret too.

    Raises UsageError when it cannot be removed: without its file nobody would know what the keyring still holds.
    """
    why_not = _store(one.file, encrypt).save(NOTHING)  # the file alone would leave the secret in the keyring
    if why_not and sys.platform != "win32":  # there the file is all there is
        remedy = f"Unlock the keyring (sign in at the desktop), then again; or remove it there, and {one.file}."
        raise UsageError(f"The sign-in to {one.tenant_id} stays in the keyring: {why_not}.", remedy)
    try:
        one.file.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{one.file} cannot be removed: {error.strerror}.", "Remove it by hand.") from error


def _accounts(content: str) -> tuple[str, ...]:
    """Return the names in msal's cache: https://learn.microsoft.com/entra/msal/ (unified cache schema)."""
    try:
        cache: Any = json.loads(content or NOTHING)
    except ValueError:
        return ()
    rows: list[Json] = list((cache.get("Account") or {}).values())
    return tuple(sorted({row.get("username", "") for row in rows} - {""}))
