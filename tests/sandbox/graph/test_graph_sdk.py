"""Microsoft's own SDK for Python accepts the sandbox: typed models, page iterator, errors, retries, batches."""

import asyncio
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest
from azure.core.credentials import AccessToken

from runbook_lib.sandbox import faults
from runbook_lib.sandbox.entra import tokens
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.world.catalogue import shape
from tests.sandbox.asking import VERIFIER, tenant_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kiota warns of a class of its own
    from kiota_abstractions.api_error import APIError
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.user import User
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_service_client import GraphServiceClient
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]
    from msgraph_core.tasks.page_iterator import PageIterator  # type: ignore[import-untyped]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK warns of itself when it loads parts
Answer = TypeVar("Answer")
ROLES = ["User.Read.All", "Application.Read.All", "Organization.Read.All", "Directory.Read.All", "Place.Read.All"]


class Credential:
    """A credential that has its token already."""

    def __init__(self, token: str) -> None:
        self.token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3000)


def with_client(
    sandbox: Sandbox, use: Callable[[GraphServiceClient], Awaitable[Answer]], roles: list[str] = ROLES
) -> Answer:
    """Run something with Microsoft's client, whose base URL is the sandbox."""
    tenant = tenant_of(sandbox.world)
    token = tokens.access_token(sandbox.world, tenant, tenant.apps[VERIFIER], roles)
    host = sandbox.url.removeprefix("https://").partition(":")[0]

    async def run() -> Answer:
        context = ssl.create_default_context(cafile=sandbox.ca_file)
        transport = httpx.AsyncHTTPTransport(verify=context)  # the SDK wraps it and would never close it
        async with transport, httpx.AsyncClient(transport=transport, trust_env=False) as plain:
            client = GraphClientFactory.create_with_default_middleware(client=plain)
            provider = AzureIdentityAuthenticationProvider(Credential(token), allowed_hosts=[host])
            adapter = GraphRequestAdapter(provider, client)
            adapter.base_url = f"{sandbox.url}/v1.0"
            return await use(GraphServiceClient(request_adapter=adapter))

    return asyncio.run(run())


def test_models_are_filled(sandbox: Sandbox) -> None:
    organization = with_client(sandbox, lambda client: client.organization.get())
    assert organization is not None
    assert organization.value is not None
    first = organization.value[0]
    assert first.display_name == "Contoso"
    assert [domain.name for domain in first.verified_domains or [] if domain.is_default] == ["contoso.example"]


def test_the_alternate_key_and_expansion_work_through_the_builders(sandbox: Sandbox) -> None:
    async def use(client: GraphServiceClient) -> Any:
        builder = client.service_principals_with_app_id("10bb7e5b-b80b-4e6e-a209-f78581dbc79e")
        query = builder.ServicePrincipalsWithAppIdRequestBuilderGetQueryParameters(expand=["appRoleAssignments"])
        return await builder.get(RequestConfiguration(query_parameters=query))

    principal = with_client(sandbox, use)
    assert principal.display_name == "Cronofy Enterprise for Office 365"
    assert len(principal.app_role_assignments) == 4
    assert str(principal.app_role_assignments[0].app_role_id) == "df021288-bdef-4463-88db-98f22de89214"


def test_the_page_iterator_sees_everybody_once(sandbox: Sandbox) -> None:
    people = tenant_of(sandbox.world).users
    for number in range(205):
        row = shape("user", id=f"00000000-0000-0000-0000-{number:012d}", displayName=f"Person {number}")
        people[row["id"]] = row | {"userPrincipalName": f"p{number}@contoso.example"}

    async def use(client: GraphServiceClient) -> list[str]:
        query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(select=["id", "displayName"], top=50)
        first = await client.users.get(RequestConfiguration(query_parameters=query))
        seen: list[str] = []

        def keep(user: User) -> bool:
            seen.append(str(user.id))
            return True

        iterator: PageIterator[Any] = PageIterator(first, client.request_adapter)
        await iterator.iterate(keep)
        return seen

    assert sorted(with_client(sandbox, use)) == sorted(people)


def test_a_refusal_is_the_sdks_typed_error(sandbox: Sandbox) -> None:
    with pytest.raises(ODataError) as refusal:
        with_client(sandbox, lambda client: client.domains.get(), roles=["User.Read.All"])
    error = refusal.value.error
    assert error is not None
    assert refusal.value.response_status_code == 403
    assert error.code == "Authorization_RequestDenied"
    assert error.inner_error is not None
    assert len(str(error.inner_error.request_id)) == 36


def test_the_sdks_retries_wait_out_a_throttle(sandbox: Sandbox) -> None:
    faults.faults_of(sandbox.world).order([Fault("429", count=2, retry_after="1")])
    organization = with_client(sandbox, lambda client: client.organization.get())
    assert organization is not None
    faults.faults_of(sandbox.world).clear()


def test_rooms_are_typed(sandbox: Sandbox) -> None:
    rooms = with_client(sandbox, lambda client: client.places.graph_room.get())
    assert rooms is not None
    assert rooms.odata_next_link is None
    assert {room.odata_type for room in rooms.value or []} == {"#microsoft.graph.room"}
    assert all(room.email_address for room in rooms.value or [])


def test_an_expired_token_is_the_sdks_api_error(sandbox: Sandbox) -> None:
    faults.faults_of(sandbox.world).order([Fault("expired")])
    with pytest.raises(APIError):
        with_client(sandbox, lambda client: client.organization.get())
    faults.faults_of(sandbox.world).clear()
