"""The answers that Exchange's reading script would bring from the sandbox tenants, which have no PowerShell.

Policies and roles are evaluated by Microsoft's rules, so that the tests in an answer follow from its policies:
https://learn.microsoft.com/powershell/module/exchangepowershell/new-applicationaccesspolicy and
https://learn.microsoft.com/exchange/permissions-exo/application-rbac.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from runbook_lib.sandbox.world import catalogue, ids
from runbook_lib.sandbox.world.state import Json, Mailbox, TenantState
from runbook_lib.sandbox.world.times import graph_time, span
from runbook_lib.sandbox.world.world import World

PLANS = Path(__file__).with_suffix(".yaml")
CRONOFY = "cronofy-enterprise"
KINDS = {"room": "RoomMailbox", "user": "UserMailbox", "shared": "SharedMailbox", "equipment": "EquipmentMailbox"}
ABSENT = ("on-premises", "missing")
"""States in which a mailbox is not in Exchange Online."""


def write_answers(world: World, folder: Path) -> list[Path]:
    """Write <folder>/<key>.json for every scenario whose Exchange somebody asked, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for key in world.scenarios:
        tenant = None if key.startswith("gen-") else world.tenant(key)
        if tenant is None or plan(key).get("none"):
            continue
        path = folder / f"{key}.json"
        path.write_text(json.dumps(answer(tenant, world.now(), plan(key)), indent=1), encoding="utf-8")
        written.append(path)
    return written


def plan(key: str, **changes: object) -> Json:
    """What Exchange holds in the tenant of that key, with `changes` for a test's own scenario."""
    plans = catalogue.load_yaml(PLANS)
    own = plans["tenants"].get(key, {})
    organization = {"organization": plans["usual"]["organization"] | own.get("organization", {})}
    return {**plans["usual"], **own, **organization, **changes}


def answer(
    tenant: TenantState, now: datetime, plan: Json, outsiders: Iterable[str] = ("admin",), pilots: Iterable[str] = ()
) -> Json:
    """The whole answer; `outsiders` and `pilots` are the aliases of people to be tested besides the rooms."""
    finished = now - span(plan["finished"])
    people = [f"{alias}@{tenant.domains[0]}" for alias in (*outsiders, *pilots)]
    asked = _Exchange(tenant, plan, people, finished)
    sections = {name: {"rows": rows, "errors": []} for name, rows in asked.sections().items()}
    for name, error in plan["errors"].items():
        sections[name] = {"rows": [], "errors": [error]}
    return {
        "schema": 1,
        "tenant_id": tenant.id,
        "app_id": asked.cronofy,
        "script": "0" * 64,
        "by": f"admin@{tenant.domains[0]}",
        "powershell": "7.4.6",
        "module": "3.9.0",
        "started": graph_time(finished - timedelta(minutes=4)),
        "sections": sections,
        "finished": graph_time(finished),
        "complete": True,
    }


