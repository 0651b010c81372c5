"""The pages for people: the whole change, and every way in which it can go wrong, over HTTP with forms and cookies."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from runbook_lib.sandbox import control
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.spaceiq import api
from runbook_lib.sandbox.world import spaceiq_connection
from runbook_lib.sandbox.world.state import Json, TenantState
from runbook_lib.steps.activate import unwrapped
from tests.sandbox.person import Browser, Page
from tests.sandbox.signing_in import Client, tenant_of

START = "/rehearsal/relecloud"
ADMIN, MANAGER, EMPLOYEE = (f"{alias}@relecloud.example" for alias in ("admin", "spaceiq", "nora"))
DOCUMENTED = ["Calendars.ReadWrite", "Organization.Read.All", "Place.Read.All", "User.Read.All"]
NOBODY_CONSENTS: Json = {"permissionGrantPoliciesAssigned": []}


@pytest.fixture
def browser(sandbox: Sandbox) -> Iterator[Browser]:
    """The everyday browser."""
    with Browser(sandbox.url, str(sandbox.ca_file)) as browser:
        yield browser


@pytest.fixture
def private(sandbox: Sandbox) -> Iterator[Browser]:
    """A private window."""
    with Browser(sandbox.url, str(sandbox.ca_file)) as browser:
        yield browser


@pytest.fixture
def tenant(sandbox: Sandbox) -> TenantState:
    """The tenant before the change."""
    return tenant_of(sandbox, "relecloud")


def activated(browser: Browser, domain: str = "relecloud.example") -> str:
    """Steps 1 and 2, and the link from the mail, which the browser is signed in to read."""
    browser.opens(f"{START}/spaceiq/delete")
    browser.presses("Yes")
    browser.presses("Activate")
    browser.presses("Activate", domain=domain)
    browser.opens("/mail/?realm=relecloud.example")
    browser.presses(MANAGER)
    return browser.page.links["ACTIVATE CALENDAR"]


def signed_in(window: Browser, link: str, account: str = ADMIN) -> Page:
    """Steps 3 and 4 in a window where nobody is signed in."""
    window.opens(link)
    page = window.presses("Office 365")
    assert (page.heading, "admin@" in page.text) == ("Sign in", False), "the window knows nobody"
    return window.chooses(account)


def grants(tenant: TenantState) -> list[tuple[str, str]]:
    """Cronofy's delegated grants: for whom, and the scopes."""
    client = next((row["id"] for row in tenant.service_principals.values() if "Cronofy" in row["displayName"]), "")
    rows = [row for row in tenant.oauth2_permission_grants.values() if row["clientId"] == client]
    names = {identity: user["userPrincipalName"] for identity, user in tenant.users.items()}
    return [(names.get(row["principalId"], "everybody"), row["scope"]) for row in rows]


def acts(tenant: TenantState) -> list[tuple[str, str]]:
    """What the audit log says was done about Cronofy, oldest first, and by whom."""
    return [
        (row["activityDisplayName"], row["initiatedBy"]["user"]["userPrincipalName"])
        for row in reversed(tenant.directory_audits)
        if "Cronofy" in str(row["targetResources"]) or "10bb7e5b" in str(row)
    ]


def calendars(sandbox: Sandbox, session: requests.Session) -> list[str]:
    """The rooms whose calendar SpaceIQ's API shows."""
    headers = {"Authorization": f"Bearer {api.token(sandbox.world, 'relecloud')}"}
    query = {"query": "{ spaces { edges { node { calendar { email } } } } }"}
    answer: Json = session.post(f"{sandbox.url}/queries", json=query, headers=headers).json()
    nodes = [edge["node"] for edge in answer["data"]["spaces"]["edges"]]
    return [node["calendar"]["email"] for node in nodes if node["calendar"]]


