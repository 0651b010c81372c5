"""PowerShell for an Exchange administrator: one script reads, one limits Cronofy's access, one takes the limit back.

A script is a file of this folder with the tenant's values put in front. Values stand only in single-quoted literals:
never in a comment, never where PowerShell would expand them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from runbook_lib import vendors
from runbook_lib.errors import UsageError
from runbook_lib.model import Tenant
from runbook_lib.runs import folder as run_folders

FOLDER = Path(__file__).parent
SCHEMA = 1
"""The version of the answer's shape (answer.schema.json); raised whenever a field changes its meaning."""

QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e"
"""Typographic quotes, which PowerShell takes for plain ones: https://learn.microsoft.com/powershell/scripting/lang-spec/chapter-02"""

Value = str | int | Iterable[str]


def script(tenant: Tenant, rooms: Iterable[str] = ()) -> str:
    """Return the script that reads; `rooms` are addresses that Graph lists, to be looked up and tested as well.

    Raises UsageError when a value of the tenant file cannot stand in a script.
    """
    limit = tenant.access_limit
    return _assembled(
        "read",
        {
            **_common(tenant),
            "schema": SCHEMA,
            "apps": sorted({tenant.cronofy_app, *vendors.facts()["cronofy"]["apps"]}),
            "answer": tenant.exchange_answer.name if tenant.exchange_answer else f"{tenant.key}.exchange.json",
            "rooms": sorted({room.lower() for room in rooms}),
            "outsiders": limit.outsiders,
            "ews_accounts": tenant.ews_accounts,
        },
    )


def limit_script(tenant: Tenant, object_id: str = "") -> str:
    """Return the script that puts the tenant file's limit in place: nothing for mode `none`.

    RBAC needs `object_id`, the object id of Cronofy's enterprise application, which exists only after the consent:
    https://learn.microsoft.com/exchange/permissions-exo/application-rbac (2025-11-25). Raises UsageError.
    """
    return _limiting("limit", tenant, object_id)


def undo_script(tenant: Tenant) -> str:
    """Return the script that takes back what `limit_script` made: nothing for mode `none`; raise UsageError."""
    return _limiting("undo", tenant)


def save(tenant: Tenant, folder: Path, rooms: Iterable[str] = (), object_id: str = "") -> list[Path]:
    """Write the tenant's scripts into `folder` and return their paths; raise UsageError, ArchiveError.

    The script that reads is always among them, those that limit and undo once the limit is decided and possible.
    A script's name ends with its own hash, so that another version stands beside it and the same is written once. The
    byte order mark keeps Windows PowerShell 5.1 from reading UTF-8 as something else.
    """
    limit = tenant.access_limit
    texts = {"exchange-read": script(tenant, rooms)}
    ready = {"application-access-policy": True, "rbac": limit.cronofy_confirmed_rbac and bool(object_id)}
    if limit.group and ready.get(limit.mode):
        texts |= {"exchange-limit": limit_script(tenant, object_id), "exchange-undo": undo_script(tenant)}
    paths = {folder / f"{name}-{_digest(text)[:8]}.ps1": text for name, text in texts.items()}
    for path, text in paths.items():
        if not path.exists():
            run_folders.write_new(path, text.replace("\n", "\r\n").encode("utf-8-sig"))
    return list(paths)


def _common(tenant: Tenant) -> dict[str, Value]:
    environments = vendors.facts()["exchange"]["environments"]
    return {
        "tenant_id": tenant.tenant_id,
        "environment": environments.get(tenant.cloud.name, "O365Default"),
        "app_id": tenant.cronofy_app,
        "group": tenant.access_limit.group,
        "pilots": tenant.access_limit.pilots,
    }


def _limiting(verb: str, tenant: Tenant, object_id: str = "") -> str:
    limit = tenant.access_limit
    if limit.mode == "none":
        return ""
    if not limit.mode or not limit.group:
        raise UsageError(
            "The tenant file does not say how Cronofy's access is limited.",
            "Fill in access_limit: mode application-access-policy (or rbac, or none), and group.",
        )
    if limit.mode == "rbac" and not limit.cronofy_confirmed_rbac:
        raise UsageError(
            "RBAC for Applications is chosen, but the tenant file does not say that Cronofy supports it.",
            "Ask Cronofy; then set cronofy_confirmed_rbac: true under access_limit. Until then use the policy.",
        )
    if limit.mode == "rbac" and verb == "limit" and not object_id:
        raise UsageError(
            "RBAC for Applications needs Cronofy's enterprise application, which is not in the tenant yet.",
            "Do steps 3 to 5 first; before them only an application access policy can be put in place.",
        )
    names: dict[str, Value] = {"group_name": limit.group.partition("@")[0]}
    if limit.mode == "rbac":
        app = vendors.facts()["cronofy"]["apps"].get(tenant.cronofy_app, "Cronofy")
        names = {
            "object_id": object_id,
            "app_name": app,
            "scope_name": "Runbook: Cronofy rooms",
            "assignment_name": "Runbook: Cronofy calendars",
        }
    return _assembled(f"{verb}-{limit.mode}", {**_common(tenant), **names})


def _assembled(name: str, values: Mapping[str, Value]) -> str:
    """Return the script `name` with its settings in place, and the parts that it has in common with others."""
    body, *parts = ((FOLDER / f"{part}.ps1").read_text(encoding="ascii") for part in (name, "common", "changes"))
    lines = [f"    {key} = {literal(value)}" for key, value in values.items()]
    version = _digest("\n".join([*lines, body, *parts]))
    common, changes = (part.strip() for part in parts)
    settings = "\n".join(["$Settings = @{", *lines, f"    script = {literal(version)}", "}"])
    return body.replace("#COMMON#", common, 1).replace("#CHANGES#", changes, 1).replace("#SETTINGS#", settings, 1)


def literal(value: Value) -> str:
    """Return `value` as PowerShell writes it down: a number, a single-quoted text, or a list of those.

    Raises UsageError for characters that could end the text, hide in it or turn it around.
    """
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        return f"@({', '.join(literal(one) for one in value)})"
    strange = [one for one in value if _is_strange(one)]
    if strange:
        shown = ", ".join(sorted({f"U+{ord(one):04X}" for one in strange}))
        raise UsageError(
            f"A value for the PowerShell script has characters that do not belong there ({shown}).",
            "Type the addresses in the tenant file by hand: straight quotes, no invisible characters.",
        )
    return "'" + value.replace("'", "''") + "'"


def _is_strange(character: str) -> bool:
    """Tell a character that no address has: a typographic quote, a line end, one that nobody sees."""
    category = unicodedata.category(character)
    return character in QUOTES or category.startswith("C") or category in ("Zl", "Zp")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
