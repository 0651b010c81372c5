"""How far Cronofy reaches into the tenant's mailboxes, put together from Graph's grants and Exchange's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runbook_lib.clients import exchange
from runbook_lib.model import NOT_ASKED, AccessLimit, Json, Raw, Tenant
from runbook_lib.steps.access import grants
from runbook_lib.steps.access.grants import Line

CALENDARS = "Calendars.ReadWrite"
POLICY, RBAC, NONE = "application-access-policy", "rbac", "none"
UNLIMITED = "no limit was decided on"
WHOLE = "organization"


@dataclass(frozen=True, slots=True)
class Policy:
    """One application access policy; `group_id` is the Entra object id of the group it is about."""

    app_id: str
    right: str
    group: str
    group_id: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the limiting group; `direct` is false for a member of a group in the group."""

    mailbox: str
    kind: str
    via: str
    direct: bool

    @property
    def is_mailbox(self) -> bool:
        """Tell a mailbox in the cloud from groups, contacts and mail users."""
        return self.kind.endswith("Mailbox")


@dataclass(frozen=True, slots=True)
class Role:
    """One role that RBAC for Applications gives Cronofy; `whole` when it is not scoped at all."""

    name: str
    scope: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How many mailboxes of one kind Cronofy can write; `limited` is None where nobody can tell."""

    kind: str
    unlimited: int
    limited: int | None


@dataclass(frozen=True, slots=True)
class Limit:
    """What was decided about Cronofy's reach, what Exchange and Entra say of it, and when they said so.

    `confirmed` is when somebody first confirmed the limit, and who. `tests` are the policy tests by mailbox, `in_scope`
    those of RBAC: true, false, or None for no verdict.
    """

    raw: Raw
    app_id: str
    decided: AccessLimit
    confirmed: tuple[datetime, str] | None
    now: datetime
    rooms: tuple[str, ...]
    calendars: Line
    consented: bool
    policies: tuple[Policy, ...]
    group: Json
    members: tuple[Member, ...]
    roles: tuple[Role, ...]
    tests: Mapping[str, bool | None]
    in_scope: Mapping[str, bool | None]

    @property
    def own_policies(self) -> tuple[Policy, ...]:
        """Return the policies that bind Cronofy's application; `*` binds every application."""
        return tuple(one for one in self.policies if one.app_id in (self.app_id, "*"))

    @property
    def entra(self) -> bool:
        """Tell whether Entra gives Cronofy every calendar, or will with the consent that is still to come."""
        return self.calendars.granted == "yes" or not self.consented

    def reaches(self, mailbox: str) -> bool | None:
        """Tell whether Cronofy can open `mailbox`: by Entra's grant as policies leave it, or by RBAC; the two add up.

        https://learn.microsoft.com/exchange/permissions-exo/application-rbac (2025-11-25). None when nobody tested it.
        """
        ways = [self.tests.get(mailbox)] if self.entra else []
        ways += [self.in_scope.get(mailbox)] if self.roles else []
        return True if True in ways else None if None in ways else False


def parse(raw: Raw, tenant: Tenant) -> Limit:
    """Name what the answers hold: the looks of `grants`, `rooms`, and `exchange` with a look for each of its parts."""
    raw = {**raw, **exchange.sections(raw.get("exchange", NOT_ASKED))}
    application = [line for line in grants.lines(raw) if line.kind == "application"]
    rights = [row for row in raw["exchange authorizations"].rows if CALENDARS in _rights(row)]
    tests = {row["mailbox"].lower(): _verdict(row) for row in raw["exchange tests"].rows}
    group = next(iter(raw["exchange group"].rows), {})
    said = [(datetime.fromisoformat(row["at"]), row["by"]) for row in raw.get("limit_confirmed", NOT_ASKED).rows]
    return Limit(
        raw=raw,
        app_id=tenant.cronofy_app,
        decided=tenant.access_limit,
        confirmed=min(said, default=None),
        now=max(look.asked_at for look in raw.values()),
        rooms=tuple(row["emailAddress"].lower() for row in raw.get("rooms", NOT_ASKED).rows if row.get("emailAddress")),
        calendars=next(line for line in application if line.required and line.name == CALENDARS),
        consented=any(line.granted == "yes" for line in application),
        policies=tuple(_policy(row) for row in raw["exchange policies"].rows),
        group=group,
        members=tuple(_member(row, tenant.access_limit.group) for row in raw["exchange members"].rows),
        roles=tuple(_role(row) for row in rights if not row["mailbox"]),
        tests=tests,
        in_scope=_in_scope([row for row in rights if row["mailbox"]]),
    )


