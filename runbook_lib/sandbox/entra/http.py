"""What every sign-in endpoint speaks: a request read once, Entra's refusals in its own JSON, and its headers."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from runbook_lib.sandbox.world.state import App, Json, TenantState
from runbook_lib.sandbox.world.world import World

EVERYBODY = ("common", "organizations")


class EntraError(Exception):
    """A refusal of Entra: the OAuth error, the AADSTS code and its sentence.

    Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
    """

    def __init__(self, error: str, code: int, message: str, *, suberror: str = "", claims: str = "") -> None:
        """Keep what the JSON body and the redirect carry."""
        super().__init__(f"AADSTS{code}: {message}")
        self.error, self.code, self.message = error, code, message
        self.suberror, self.claims = suberror, claims

    @property
    def status(self) -> int:
        """401 when the client did not prove itself, else 400."""
        return 401 if self.error == "invalid_client" else 400


@dataclass
class Ask:
    """One request to a sign-in endpoint. `tenant_name` is the first path segment; parameters are decoded."""

    world: World
    method: str
    path: str
    tenant_name: str
    host: str
    headers: Mapping[str, str]
    query: dict[str, str]
    form: dict[str, str]
    cookies: Mapping[str, str] = field(default_factory=dict)
    duplicated: tuple[str, ...] = ()
    trace_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def base(self) -> str:
        """The address of this host: always https, because behind an adapter the client sees https."""
        return f"https://{self.host}"

    @property
    def parameters(self) -> dict[str, str]:
        """Query and form together."""
        return self.query | self.form

    @property
    def walking(self) -> bool:
        """Whether one of this cloud's own pages sent a person here, who then sees pages and comes back to it."""
        return self.parameters.get("state") in self.world.activations.walks

    @property
    def correlation_id(self) -> str:
        """The client's request id when it is a GUID, else one of ours."""
        sent = self.headers.get("client-request-id") or self.parameters.get("client-request-id", "")
        return sent if is_guid(sent) else self.trace_id

    def need(self, name: str) -> str:
        """A parameter that must be there; raises AADSTS900144."""
        value = self.parameters.get(name, "")
        if not value:
            message = f"The request body must contain the following parameter: '{name}'."
            raise EntraError("invalid_request", 900144, message)
        return value


def is_guid(text: str) -> bool:
    """Whether the text is a GUID in its usual writing."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


async def read(request: Request, world: World) -> Ask:
    """Read a request: form bodies are parsed here, so that no multipart package is needed."""
    body = await request.body()
    encoded = "application/x-www-form-urlencoded" in request.headers.get("content-type", "")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) if encoded else []
    names = [name for name, _ in pairs]
    path = request.scope["path"]
    return Ask(
        world=world,
        method=request.method,
        path=path,
        tenant_name=path.split("/")[1],
        host=request.headers.get("host", "localhost"),
        headers=request.headers,
        query=dict(request.query_params),
        form=dict(pairs),
        cookies=request.cookies,
        duplicated=tuple(name for name in dict.fromkeys(names) if names.count(name) > 1),
    )


def entra_time(moment: datetime) -> str:
    """A moment as Entra's errors print it."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def description(ask: Ask, error: EntraError) -> str:
    """The error_description: code and sentence, then what support would ask for."""
    stamp = entra_time(ask.world.now())
    return f"{error} Trace ID: {ask.trace_id} Correlation ID: {ask.correlation_id} Timestamp: {stamp}"


def error_body(ask: Ask, error: EntraError) -> Json:
    """The JSON that Entra refuses with."""
    body: Json = {
        "error": error.error,
        "error_description": description(ask, error),
        "error_codes": [error.code],
        "timestamp": entra_time(ask.world.now()),
        "trace_id": ask.trace_id,
        "correlation_id": ask.correlation_id,
        "error_uri": f"{ask.base}/error?code={error.code}",
    }
    return body | {name: value for name in ("suberror", "claims") if (value := getattr(error, name))}


