"""What each directory collection accepts, from rules.yaml."""

from pathlib import Path

from runbook_lib.sandbox.graph.odata.query import OPTIONS, Rules
from runbook_lib.sandbox.world.catalogue import load_yaml
from runbook_lib.sandbox.world.state import Json

_TABLE: Json = load_yaml(Path(__file__).parent / "rules.yaml")
_PLAIN = ("page", "most", "advanced", "orders")


def _rules(name: str) -> Rules:
    row: Json = _TABLE[name]
    filters = {
        member: frozenset(_TABLE["operators"][operators])
        for operators, members in row.get("filters", {}).items()
        for member in members
    }
    return Rules(
        **{key: row[key] for key in _PLAIN if key in row},
        options=OPTIONS - set(row.get("refused", [])),
        filters=filters if "filters" in row else None,
        indexed=frozenset(row.get("indexed", [])),
        searches=frozenset(row.get("searches", ["displayName"])),
    )


USERS = _rules("users")
GROUPS = _rules("groups")
SERVICE_PRINCIPALS = _rules("servicePrincipals")
APPLICATIONS = _rules("applications")
ASSIGNMENTS = _rules("assignments")
GRANTS = _rules("grants")
MEMBERS = _rules("members")
ROLES = _rules("roles")
ROLE_ASSIGNMENTS = _rules("roleAssignments")
ROLE_DEFINITIONS = _rules("roleDefinitions")
POLICIES = _rules("policies")
WHOLE = _rules("whole")
AUDITS = _rules("directoryAudits")
SIGN_INS = _rules("signIns")
