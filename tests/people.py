"""Somebody at this machine who signs in when a browser opens."""

from __future__ import annotations

import html
import re
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests


@contextmanager
def browsing(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Open every address as a browser would: read the page, and send its form to where it says."""
    threads: list[threading.Thread] = []

    def browse(address: str, *_: Any, **__: Any) -> bool:
        def visit() -> None:
            page = requests.get(address, verify=str(ca_file), timeout=10).text
            target = html.unescape(re.findall(r'action="([^"]+)"', page)[0])
            fields = re.findall(r'name="([^"]+)" value="([^"]*)"', page)
            requests.post(target, {name: html.unescape(value) for name, value in fields}, timeout=10).close()

        threads.append(threading.Thread(target=visit))
        threads[-1].start()
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    yield
    for thread in threads:
        thread.join()
