"""What the sandbox cloud knows: tenants as Graph-shaped JSON, mailboxes, app registrations."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]


@dataclass
class Secret:
    """A client secret of an app registration and the moment it stops working."""

    value: str = field(repr=False)
    expires: datetime


@dataclass
class App:
    """One app registration as the token endpoint knows it.

    `permissions` is what the registration asks for statically: resource app id -> {"roles": [...], "scopes": [...]}.
    `home` is the id of the owning tenant; `native_uris` are redirects of public clients, `web_uris` of confidential
    ones; `preauthorized` apps need no consent; `certificates` are the registered public certificates (DER).
    """

    key: str
    id: str
    name: str
    home: str
    multi_tenant: bool
    public: bool
    permissions: dict[str, dict[str, list[str]]]
    native_uris: list[str] = field(default_factory=list)
    web_uris: list[str] = field(default_factory=list)
    first_party: bool = False
    preauthorized: bool = False
    secrets: list[Secret] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list, repr=False)

    @property
    def redirect_uris(self) -> list[str]:
        """All registered redirect URIs, each once."""
        return list(dict.fromkeys([*self.native_uris, *self.web_uris]))


@dataclass
class Mailbox:
    """One mailbox: `kind` is room, user, shared or equipment; `state` is ok, on-premises, missing or policy-blocked."""

    smtp: str
    kind: str
    user_id: str
    state: str = "ok"
    time_zone: str = "UTC"
    work_hours: Json = field(default_factory=dict)
    booking: Json = field(default_factory=dict)
    events: dict[str, Json] = field(default_factory=dict)


@dataclass
class Integration:
    """SpaceIQ's Office365 Calendar of one tenant: `state` is available, waiting (for the activation) or active.

    `via` is how it was connected and `account` by whom; `tenant_id` is the Microsoft tenant that was really connected,
    and `reaches` whether the rooms that SpaceIQ has calendars for are in it.
    """

    state: str = "available"
    via: str = ""
    domain: str = ""
    account: str = ""
    tenant_id: str = ""
    since: datetime | None = None
    reaches: bool = True


@dataclass
class TenantState:
    """One tenant; every directory collection is id -> Graph-shaped JSON with Microsoft's property names."""

    key: str
    id: str
    name: str
    domains: list[str]
    premium: bool
    region: Json
    modes: Json
    organization: Json = field(default_factory=dict)
    domain_objects: dict[str, Json] = field(default_factory=dict)
    users: dict[str, Json] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)
    service_principals: dict[str, Json] = field(default_factory=dict)
    app_role_assignments: dict[str, Json] = field(default_factory=dict)
    oauth2_permission_grants: dict[str, Json] = field(default_factory=dict)
    directory_roles: dict[str, Json] = field(default_factory=dict)
    role_members: dict[str, list[str]] = field(default_factory=dict)
    role_assignments: dict[str, Json] = field(default_factory=dict)
    policies: Json = field(default_factory=dict)
    rooms: dict[str, Json] = field(default_factory=dict)
    room_lists: dict[str, Json] = field(default_factory=dict)
    room_list_members: dict[str, list[str]] = field(default_factory=dict)
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    spaces: dict[str, Json] = field(default_factory=dict)
    integration: Integration = field(default_factory=Integration)
    directory_audits: list[Json] = field(default_factory=list)
    sign_ins: list[Json] = field(default_factory=list)
    apps: dict[str, App] = field(default_factory=dict)
