"""The answer of the reading script: checked once, kept whole, and looked at part by part."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib import settings, vendors
from runbook_lib.clients.exchange.scripts import SCHEMA
from runbook_lib.errors import UsageError, WrongTenant
from runbook_lib.model import Json, Look, Raw, Tenant

SHAPE = Path(__file__).with_name("answer.schema.json")
RUN_AGAIN = "Run the exchange-read script of this run with roles that read Exchange, and put its JSON file"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
CLOCKS_DIFFER = timedelta(minutes=10)
"""How far the clock of the machine that asked may be ahead of ours."""


def read(tenant: Tenant, now: datetime | None = None) -> Raw:
    """Return the look `exchange`: the imported answer, or in `refusal` why there is none to judge by.

    Raises WrongTenant for the answer of another tenant.
    """
    path, now = tenant.exchange_answer, now or datetime.now(UTC)
    if path is None or not path.is_file():
        return {"exchange": Look("exchange", now, refusal="no Exchange answer was imported", remedy=_again(tenant))}
    try:
        return {"exchange": read_answer(path, tenant, now)}
    except UsageError as error:
        return {"exchange": Look("exchange", now, refusal=error.message, remedy=error.remedy)}


def read_answer(path: Path, tenant: Tenant, now: datetime | None = None) -> Look:
    """Return the answer in `path` as a look of one row, asked when the script finished.

    One that is older than `answer_days` keeps its row and says in `refusal` that it is too old. Raises UsageError when
    the file is no complete answer about the tenant file's application, WrongTenant when it is another tenant's.
    """
    now = now or datetime.now(UTC)
    answer = _parsed(path, tenant)
    if str(answer.get("tenant_id", "")).lower() != tenant.tenant_id:
        raise WrongTenant(
            f"{path.name} is the answer of tenant {answer.get('tenant_id')}, not of {tenant.tenant_id}.",
            "Put the answer of this tenant there; the other one belongs to another tenant file.",
        )
    _check_shape(path, answer, tenant)
    if answer["app_id"].lower() != tenant.cronofy_app:
        what = f"{path.name} was asked about application {answer['app_id']}, not about {tenant.cronofy_app}."
        raise UsageError(what, _again(tenant))
    finished = _time(path, answer, tenant)
    if finished > now + CLOCKS_DIFFER:
        raise UsageError(
            f"{path.name} was finished at {answer['finished']}, which is in the future.",
            f"Correct the clock of the machine that ran the script. {_again(tenant)}",
        )
    days = vendors.facts()["exchange"]["answer_days"]
    age = now - finished
    old = f"the Exchange answer is {age.days} days old; it counts for {days}" if age > timedelta(days=days) else ""
    return Look("exchange", finished, (answer,), total=1, refusal=old, remedy=_again(tenant))


PREMISES = {
    "members": "group",
    "assignments": "service_principals",
    "scopes": "assignments",
    "authorizations": "service_principals",
    "impersonators": "impersonation",
}
"""Which part the script asked for each row of another one: where that was not seen whole, nor is this."""
QUOTE = "[\"'\\u2018-\\u201f\\u00ab\\u00bb\\u2039\\u203a]"
NONE = re.compile(rf"{QUOTE}[^{QUOTE[1:]}*\\\*\s*{QUOTE}")
"""How Exchange says, in the language of the session, that there is no policy: a quoted object that ends in `\\*`.
https://github.com/microsoft/Microsoft365DSC/issues/687, https://github.com/prowler-cloud/prowler/pull/12149
"""


def sections(look: Look) -> dict[str, Look]:
    """Return every part of the answer as a look of its own, called `exchange <section>`.

    A part that Exchange refused, or that the answer does not have, is refused; one with errors is not complete. What
    was asked for each row of a part that is not complete carries that part's words.
    """
    told = look.rows[0].get("sections") if look.rows and not look.refusal else None
    parts = {name: part for name, part in told.items() if _is_part(part)} if isinstance(told, dict) else {}
    found: dict[str, Look] = {}
    for name, cmdlet in vendors.facts()["exchange"]["sections"].items():
        found[name] = _section(cmdlet, _without_empty(name, parts), look)
    for name, premise in PREMISES.items():
        found[name] = _resting(found[name], found[premise])
    return {f"exchange {name}": part for name, part in found.items()}


def _is_part(part: Any) -> bool:
    """Tell a part as the script writes it from what an editor, or saving it again, made of it."""
    shaped = isinstance(part, dict) and isinstance(part.get("rows"), list) and isinstance(part.get("errors"), list)
    return shaped and all(isinstance(one, str) for one in part["errors"])


def _without_empty(name: str, parts: Json) -> Json | None:
    """Return a part; of the policies without the error that only says that there are none."""
    part: Json | None = parts.get(name)
    if name != "policies" or part is None or part["rows"]:
        return part
    return {**part, "errors": [one for one in part["errors"] if not NONE.search(str(one).rpartition("|")[2])]}


def _resting(part: Look, premise: Look) -> Look:
    if part.refusal or (premise.complete and not premise.refusal):
        return part
    why = f"{premise.call} was not seen whole: {premise.refusal or premise.remedy}"
    return replace(part, complete=False, refusal="" if part.rows else why, remedy=premise.remedy)


def _section(cmdlet: str, part: Json | None, look: Look) -> Look:
    if part is None:
        refusal = (
            look.refusal
            or "the Exchange answer does not have this part; an older script made it, or it was saved again"
        )
        return Look(cmdlet, look.asked_at, refusal=refusal, remedy=look.remedy)
    errors = list(dict.fromkeys(" ".join(one.split()) for one in part["errors"]))
    said = f"Exchange said: {'; '.join(errors[:3]).removesuffix('.')}. {look.remedy}" if errors else look.remedy
    refusal = f"Exchange did not answer: {errors[0]}" if errors and not part["rows"] else ""
    return Look(cmdlet, look.asked_at, tuple(part["rows"]), complete=not errors, refusal=refusal, remedy=said)


def _parsed(path: Path, tenant: Tenant) -> Json:
    """Return the JSON object in `path`; PowerShell's `>` writes UTF-16, editors add byte order marks: both are read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}.", "Correct its permissions.") from error
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).strip()
        answer: Any = json.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not text in UTF-8 or UTF-16.", _again(tenant)) from error
    except json.JSONDecodeError as error:
        cut = text.startswith("{") and not text.endswith("}")
        why = "is empty" if not text else "was cut off" if cut else f"is not JSON ({error.msg}, line {error.lineno})"
        raise UsageError(f"{path.name} {why}.", f"Copy the whole file again. {_again(tenant)}") from error
    if not isinstance(answer, dict):
        raise UsageError(f"{path.name} is not an answer of the reading script.", _again(tenant))
    return answer


