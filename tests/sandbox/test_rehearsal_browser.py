"""The whole change in a real browser: two windows, the trap of the everyday one, both screens, and what Graph shows."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world import spaceiq_connection
from tests.programs import PATIENCE, chromium
from tests.sandbox.signing_in import Client, tenant_of

ADMIN, MANAGER = "admin@relecloud.example", "spaceiq@relecloud.example"

pytestmark = pytest.mark.timeout(300)


def window(browser: Browser, sandbox: Sandbox) -> Page:
    """A window that shares nothing with any other, as a private one does; it trusts the sandbox's certificate."""
    page = browser.new_context(ignore_https_errors=True, base_url=sandbox.url).new_page()
    page.set_default_timeout(PATIENCE)
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def shows(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def test_a_person_goes_through_the_change_and_steps_into_the_trap_once(sandbox: Sandbox, client: Client) -> None:
    with chromium() as browser:
        go_through_the_change(window(browser, sandbox), window(browser, sandbox))
    assert _roles_in_graph(client) == 4
    assert spaceiq_connection.roles(tenant_of(sandbox, "contoso")), "no other tenant was touched"


def go_through_the_change(everyday: Page, private: Page) -> None:
    """Walk from the deletion to the last room, by way of the everyday window, in which somebody else is signed in."""
    everyday.goto("/rehearsal")
    everyday.get_by_role("link", name="Relecloud").click()
    everyday.get_by_role("link", name="SpaceIQ").click()
    _replace_integration(everyday)
    link = _link_from_mail(everyday)

    everyday.goto(link)
    press(everyday, "Office 365")
    shows(everyday, "Permissions requested")
    expect(everyday.get_by_text(MANAGER)).to_be_visible()  # nobody was asked who it is
    press(everyday, "Accept")
    shows(everyday, "Need admin approval")
    press(everyday, "Return to the application")
    shows(everyday, "Your calendar is not connected")

    everyday.goto("/rehearsal/relecloud/spaceiq")
    _replace_integration(everyday)
    private.goto(_link_from_mail(everyday))
    shows(private, "Select your calendar service")
    press(private, "Office 365")
    shows(private, "Sign in")
    private.get_by_label("Use another account").fill(ADMIN)
    private.keyboard.press("Enter")
    shows(private, "Permissions requested")
    private.get_by_label("Consent on behalf of your organization").check()
    press(private, "Accept")
    expect(private.get_by_text("(Calendars.ReadWrite, for the app itself)")).to_be_visible()
    press(private, "Accept")
    shows(private, "Your calendar is connected")

    everyday.goto("/rehearsal/relecloud")
    if everyday.get_by_role("button", name="Finish the sync now").count():
        press(everyday, "Finish the sync now")
    expect(everyday.get_by_text("5 of 5 synchronised")).to_be_visible()
    expect(everyday.get_by_text("Relecloud, by admin@relecloud.example")).to_be_visible()


def _replace_integration(page: Page) -> None:
    """Steps 1 and 2 on SpaceIQ's page."""
    page.get_by_role("region", name="Active").get_by_role("link", name="Office365 Calendar").click()
    press(page, "Delete")
    shows(page, "Delete this integration?")
    press(page, "Yes")
    page.get_by_role("region", name="Available").get_by_role("button", name="Activate").click()
    page.get_by_label("Office365 Domain Name").fill("relecloud.example")
    press(page, "Activate")
    expect(page.get_by_role("status")).to_contain_text(f"was sent to {MANAGER}")


def _link_from_mail(page: Page) -> str:
    """Step 3, in the browser that reads mail and is signed in for that."""
    page.goto("/mail/?realm=relecloud.example")
    if page.get_by_role("button", name=MANAGER).count():
        press(page, MANAGER)
    shows(page, f"Inbox of {MANAGER}")
    return page.get_by_role("link", name="ACTIVATE CALENDAR").first.get_attribute("href") or ""


def _roles_in_graph(client: Client) -> int:
    """How many application permissions of Cronofy Graph shows to the runbook's app."""
    headers = {"Authorization": f"Bearer {client.app_token('relecloud.example').json()['access_token']}"}
    principal = f"{client.sandbox.url}/v1.0/servicePrincipals(appId='10bb7e5b-b80b-4e6e-a209-f78581dbc79e')"
    answer: requests.Response = client.session.get(f"{principal}/appRoleAssignments", headers=headers)
    return len(answer.json()["value"])
