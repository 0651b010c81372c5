"""What Entra's answer proves: whose token it is, of which tenant and until when; and its refusals in words."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime

from runbook_lib import vendors
from runbook_lib.errors import SignInError, WrongTenant
from runbook_lib.model import Json, Tenant

SKEW = 300
"""Seconds that this machine's clock may differ from Microsoft's."""
ERROR_PAGE = "https://login.microsoftonline.com/error?code="


def refused(text: str, tenant: Tenant, name: str = "") -> SignInError:
    """Return Entra's refusal in the administrator's words: hints from data, no decision rests on a code."""
    hints = vendors.facts()["sign_in_errors"]
    found = re.search(r"AADSTS(\d+)", text)
    code = int(found[1]) if found else 0
    expired = hints.get(f"{code} expired") if "expired" in text.lower() else None
    hint = (
        expired or hints.get(code) or hints.get(name) or {"cause": re.split(r"\r?\n| Trace ID", text)[0], "remedy": ""}
    )
    correlation = re.search(r"Correlation ID: ([0-9a-fA-F-]{36})", text)
    marks = [f"AADSTS{code}" if code else name, f"correlation id {correlation[1]}" if correlation else ""]
    marked = ", ".join(mark for mark in marks if mark)
    message = f"Microsoft Entra did not sign the runbook in to {tenant.name}: {hint['cause']}"
    link = f"{ERROR_PAGE}{code}" if code else ""
    return SignInError(f"{message} ({marked})" if marked else message, hint["remedy"], link)


def access_token(result: Json, tenant: Tenant) -> str:
    """Return the access token of msal's answer; raises SignInError without one, WrongTenant for another tenant's.

    Microsoft may make access tokens unreadable any day; only one that can be read can be caught.
    """
    if "access_token" not in result:
        raise refused(result.get("error_description", ""), tenant, result.get("error", ""))
    token: str = result["access_token"]
    issued_by = claims(token).get("tid", tenant.tenant_id)
    if issued_by != tenant.tenant_id:
        raise _wrong_tenant("The access token", issued_by, tenant)
    return token


def check_person(first: Json, accounts: list[Json], tenant: Tenant, now: datetime) -> None:
    """Check what msal does not: for whom the id_token is, until when, of which tenant, and where the account lives."""
    said = first.get("id_token_claims") or {}
    if said.get("aud") != tenant.sign_in.client_id or not accounts:
        raise SignInError("The sign-in brought no proof of who signed in to this app.", "Sign in again.")
    if said.get("exp", 0) < now.timestamp() - SKEW:
        raise SignInError("The proof of who signed in has expired.", "Set this machine's clock, then sign in again.")
    who = person(first)
    if said.get("tid") != tenant.tenant_id:
        raise _wrong_tenant(who, said.get("tid"), tenant)
    home = accounts[0]["home_account_id"].partition(".")[2]
    if home not in ("", tenant.tenant_id):
        raise _wrong_tenant(f"{who} is a guest here; the account", home, tenant)
    if tenant.sign_in.account not in ("", who.lower()):
        raise SignInError(
            f"{who} signed in, but the tenant file of {tenant.name} wants {tenant.sign_in.account}.",
            "Sign in again with that account, in a private window; or correct sign_in.account in the tenant file.",
        )


def person(first: Json) -> str:
    """Return the account's name as the id_token says it."""
    return str((first.get("id_token_claims") or {}).get("preferred_username", "The account"))


def _wrong_tenant(what: str, other: object, tenant: Tenant) -> WrongTenant:
    return WrongTenant(
        f"{what} belongs to the tenant {other}, but the tenant file is about {tenant.name} ({tenant.tenant_id}).",
        f"Sign in with an account of {tenant.domain}, in a private window; or correct the tenant file.",
    )


def claims(token: str) -> Json:
    """Return what a readable access token says, nothing for an opaque one; Graph alone checks its signature."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
