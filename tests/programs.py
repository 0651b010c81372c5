"""Programs that tests need and pip does not bring: Debian's Chromium, npm's Azurite. CI installs both (.ci/run)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

PATIENCE = 60_000
"""Milliseconds that the browser waits for anything: the machine may be loaded."""
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-lcd-text"
).split()


def program(*names: str, install: str) -> str:
    """Return the first of these programs that is there; without one the test is skipped aloud, and in CI it fails."""
    for name in names:
        if found := shutil.which(name):
            return found
    words = f"{names[0]} is missing: {install}"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser of Chromium's family, without its news from outside."""
    names = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
    path = program(*names, install="install your system's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        expect.set_options(timeout=PATIENCE)
        yield browser
        browser.close()
