"""How far Cronofy reaches into the tenant's mailboxes, put together from Graph's grants and Exchange's answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbook_lib import forms
from runbook_lib.clients import exchange
from runbook_lib.model import NOT_ASKED, AccessLimit, Raw, Tenant
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
    """One role that RBAC for Applications gives Cronofy.

    `whole` when it is not scoped at all; `calendars` when it opens any; `wanted` when it is the documented permission
    and nothing else.
    """

    name: str
    scope: str
    whole: bool
    calendars: bool
    wanted: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How many mailboxes of one kind Cronofy can write; `limited` is None where nobody can tell."""

    kind: str
    unlimited: int
    limited: int | None


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A row of Get-ApplicationAccessPolicy; its raw scope is `<SID>;<object id>`, as transcripts of the cmdlet show."""

    __pydantic_config__ = forms.EXCHANGE
    app_id: forms.Text
    access_right: forms.Text
    scope_name: str | None = None
    scope_identity_raw: str | None = None
    is_valid: forms.Flag | None = True


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A row of Get-DistributionGroupMember, and the group by way of which it was found."""

    __pydantic_config__ = forms.EXCHANGE
    mailbox: str
    via: forms.Text
    recipient_type_details: forms.Text


@dataclass(frozen=True, slots=True)
class TestRow:
    """What Test-ApplicationAccessPolicy said of one mailbox, or why it said nothing."""

    __test__ = False
    __pydantic_config__ = forms.EXCHANGE
    mailbox: forms.Text
    answer: dict[str, Any]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRow:
    """A row of Test-ServicePrincipalAuthorization: one role; of one mailbox, or in general when `mailbox` is empty."""

    __pydantic_config__ = forms.EXCHANGE
    role_name: forms.Text
    mailbox: str
    granted_permissions: str | list[str] | None = None
    allowed_resource_scope: str | None = None
    scope_type: str | None = None
    in_scope: str | bool | None = None

    @property
    def permissions(self) -> frozenset[str]:
        """Return what the role opens: what Exchange lists, and what the name of a built-in role says."""
        listed = self.granted_permissions or ()
        texts = [listed] if isinstance(listed, str) else [*listed]
        words = (word for text in [*texts, self.role_name] for word in re.split(r"[\s,;]+", text.lower()))
        return frozenset(word for word in words if "." in word or "full" in word)

    @property
    def opens_calendars(self) -> bool:
        """Tell whether any of it opens calendars: those, EWS as a whole, or a role of full access.

        https://learn.microsoft.com/exchange/permissions-exo/application-rbac (2025-11-25)
        """
        return any(one.startswith(("calendars.", "ews.")) or "full" in one for one in self.permissions)


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A row of Get-ManagementScope."""

    __pydantic_config__ = forms.EXCHANGE
    name: forms.Text
    recipient_filter: str | None = None


@dataclass(frozen=True, slots=True)
class AssignmentRow:
    """A row of Get-ManagementRoleAssignment; `of_app` is the application it was asked for."""

    __pydantic_config__ = forms.EXCHANGE
    name: forms.Text
    of_app: forms.Text
    when_changed: forms.Moment | None = None
    when_created: forms.Moment | None = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The limiting group, as Get-Recipient shows it."""

    __pydantic_config__ = forms.EXCHANGE
    recipient_type_details: forms.Text
    external_directory_object_id: str | None = None
    distinguished_name: str | None = None
    when_created: forms.Moment | None = None


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A room mailbox that Exchange knows."""

    __pydantic_config__ = forms.EXCHANGE
    mailbox: forms.Text


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many mailboxes of a kind there are."""

    __pydantic_config__ = forms.EXCHANGE
    type: forms.Text
    count: int


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """A room as Graph lists it."""

    __pydantic_config__ = forms.GRAPH
    id: forms.Text
    email_address: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A confirmation of the limit: who, and when."""

    by: forms.Text
    at: forms.Moment


@dataclass(frozen=True, slots=True)
class Limit:
    """What was decided about Cronofy's reach, what Exchange and Entra say of it, and when they said so.

    `confirmed` is when somebody first confirmed the limit, and who. `tests` are the policy tests by mailbox, `in_scope`
    those of RBAC: true, false, or None for no verdict.
    """

    raw: forms.Reading
    app_id: str
    decided: AccessLimit
    confirmed: tuple[datetime, str] | None
    now: datetime
    rooms: tuple[str, ...]
    calendars: Line
    consented: bool
    policies: tuple[Policy, ...]
    group: GroupRow | None
    members: tuple[Member, ...]
    roles: tuple[Role, ...]
    tests: Mapping[str, bool | None]
    in_scope: Mapping[str, bool | None]
    assignments: tuple[AssignmentRow, ...]
    filters: Mapping[str, str]
    """The recipient filter of each management scope, by its name."""
    exchange_rooms: frozenset[str]
    counts: Mapping[str, int]
    """How many mailboxes of each kind Exchange counts."""

    @property
    def own_policies(self) -> tuple[Policy, ...]:
        """Return the policies that bind Cronofy's application; `*` binds every application."""
        return tuple(one for one in self.policies if one.app_id in (self.app_id, "*"))

    @property
    def entra(self) -> bool:
        """Tell whether Entra gives Cronofy every calendar, will with the consent to come, or may: it was not seen."""
        return self.calendars.granted != "no" or not self.consented

    @property
    def group_id(self) -> str:
        """Return the Entra object id of the limiting group, empty where Exchange does not know it."""
        return ((self.group and self.group.external_directory_object_id) or "").strip().lower()

    def reaches(self, mailbox: str) -> bool | None:
        """Tell whether Cronofy can open `mailbox`: by Entra's grant as policies leave it, or by RBAC; the two add up.

        https://learn.microsoft.com/exchange/permissions-exo/application-rbac (2025-11-25). None when nobody tested it.
        """
        ways = [self.tests.get(mailbox)] if self.entra else []
        by_role = any(role.calendars for role in self.roles) or mailbox in self.in_scope
        ways += [self.in_scope.get(mailbox)] if by_role else []
        return True if True in ways else None if None in ways else False


