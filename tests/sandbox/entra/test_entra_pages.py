"""The pages that people click: account picker, consent, approval by an admin; and admin consent."""

import html
import re

import pytest
import requests

from runbook_lib.sandbox.world import grants, ids
from runbook_lib.sandbox.world.catalogue import GRAPH, resources
from runbook_lib.sandbox.world.state import TenantState
from tests.sandbox.signing_in import Client, app_of, sent_back, tenant_of

HTTP = "http://localhost:1234"


@pytest.fixture
def person(client: Client) -> "Person":
    """Somebody who clicks, in a fresh browser."""
    client.sandbox.world.approval.auto = False
    return Person(client)


class Person:
    """A browser with somebody in front of it: follows pages by their forms."""

    def __init__(self, client: Client) -> None:
        self.client, self.page = client, requests.Response()

    def opens(self, path: str, **query: str) -> None:
        self.page = self.client.session.get(f"{self.client.sandbox.url}{path}", params=query, allow_redirects=False)

    def signs_in_to(self, tenant: str = "contoso.example", **query: str) -> None:
        self.page = self.client.authorize(tenant, **query)

    def presses(self, action: str, **fields: str) -> None:
        """Post the form of the page whose action ends so, with its context and the pressed button."""
        form = next(text for text in self.page.text.split("<form ")[1:] if f'{action}"' in text)
        where = html.unescape(re.findall(r'action="([^"]+)"', form)[0])
        ctx = re.findall(r'name="ctx" value="([^"]+)"', form)[0]
        url = f"{self.client.sandbox.url}{where}"
        self.page = self.client.session.post(url, data={"ctx": ctx} | fields, allow_redirects=False)

    def is_sent_back(self) -> dict[str, str]:
        return sent_back(self.page)


def command_line(client: Client) -> dict[str, str]:
    return {"client_id": app_of(client.sandbox.world, "graph-command-line").id}


def consents(tenant: TenantState) -> list[dict[str, str]]:
    """The modified properties of every Consent to application, newest first."""
    records = [row for row in tenant.directory_audits if row["activityDisplayName"] == "Consent to application"]
    return [
        {row["displayName"]: row["newValue"] for row in record["targetResources"][0]["modifiedProperties"]}
        for record in records
    ]


def test_a_person_picks_an_account_and_is_signed_in(person: Person) -> None:
    person.signs_in_to()
    assert person.page.status_code == 200
    assert "SpaceIQ Calendar Runbook" in person.page.text
    assert "Global Administrator" in person.page.text
    assert "room-adams" not in person.page.text
    person.presses("/login", account="adele@contoso.example")
    assert "code" in person.is_sent_back()


def test_the_session_stays_until_another_account_is_wanted(person: Person) -> None:
    person.signs_in_to()
    person.presses("/login", account="adele@contoso.example")
    person.signs_in_to(prompt="none")
    assert "code" in person.is_sent_back()
    person.signs_in_to()
    assert "code" in person.is_sent_back()
    person.signs_in_to(prompt="select_account")
    assert "Pick an account" in person.page.text
    person.opens("/common/oauth2/v2.0/logout")
    person.signs_in_to(prompt="none")
    assert person.is_sent_back()["error"] == "login_required"


def test_pages_carry_nothing_foreign_and_escape_everything(person: Person) -> None:
    person.signs_in_to(login_hint='"><script>alert(1)</script>')
    assert "<script" not in person.page.text
    assert not re.findall(r'(?:src|href)="(?!/)', person.page.text)
    assert "default-src 'none'" in person.page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("account", "code"),
    [("former@contoso.example", 50057), ("nobody@contoso.example", 50034), ("lee@fabrikam.example", 50020)],
)
def test_an_account_that_may_not_is_told_on_the_page(person: Person, account: str, code: int) -> None:
    person.signs_in_to()
    person.presses("/login", account=account)
    assert f"AADSTS{code}" in person.page.text
    person.presses("/login", account="adele@contoso.example")
    assert "code" in person.is_sent_back()


def test_walking_away_from_the_picker_is_access_denied(person: Person) -> None:
    person.signs_in_to()
    person.presses("/login", cancel="1")
    back = person.is_sent_back()
    assert (back["error"], back["error_subcode"], back["state"]) == ("access_denied", "cancel", "a state")


