"""What Azure's command lines read before they talk to Entra and Graph."""

from tests.sandbox.signing_in import Client, tenant_of

AZURE_DEFAULT = "https://management.core.windows.net//.default"


def test_the_metadata_name_this_host_for_everything(client: Client) -> None:
    told = client.session.get(f"{client.sandbox.url}//metadata/endpoints?api-version=2022-09-01").json()
    assert told["authentication"]["loginEndpoint"] == client.sandbox.url
    assert told["microsoftGraphResourceId"] == told["resourceManager"] == f"{client.sandbox.url}/"
    assert AZURE_DEFAULT.removesuffix("/.default") in told["authentication"]["audiences"]


def test_signing_in_lists_the_tenant_and_no_subscription(client: Client) -> None:
    token = client.app_token(scope=AZURE_DEFAULT).json()["access_token"]
    client.session.headers["Authorization"] = f"Bearer {token}"
    root = client.sandbox.url
    assert client.session.get(f"{root}/subscriptions?api-version=2022-12-01").json()["value"] == []
    tenants = client.session.get(f"{root}/tenants?api-version=2022-12-01").json()["value"]
    assert [row["tenantId"] for row in tenants] == [tenant_of(client.sandbox, "contoso").id]
    assert client.session.get(f"{root}/subscriptions/x/resourceGroups").status_code == 404


def test_a_graph_token_is_for_graph(client: Client) -> None:
    token = client.app_token().json()["access_token"]
    client.session.headers["Authorization"] = f"Bearer {token}"
    refused = client.session.get(f"{client.sandbox.url}/subscriptions")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