def _policy(row: Json) -> Policy:
    """Read a policy; its raw scope is `<SID>;<object id>` (as public transcripts of the cmdlet show it)."""
    group_id = str(row.get("ScopeIdentityRaw") or "").rpartition(";")[2]
    valid = str(row.get("IsValid", True)).lower() != "false"
    scope = str(row.get("ScopeName") or group_id or "an unnamed group")
    return Policy(str(row.get("AppId")).lower(), str(row.get("AccessRight")), scope, group_id.lower(), valid)


def _member(row: Json, group: str) -> Member:
    direct = row["via"].lower() == group.lower()
    return Member(row["mailbox"].lower(), str(row.get("RecipientTypeDetails") or ""), row["via"].lower(), direct)


def _role(row: Json) -> Role:
    scope = str(row.get("AllowedResourceScope") or "")
    whole = WHOLE in (str(row.get("ScopeType")).lower(), scope.lower())
    return Role(str(row.get("RoleName")), scope, whole)


def _rights(row: Json) -> str:
    """Return the rights of an RBAC row as one text: the column holds a text or a list."""
    return f"{row.get('RoleName')} {row.get('GrantedPermissions')}"


def _verdict(row: Json) -> bool | None:
    """Read a policy test: Microsoft documents no output, public transcripts show `AccessCheckResult : Granted`."""
    answer = row["answer"]
    said = answer.get("AccessCheckResult")
    words = {str(word).strip().lower() for word in ([said] if said else answer.values())} & {"granted", "denied"}
    return None if row.get("error") or len(words) != 1 else words == {"granted"}


def _in_scope(rows: list[Json]) -> dict[str, bool | None]:
    """Return for each mailbox whether any role covers it."""
    verdicts: dict[str, list[bool | None]] = {}
    for row in rows:
        said = {"true": True, "false": False}.get(str(row.get("InScope")).lower())
        verdicts.setdefault(row["mailbox"].lower(), []).append(said)
    return {name: True if True in said else None if None in said else False for name, said in verdicts.items()}


def blast_radius(facts: Limit) -> tuple[Reach, ...]:
    """Return how many mailboxes the consent lets Cronofy write, by kind, without and with the limit, then in all.

    Nothing when Exchange did not count its mailboxes.
    """
    counts = {row["type"]: row["count"] for row in facts.raw["exchange mailboxes"].rows}
    if not counts or not facts.raw["exchange mailboxes"].complete:
        return ()
    within = _within(facts)
    kinds = Counter(one.kind for one in {one.mailbox: one for one in within or () if one.is_mailbox}.values())
    unbound = _unbound(facts)
    known = within is not None
    rows = [
        Reach(kind, count, count if unbound else kinds[kind] if known else None)
        for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])
    ]
    limited = [row.limited for row in rows if row.limited is not None]
    total = sum(limited) if len(limited) == len(rows) else None
    return (*rows, Reach("all mailboxes", sum(counts.values()), total))


def _unbound(facts: Limit) -> bool:
    """Tell whether some way leads to every mailbox: a role without scope, or Entra's grant without a policy."""
    looked = not facts.raw["exchange policies"].refusal
    restricted = any(one.right == "RestrictAccess" and one.valid for one in facts.own_policies)
    return any(role.whole for role in facts.roles) or (facts.entra and looked and not restricted)


def _within(facts: Limit) -> tuple[Member, ...] | None:
    """Return the members of the limiting group that count, None when the limit is not made of that group alone."""
    group_id = str(facts.group.get("ExternalDirectoryObjectId") or "").lower()
    needed = ("exchange policies", "exchange group", "exchange members", "exchange authorizations")
    if not group_id or any(facts.raw[name].refusal or not facts.raw[name].complete for name in needed):
        return None
    policies = facts.own_policies if facts.entra else ()
    name = str(facts.group.get("DistinguishedName"))
    filters = {row.get("Name"): str(row.get("RecipientFilter")) for row in facts.raw["exchange scopes"].rows}
    if any(one.right != "RestrictAccess" or one.group_id != group_id for one in policies):
        return None
    if any(name not in filters.get(role.scope, "") for role in facts.roles):
        return None
    return facts.members if policies else tuple(one for one in facts.members if one.direct)