def test_the_whole_change_goes_through_and_the_rooms_come_in(
    browser: Browser, private: Browser, sandbox: Sandbox, tenant: TenantState, client: Client
) -> None:
    assert len(calendars(sandbox, client.session)) == 5
    link = activated(browser)
    assert calendars(sandbox, client.session) == []
    first = signed_in(private, link)
    assert (first.heading, ADMIN in first.text) == ("Permissions requested", True)
    second = private.presses("Accept")
    assert all(name in second.text for name in DOCUMENTED)
    assert private.presses("Accept").heading == "Your calendar is connected"
    assert spaceiq_connection.roles(tenant) == DOCUMENTED
    assert grants(tenant) == [(ADMIN, "openid email"), ("everybody", "openid email")]
    assert {by for _, by in acts(tenant)} == {ADMIN}
    assert [act for act, _ in acts(tenant)].count("Add app role assignment to service principal") == 4
    assert [act for act, _ in acts(tenant)].count("Consent to application") == 2
    assert calendars(sandbox, client.session) == []
    control.advance(sandbox.world, {"seconds": 5})
    assert calendars(sandbox, client.session) == ["room-amstel@relecloud.example", "room-ij@relecloud.example"]
    browser.opens(START)
    assert "2 of 5 synchronised" in browser.page.text
    assert "5 of 5 synchronised" in browser.presses("Finish the sync now").text
    assert len(calendars(sandbox, client.session)) == 5


def test_graph_shows_the_consent_to_the_runbook(browser: Browser, private: Browser, client: Client) -> None:
    signed_in(private, activated(browser))
    private.presses("Accept", on_behalf="1")
    private.presses("Accept")
    headers = {"Authorization": f"Bearer {client.app_token('relecloud.example').json()['access_token']}"}
    base = f"{client.sandbox.url}/v1.0"
    principal = f"{base}/servicePrincipals(appId='10bb7e5b-b80b-4e6e-a209-f78581dbc79e')"
    held = client.session.get(f"{principal}/appRoleAssignments", headers=headers).json()["value"]
    given = client.session.get(f"{principal}/oauth2PermissionGrants", headers=headers).json()["value"]
    assert len(held) == 4
    assert [(row["consentType"], row["scope"]) for row in given] == [("AllPrincipals", "openid email")]
    activity = f"{client.sandbox.url}/beta/reports/servicePrincipalSignInActivities"
    (used,) = [
        row["lastSignInActivity"]["lastSignInDateTime"]
        for row in client.session.get(activity, headers=headers).json()["value"]
        if row["appId"] == "10bb7e5b-b80b-4e6e-a209-f78581dbc79e"
    ]
    assert used >= max(row["createdDateTime"] for row in held), "Cronofy uses at once what it was given"
    log = client.session.get(f"{base}/auditLogs/directoryAudits", headers=headers).json()["value"]
    newest = log[0]
    assert newest["activityDisplayName"] == "Consent to application"
    assert newest["initiatedBy"]["user"]["userPrincipalName"] == ADMIN


def test_grants_appear_in_graph_when_they_have_replicated(
    browser: Browser, private: Browser, tenant: TenantState, client: Client
) -> None:
    tenant.modes |= {"replication_seconds": 20, "audit_seconds": 60}
    signed_in(private, activated(browser))
    private.presses("Accept")
    assert private.presses("Accept").heading == "Your calendar is connected"
    headers = {"Authorization": f"Bearer {client.app_token('relecloud.example').json()['access_token']}"}
    principal = f"{client.sandbox.url}/v1.0/servicePrincipals(appId='10bb7e5b-b80b-4e6e-a209-f78581dbc79e')"
    log = f"{client.sandbox.url}/v1.0/auditLogs/directoryAudits?$filter=activityDisplayName eq 'Consent to application'"
    assert client.session.get(principal, headers=headers).status_code == 404
    known = len(client.session.get(log, headers=headers).json()["value"])
    control.advance(client.sandbox.world, {"seconds": 25})
    rows = client.session.get(f"{principal}/appRoleAssignments", headers=headers).json()["value"]
    assert len(rows) == 4
    control.advance(client.sandbox.world, {"seconds": 40})
    assert len(client.session.get(log, headers=headers).json()["value"]) == known + 2


def test_the_link_in_the_everyday_browser_goes_on_as_whoever_is_signed_in(
    browser: Browser, tenant: TenantState
) -> None:
    browser.opens(activated(browser))
    page = browser.presses("Office 365")
    assert (page.heading, MANAGER in page.text) == ("Permissions requested", True), "nobody was asked who it is"
    page = browser.presses("Accept")
    assert (page.heading, MANAGER in page.text) == ("Need admin approval", True)
    page = browser.presses("Return to the application")
    assert page.heading == "Your calendar is not connected"
    assert grants(tenant) == [(MANAGER, "openid email")]
    assert (spaceiq_connection.roles(tenant), tenant.integration.state) == ([], "waiting")


