"""The nouns of the runbook, and the registry of checks.

Everything else in the library reads or makes these. No input or output happens here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

Json = dict[str, Any]
"""One JSON object as a service sent it."""


class Status(StrEnum):
    """What a finding says, worst first; a step's outcome is its worst finding."""

    FAIL = "fail"
    """We looked; it is not as documented."""
    UNKNOWN = "unknown"
    """We could not look; the finding says which permission or licence would let us."""
    PENDING = "pending"
    """Waiting for a person, or for a slow effect still inside its budget."""
    ACCEPTED = "accepted"
    """An exception with reason, approver and expiry stands against it."""
    NOT_APPLICABLE = "n/a"
    """The question does not arise in this tenant."""
    PASS = "pass"  # noqa: S105 - a word, no password
    """We looked; it is as documented."""

    @property
    def symbol(self) -> str:
        """Return a sign that reads without colour."""
        return {"fail": "✗", "unknown": "?", "pending": "…", "accepted": "!", "n/a": "–", "pass": "✓"}[self]

    @property
    def exit_code(self) -> int:
        """Return the command's exit code: 0 pass, 3 fail, 4 unknown, 5 pending."""
        return {"fail": 3, "unknown": 4, "pending": 5}.get(self, 0)

    @property
    def rank(self) -> int:
        """Return where it stands when statuses are sorted, the worst first."""
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(Status)}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of `statuses`; nothing seen is `unknown`, because nothing passes by default.

    `n/a` says nothing about the rest: it is the outcome only where nothing else was judged.
    """
    seen = set(statuses)
    judged = seen - {Status.NOT_APPLICABLE} or seen
    return next((status for status in Status if status in judged), Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw about one subject."""

    check: str
    subject: str
    status: Status
    saw: str
    remedy: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where a tenant's sign-in and Graph live; `microsoft` is false for anything that Microsoft does not run."""

    name: str
    login: str
    graph: str
    microsoft: bool
    portal: str = ""
    ca_file: Path | None = None


NO_APP = "00000000-0000-0000-0000-000000000000"
"""What stands for the runbook's own app registration in a tenant file until there is one."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """How the runbook itself signs in: `certificate` (app-only), `browser` or `device-code` (delegated).

    `account` is the only person who may; empty means anybody of the tenant.
    """

    method: str
    client_id: str
    certificate: Path | None = None
    account: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A named person's word on one statement; `confirmed` is false until somebody gave it."""

    key: str
    statement: str
    confirmed: bool = False
    by: str = ""
    at: datetime | None = None
    source: str = ""
    note: str = ""

    @property
    def status(self) -> Status:
        """Return `pass` once confirmed, `pending` before."""
        return Status.PASS if self.confirmed else Status.PENDING


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered to one question; `value` is only what may be kept."""

    key: str
    label: str
    value: str = ""
    by: str = ""
    at: datetime | None = None
    source: str = ""
    optional: bool = False

    @property
    def status(self) -> Status:
        """Return `pass` once answered; before, `pending`, or `n/a` when no answer is needed."""
        if self.value:
            return Status.PASS
        return Status.NOT_APPLICABLE if self.optional else Status.PENDING


@dataclass(frozen=True, slots=True)
class AccessLimit:
    """How Cronofy's access is limited in this tenant (how-to step 6), or who decided that it is not."""

    mode: str = ""
    reason: str = ""
    approved_by: str = ""
    group: str = ""
    outsiders: tuple[str, ...] = ()
    pilots: tuple[str, ...] = ()
    cronofy_confirmed_rbac: bool = False


@dataclass(frozen=True, slots=True)
class SpaceSource:
    """Where SpaceIQ's spaces are read: `csv` from an export, `graphql` from its API; empty means not at all.

    `columns` names the export's columns; `company` is whose token the API must be asked with; `authorization` is what
    stands before the token in the header.
    """

    source: str = ""
    export: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    company: str = ""
    endpoint: str = ""
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """What people settled about rooms: which space is which room's, and in which room the booking may be tested."""

    spaces: Mapping[str, str] = field(default_factory=dict)
    test_room: str = ""
    organizer: str = ""
    booking_test: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """The change request this run belongs to."""

    ticket: str = ""
    approved_by: str = ""
    planned_by: str = ""


@dataclass(frozen=True, slots=True)
class Waiver:
    """An exception: one finding that a named person accepts, for a reason and until a day (that day included)."""

    check: str
    subject: str
    reason: str
    approved_by: str
    until: date


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant file: whom the runbook works on, and the words people gave beforehand."""

    key: str
    name: str
    tenant_id: str
    domain: str
    admin: str
    cloud: Cloud
    sign_in: SignIn
    cronofy_app: str
    spaceiq_admin: str = ""
    change: Change = Change()
    access_limit: AccessLimit = AccessLimit()
    activation_hosts: tuple[str, ...] = ()
    ews_accounts: tuple[str, ...] = ()
    exchange_answer: Path | None = None
    confirmations: Mapping[str, Confirmation] = field(default_factory=dict)
    exceptions: tuple[Waiver, ...] = ()
    spaceiq: SpaceSource = SpaceSource()
    rooms: RoomPlan = RoomPlan()
    revoke: tuple[str, ...] = ()
    """Extra grants that a run nobody attends may remove, each named as its finding names it."""


@dataclass(frozen=True, slots=True)
class Look:
    """One named question to the tenant: its rows, or in `refusal` why we could not look.

    `total` is the population as the service counts it, None when it gives no count. `complete` is false when
    fewer rows came than there are.
    """

    call: str
    asked_at: datetime
    rows: tuple[Json, ...] = ()
    total: int | None = None
    complete: bool = True
    refusal: str = ""
    remedy: str = ""
    error: str = ""
    """Status and code of the service's own error, where one is behind the refusal: `404 Request_ResourceNotFound`."""

    @property
    def population(self) -> str:
        """Return `N of M`; M is `?` when nobody could tell."""
        whole = self.total if self.total is not None else (len(self.rows) if self.complete else "?")
        return f"{len(self.rows)} of {whole}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One row of an answer that has not the form it should: its number, its name, the member that is off."""

    call: str
    row: int
    name: str
    member: str
    there: str

    @property
    def subject(self) -> str:
        """Return which row it is, as the subject of a finding."""
        return f"{self.call}: {self.name or f'row {self.row}'}"

    @property
    def saw(self) -> str:
        """Return what is off, and where."""
        which = f"row {self.row} of {self.call} cannot be read"
        return f"{which}: {self.member} is {self.there}" if self.member else f"{which}: it is {self.there}"


NOT_ASKED = Look("", datetime.min.replace(tzinfo=UTC), refusal="this was not asked", remedy="Run the step again.")
"""What stands for an answer that older raw answers lack, when they are judged again."""

Raw = Mapping[str, Look]
"""The raw answers of a step, by a name of the step's choosing."""
