"""Identifiers as Entra makes them, but always the same for the same things."""

import base64
from uuid import NAMESPACE_DNS, UUID, uuid5

SANDBOX = uuid5(NAMESPACE_DNS, "sandbox.runbook.example")


def tenant_id(key: str) -> str:
    """The directory id of a sandbox tenant."""
    return str(uuid5(SANDBOX, key))


def object_id(tenant: str, *names: str) -> str:
    """The id of an object in a tenant, from what names it; a service principal is named by its app id alone."""
    return str(uuid5(UUID(tenant), "/".join(names)))


def joined_id(*guids: str) -> str:
    """GUIDs in Microsoft's byte order as unpadded base64url: how Entra builds the ids of grants and assignments."""
    return base64.urlsafe_b64encode(b"".join(UUID(guid).bytes_le for guid in guids)).rstrip(b"=").decode()


def grant_id(client: str, resource: str, principal: str | None = None) -> str:
    """The id of an oAuth2PermissionGrant between two service principals, of one user when `principal` is given."""
    return joined_id(client, resource, *([principal] if principal else []))


def app_role_assignment_id(principal: str, resource: str, role: str) -> str:
    """The id of an appRoleAssignment: the principal, then a value of its own."""
    return joined_id(principal, str(uuid5(UUID(principal), resource + role)))
