"""Where notices go: mail and chat addresses that hold secrets, and never show them. The one home of apprise.

An address is a URL such as mailto:// or slack:// (https://github.com/caronc/apprise/wiki). It comes from the
environment variable RUNBOOK_NOTIFY, or from the file that RUNBOOK_NOTIFY_FILE names, one a line; from nowhere else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.errors import UsageError

VARIABLE, FILE = "RUNBOOK_NOTIFY", "RUNBOOK_NOTIFY_FILE"
PATIENCE_SECONDS = 60
"""How long one address may take."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address: `label` (its number and service) may be shown, `url` may not."""

    label: str
    url: str = field(repr=False)


def addresses() -> tuple[Address, ...]:
    """Return the addresses that the environment names, none if it names none; raise UsageError for a bad file."""
    lines = os.environ.get(VARIABLE, "").split()
    if file := os.environ.get(FILE):
        try:
            written = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The file that {FILE} names cannot be read.", "Name a text file.") from error
        lines += [line.strip() for line in written if line.strip() and not line.lstrip().startswith("#")]
    return tuple(Address(f"{number} {_service(url)}", url) for number, url in enumerate(lines, 1))


def _service(url: str) -> str:
    """Return the scheme, which is no secret; of a line without one, nothing can be shown."""
    scheme, mark, _ = url.partition("://")
    return scheme if mark and scheme.isalnum() else "?"


def room(address: Address) -> int:
    """Return how many letters the service takes; raise UsageError when apprise cannot make sense of the address."""
    return int(_service_of(address).body_maxlen)


def send(address: Address, title: str, body: str) -> bool:
    """Send plain text to one address; tell whether the service took it. Why it did not may hold secrets: it is lost."""
    service = _service_of(address)
    with _quiet():
        import apprise

        everyone = apprise.Apprise(service)
        return bool(everyone.notify(body, title, body_format="text", timeout=PATIENCE_SECONDS))


def _service_of(address: Address) -> Any:
    try:
        import apprise
    except ImportError as error:
        raise UsageError("Notices need the extra notify.", "Install it: python runbook.py extras") from error
    asset = apprise.AppriseAsset(
        app_id="Office 365 calendar runbook", app_desc="", app_url="", async_mode=False, storage_mode="memory"
    )
    with _quiet():
        service = apprise.Apprise.instantiate(address.url, asset=asset, suppress_exceptions=True)
    if service is None:
        what = f"Address {address.label} is none that apprise knows."
        raise UsageError(what, f"Correct it in {VARIABLE} or {FILE}.", "https://github.com/caronc/apprise/wiki")
    return service


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing meanwhile: what apprise and its connections log holds addresses, and so secrets."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