def test_an_admin_may_consent_for_himself_or_for_everybody(person: Person) -> None:
    tenant, app = tenant_of(person.client.sandbox, "contoso"), command_line(person.client)
    asked = app | {"scope": "Place.Read.All", "login_hint": "admin@contoso.example"}
    for fields, kind in (({}, "Principal"), ({"on_behalf": "1"}, "AllPrincipals")):
        person.client.sandbox.world.reset()
        person.client.sandbox.world.approval.auto = False
        tenant = tenant_of(person.client.sandbox, "contoso")
        person.signs_in_to(**asked)
        person.presses("/login", account="admin@contoso.example")
        assert "Read all company places" in person.page.text
        assert "on behalf of your organization" in person.page.text
        person.presses("/Consent/Set", answer="accept", **fields)
        assert "code" in person.is_sent_back()
        newest = list(tenant.oauth2_permission_grants.values())[-1]
        assert (newest["consentType"], newest["scope"]) == (kind, "Place.Read.All")
        assert consents(tenant)[0]["ConsentContext.OnBehalfOfAll"] == f'"{kind == "AllPrincipals"}"'


def test_an_employee_consents_for_himself_without_being_offered_more(person: Person) -> None:
    person.signs_in_to(**command_line(person.client), scope="User.Read openid")
    person.presses("/login", account="adele@contoso.example")
    assert "on behalf of your organization" not in person.page.text
    person.presses("/Consent/Set", answer="accept", on_behalf="1")
    assert "code" in person.is_sent_back()
    newest = list(tenant_of(person.client.sandbox, "contoso").oauth2_permission_grants.values())[-1]
    assert (newest["consentType"], newest["scope"]) == ("Principal", "openid User.Read")


def test_declining_consent_goes_back_and_grants_nothing(person: Person) -> None:
    tenant = tenant_of(person.client.sandbox, "contoso")
    before = len(tenant.oauth2_permission_grants)
    person.signs_in_to(**command_line(person.client))
    person.presses("/login", account="adele@contoso.example")
    person.presses("/Consent/Set", answer="cancel")
    back = person.is_sent_back()
    assert back["error_description"].startswith("AADSTS65004")
    assert len(tenant.oauth2_permission_grants) == before


@pytest.mark.parametrize(("tenant", "who", "code"), [("contoso", "adele", 90094), ("tailspin", "omar", 90095)])
def test_what_only_an_admin_can_grant_needs_approval(person: Person, tenant: str, who: str, code: int) -> None:
    person.signs_in_to(f"{tenant}.example", **command_line(person.client), scope="Directory.Read.All")
    person.presses("/login", account=f"{who}@{tenant}.example")
    assert "Need admin approval" in person.page.text
    assert f"AADSTS{code}" in person.page.text
    person.presses("/login", cancel="1")
    assert person.is_sent_back()["error"] == "access_denied"


def test_an_admin_can_take_over_from_the_approval_page(person: Person) -> None:
    person.signs_in_to(**command_line(person.client), scope="Directory.Read.All")
    person.presses("/login", account="adele@contoso.example")
    person.presses("/login", again="1")
    person.presses("/login", account="appadmin@contoso.example")
    person.presses("/Consent/Set", answer="accept", on_behalf="1")
    assert "code" in person.is_sent_back()


def test_prompt_consent_asks_again(person: Person) -> None:
    person.signs_in_to(prompt="consent")
    person.presses("/login", account="adele@contoso.example")
    assert "Permissions requested" in person.page.text
    person.presses("/Consent/Set", answer="accept")
    assert "code" in person.is_sent_back()


def test_in_automatic_mode_consent_is_given_or_refused_as_ordered(client: Client) -> None:
    asked = command_line(client) | {"scope": "Place.Read.All"}
    assert "code" in sent_back(client.authorize(**asked))
    client.sandbox.world.reset()
    client.sandbox.world.approval.answer = "cancel"
    assert sent_back(client.authorize(**asked))["error_subcode"] == "cancel"
    back = sent_back(client.authorize(**asked, login_hint="adele@contoso.example"))
    assert (back["error"], back["error_description"][:11]) == ("access_denied", "AADSTS90094")


def test_a_forgotten_page_says_so(person: Person) -> None:
    for path in ("/contoso.example/login", "/contoso.example/Consent/Set"):
        page = person.client.session.post(f"{person.client.sandbox.url}{path}", data={"ctx": "gone"})
        assert (page.status_code, "expired" in page.text) == (400, True)


