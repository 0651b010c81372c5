"""The parts of a record that are rows of facts: what each must hold, read and written by pydantic.

They stay plain objects of JSON, because what a later version adds to one has to come through; `Row` says of which form
one is. Descriptions are the schema's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NotRequired

from typing_extensions import TypedDict

from runbook_lib.forms import AtLeast, InUtc, Like, Row
from runbook_lib.model import Json, Status

OPEN: Any = {"extra": "allow", "use_attribute_docstrings": True}
"""The `__pydantic_config__` of a part: what else it holds is kept."""


UTC = Annotated[datetime, InUtc()]
TIME = Annotated[str, Like(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)$")]
SHA256 = Annotated[str, Like("^([0-9a-f]{64})?$")]
COUNT = Annotated[int, AtLeast(0)]


class WhichTenant(TypedDict):
    """The tenant that was looked at."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    key: str
    name: str
    tenant_id: str
    domain: str


class WhichCloud(TypedDict):
    """The cloud that was looked at; microsoft is false for a rehearsal."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: str
    graph: str
    microsoft: bool


class Identity(TypedDict):
    """As whom the runbook signed in to the tenant."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: str
    account: str
    object_id: str
    tenant_id: str
    client_id: str
    method: str


class Operator(TypedDict):
    """The account of the machine, and as whom the runbook signed in to the tenant."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    user: str
    attended: bool
    signed_in: Identity | None


class Population(TypedDict):
    """How many rows came, of how many."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: str
    rows: COUNT
    total: COUNT | None
    """The population as the service counts it; null when it gives no count."""
    complete: bool


class LookPart(Population):
    """One question put to the tenant, with population and total."""

    call: str
    refusal: str
    """Why it could not be looked at."""


class Request(TypedDict):
    """One request, with the request-id by which Microsoft finds it."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    time: TIME
    method: str
    path: str
    status: COUNT
    """HTTP status; 0: no answer."""
    request_id: str
    client_request_id: NotRequired[str]
    seconds: NotRequired[float]
    body_sha256: NotRequired[SHA256]
    retries: NotRequired[COUNT]


class ChangePart(TypedDict):
    """The change request that the run belongs to."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    ticket: str
    approved_by: str
    planned_by: NotRequired[str]


class LimitPart(TypedDict):
    """How Cronofy's access is limited, or who decided that it is not."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    mode: str
    reason: str
    approved_by: str
    group: str


class Settings(TypedDict):
    """What of the tenant file stood when the step began."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    change: ChangePart
    access_limit: LimitPart


class HowTo(TypedDict):
    """The document that was followed, and the day of its reading."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    title: str
    url: str
    read: str


Versions = TypedDict("Versions", {"python": str, "spaceiq-calendar-runbook": str})
"""This program, Python and its packages."""
Versions.__doc__ = "This program, Python and its packages."
Versions.__pydantic_config__ = {"extra": "allow"}  # type: ignore[attr-defined]


class ControlException(TypedDict):
    """One finding that is not in order."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    subject: str
    status: Status
    saw: str


class Control(TypedDict):
    """One check that was judged."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    control: str
    criterion: str
    """How it should be."""
    procedure: list[str]
    """What was asked."""
    population: list[Population]
    judged: COUNT
    """How many findings."""
    result: Status
    exceptions: list[ControlException]
    evidence: str
    """The file beside the record that holds the answers it rests on."""


class People(TypedDict):
    """Who planned, approved, executed and verified."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    planned: list[str]
    approved: list[str]
    executed: list[str]
    verified: list[str]
    four_eyes: Annotated[str, Like("^(yes|no|not shown)$")]


Tenant = Annotated[Json, Row(WhichTenant)]
Cloud = Annotated[Json, Row(WhichCloud)]
OperatorRow = Annotated[Json, Row(Operator)]
LookRow = Annotated[Json, Row(LookPart)]
RequestRow = Annotated[Json, Row(Request)]
SettingsRow = Annotated[Json, Row(Settings)]
VersionsRow = Annotated[Json, Row(Versions)]
HowToRow = Annotated[Json, Row(HowTo)]
ControlRow = Annotated[Json, Row(Control)]
PeopleRow = Annotated[Json, Row(People)]