def answer(ask: Ask, body: Any, status: int = 200, *, cached: bool = False) -> Response:
    """A JSON answer with Entra's headers; discovery may be kept a day, all else not at all."""
    text = json.dumps(body, separators=(",", ":"))
    cache = "max-age=86400, private" if cached else "no-store, no-cache"
    return Response(text, status, common_headers(ask) | {"Cache-Control": cache}, "application/json; charset=utf-8")


def refusal(ask: Ask, error: EntraError) -> Response:
    """The JSON refusal of an error."""
    return answer(ask, error_body(ask, error), error.status)


def common_headers(ask: Ask) -> dict[str, str]:
    """Headers on every answer of a sign-in host."""
    headers = {
        "Pragma": "no-cache",
        "Expires": "-1",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "x-ms-request-id": ask.trace_id,
        "x-ms-ests-server": "2.1.0 - SANDBOX",
        "Referrer-Policy": "strict-origin-when-cross-origin",
    }
    sent = ask.headers.get("client-request-id")
    return headers | ({"client-request-id": sent} if sent else {})


def html(ask: Ask, page: str, status: int = 200, script_nonce: str = "") -> Response:
    """A page for a person; nothing may frame it and it loads nothing from elsewhere."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    if script_nonce:
        policy += f"; script-src 'nonce-{script_nonce}'"
    headers = common_headers(ask) | {"Cache-Control": "no-store, no-cache", "Content-Security-Policy": policy}
    return Response(page, status, headers, "text/html; charset=utf-8")


def redirect(ask: Ask, uri: str, parameters: Mapping[str, str], *, fragment: bool = False) -> Response:
    """Send the browser back to the app with parameters in the query or the fragment.

    An app that this cloud plays itself is found at the app's path on this host.
    """
    if ask.walking:
        uri = ask.base + urlsplit(uri).path
    joiner = "" if not parameters else "#" if fragment else "&" if "?" in uri else "?"
    headers = common_headers(ask) | {"Cache-Control": "no-store, no-cache"}
    return RedirectResponse(f"{uri}{joiner}{urlencode(parameters)}", 302, headers)


def find_tenant(ask: Ask) -> TenantState:
    """The tenant that the path names; raises AADSTS90002 or AADSTS900023."""
    name = ask.tenant_name
    tenant = ask.world.tenant(name) if is_guid(name) or "." in name else None
    if tenant is not None:
        return tenant
    if not is_guid(name) and not _is_domain(name):
        message = f"Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid external domain."
        raise EntraError("invalid_request", 900023, message)
    message = (
        f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant."
    )
    raise EntraError("invalid_request", 90002, message)


def granting_tenant(ask: Ask, tenant_id: str) -> TenantState:
    """The tenant of a code or refresh token, which the path must agree with; raises AADSTS700005."""
    tenant = ask.world.tenant(tenant_id) if ask.tenant_name in EVERYBODY else find_tenant(ask)
    if tenant is None or tenant.id != tenant_id:
        message = "Provided Authorization Code is intended to use against other tenant, thus rejected."
        raise EntraError("invalid_grant", 700005, message)
    return tenant


def _is_domain(name: str) -> bool:
    labels = name.split(".")
    return len(labels) > 1 and all(label and label.replace("-", "").isalnum() for label in labels)


def find_app(ask: Ask, tenant: TenantState | None) -> App:
    """The app that the request names, if it may be used in the tenant; raises AADSTS700016."""
    app = ask.world.apps.get(ask.need("client_id").lower())
    if app is not None and (tenant is None or app.id in tenant.apps):
        return app
    where = tenant.name if tenant else "Microsoft Services"
    message = (
        f"Application with identifier '{ask.parameters['client_id']}' was not found in the directory '{where}'. This "
        "can happen if the application has not been installed by the administrator of the tenant or consented to by "
        "any user in the tenant. You may have sent your authentication request to the wrong tenant."
    )
    raise EntraError("unauthorized_client", 700016, message)


def check_enabled(app: App, principals: Iterable[Json]) -> None:
    """Refuse an app whose service principal is switched off (AADSTS7000112)."""
    for row in principals:
        if row["appId"] == app.id and (row["accountEnabled"] is False or row["isDisabled"]):
            raise EntraError("unauthorized_client", 7000112, f"Application '{app.id}'({app.name}) is disabled.")
