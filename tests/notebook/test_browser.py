"""A person's whole evening in a real browser, from the first card to the seal, and the same again as a batch."""

from __future__ import annotations

import copy
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from runbook_lib.batch import pool, tenant
from runbook_lib.cli import main
from runbook_lib.notebook import lab
from runbook_lib.runs import folder as run_folders
from runbook_lib.runs import record as records
from runbook_lib.sandbox import server
from runbook_lib.sandbox.exchange import answers
from runbook_lib.sandbox.server import Sandbox
from tests.evening import Evening, jupyterlab, new_page
from tests.programs import chromium

CHECKOUT = Path(__file__).resolve().parents[2]
PICTURES = CHECKOUT / "docs" / "pictures"
UPDATE = "RUNBOOK_UPDATE_PICTURES" in os.environ
"""Whether the pictures of docs/evening.md are to be taken anew."""
KEY = "relecloud"
DOMAIN = "relecloud.example"
ADMIN, OFFICE = f"admin@{DOMAIN}", f"spaceiq@{DOMAIN}"
INES, MARLA, TOBIAS, ROBIN = "Ines Falk", "Marla Quinn", "Tobias Wendt", "Robin Berg"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything of this evening in one place: JupyterLab's own files, tenant files, outputs; no screen to open on."""
    jupyter = tmp_path / "jupyter"
    jupyter.mkdir()
    (jupyter / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')  # CI is root
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(jupyter))
    for name in ("WORKSPACES", "SETTINGS"):
        monkeypatch.setenv(f"JUPYTERLAB_{name}_DIR", str(jupyter / name.lower()))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(jupyter / "ipython"))
    monkeypatch.setenv("JUPYTER_TOKEN", secrets.token_hex(16))
    shutil.copytree(CHECKOUT / "parameters", tmp_path / "parameters")
    home(tmp_path, monkeypatch)
    return tmp_path