def parse(raw: Raw, tenant: Tenant) -> Limit:
    """Name what the answers hold: the looks of `grants`, `rooms`, and `exchange` with a look for each of its parts."""
    answers = forms.reading(raw, **exchange.sections(raw.get("exchange", NOT_ASKED)))
    application = [line for line in grants.lines(answers) if line.kind == "application"]
    rights = answers.rows("exchange authorizations", AuthorizationRow)
    said = answers.rows("limit_confirmed", Said)
    rooms = answers.rows("rooms", PlaceRow)
    return Limit(
        raw=answers,
        app_id=tenant.cronofy_app,
        decided=tenant.access_limit,
        confirmed=min(((one.at, one.by) for one in said), default=None),
        now=max(look.asked_at for look in answers.values()),
        rooms=tuple(one.email_address.lower() for one in rooms if one.email_address),
        calendars=next(line for line in application if line.required and line.name == CALENDARS),
        consented=any(line.granted == "yes" for line in application),
        policies=tuple(map(_policy, answers.rows("exchange policies", PolicyRow))),
        group=next(iter(answers.rows("exchange group", GroupRow)), None),
        members=tuple(_member(row, tenant.access_limit.group) for row in answers.rows("exchange members", MemberRow)),
        roles=tuple(map(_role, (row for row in rights if not row.mailbox))),
        tests={row.mailbox.lower(): _verdict(row) for row in answers.rows("exchange tests", TestRow)},
        in_scope=_in_scope([row for row in rights if row.mailbox and row.opens_calendars]),
        assignments=answers.rows("exchange assignments", AssignmentRow),
        filters={row.name: row.recipient_filter or "" for row in answers.rows("exchange scopes", ScopeRow)},
        exchange_rooms=frozenset(row.mailbox.lower() for row in answers.rows("exchange rooms", RoomRow)),
        counts={row.type: row.count for row in answers.rows("exchange mailboxes", CountRow)},
    )


