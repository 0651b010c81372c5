"""The tenant itself: organization, domains, licences, and finding other tenants."""

from uuid import uuid5

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.directory import rules
from runbook_lib.sandbox.graph.directory.directory import PAGE, find_row
from runbook_lib.sandbox.graph.odata import answers
from runbook_lib.sandbox.graph.routes import Call, Reply, not_found, route
from runbook_lib.sandbox.world.ids import SANDBOX
from runbook_lib.sandbox.world.state import Json, TenantState

# Service plans: https://learn.microsoft.com/entra/identity/users/licensing-service-plan-reference
PLANS = {
    "AAD_PREMIUM": "41781fb2-bc02-4b7c-bd55-b576c07bb09d",
    "AAD_PREMIUM_P2": "eec0eb4f-6444-4f95-aba0-50c24d67f998",
    "EXCHANGE_S_ENTERPRISE": "efb87545-963c-4e0d-99df-69c6916d9eb0",
    "EXCHANGE_S_STANDARD": "9aaf7827-d63c-4b61-89c3-182f06f82e5c",
}
SKUS = {
    True: (
        "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
        "SPE_E5",
        ("AAD_PREMIUM", "AAD_PREMIUM_P2", "EXCHANGE_S_ENTERPRISE"),
    ),
    False: ("18181a46-0d4e-45cd-891e-60aabd171b4e", "STANDARDPACK", ("EXCHANGE_S_STANDARD",)),
}
BASIC = frozenset({"id", "displayName", "verifiedDomains"})
WHOLE_ORGANIZATION = frozenset(
    {
        "Organization.Read.All",
        "Organization.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    }
)


def organization(call: Call) -> Json:
    """The tenant's organization; with User.Read and the like only its id, name and domains are filled."""
    row = call.tenant.organization
    if call.caller.permissions & WHOLE_ORGANIZATION:
        return row
    return {name: value if name in BASIC else [] if isinstance(value, list) else None for name, value in row.items()}


@route("GET", "/organization", page=PAGE + "organization-list", omits="branding, extensions")
def list_organizations(call: Call) -> Reply:
    """The one organization of the tenant."""
    return answers.collection(call, [organization(call)], "organization", "organization", rules.WHOLE)


@route("GET", "/organization/{id}", page=PAGE + "organization-get")
def get_organization(call: Call) -> Reply:
    """The organization by the tenant's id."""
    if call.params["id"].lower() != call.tenant.id:
        raise not_found(call.params["id"])
    return answers.entity(call, organization(call), "organization", "organization")


@route("GET", "/domains", page=PAGE + "domain-list")
def list_domains(call: Call) -> Reply:
    """Domains of the tenant, all at once."""
    return answers.collection(call, [*call.tenant.domain_objects.values()], "domain", "domains", rules.WHOLE)


@route("GET", "/domains/{id}", page=PAGE + "domain-get")
def get_domain(call: Call) -> Reply:
    """One domain by its name."""
    return answers.entity(call, find_row(call, call.tenant.domain_objects, call.params["id"]), "domain", "domains")


def subscribed_sku(tenant: TenantState) -> Json:
    """The one subscription of a tenant: with Entra ID P1 and P2, or without."""
    sku, name, plans = SKUS[tenant.premium]
    holders = sum(any(held["skuId"] == sku for held in user["assignedLicenses"]) for user in tenant.users.values())
    return {
        "id": f"{tenant.id}_{sku}",
        "accountId": str(uuid5(SANDBOX, f"{tenant.id}/account")),
        "accountName": tenant.name,
        "appliesTo": "User",
        "capabilityStatus": "Enabled",
        "consumedUnits": holders,
        "skuId": sku,
        "skuPartNumber": name,
        "subscriptionIds": [str(uuid5(SANDBOX, f"{tenant.id}/{sku}"))],
        "prepaidUnits": {"enabled": max(25, holders), "suspended": 0, "warning": 0, "lockedOut": 0},
        "servicePlans": [
            {
                "servicePlanId": PLANS[plan],
                "servicePlanName": plan,
                "provisioningStatus": "Success",
                "appliesTo": "Company" if plan.startswith("AAD") else "User",
            }
            for plan in plans
        ],
    }


@route("GET", "/subscribedSkus", page=PAGE + "subscribedsku-list", omits="$filter")
def list_subscribed_skus(call: Call) -> Reply:
    """Commercial subscriptions of the tenant, all at once."""
    return answers.collection(call, [subscribed_sku(call.tenant)], "subscribedSku", "subscribedSkus", rules.WHOLE)


@route(
    "GET",
    "/tenantRelationships/findTenantInformationByDomainName(domainName='{name}')",
    page=PAGE + "tenantrelationship-findtenantinformationbydomainname",
    omits="federation brand names",
)
@route(
    "GET",
    "/tenantRelationships/findTenantInformationByTenantId(tenantId='{name}')",
    page=PAGE + "tenantrelationship-findtenantinformationbytenantid",
    omits="federation brand names",
)
def find_tenant(call: Call) -> Reply:
    """The tenant of a verified domain or of an id, anywhere in the cloud."""
    name = call.params["name"].lower()
    found = call.world.tenant(name)
    if found is None or name == found.key:
        message = f"Unable to read the company information from the directory for '{name}'."
        raise GraphError(404, "Directory_ObjectNotFound", message)
    value = {
        "tenantId": found.id,
        "federationBrandName": None,
        "displayName": found.name,
        "defaultDomainName": found.domains[0],
    }
    return answers.nested(call, value, "microsoft.graph.tenantInformation")


@route(
    "GET",
    "/tenantRelationships/delegatedAdminRelationships",
    page=PAGE + "tenantrelationship-list-delegatedadminrelationships",
    omits="always empty",
)
def list_partner_relationships(call: Call) -> Reply:
    """Partner relationships: no tenant of the sandbox has any."""
    return answers.collection(call, [], "entity", "tenantRelationships/delegatedAdminRelationships", rules.WHOLE)