def home(place: Path, patch: pytest.MonkeyPatch) -> None:
    for name in ("parameters", "outputs"):
        patch.setenv(f"RUNBOOK_{name.upper()}", str(place / name))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a tenant file, as a person would."""
    row = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(row)
    path.write_text(yaml.safe_dump(row, sort_keys=False, allow_unicode=True), encoding="utf-8")


@dataclass
class Walk:
    """The people of the evening: one at the notebooks, one in SpaceIQ and the mail, one in private windows."""

    evening: Evening
    browser: Browser
    sandbox: Sandbox
    file: Path
    office: Page = field(init=False)
    private: Page = field(init=False)
    cronofy: Page = field(init=False)
    link: str = ""
    code: str = ""
    afterwards: dict[str, Any] = field(default_factory=dict)
    """What the tenant was like when each step was finished."""
    answers: dict[str, str] = field(default_factory=dict)
    """What Exchange had answered from each of these steps on."""

    def __post_init__(self) -> None:
        self.office, self.private, self.cronofy = (new_page(self.browser) for _ in range(3))

    def begin(self, step: str) -> None:
        self.evening.open(step)
        self.evening.run_all()

    def finish(self, step: str) -> records.Record:
        expect(self.evening.notebook.get_by_text(": finished")).to_be_visible()
        self.afterwards[step] = copy.deepcopy(self.sandbox.world.tenant(KEY))
        return records.latest(self.evening.folder)[step]

    def picture(self, name: str, page: Page | None = None) -> None:
        """Take a picture for the documents, if asked for."""
        if UPDATE:
            shown = page.locator("main") if page else self.evening.notebook
            shown.screenshot(path=PICTURES / f"evening-{name}.png")

    def no_table_is_too_wide(self) -> None:
        """None of the notebook in front needs scrolling sideways, in its own box or in its cell's."""
        widths = "tables => tables.map(one => [one.scrollWidth, one.parentElement.clientWidth])"
        shown = self.evening.notebook.locator(".jp-OutputArea-output table").evaluate_all(widths)
        assert len(shown) > 5
        assert [one for one in shown if one[0] > one[1]] == []

    def sign_in_by_browser(self) -> None:
        """Follow the link in the notebook, as on a machine that has no browser of its own to open."""
        link = self.evening.notebook.get_by_role("link", name=re.compile("authorize$"))
        expect(link).to_be_focused()
        self.private.goto(str(link.get_attribute("href")))
        self.private.get_by_role("button", name=re.compile(ADMIN)).click()
        self.private.wait_for_url(re.compile("^http://localhost"))

    def closed_gate(self) -> None:
        """Step 5 before steps 1 to 4: the notebook says why not, and where to go."""
        self.evening.arrive("05_permissions")
        self.evening.run_all()
        expect(self.evening.notebook.get_by_text("Step 5 comes after step 4")).to_be_in_viewport()
        expect(self.evening.notebook.get_by_role("link", name="04_credentials.ipynb")).to_be_focused()
        self.picture("gate")
        assert records.latest(self.evening.folder) == {}

    def preflight(self) -> None:
        """Sign in by device code; confirm, withdraw, confirm again."""
        self.begin("00_preflight")
        code = self.evening.notebook.get_by_role("textbox", name="Code", exact=True)
        page = self.evening.notebook.get_by_role("link", name=re.compile("devicelogin$"))
        expect(page).to_be_focused()
        self.evening.page.keyboard.press("Tab")
        expect(code).to_be_focused()
        assert code.evaluate("one => one.selectionEnd - one.selectionStart") == len(code.input_value())
        self.code = code.input_value()
        self.picture("device-code")
        self.private.goto(str(page.get_attribute("href")))
        self.private.get_by_role("textbox").fill(self.code)
        self.private.get_by_role("button", name="Next").click()
        self.private.get_by_role("button", name=re.compile(ADMIN)).click()
        approved, limited = (self.evening.form(words) for words in ("change is approved", "access is limited"))
        expect(approved.get_by_label("Your name")).to_be_focused()
        expect(self.evening.notebook.get_by_text(f"Signed in as {ADMIN}")).to_be_visible()
        expect(code).to_have_count(0)
        self.picture("form")
        self.evening.confirm("change is approved", ROBIN)
        expect(limited.get_by_label("Your name")).to_be_focused()
        approved.get_by_role("button", name="Withdraw").click()
        expect(approved.get_by_role("status")).to_contain_text("Withdrawn")
        self.evening.confirm("change is approved", ROBIN, again=True)
        self.evening.confirm("access is limited", INES, again=True)
        record = self.finish("00_preflight")
        assert [(one.key, one.by, one.source) for one in record.confirmations] == [
            ("access-limited", INES, "form"),
            ("change-approved", ROBIN, "form"),
        ]
        change(self.file, lambda row: row["sign_in"].update(method="browser"))

    def disconnect_and_connect(self) -> None:
        """Steps 1 and 2 in SpaceIQ; the kernel is restarted between the domain and the button."""
        self.office.goto(f"{self.sandbox.url}/rehearsal/{KEY}/spaceiq")
        self.begin("01_disconnect")
        expect(self.evening.notebook.get_by_text("GO", exact=True).first).to_be_visible()
        self.office.get_by_role("region", name="Active").get_by_role("link", name="Office365 Calendar").click()
        self.office.get_by_role("button", name="Delete").click()
        self.office.get_by_role("button", name="Yes").click()
        self.evening.confirm("I deleted", MARLA)
        self.finish("01_disconnect")
        self.begin("02_connect")
        expect(self.evening.form("Office365 Domain Name").get_by_label("Answer", exact=True)).to_be_focused()
        self.evening.restart()
        self.evening.run_all()
        self.evening.answer("Office365 Domain Name", DOMAIN, MARLA)
        self.sign_in_by_browser()
        expect(self.evening.form("I entered this domain").get_by_label("Your name")).to_be_focused()
        self.office.get_by_role("region", name="Available").get_by_role("button", name="Activate").click()
        self.office.get_by_label("Office365 Domain Name").fill(DOMAIN)
        self.office.get_by_role("button", name="Activate").click()
        expect(self.office.get_by_role("status")).to_contain_text("An e-mail")
        self.evening.confirm("I entered this domain", MARLA)
        assert self.finish("02_connect").look == 1

    def activate(self) -> None:
        """Step 3: in the everyday browser the link goes on as whoever is signed in there; so it is pasted here."""
        self.office.goto(f"{self.sandbox.url}/mail/?realm={DOMAIN}")
        self.office.get_by_role("button", name=re.compile(OFFICE)).click()
        self.link = str(self.office.get_by_role("link", name="ACTIVATE CALENDAR").get_attribute("href"))
        self.office.goto(self.link)
        self.office.get_by_role("button", name="Office 365").click()
        expect(self.office.get_by_role("main")).to_contain_text(OFFICE)
        self.office.get_by_role("button", name="Cancel").click()
        expect(self.office.get_by_role("heading", name="Your calendar is not connected")).to_be_visible()
        self.begin("03_activate")
        self.evening.answer("Activation link", self.link, MARLA)
        self.evening.confirm("I opened the link in a private window", INES)
        record = self.finish("03_activate")
        assert record.answers[0].value == self.link.split("/")[2]

    def consent(self) -> None:
        """Steps 4 and 5: the administrator signs in and accepts twice."""
        self.begin("04_credentials")
        self.evening.answer("Account that signs in", ADMIN, INES)
        self.sign_in_by_browser()
        self.evening.answer("AADSTS number", "", INES)
        self.cronofy.goto(self.link)
        self.cronofy.get_by_role("button", name="Office 365").click()
        self.cronofy.get_by_label("Use another account").fill(ADMIN)
        self.cronofy.get_by_role("button", name="Next").click()
        accept = self.cronofy.get_by_role("button", name="Accept")
        expect(accept).to_be_visible()
        self.evening.confirm("I signed in with this account", INES)
        self.finish("04_credentials")
        self.begin("05_permissions")
        accept.click()
        self.cronofy.wait_for_url(re.compile("adminconsent"))
        self.picture("consent", self.cronofy)
        accept.click()
        expect(self.cronofy.get_by_role("heading", name="Your calendar is connected")).to_be_visible()
        self.evening.confirm("I read and accepted", INES)
        self.sign_in_by_browser()
        assert self.finish("05_permissions").outcome == "pass"

    def review(self) -> None:
        """Step 6: nothing to remove; no table needs scrolling sideways."""
        self.begin("06_access")
        self.sign_in_by_browser()
        remove = self.evening.form("Domain of the tenant")
        expect(remove.get_by_label("Answer", exact=True)).to_be_focused()
        self.evening.page.keyboard.type("contoso")
        self.evening.page.keyboard.press("Tab")
        expect(remove.get_by_role("status")).to_contain_text("That is not the tenant's domain")
        self.evening.answer("Domain of the tenant", "", TOBIAS, again=True)
        table = self.evening.notebook.get_by_role("columnheader", name="permission", exact=True).first
        expect(self.evening.form("I compared").get_by_label("Your name")).to_be_focused()
        expect(self.evening.form("I compared").get_by_label("Your name")).to_have_value(TOBIAS)
        self.no_table_is_too_wide()
        if UPDATE:
            table.evaluate("one => one.closest('.jp-Cell').scrollIntoView()")
        self.picture("scopes")
        self.evening.confirm("I compared the table", TOBIAS)
        self.finish("06_access")

    def look_again(self) -> None:
        """Ask Exchange and export SpaceIQ's rooms anew: step 7 wants both younger than the change."""
        place, tenant = self.file.parent.parent, self.sandbox.world.tenant(KEY)
        assert tenant
        fresh = answers.answer(tenant, datetime.now(UTC), answers.plan(KEY, finished="0m"))
        file = place / ".sandbox" / "exchange" / f"{KEY}.json"
        self.answers = {"00_preflight": file.read_text(encoding="utf-8"), "07_sync": json.dumps(fresh)}
        file.write_text(self.answers["07_sync"], encoding="utf-8")
        for folder in (place, place / "batch"):
            (folder / "parameters" / f"{KEY}.spaceiq.csv").touch()

    def sync_and_report(self) -> None:
        """Step 7 and the report; then a second look at step 7 stands beside the first."""
        self.begin("07_sync")
        self.sign_in_by_browser()
        self.evening.answer("Address of the test room", "", MARLA)
        expect(self.evening.form("A booking went through").get_by_label("Your name")).to_be_focused()
        rooms = self.evening.notebook.get_by_role("cell", name=f"room-amstel@{DOMAIN}").first
        expect(rooms).to_be_visible()
        self.no_table_is_too_wide()
        if UPDATE:
            rooms.evaluate("one => one.closest('.jp-Cell').scrollIntoView()")
        self.picture("rooms")
        self.evening.confirm("A booking went through", MARLA)
        assert self.finish("07_sync").outcome == "pass"
        self.begin("08_report")
        self.finish("08_report")
        card = self.evening.notebook.locator(".jp-OutputArea-output").filter(has_text="you are here")
        for words in ("after step 7 of 7", f"05 ✓ pass, {INES}", f"{ADMIN} (browser) to Relecloud", "outage"):
            expect(card).to_contain_text(words)
        card.scroll_into_view_if_needed()
        for scheme in ("dark", "light"):
            self.evening.page.emulate_media(color_scheme=scheme)
            light = str(scheme == "light").lower()
            expect(self.evening.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
            expect(self.evening.page.locator("#jupyterlab-splash")).to_have_count(0)
            self.picture("card" if scheme == "light" else "card-dark")
        self.evening.close()


def test_an_evening_from_the_first_card_to_the_seal_and_the_same_as_a_batch(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.serving(root / ".sandbox", auto_approve=False) as sandbox:
        file = root / "parameters" / f"{KEY}.yaml"
        change(file, lambda row: row.update(activation_hosts=[sandbox.url.partition("//")[2]]))
        shutil.copytree(root / "parameters", root / "batch" / "parameters")
        change(file, lambda row: row["sign_in"].update(method="device-code"))
        folder = lab.prepare(KEY, datetime.now(UTC))
        with jupyterlab(folder, root / "lab.log") as address, chromium() as browser:
            page = new_page(browser)
            walk = Walk(Evening(folder, page, address), browser, sandbox, file)
            walk.closed_gate()
            walk.preflight()
            walk.disconnect_and_connect()
            walk.activate()
            walk.consent()
            walk.review()
            walk.look_again()
            walk.sync_and_report()
        sealed = CliRunner().invoke(main.app, ["seal", KEY])
        assert sealed.exit_code == 0, (sealed.output, sealed.exception)
        assert CliRunner().invoke(main.app, ["verify", KEY]).exit_code == 0
        assert lab.unsaved(folder) == []
        check_saved(folder, walk)
        unattended = same_as_a_batch(root / "batch", walk, monkeypatch)
    attended, batched = archived(folder), archived(unattended)
    assert set(attended) == set(batched)
    assert {name: one for name, one in attended.items() if one != batched[name]} == {}


def check_saved(folder: Path, walk: Walk) -> None:
    """What JupyterLab saved says in words who confirmed what; it holds no state of a form, and no code or link."""
    notebook = json.loads((folder / "data" / "00_preflight.ipynb").read_text(encoding="utf-8"))
    said = json.dumps([cell["outputs"] for cell in notebook["cells"] if cell["source"] == ["await approved"]])
    assert "confirmed" in said
    assert ROBIN in said
    secret = walk.link.partition("?")[2]
    assert secret
    for path in (one for one in folder.rglob("*") if one.is_file()):
        text = path.read_text(encoding="utf-8-sig")
        assert "application/vnd.jupyter.widget-state+json" not in text, path
        assert walk.code not in text, path
        assert secret not in text, path


def same_as_a_batch(place: Path, walk: Walk, patch: pytest.MonkeyPatch) -> Path:
    """Run every notebook unattended on the tenant as it was then, with the same words in the tenant file."""
    (place / ".sandbox").symlink_to(place.parent / ".sandbox")
    words = [one for record in records.all_records(walk.evening.folder) for one in record.confirmations]
    said = {one.key: {"by": one.by, "at": one.at} for one in words}
    change(place / "parameters" / f"{KEY}.yaml", lambda row: row.update(confirmations=said))
    walk.sandbox.world.approval.auto = True
    home(place, patch)
    folder = run_folders.new_run(place / "outputs" / KEY, datetime.now(UTC))
    for step in pool.TENANT_STEPS:
        walk.sandbox.world.tenants[KEY] = walk.afterwards[step]
        if step in walk.answers:
            (place / ".sandbox" / "exchange" / f"{KEY}.json").write_text(walk.answers[step], encoding="utf-8")
        assert tenant.execute(step, KEY, folder) is None
    return folder


# What is not compared, and why. Everything else of an archive is, but for times, which are all alike here.
FIELDS = {
    "requests": "a person asks by other paths than an application, and more often",
    "raw_sha256": "of answers that hold times",
    "operator": "who acted, and how the runbook was signed in",
    "people": "the same",
    "settings": "the tenant file, with its confirmations and kind of sign-in",
}
LOOKS = {
    "limit_confirmed": "who confirmed the limit by then: a batch knows it from its tenant file, before anybody said so",
    "room_calendar": "why a room cannot be read is told to an application only",
}
OF_AN_ANSWER = {"by": "nobody in a batch", "at": "the same", "source": "the same"}
OF_A_CONFIRMATION = {"source": "a form, or the tenant file"}
LINK = "link"
"""The one question that does not arise in a batch, because nobody keeps its answer: the activation link."""
TIMES = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|\+00:00| UTC)?|20\d{6}T\d{6}Z-[0-9a-f]{4}")


def archived(folder: Path) -> dict[str, Any]:
    """Return what a run's archive says, but for time, actor and kind of sign-in."""
    data, found = folder / "data", {}
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        name = str(path.relative_to(data))
        text = TIMES.sub("(time)", path.read_text(encoding="utf-8-sig"))
        if path.suffix == ".json":
            found[name] = plain(json.loads(text))
        elif path.suffix == ".csv":
            found[name] = text
        else:
            found[name] = "is there"
    return found


def plain(row: Any) -> Any:
    """Return JSON without what is not compared."""
    if isinstance(row, list):
        return [plain(one) for one in row if not (isinstance(one, dict) and one.get("name") in LOOKS)]
    if not isinstance(row, dict):
        return row
    left = {name: plain(one) for name, one in row.items() if name not in FIELDS | LOOKS}
    for answer in left.get("answers", ()):
        for name in [*OF_AN_ANSWER, *(["value"] if answer["key"] == LINK else [])]:
            del answer[name]
    for said in left.get("confirmations", ()):
        for name in OF_A_CONFIRMATION:
            del said[name]
    return left