def _policy(row: PolicyRow) -> Policy:
    group_id = (row.scope_identity_raw or "").rpartition(";")[2].strip().lower()
    scope = row.scope_name or group_id or "an unnamed group"
    return Policy(row.app_id.lower(), row.access_right, scope, group_id, row.is_valid is not False)


def _member(row: MemberRow, group: str) -> Member:
    direct = row.via.lower() == group.lower()
    return Member(row.mailbox.lower(), row.recipient_type_details, row.via.lower(), direct)


def _role(row: AuthorizationRow) -> Role:
    scope = row.allowed_resource_scope or ""
    whole = not scope or WHOLE in ((row.scope_type or "").lower(), scope.lower())
    wanted = row.permissions <= {CALENDARS.lower()} and bool(row.permissions)
    return Role(row.role_name, scope, whole, row.opens_calendars, wanted)


def _verdict(row: TestRow) -> bool | None:
    """Read a policy test: Microsoft documents no output, public transcripts show `AccessCheckResult : Granted`."""
    said = row.answer.get("AccessCheckResult")
    words = {str(word).strip().lower() for word in ([said] if said else row.answer.values())} & {"granted", "denied"}
    return None if row.error or len(words) != 1 else words == {"granted"}


def _in_scope(rows: Iterable[AuthorizationRow]) -> dict[str, bool | None]:
    """Return for each mailbox whether any role covers it."""
    verdicts: dict[str, list[bool | None]] = {}
    for row in rows:
        said = {"true": True, "false": False}.get(str(row.in_scope).strip().lower())
        verdicts.setdefault(row.mailbox.lower(), []).append(said)
    return {name: True if True in said else None if None in said else False for name, said in verdicts.items()}


def blast_radius(facts: Limit) -> tuple[Reach, ...]:
    """Return how many mailboxes the consent lets Cronofy write, by kind, without and with the limit, then in all.

    Nothing when Exchange did not count its mailboxes.
    """
    counts = facts.counts
    if not counts or len(counts) < len(facts.raw["exchange mailboxes"].rows) or not _whole(facts, "mailboxes"):
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
    return any(role.whole and role.calendars for role in facts.roles) or (facts.entra and looked and not restricted)


def _whole(facts: Limit, *parts: str) -> bool:
    """Tell whether each of these parts of the Exchange answer was seen whole, and every row of it could be read."""
    looks = [f"exchange {part}" for part in parts]
    seen = all(facts.raw[name].complete and not facts.raw[name].refusal for name in looks)
    return seen and not any(facts.raw.unreadable.get(name) for name in looks)


def _within(facts: Limit) -> tuple[Member, ...] | None:
    """Return the members of the limiting group that count, None when the limit is not made of that group alone."""
    if not facts.group_id or not _whole(facts, "policies", "group", "members", "authorizations", "scopes"):
        return None
    policies = facts.own_policies if facts.entra else ()
    if any(one.right != "RestrictAccess" or one.group_id != facts.group_id for one in policies):
        return None
    name = (facts.group and facts.group.distinguished_name) or ""
    if any(not _only_members_of(name, facts.filters.get(role.scope, "")) for role in facts.roles if role.calendars):
        return None
    return facts.members if policies else tuple(one for one in facts.members if one.direct)


def _only_members_of(name: str, recipient_filter: str) -> bool:
    """Tell whether a filter is one clause, the members of the group with this distinguished name, and nothing more.

    Exchange writes a filter back with parentheses and letter case of its own, and an apostrophe twice.
    """
    said = " ".join(recipient_filter.casefold().split())
    while said.startswith("(") and said.endswith(")"):
        said = said[1:-1].strip()
    quoted = " ".join(name.casefold().replace("'", "''").split())
    return bool(name) and said == f"memberofgroup -eq '{quoted}'"
