"""A small HTTP client of the sandbox's sign-in endpoints, for tests: what a program sends, without MSAL's help."""

import html
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import jwt
import requests

from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world.state import App, Json, TenantState
from runbook_lib.sandbox.world.world import World

GRAPH_DEFAULT = "https://graph.microsoft.com/.default"


@dataclass(frozen=True)
class Client:
    """A small HTTP client of sign-in: what a program would send, nothing that MSAL adds."""

    sandbox: Sandbox
    session: requests.Session

    @property
    def app(self) -> App:
        """The verifier app."""
        return app_of(self.sandbox.world, "verifier")

    @property
    def secret(self) -> str:
        """The verifier's good secret."""
        return self.sandbox.credentials.verifier_secret

    def token(self, tenant: str = "contoso.example", **form: str) -> requests.Response:
        """POST to the token endpoint; client_id and grant_type have defaults."""
        defaults = {"client_id": self.app.id, "grant_type": "client_credentials"}
        sent = {name: value for name, value in (defaults | form).items() if value != "-"}
        return self.session.post(f"{self.sandbox.url}/{tenant}/oauth2/v2.0/token", data=sent)

    def app_token(self, tenant: str = "contoso.example", **form: str) -> requests.Response:
        """Ask for an app-only Graph token with the secret."""
        return self.token(tenant, **{"client_secret": self.secret, "scope": GRAPH_DEFAULT} | form)

    def authorize(self, tenant: str = "contoso.example", **query: str) -> requests.Response:
        """GET the authorize endpoint without following its redirect."""
        defaults = {
            "client_id": self.app.id,
            "response_type": "code",
            "redirect_uri": "http://localhost:1234",
            "scope": "User.Read openid profile offline_access",
            "state": "a state",
        }
        sent = {name: value for name, value in (defaults | query).items() if value != "-"}
        url = f"{self.sandbox.url}/{tenant}/oauth2/v2.0/authorize"
        return self.session.get(url, params=sent, allow_redirects=False)

    def code(self, tenant: str = "contoso.example", **query: str) -> str:
        """The code of an authorization that succeeds at once."""
        return sent_back(self.authorize(tenant, **query))["code"]

    def redeem(self, code: str, tenant: str = "contoso.example", **form: str) -> requests.Response:
        """Redeem a code as a public client."""
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://localhost:1234"}
        return self.token(tenant, **sent | form)


def app_of(world: World, key: str) -> App:
    """The registration of that key in apps.yaml."""
    return next(app for app in world.apps.values() if app.key == key)


def tenant_of(sandbox: Sandbox, key: str) -> TenantState:
    """A tenant of the running sandbox."""
    tenant = sandbox.world.tenant(key)
    assert tenant is not None
    return tenant


def form(page: requests.Response) -> tuple[str, dict[str, str]]:
    """Where the first form of a page goes, and its fields with their values."""
    fields = re.findall(r'name="(\w+)" value="([^"]*)"', page.text)
    action = html.unescape(re.findall(r'action="([^"]+)"', page.text)[0])
    return action, {html.unescape(name): html.unescape(value) for name, value in fields}


def sent_back(response: requests.Response) -> dict[str, str]:
    """What Entra sends back to the app: in the query, the fragment, or a form that posts itself."""
    if 'name="hiddenform"' in response.text:
        return form(response)[1]
    assert response.status_code == 302, response.text
    address = urlsplit(response.headers["Location"])
    return dict(parse_qsl(address.query or address.fragment))


def claims_of(token: str) -> Json:
    """The claims of a JWT, unchecked."""
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims


def refusal(response: requests.Response) -> tuple[int, str, int]:
    """Status, OAuth error and AADSTS code of a refusal in JSON."""
    body = response.json()
    return response.status_code, body["error"], body["error_codes"][0]