def test_out_of_the_trap_an_admin_may_sign_in_on_the_same_page(browser: Browser, tenant: TenantState) -> None:
    browser.opens(activated(browser))
    browser.presses("Office 365")
    browser.presses("Accept")
    page = browser.presses("Have an admin account?")
    assert "Global Administrator" in page.text, "the session does not answer for him"
    page = browser.chooses(ADMIN)
    assert (page.heading, ADMIN in page.text) == ("Permissions requested", True)
    assert browser.presses("Accept").heading == "Your calendar is connected"
    assert set(grants(tenant)) == {(MANAGER, "openid email"), ("everybody", "openid email")}
    assert {by for _, by in acts(tenant)} == {MANAGER, ADMIN}


@pytest.mark.parametrize(("workflow", "code"), [(False, "AADSTS90094"), (True, "AADSTS90095")])
def test_where_people_may_not_consent_an_employee_is_stopped_at_the_first_screen(
    browser: Browser, private: Browser, tenant: TenantState, workflow: bool, code: str
) -> None:
    tenant.policies["authorizationPolicy"]["defaultUserRolePermissions"] |= NOBODY_CONSENTS
    tenant.policies["adminConsentRequestPolicy"]["isEnabled"] = workflow
    page = signed_in(private, activated(browser), EMPLOYEE)
    assert (page.heading, code in page.text) == ("Need admin approval", True)
    page = private.presses("Return to the application")
    assert "access_denied" in page.text
    assert grants(tenant) == []


def test_an_employee_s_window_may_go_on_with_an_admin_account(
    browser: Browser, private: Browser, tenant: TenantState
) -> None:
    tenant.policies["authorizationPolicy"]["defaultUserRolePermissions"] |= NOBODY_CONSENTS
    signed_in(private, activated(browser), EMPLOYEE)
    private.presses("Have an admin account?")
    private.chooses(ADMIN)
    private.presses("Accept")
    assert private.presses("Accept").heading == "Your calendar is connected"
    assert {by for _, by in acts(tenant)} == {ADMIN}


def test_another_tenant_s_admin_connects_the_wrong_tenant(
    browser: Browser, private: Browser, sandbox: Sandbox, tenant: TenantState, client: Client
) -> None:
    other = tenant_of(sandbox, "treyresearch")
    signed_in(private, activated(browser), "admin@treyresearch.example")
    private.presses("Accept")
    assert private.presses("Accept").heading == "Your calendar is connected"
    assert (spaceiq_connection.roles(other), spaceiq_connection.roles(tenant)) == (DOCUMENTED, [])
    assert {by for _, by in acts(other)} == {"admin@treyresearch.example"}
    assert (grants(tenant), acts(tenant)) == ([], [])
    control.advance(sandbox.world, {"seconds": 3600})
    assert calendars(sandbox, client.session) == []
    assert "the WRONG tenant, by admin@treyresearch.example" in browser.opens(START).text


def test_the_first_screen_cancelled_grants_nothing_and_leaves_the_link(
    browser: Browser, private: Browser, tenant: TenantState
) -> None:
    link = activated(browser)
    signed_in(private, link)
    page = private.presses("Cancel")
    assert (page.heading, "access_denied" in page.text) == ("Your calendar is not connected", True)
    assert "AADSTS65004" in page.text
    assert (grants(tenant), acts(tenant)) == ([], [])
    assert private.opens(link).heading == "Select your calendar service"


def test_the_second_screen_cancelled_is_half_a_consent(browser: Browser, private: Browser, tenant: TenantState) -> None:
    link = activated(browser)
    signed_in(private, link)
    private.presses("Accept", on_behalf="1")
    page = private.presses("Cancel")
    assert (page.heading, "AADSTS65004" in page.text) == ("Your calendar is not connected", True)
    assert (spaceiq_connection.roles(tenant), grants(tenant)) == ([], [("everybody", "openid email")])
    assert tenant.integration.state == "waiting"
    page = private.opens(link)
    assert (page.heading, "used already" in page.text) == ("This link cannot be used", True)