@dataclass
class _Exchange:
    """One tenant's Exchange Online, with the questions of the script as methods."""

    tenant: TenantState
    plan: Json
    people: list[str]
    finished: datetime

    @property
    def cronofy(self) -> str:
        return self.app(CRONOFY)

    def app(self, key: str) -> str:
        return next(one.id for one in self.tenant.apps.values() if one.key == key)

    @cached_property
    def address(self) -> str:
        return f"cronofy-rooms@{self.tenant.domains[0]}"

    @cached_property
    def group_id(self) -> str:
        return ids.object_id(self.tenant.id, "group", self.address)

    @cached_property
    def rooms(self) -> list[Mailbox]:
        return [box for box in self.tenant.mailboxes.values() if box.kind == "room" and box.state not in ABSENT]

    @cached_property
    def members(self) -> list[Json]:
        """Members of the group, those of its nested group included."""
        if not self.plan["group"]:
            return []
        inside = [box for at, box in enumerate(self.rooms, 1) if at not in self.plan["outside"]]
        nested = {self.rooms[at - 1].smtp for at in self.plan["nested"]}
        floor = f"floor-1@{self.tenant.domains[0]}"
        rows = [
            {
                "mailbox": box.smtp,
                "RecipientTypeDetails": "RoomMailbox",
                "via": floor if box.smtp in nested else self.address,
            }
            for box in inside
            if box.state != "policy-blocked"
        ]
        for alias in self.plan["strangers"]:
            smtp = f"{alias}@{self.tenant.domains[0]}"
            rows.append({"mailbox": smtp, "RecipientTypeDetails": "UserMailbox", "via": self.address})
        if nested:
            rows.append({"mailbox": floor, "RecipientTypeDetails": "MailUniversalSecurityGroup", "via": self.address})
        return rows

    def sections(self) -> dict[str, list[Json]]:
        listed = [room["emailAddress"].lower() for room in self.tenant.rooms.values()]
        tested = sorted({*listed, *(box.smtp for box in self.rooms), *self.people})
        return {
            "organization": [self.plan["organization"]],
            "policies": self.policies(),
            "group": self.group(),
            "members": self.members,
            "service_principals": [{"AppId": self.cronofy, "ObjectId": self._principal()}] if self.plan["rbac"] else [],
            "assignments": self.assignments(),
            "scopes": [{"Name": "Cronofy rooms", "RecipientFilter": f"MemberOfGroup -eq '{self._dn()}'"}]
            if self.plan["rbac"] == "group"
            else [],
            "rooms": [self.room(box) for box in self.rooms],
            "recipients": [{"mailbox": one, "found": one in self.tenant.mailboxes, "error": ""} for one in self.people],
            "tests": [self.test(mailbox) for mailbox in tested],
            "authorizations": list(self.authorizations(tested)),
            "impersonation": [{"roles_seen": 96, "role_exists": self.plan["impersonation"]}],
            "impersonators": [
                {"RoleAssigneeName": one, "RoleAssigneeType": "User", "EffectiveUserName": one, "Enabled": True}
                for one in self.plan["impersonators"]
            ],
            "accounts": [
                {"account": f"{alias}@{self.tenant.domains[0]}", "found": bool(one), "error": ""}
                | ({"AccountDisabled": one["disabled"], "EwsEnabled": True} if one else {})
                for alias, one in self.plan["accounts"].items()
            ],
            "mailboxes": [{"type": kind, "count": count} for kind, count in self._counts().items()],
        }

    def _dn(self) -> str:
        return f"CN=cronofy-rooms,OU={self.tenant.domains[-1]},OU=Microsoft Exchange Hosted Organizations"

    def _principal(self) -> str:
        return ids.object_id(self.tenant.id, self.cronofy)

    def _counts(self) -> Counter[str]:
        return Counter(KINDS[box.kind] for box in self.tenant.mailboxes.values() if box.state not in ABSENT)

    def group(self) -> list[Json]:
        if not self.plan["group"]:
            return []
        row = {
            "Name": "Cronofy Rooms",
            "RecipientTypeDetails": self.plan["group"]["type"],
            "ExternalDirectoryObjectId": self.group_id,
            "DistinguishedName": self._dn(),
            "WhenCreatedUTC": graph_time(self.finished - span(self.plan["group"]["made"])),
            "mailbox": self.address,
        }
        return [row]

    def policies(self) -> list[Json]:
        """Policies as the cmdlet prints them: without any date."""
        return [
            {
                "ScopeName": "Cronofy Rooms" if "of" not in one else ", ".join(one["of"]),
                "AppId": "*" if one["app"] == "*" else self.app(one["app"]),
                "ScopeIdentityRaw": f"S-1-5-21-1;{self._scope_id(one)}",
                "AccessRight": one["right"],
                "ShardType": "All",
                "IsValid": one.get("valid", True),
            }
            for one in self.plan["policies"]
        ]

    def _scope_id(self, policy: Json) -> str:
        return ids.object_id(self.tenant.id, "group", *policy["of"]) if "of" in policy else self.group_id

    def room(self, box: Mailbox) -> Json:
        user = self.tenant.users[box.user_id]
        return {
            "DisplayName": user["displayName"],
            "EmailAddresses": [f"SMTP:{box.smtp}"],
            "HiddenFromAddressListsEnabled": not user["showInAddressList"],
            "ResourceType": "Room",
            "RoomMailboxAccountEnabled": user["accountEnabled"],
            "mailbox": box.smtp.lower(),
            "processing": dict(box.booking),
            "error": "",
        }

    def test(self, mailbox: str) -> Json:
        box = self.tenant.mailboxes.get(mailbox)
        if box is None or box.state in ABSENT:
            return {
                "mailbox": mailbox,
                "answer": {},
                "error": f"The operation couldn't be performed because '{mailbox}' couldn't be found.",
            }
        verdict = "Granted" if self.admits(mailbox) else "Denied"
        said = {"AppId": self.cronofy, "Mailbox": mailbox.partition("@")[0], "AccessCheckResult": verdict}
        return {"mailbox": mailbox, "answer": said, "error": ""}

    def admits(self, mailbox: str) -> bool:
        """A denial beats a restriction, any restriction that names the mailbox admits it, without one everybody is."""
        bound = [one for one in self.plan["policies"] if one["app"] in ("*", CRONOFY)]
        named = {one["right"] for one in bound if mailbox in self._scope(one)}
        restricted = any(one["right"] == "RestrictAccess" for one in bound)
        return "DenyAccess" not in named and ("RestrictAccess" in named or not restricted)

    def _scope(self, policy: Json) -> set[str]:
        if "of" in policy:
            return {f"{alias}@{self.tenant.domains[0]}" for alias in policy["of"]}
        return {row["mailbox"] for row in self.members}

    def assignments(self) -> list[Json]:
        if not self.plan["rbac"]:
            return []
        made = graph_time(self.finished - span(self.plan["rbac_made"]))
        role = {
            "Name": "Cronofy calendars",
            "Role": "Application Calendars.ReadWrite",
            "RoleAssigneeType": "ServicePrincipal",
        }
        return [{**role, "WhenCreatedUTC": made, "Enabled": True, "app_id": self.cronofy}]

    def authorizations(self, tested: Iterable[str]) -> Iterator[Json]:
        """What RBAC gives, by role and by mailbox; only direct members of a group are in its scope."""
        if not self.plan["rbac"]:
            return
        whole = self.plan["rbac"] == "organization"
        role = {
            "RoleName": "Application Calendars.ReadWrite",
            "GrantedPermissions": "Calendars.ReadWrite",
            "AllowedResourceScope": "Organization" if whole else "Cronofy rooms",
            "ScopeType": "Organization" if whole else "CustomRecipientScope",
        }
        direct = {row["mailbox"] for row in self.members if row["via"] == self.address}
        yield {**role, "InScope": "Not Run", "mailbox": ""}
        for mailbox in tested:
            yield {**role, "InScope": str(whole or mailbox in direct), "mailbox": mailbox}