def admin_consent(
    client: Client, version: str = "v2.0/", tenant: str = "treyresearch.example", **query: str
) -> requests.Response:
    sent = {
        "client_id": client.app.id,
        "redirect_uri": HTTP,
        "state": "s",
        "scope": "https://graph.microsoft.com/.default",
    } | query
    url = f"{client.sandbox.url}/{tenant}/{version}adminconsent"
    kept = {name: value for name, value in sent.items() if value != "-"}
    return client.session.get(url, params=kept, allow_redirects=False)


def held(client: Client, key: str = "treyresearch") -> tuple[set[str], set[str]]:
    """Roles and scopes of the verifier on Graph."""
    tenant, graph = tenant_of(client.sandbox, key), resources()[GRAPH]
    principal = grants.service_principal(tenant, client.app.id)
    if principal is None:
        return set(), set()
    return (
        set(grants.granted_roles(tenant, principal, graph)),
        set(grants.granted_scopes(tenant, principal, graph, None)),
    )


@pytest.mark.parametrize("version", ["", "v2.0/"])
def test_admin_consent_grants_all_that_is_registered(client: Client, version: str) -> None:
    back = sent_back(admin_consent(client, version))
    assert (back["admin_consent"], back["tenant"], back["state"]) == ("True", ids.tenant_id("treyresearch"), "s")
    assert ("scope" in back) == bool(version)
    wanted = client.app.permissions[GRAPH]
    assert held(client) == (set(wanted["roles"]), set(wanted["scopes"]))
    assert client.app_token("treyresearch.example").status_code == 200


def test_admin_consent_version_2_can_name_delegated_scopes(client: Client) -> None:
    back = sent_back(admin_consent(client, scope="User.Read Place.Read.All"))
    assert back["scope"] == "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Place.Read.All"
    assert held(client) == (set(), {"User.Read", "Place.Read.All"})


def test_a_refused_admin_consent_says_true_all_the_same(client: Client) -> None:
    client.sandbox.world.approval.answer = "cancel"
    back = sent_back(admin_consent(client))
    assert (back["error"], back["admin_consent"], back["state"]) == ("access_denied", "True", "s")
    assert back["error_description"].startswith("AADSTS65004")
    assert sent_back(admin_consent(client, ""))["error"] == "permission_denied"
    assert held(client) == (set(), set())


@pytest.mark.parametrize("who", ["spaceiq", "appadmin"])
def test_only_privileged_roles_may_grant_application_permissions(client: Client, who: str) -> None:
    client.sandbox.world.approval.account = f"{who}@treyresearch.example"
    back = sent_back(admin_consent(client))
    assert back["error_description"].startswith("AADSTS90094")
    assert held(client) == (set(), set())


def test_a_privileged_role_administrator_may(client: Client) -> None:
    client.sandbox.world.approval.account = "pra@contoso.example"
    assert sent_back(admin_consent(client, tenant="contoso.example"))["admin_consent"] == "True"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"redirect_uri": "https://evil.example"}, 50011),
        ({"redirect_uri": "-"}, 900144),
        ({"client_id": ids.tenant_id("x")}, 700016),
    ],
)
def test_a_wrong_admin_consent_request_is_a_page(client: Client, query: dict[str, str], code: int) -> None:
    page = admin_consent(client, **query)
    assert (page.status_code, f"AADSTS{code}" in page.text) == (400, True)


def test_admin_consent_without_scope_goes_back_with_the_error(client: Client) -> None:
    back = sent_back(admin_consent(client, scope="-"))
    assert (back["error"], back["admin_consent"]) == ("invalid_request", "True")


def test_people_see_what_they_grant_for_everybody(person: Person) -> None:
    person.page = admin_consent(person.client)
    person.presses("/login", account="spaceiq@treyresearch.example")
    assert "Need admin approval" in person.page.text
    person.presses("/login", again="1")
    person.presses("/login", account="admin@treyresearch.example")
    assert "for all users in Trey Research" in person.page.text
    assert "for the app itself" in person.page.text
    person.presses("/Consent/Set", answer="accept")
    assert person.is_sent_back()["admin_consent"] == "True"
    record = tenant_of(person.client.sandbox, "treyresearch").directory_audits[0]
    assert record["initiatedBy"]["user"]["userPrincipalName"] == "admin@treyresearch.example"
