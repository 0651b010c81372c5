"""An evening in front of a browser: JupyterLab on a run's working copies, and what a person does there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Locator, Page, expect

from runbook_lib.notebook import lab
from tests.programs import PATIENCE

RAN = re.compile(r"^\[[*\d]+\]:?$")


@dataclass(frozen=True)
class Evening:
    """One JupyterLab with one page in front of one person."""

    folder: Path
    page: Page
    address: str

    @property
    def notebook(self) -> Locator:
        """Return the notebook in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def arrive(self, step: str) -> None:
        """Open JupyterLab itself, at a notebook; where two saves of ours met, the last one counts."""
        overwrite = self.page.get_by_role("button", name="Overwrite")
        self.page.add_locator_handler(overwrite, lambda: overwrite.click())
        self.page.goto(f"{self.address}/lab/tree/data/{step}.ipynb?token={os.environ['JUPYTER_TOKEN']}")
        self.at_rest()

    def open(self, step: str) -> None:
        """Open another notebook and close the one before, whose kernel ends."""
        self.close()
        self.page.locator(f".jp-DirListing-item[title*='{step}.ipynb']").dblclick()
        self.at_rest()

    def close(self) -> None:
        """Save the notebook in front and shut it down, as a person who is done with it."""
        self.save()
        for one in self._get("sessions"):
            requests.delete(f"{self.address}/api/sessions/{one['id']}", headers=_token(), timeout=30).close()
        self.page.locator(".lm-DockPanel-tabBar .lm-mod-current .lm-TabBar-tabCloseIcon").click()
        expect(self.page.locator(".jp-NotebookPanel")).to_have_count(0)

    def at_rest(self) -> None:
        """Wait until kernel and page have been at rest for a second: before, what is sent to it may get lost."""
        quiet = time.monotonic()
        deadline = quiet + PATIENCE / 1000
        while time.monotonic() - quiet < 1:
            assert time.monotonic() < deadline, "the kernel never came to rest"
            self.page.wait_for_timeout(100)
            if not self._is_at_rest():
                quiet = time.monotonic()

    def _is_at_rest(self) -> bool:
        shown = self.notebook.locator(".jp-Notebook-ExecutionIndicator")
        if shown.count() != 1 or shown.get_attribute("data-status") != "idle":
            return False
        kernels = [(one["execution_state"], one["connections"] > 0) for one in self._get("kernels")]
        return kernels == [("idle", True)]

    def _get(self, what: str) -> list[dict[str, Any]]:
        with requests.get(f"{self.address}/api/{what}", headers=_token(), timeout=10) as answer:
            found: list[dict[str, Any]] = answer.json() if answer.ok else []  # a kernel may just be going
        return found

    def run_all(self) -> None:
        """Choose Run All Cells, again if the kernel's channel was not open yet and nothing ran."""
        for _ in range(20):
            self.menu("Run", "Run All Cells")
            for _ in range(30):
                if self.notebook.locator(".jp-InputPrompt").filter(has_text=RAN).count():
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError("nothing runs")

    def menu(self, name: str, entry: str) -> None:
        """Choose an entry of the menu bar."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=entry).first.click()

    def restart(self) -> None:
        """Restart the kernel, as a person does when he is not sure any more."""
        self.menu("Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        expect(self.page.locator(".jp-Dialog")).to_have_count(0)
        self.at_rest()

    def form(self, words: str) -> Locator:
        """Return the form with these words."""
        return self.notebook.locator(".widget-vbox").filter(has_text=words).last

    def confirm(self, words: str, who: str, *, again: bool = False) -> Locator:
        """Fill the form with these words by keyboard alone, which is where the page came to; unless it is `again`."""
        form = self.form(words)
        self._at(form.get_by_label("Your name"), again)
        return self._sign(form, who)

    def answer(self, words: str, text: str, who: str, *, again: bool = False) -> Locator:
        """Type an answer into the form with these words, then the name, by keyboard alone."""
        form = self.form(words)
        self._at(form.get_by_label("Answer", exact=True), again)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(text) if text else self.page.keyboard.press("Delete")
        self.page.keyboard.press("Tab")
        return self._sign(form, who)

    def _at(self, field: Locator, again: bool) -> None:
        if again:
            expect(field).to_be_editable()
            field.focus()
        expect(field).to_be_focused()

    def _sign(self, form: Locator, who: str) -> Locator:
        expect(form.get_by_label("Your name")).to_be_focused()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(who)
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Enter")
        expect(form.get_by_role("status")).to_contain_text(f"recorded for {who}")
        return form

    def save(self) -> None:
        """Save the notebook in front."""
        self.page.keyboard.press("Control+S")
        expect(self.page.locator(".jp-mod-dirty")).to_have_count(0)


def _token() -> dict[str, str]:
    return {"Authorization": f"token {os.environ['JUPYTER_TOKEN']}"}


@contextmanager
def jupyterlab(folder: Path, log: Path) -> Iterator[str]:
    """Start JupyterLab as `runbook open` does, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = lab.command(folder, browser=False, port=port)
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=lab.environment(), stdout=file, stderr=file)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            requests.get(address, timeout=5).close()
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "JupyterLab did not start"
            time.sleep(0.2)
        else:
            return


def new_page(browser: Browser, **options: object) -> Page:
    """Open a window of its own, which knows nothing of the others."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True, **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    return page
