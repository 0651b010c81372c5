"""Step 6, the group behind the limit: can it carry it, and is the right set of mailboxes in it?"""

from __future__ import annotations

from runbook_lib.checks import Rows, check
from runbook_lib.model import Status
from runbook_lib.steps.access.reach import NONE, POLICY, RBAC, UNLIMITED, Limit

GROUPS = "https://admin.exchange.microsoft.com/#/groups"
RBAC_PAGE = "https://learn.microsoft.com/exchange/permissions-exo/application-rbac"


@check(
    "group-usable",
    "The limiting group can carry the limit",
    looks=("exchange group", "exchange members"),
    remedy="Make a mail-enabled security group in the Exchange admin center and add the rooms, or run exchange-limit.",
    link=GROUPS,
)
def group_usable(facts: Limit) -> Rows:
    """A policy takes only a mail-enabled security group; groups made in Entra do not work."""
    name, group = facts.decided.group, facts.group
    kinds = {POLICY: ["MailUniversalSecurityGroup"]}.get(
        facts.decided.mode, ["MailUniversalSecurityGroup", "MailUniversalDistributionGroup", "GroupMailbox"]
    )
    if facts.decided.mode == NONE:
        yield "group", Status.NOT_APPLICABLE, UNLIMITED
    elif not name:
        yield "group", Status.FAIL, "the tenant file names no group"
    elif group is None:
        yield name, Status.FAIL, "Exchange knows no recipient with this address"
    elif group.recipient_type_details not in kinds:
        yield name, Status.FAIL, f"it is a {group.recipient_type_details}, which cannot carry this limit"
    elif not facts.members:
        yield name, Status.FAIL, "it is empty: Cronofy reaches no room"
    else:
        yield name, Status.PASS, f"a group that can carry the limit, with {len(facts.members)} members"


@check(
    "group-not-nested",
    "No room is in the limiting group by way of another group only",
    looks=("exchange members",),
    remedy="Make the members of the nested group direct members: RBAC for Applications does not count the others.",
    link=RBAC_PAGE,
)
def group_not_nested(facts: Limit) -> Rows:
    """Policies count nested members, RBAC does not: a move from one to the other can shrink the limit in silence."""
    mode, direct = facts.decided.mode, {one.mailbox for one in facts.members if one.direct}
    nested = {one.mailbox: one.via for one in facts.members if one.is_mailbox and one.mailbox not in direct}
    if mode not in (POLICY, RBAC):
        yield "group", Status.NOT_APPLICABLE, UNLIMITED
    elif not nested:
        yield facts.decided.group, Status.PASS, "all mailboxes in it are direct members"
    elif mode == RBAC:
        for mailbox, via in nested.items():
            yield mailbox, Status.FAIL, f"only in the nested group {via}, so outside the scope"
    else:
        via = ", ".join(sorted(set(nested.values())))
        yield facts.decided.group, Status.PASS, f"{len(nested)} by way of {via}: counted by the policy, lost with RBAC"


@check(
    "group-holds-rooms-only",
    "Nobody is in the limiting group who should not be",
    looks=("exchange members", "exchange rooms"),
    remedy="Take the mailbox out of the group, or name it under access_limit.pilots if Cronofy is to reach it.",
    link=GROUPS,
)
def group_holds_rooms_only(facts: Limit) -> Rows:
    """Name the mailboxes in the group that are neither rooms nor pilots."""
    rooms = facts.exchange_rooms | set(facts.rooms)
    wanted = rooms | {one.lower() for one in facts.decided.pilots}
    strangers = sorted({one.mailbox for one in facts.members if one.is_mailbox} - wanted)
    if facts.decided.mode not in (POLICY, RBAC):
        yield "group", Status.NOT_APPLICABLE, UNLIMITED
        return
    for mailbox in strangers:
        yield mailbox, Status.FAIL, "in the group, but neither a room nor a pilot"
    if facts.members and not strangers:
        yield facts.decided.group, Status.PASS, "only rooms and pilots are in it"
