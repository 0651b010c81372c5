"""Policies that decide who may consent and how one may sign in."""

from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.directory.directory import PAGE
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, not_found, route
from runbook_lib.sandbox.world.state import Json

# Built in everywhere: https://learn.microsoft.com/entra/identity/enterprise-apps/manage-app-consent-policies
BUILT_IN = (
    "microsoft-all-application-permissions",
    "microsoft-application-admin",
    "microsoft-user-default-low",
    "microsoft-user-default-recommended",
)


@route("GET", "/policies/authorizationPolicy", page=PAGE + "authorizationpolicy-get", versions=("v1.0",))
def get_authorization_policy(call: Call) -> Reply:
    """What ordinary users may do, consent included."""
    row = call.tenant.policies["authorizationPolicy"]
    return answers.entity(call, row, "authorizationPolicy", "policies/authorizationPolicy")


@route(
    "GET",
    "/policies/authorizationPolicy",
    page=PAGE + "authorizationpolicy-get?view=graph-rest-beta",
    versions=("beta",),
    omits="the properties that only beta has",
)
def list_authorization_policies(call: Call) -> Reply:
    """The same policy, which beta wraps in a collection."""
    row = call.tenant.policies["authorizationPolicy"]
    return answers.collection(call, [row], "authorizationPolicy", "policies/authorizationPolicy", rules.WHOLE)


@route("GET", "/policies/adminConsentRequestPolicy", page=PAGE + "adminconsentrequestpolicy-get")
def get_admin_consent_request_policy(call: Call) -> Reply:
    """Whether users can ask administrators for consent."""
    row = call.tenant.policies["adminConsentRequestPolicy"]
    return answers.entity(call, row, "adminConsentRequestPolicy", "policies/adminConsentRequestPolicy")


@route(
    "GET",
    "/policies/permissionGrantPolicies",
    page=PAGE + "permissiongrantpolicy-list",
    omits="includes and excludes, custom policies",
)
def list_permission_grant_policies(call: Call) -> Reply:
    """The built-in consent policies."""
    rows: list[Json] = [
        {"id": name, "deletedDateTime": None, "displayName": name, "description": None} for name in BUILT_IN
    ]
    return answers.collection(call, rows, "permissionGrantPolicy", "policies/permissionGrantPolicies", rules.WHOLE)


@route("GET", "/identity/conditionalAccess/policies", page=PAGE + "conditionalaccessroot-list-policies")
def list_conditional_access_policies(call: Call) -> Reply:
    """Conditional access policies of the tenant."""
    rows: list[Json] = call.tenant.policies["conditionalAccessPolicies"]
    context = "identity/conditionalAccess/policies"
    return answers.collection(call, rows, "conditionalAccessPolicy", context, rules.POLICIES)


@route("GET", "/identity/conditionalAccess/policies/{id}", page=PAGE + "conditionalaccesspolicy-get")
def get_conditional_access_policy(call: Call) -> Reply:
    """One conditional access policy."""
    for row in call.tenant.policies["conditionalAccessPolicies"]:
        if row["id"] == call.params["id"].lower():
            return answers.entity(call, row, "conditionalAccessPolicy", "identity/conditionalAccess/policies")
    raise not_found(call.params["id"])