def test_after_half_a_consent_a_fresh_link_finishes_it(browser: Browser, private: Browser, tenant: TenantState) -> None:
    signed_in(private, activated(browser))
    private.presses("Accept", on_behalf="1")
    private.presses("Cancel")
    browser.opens(f"{START}/spaceiq/delete")
    browser.presses("Yes")
    browser.presses("Activate")
    browser.presses("Activate", domain="relecloud.example")
    private.opens(browser.opens("/mail/").links["ACTIVATE CALENDAR"])
    page = private.presses("Office 365")
    assert "Calendars.ReadWrite" in page.text, "the first screen was accepted before: only the second one comes"
    assert private.presses("Accept").heading == "Your calendar is connected"
    assert spaceiq_connection.roles(tenant) == DOCUMENTED


def test_a_link_expires(browser: Browser, private: Browser, sandbox: Sandbox, tenant: TenantState) -> None:
    tenant.modes["activation_link_seconds"] = 600
    link = activated(browser)
    control.advance(sandbox.world, {"seconds": 599})
    assert private.opens(link).heading == "Select your calendar service"
    control.advance(sandbox.world, {"seconds": 1})
    assert "It has expired" in private.presses("Office 365").text


@pytest.mark.parametrize("again", [True, False])
def test_deleting_the_integration_ends_its_link(browser: Browser, private: Browser, again: bool) -> None:
    link = activated(browser)
    browser.opens(f"{START}/spaceiq/delete")
    browser.presses("Yes")
    if again:
        browser.presses("Activate")
        browser.presses("Activate", domain="relecloud.example")
    assert private.opens(link).heading == "This link cannot be used"


def test_a_wrong_domain_is_taken_and_keeps_the_rooms_away(
    browser: Browser, private: Browser, sandbox: Sandbox, client: Client
) -> None:
    signed_in(private, activated(browser, "relecloud.test"))
    private.presses("Accept")
    assert private.presses("Accept").heading == "Your calendar is connected"
    control.advance(sandbox.world, {"seconds": 3600})
    assert calendars(sandbox, client.session) == []
    assert "not a domain of Relecloud" in browser.opens(START).text


@pytest.mark.parametrize("typed", ["", "admin@relecloud.example", "https://relecloud.example", "<b>"])
def test_what_is_no_domain_is_asked_for_again(browser: Browser, tenant: TenantState, typed: str) -> None:
    spaceiq_connection.delete(tenant)
    browser.opens(f"{START}/spaceiq/activate")
    assert "Enter a domain name" in browser.presses("Activate", domain=typed).text
    assert "<b>" not in browser.response.text
    assert tenant.integration.state == "available"


def test_no_keeps_the_integration(browser: Browser, tenant: TenantState) -> None:
    browser.opens(f"{START}/spaceiq/office365")
    browser.presses("Delete")
    assert browser.presses("No").heading == "Office365 Calendar"
    assert tenant.integration.state == "active"


def test_a_second_integration_is_not_activated_beside_the_first(browser: Browser, tenant: TenantState) -> None:
    browser.opens(f"{START}/spaceiq/activate")
    assert "delete it first" in browser.presses("Activate", domain="relecloud.example").text
    assert tenant.integration.via.startswith("a service account")


def test_deleting_leaves_what_entra_granted(browser: Browser, private: Browser, tenant: TenantState) -> None:
    signed_in(private, activated(browser))
    private.presses("Accept")
    private.presses("Accept")
    browser.opens(f"{START}/spaceiq/delete")
    browser.presses("Yes")
    assert (tenant.integration.state, spaceiq_connection.roles(tenant)) == ("available", DOCUMENTED)


def test_the_mail_shows_only_to_whom_it_was_sent_and_its_wrapped_link_is_the_same(browser: Browser) -> None:
    link = activated(browser)
    field = browser.response.text.split('class="long mono"')[1].split('value="')[1].split('"')[0]
    assert unwrapped(field.replace("&amp;", "&")) == link
    assert urlsplit(link).path == "/enterprise_connect/oauth/authorize"
    assert parse_qs(urlsplit(link).query)["response_type"] == ["code"]
    browser.opens(browser.page.links["Sign out"])
    browser.opens("/mail/?realm=relecloud.example")
    assert "No mail" in browser.presses(EMPLOYEE).text


