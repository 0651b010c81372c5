"""A person's evening in a real browser: JupyterLab, forms, clicks, and what the records say afterwards."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Locator, Page, expect, sync_playwright

from runbook_lib import lab, records
from runbook_lib.sandbox import server

CHECKOUT = Path(lab.__file__).resolve().parent.parent
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
PATIENCE = 120_000
"""Milliseconds that the browser waits for anything: the machine may be loaded."""

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Evening:
    folder: Path
    page: Page
    address: str

    def open(self, step: str) -> None:
        self.page.goto(f"{self.address}/lab/tree/data/{step}.ipynb?token={os.environ['JUPYTER_TOKEN']}")
        self.idle()

    def idle(self) -> None:
        """Wait until kernel and page have been at rest for two seconds: before, what is sent to it may get lost."""
        quiet = time.monotonic()
        deadline = quiet + PATIENCE / 1000
        while time.monotonic() - quiet < 2:
            assert time.monotonic() < deadline, "the kernel never came to rest"
            self.page.wait_for_timeout(200)
            if not self._is_at_rest():
                quiet = time.monotonic()

    def _is_at_rest(self) -> bool:
        token = {"Authorization": f"token {os.environ['JUPYTER_TOKEN']}"}
        with requests.get(f"{self.address}/api/kernels", headers=token, timeout=10) as answer:
            kernels = answer.json()
        shown = self.page.locator(".jp-Notebook-ExecutionIndicator").last.get_attribute("data-status")
        return shown == "idle" and [(one["execution_state"], one["connections"] > 0) for one in kernels] == [
            ("idle", True)
        ]

    def run_all(self) -> None:
        """Choose Run All Cells, again if the kernel's channel was not open yet and nothing ran."""
        begun = self.page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[[*\d]+\]"))
        for _ in range(20):
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            self.page.wait_for_timeout(3000)
            if begun.count():
                return
        raise AssertionError("nothing runs")

    def form(self, words: str) -> Locator:
        return self.page.locator(".widget-vbox").filter(has_text=words)

    def save(self) -> None:
        self.page.keyboard.press("Control+S")
        expect(self.page.locator(".jp-mod-dirty")).to_have_count(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep a sandbox cloud up, with tenant files that point to it, and JupyterLab's own files in one place."""
    root = tmp_path_factory.mktemp("evening")
    shutil.copytree(CHECKOUT / "parameters", root / "parameters")
    jupyter = root / "jupyter"
    jupyter.mkdir()
    (jupyter / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')  # CI is root
    with pytest.MonkeyPatch.context() as patch, server.serving(root / ".sandbox"):
        for name in ("CONFIG", "DATA", "RUNTIME"):
            patch.setenv(f"JUPYTER_{name}_DIR", str(jupyter))
        for name in ("WORKSPACES", "SETTINGS"):
            patch.setenv(f"JUPYTERLAB_{name}_DIR", str(jupyter / name.lower()))
        patch.setenv("IPYTHONDIR", str(jupyter / "ipython"))
        patch.setenv("JUPYTER_TOKEN", secrets.token_hex(16))
        yield root


@pytest.fixture
def evening(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evening]:
    """Start JupyterLab as `runbook open contoso` does, and a browser."""
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(root / "parameters"))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(root / "outputs"))
    folder = lab.prepare("contoso", datetime.now(UTC))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (root / "lab.log").open("ab") as log:
        command = lab.command(folder, browser=False, port=port)
        lab_process = subprocess.Popen(command, env=lab.environment(), stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            yield Evening(folder, page, f"http://127.0.0.1:{port}")
            browser.close()
    finally:
        lab_process.terminate()
        lab_process.wait(60)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            requests.get(address, timeout=5).close()
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "JupyterLab did not start"
            time.sleep(0.3)
        else:
            return


def test_run_all_stops_at_the_forms_and_goes_on_when_a_person_has_answered(evening: Evening) -> None:
    page = evening.page
    evening.open("06_access")
    evening.run_all()

    remove = evening.form("Domain of the tenant")
    answer = remove.get_by_label("Answer", exact=True)
    answer.press_sequentially("contoso")
    expect(remove.get_by_role("status")).to_contain_text("That is not the tenant's domain")
    answer.fill("")  # nothing is to be removed
    remove.get_by_label("Your name").fill("Dana Diaz")
    remove.get_by_label("Your name").press("Tab")
    page.keyboard.press("Enter")
    expect(remove.get_by_role("status")).to_contain_text("recorded for Dana Diaz")

    widths = "outputs => outputs.map(one => [one.scrollWidth, one.clientWidth])"
    shown = page.locator(".jp-OutputArea-output").evaluate_all(widths)
    assert len(shown) > 5
    assert all(whole <= seen for whole, seen in shown), "no table needs scrolling sideways"

    review = evening.form("I compared the table")
    confirm = review.get_by_role("button", name="I confirm")
    expect(review.get_by_label("Your name")).to_have_value("Dana Diaz")
    confirm.scroll_into_view_if_needed()
    assert "06_access" not in records.latest(evening.folder), "nobody has confirmed anything yet"
    confirm.click()

    finished = page.get_by_text("Step 6. Review Cronofy's access: finished")
    expect(finished).to_be_visible()
    record = records.latest(evening.folder)["06_access"]
    assert record.operator["attended"] is True
    assert [(one.key, one.by, one.source) for one in record.confirmations] == [("access-reviewed", "Dana Diaz", "form")]
    expect(review.get_by_role("button", name="Withdraw")).to_be_disabled()

    evening.save()
    assert lab.unsaved(evening.folder) == []
    page.get_by_role("link", name="07_sync.ipynb").click()
    expect(page.get_by_role("heading", name="Step 7")).to_be_visible()