def _check_shape(path: Path, answer: Json, tenant: Tenant) -> None:
    version = answer.get("schema")
    if isinstance(version, int) and version > SCHEMA:
        what = f"{path.name} has version {version} of the answer; this runbook knows {SCHEMA}."
        raise UsageError(what, "Update the runbook, or run the script that this version makes.")
    if not answer.get("complete"):
        raise UsageError(f"{path.name} is not complete: the script did not run to its end.", _again(tenant))
    shape = settings.validator(json.loads(SHAPE.read_text(encoding="utf-8")))
    fault = min(shape.iter_errors(answer), key=lambda error: [str(part) for part in error.absolute_path], default=None)
    if fault is not None:
        where = ".".join(str(part) for part in fault.absolute_path) or "the file"
        raise UsageError(f"{path.name} is not as the script writes it: {where}: {fault.message[:200]}.", _again(tenant))


def _time(path: Path, answer: Json, tenant: Tenant) -> datetime:
    try:
        return datetime.fromisoformat(answer["finished"])
    except ValueError as error:
        raise UsageError(f"{path.name} has no time of that calendar: {answer['finished']}.", _again(tenant)) from error


def _again(tenant: Tenant) -> str:
    name = tenant.exchange_answer.name if tenant.exchange_answer else f"{tenant.key}.exchange.json"
    return f"{RUN_AGAIN} beside the tenant file as {name}."
