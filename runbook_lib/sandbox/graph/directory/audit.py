"""The audit log, the sign-in log and the activity of service principals, with their licence rule."""

from datetime import timedelta
from uuid import uuid5

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.directory.directory import PAGE
from runbook_lib.sandbox.graph.odata import answers, schema
from runbook_lib.sandbox.graph.odata.filter_nodes import Compare, Lambda, Literal, Node, parse_time, walk
from runbook_lib.sandbox.graph.odata.filter_parser import parse
from runbook_lib.sandbox.graph.routes import Call, Reply, bad_request, not_found, route
from runbook_lib.sandbox.world.ids import SANDBOX
from runbook_lib.sandbox.world.state import Json

INTERACTIVE = "interactiveUser"
USERS = {INTERACTIVE, "nonInteractiveUser"}


def licensed(call: Call) -> None:
    """Refuse sign-in reports to a tenant without Entra ID P1 with GraphError 403."""
    if not call.tenant.premium:
        message = "Neither tenant is B2C or tenant doesn't have premium license"
        raise GraphError(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", message)


def newest_first(rows: list[Json], moment: str) -> list[Json]:
    """Log entries as the reports list them."""
    return sorted(rows, key=lambda row: str(row[moment]), reverse=True)


@route(
    "GET",
    "/auditLogs/directoryAudits",
    page=PAGE + "directoryaudit-list",
    omits="retention, operators other than eq ge le startswith any",
)
def list_directory_audits(call: Call) -> Reply:
    """Changes to the directory, newest first; mode `audit_seconds` is how long an entry takes to appear."""
    lag = timedelta(seconds=call.tenant.modes.get("audit_seconds", 0))
    rows = newest_first(call.tenant.directory_audits, "activityDateTime")
    rows = [row for row in rows if parse_time(row["activityDateTime"]) + lag <= call.world.now()]
    return answers.collection(call, rows, "directoryAudit", "auditLogs/directoryAudits", rules.AUDITS)


@route("GET", "/auditLogs/directoryAudits/{id}", page=PAGE + "directoryaudit-get")
def get_directory_audit(call: Call) -> Reply:
    """One change."""
    row = _by_id(call, call.tenant.directory_audits)
    return answers.entity(call, row, "directoryAudit", "auditLogs/directoryAudits")


def _by_id(call: Call, rows: list[Json]) -> Json:
    found = next((row for row in rows if row["id"] == call.params["id"]), None)
    if found is None:
        raise not_found(call.params["id"])
    return found


def sign_ins(call: Call) -> list[Json]:
    """The sign-ins that the version shows: v1.0 those of interactive users, beta the kinds that the filter names."""
    wanted = {INTERACTIVE} if call.version == "v1.0" else event_types(call)
    rows = newest_first(call.tenant.sign_ins, "createdDateTime")
    return [row for row in rows if wanted.intersection(row["signInEventTypes"])]


def event_types(call: Call) -> set[str]:
    """The kinds of sign-in that a beta filter names; interactive ones when it names none.

    Raises GraphError 400 when kinds of users and of service principals are mixed in one filter.
    """
    text = call.query.get("$filter")
    tree = parse(text, schema.find("signIn", "beta"), "beta") if text else None
    named = {name for node in (walk(tree) if tree else ()) for name in _named(node)}
    if named & USERS and named - USERS:
        message = "Filtering by user and service principal sign-in event types in one request is not supported."
        raise bad_request(message, code="BadRequest")
    return named or {INTERACTIVE}


def _named(node: Node) -> set[str]:
    if not isinstance(node, Lambda) or node.path.names != ("signInEventTypes",) or node.body is None:
        return set()
    literals = [
        side.value
        for part in walk(node.body)
        if isinstance(part, Compare)
        for side in (part.left, part.right)
        if isinstance(side, Literal)
    ]
    return {str(value) for value in literals}


@route("GET", "/auditLogs/signIns", page=PAGE + "signin-list", omits="retention, risk detections")
def list_sign_ins(call: Call) -> Reply:
    """Sign-ins, newest first; needs Entra ID P1."""
    licensed(call)
    return answers.collection(call, sign_ins(call), "signIn", "auditLogs/signIns", rules.SIGN_INS)


@route("GET", "/auditLogs/signIns/{id}", page=PAGE + "signin-get")
def get_sign_in(call: Call) -> Reply:
    """One sign-in."""
    licensed(call)
    rows = sign_ins(call) if call.version == "v1.0" else call.tenant.sign_ins
    return answers.entity(call, _by_id(call, rows), "signIn", "auditLogs/signIns")


def activity(app_id: str, rows: list[Json]) -> Json:
    """When an app last signed in by itself and when for a user, from its sign-ins, newest first."""
    own = next((row for row in rows if "servicePrincipal" in row["signInEventTypes"]), None)
    delegated = next((row for row in rows if USERS & set(row["signInEventTypes"])), None)
    last = next(iter(rows))
    return {
        "id": str(uuid5(SANDBOX, f"activity/{app_id}")),
        "appId": app_id,
        "lastSignInActivity": _moment(last),
        "applicationAuthenticationClientSignInActivity": _moment(own),
        "applicationAuthenticationResourceSignInActivity": None,
        "delegatedClientSignInActivity": _moment(delegated),
        "delegatedResourceSignInActivity": None,
    }


def _moment(row: Json | None) -> Json | None:
    if row is None:
        return None
    return {"lastSignInDateTime": row["createdDateTime"], "lastSignInRequestId": row["id"]}


@route(
    "GET",
    "/reports/servicePrincipalSignInActivities",
    page=PAGE + "reportroot-list-serviceprincipalsigninactivities?view=graph-rest-beta",
    versions=("beta",),
    omits="activity as a resource",
)
def list_principal_activities(call: Call) -> Reply:
    """The last activity of every service principal that has signed in; needs Entra ID P1."""
    licensed(call)
    rows = newest_first(call.tenant.sign_ins, "createdDateTime")
    apps = dict.fromkeys(row["appId"] for row in rows)
    found = [activity(app_id, [row for row in rows if row["appId"] == app_id]) for app_id in apps]
    context = "reports/servicePrincipalSignInActivities"
    return answers.collection(call, found, "servicePrincipalSignInActivity", context, rules.WHOLE)