def test_whoever_is_signed_in_elsewhere_is_told_so_and_may_choose(browser: Browser) -> None:
    browser.opens("/mail/")
    browser.chooses("adele@contoso.example")
    assert "AADSTS50020" in browser.opens("/mail/?realm=relecloud.example").text
    assert browser.presses(MANAGER).heading == f"Inbox of {MANAGER}"


def test_a_tenant_goes_back_to_the_beginning_alone(browser: Browser, private: Browser, sandbox: Sandbox) -> None:
    other = tenant_of(sandbox, "contoso")
    link = activated(browser)
    signed_in(private, link)
    private.presses("Accept")
    browser.opens(START)
    assert "a service account" in browser.presses("Put this tenant back").text
    assert grants(tenant_of(sandbox, "relecloud")) == []
    assert tenant_of(sandbox, "contoso") is other
    assert private.opens(link).heading == "This link cannot be used"
    assert private.opens("/mail/").heading == "Sign in"
    assert "No mail" in private.chooses(MANAGER).text


@pytest.mark.parametrize(
    ("key", "words"),
    [("contoso", "active, connected through Microsoft Graph"), ("fabrikam", "waiting"), ("litware", "none")],
)
def test_other_tenants_stand_where_their_consent_got_to(
    browser: Browser, sandbox: Sandbox, key: str, words: str
) -> None:
    assert f"/rehearsal/{key}" in browser.opens(sandbox.describe()["rehearsal"]).links.values()
    assert words in browser.opens(f"/rehearsal/{key}").text


@pytest.mark.parametrize("path", ["/rehearsal/nobody", f"{START}/elsewhere", "/enterprise_connect/nothing"])
def test_an_unknown_page_is_not_found(browser: Browser, path: str) -> None:
    browser.opens(path)
    assert browser.response.status_code == 404


@pytest.mark.parametrize("query", ["", "?state=w.unknown", "?state=w.unknown&admin_consent=True&tenant=contoso"])
def test_nobody_comes_back_from_entra_who_was_not_sent(browser: Browser, sandbox: Sandbox, query: str) -> None:
    assert browser.opens(f"/enterprise_connect/office365/callback{query}").heading == "Start again"
    assert browser.opens(f"/mail/{query or '?state='}").heading == "Start again"


def test_consent_cannot_be_claimed_without_the_sign_in(browser: Browser, sandbox: Sandbox, tenant: TenantState) -> None:
    browser.opens(activated(browser))
    browser.presses("Office 365")
    state = next(key for key, walk in sandbox.world.activations.walks.items() if walk.link)
    claim = f"/enterprise_connect/office365/callback?admin_consent=True&tenant=contoso&state={state}"
    assert browser.opens(claim).heading == "Start again"
    assert tenant.integration.state == "waiting"


def test_forms_are_taken_from_these_pages_only(sandbox: Sandbox, session: requests.Session) -> None:
    for origin, status in (("https://elsewhere.example", 403), ("null", 403), (sandbox.url, 200)):
        answer = session.post(f"{sandbox.url}{START}/reset", headers={"Origin": origin})
        assert answer.status_code == status, origin


@pytest.mark.parametrize(("host", "sent"), [("localhost", False), ("login.microsoftonline.com", True)])
def test_a_browser_is_not_kept_from_plain_http_on_this_machine(
    sandbox: Sandbox, session: requests.Session, host: str, sent: bool
) -> None:
    for path in ("/rehearsal", "/common/discovery/keys", "/v1.0/me"):
        answer = session.get(f"{sandbox.url}{path}", headers={"Host": host})
        assert ("Strict-Transport-Security" in answer.headers) is sent, path


def test_the_runbook_s_own_sign_in_stays_automatic(browser: Browser, client: Client) -> None:
    browser.opens(activated(browser))
    browser.presses("Office 365")
    assert client.code("relecloud.example", login_hint=ADMIN), "while a person is on his way, too"
