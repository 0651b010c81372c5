"""What one answer of Microsoft Graph means: data, an error that passes, an error that stays, or a refusal in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.clients.entra.sign_in import Identity
from runbook_lib.errors import CloudError, Forbidden, GraphError, UnsafeAddress
from runbook_lib.model import Json
from runbook_lib.vendors import Call

TRANSIENT = frozenset({429, 500, 502, 503, 504})
NO_LICENCE = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
ABSENT = "Request_ResourceNotFound"
NO_ITEM = "ErrorItemNotFound"
"""How the directory, and how a mailbox, says that something is not there."""
LONGEST_WORDS = 500
"""Of a service's message so many characters are quoted."""
INCOMPLETE = "Run the cell again; if it stays, compare with the admin center: Graph did not answer for everything."

Words = tuple[str, str]
"""What an administrator reads: why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, alone or inside a $batch; `headers` are lower-cased, `body` is None when it is no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: Json | None

    @property
    def transient(self) -> bool:
        """Return whether asking again may help: throttled, broken inside, or cut off on the way."""
        return self.status in TRANSIENT or (self.status < 300 and self.body is None)

    @property
    def good(self) -> Json | None:
        """Return the data, None when this answer is a problem."""
        return self.body if self.status < 300 else None

    def problem(self) -> CloudError:
        """Return what is wrong with this answer: a redirect, a refusal or another error.

        Graph's errors: https://learn.microsoft.com/graph/errors; programs may rely on the code, not on the message.
        """
        if 300 <= self.status < 400:
            return _redirected(self)
        code, message, request_id = _error(self)
        kind = Forbidden if self.status == 403 else GraphError
        words = f"Microsoft Graph answered {self.status} {code}".rstrip() + (f": {message}" if message else ".")
        remedy = _remedy(self.status, request_id)
        return kind(words, remedy, status=self.status, code=code, request_id=request_id)


def reply(status: int, headers: Mapping[str, str], content: object) -> Reply:
    """Return the answer with this `content`: bytes of a response, or what a $batch holds already parsed."""
    try:
        body: Any = json.loads(content) if isinstance(content, bytes) else content
    except ValueError:
        body = {} if status == 204 else None  # a change that was made has nothing to say
    lowered = {name.lower(): str(value) for name, value in headers.items()}
    return Reply(status, lowered, body if isinstance(body, dict) else None)


def refusal(call: Call, identity: Identity, refused: Forbidden) -> Words:
    """Return in the administrator's words why `call` was refused, and what to do about it."""
    application = identity.kind == "application"
    permission = call.permission(application)
    if refused.code == NO_LICENCE:
        return (
            f"The tenant has no Microsoft Entra ID P1 or P2 licence, without which Graph does not answer: {call.why}.",
            "Look it up in the Entra admin center instead, or ask again once the tenant has the licence.",
        )
    if permission not in identity.permissions:
        kind = "application" if application else "delegated"
        return (
            f"The runbook's sign-in lacks the {kind} permission {permission}, needed {call.why}.",
            f"Grant it to the app {identity.client_id} with admin consent, then sign in again.",
        )
    if application:
        return (
            f"The runbook's sign-in holds {permission}, yet Graph refused ({refused.code}) {call.why}.",
            "An access policy in Exchange or Entra keeps the runbook's own app out; allow it, or ask delegated.",
        )
    return (
        f"{identity.account} may use {permission}, but Graph refused ({refused.code}) {call.why}.",
        "Sign in with an account whose directory role allows this, for example Global Reader.",
    )


def failed(call: Call, error: GraphError) -> Words:
    """Return in the service's own words why `call` has no answer, and what to do about it."""
    again = "Run the cell again; if it stays, look it up in the admin center instead."
    return f"{error.message.rstrip('.')}; so it was not seen: {call.why}.", f"{again} {error.remedy}".strip()


def cannot_ask(call: Call, identity: Identity, cloud: str = "") -> Words | None:
    """Return the words for a question that this sign-in cannot ask, or that this cloud does not know; else None."""
    if cloud in call.absent_in:
        return (
            f"Microsoft Graph has no such call in the cloud {cloud}: {call.why}.",
            "Look it up in the admin center of that cloud instead.",
        )
    if call.permission(identity.kind == "application"):
        return None
    other = "certificate" if identity.kind == "person" else "browser or device-code"
    return (
        f"A sign-in as {identity.kind} cannot ask this: {call.why}.",
        f"Use sign_in method {other} in the tenant file if you need this answer.",
    )


def _error(answer: Reply) -> tuple[str, str, str]:
    error = (answer.body or {}).get("error")
    inside: Json = error if isinstance(error, dict) else {}
    code = "" if answer.body is not None else "unreadable"
    deeper = inside.get("innerError") or inside.get("innererror")  # both spellings occur
    request_id = answer.headers.get("request-id") or (_text(deeper, "request-id") if isinstance(deeper, dict) else "")
    message = "the answer is not the JSON it should be" if answer.body is None else _text(inside, "message")
    return _text(inside, "code") or code, message, request_id


def _text(inside: Json, member: str) -> str:
    said = inside.get(member)
    return " ".join(said.split())[:LONGEST_WORDS] if isinstance(said, str) else ""


def _remedy(status: int, request_id: str) -> str:
    if status == 401:
        return "Sign in again."
    first = "Run the cell again later." if status in TRANSIENT else ""
    support = f"Microsoft support can look the request up by its request-id {request_id}." if request_id else ""
    return f"{first} {support}".strip()


def _redirected(answer: Reply) -> UnsafeAddress:
    host = urlsplit(answer.headers.get("location", "")).netloc or "an unknown place"
    return UnsafeAddress(
        f"Instead of an answer came a redirect to {host}; the token was not sent there.",
        "A proxy or a sign-in page of the network may stand in between: open it in a browser, then run the cell again.",
    )
