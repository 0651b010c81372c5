"""Whatever is asked, Graph answers in its own words: never a crash, always JSON, always its headers."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook_lib.sandbox.graph import routes
from runbook_lib.sandbox.world.catalogue import GRAPH, resources
from runbook_lib.sandbox.world.world import World
from tests.sandbox.asking import Asking

OPTIONS = [
    "$select",
    "$filter",
    "$orderby",
    "$top",
    "$skip",
    "$skiptoken",
    "$count",
    "$search",
    "$expand",
    "$format",
    "x",
]
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "id",
                "displayName,id",
                "*",
                "displayName eq 'x'",
                "id in ('1')",
                "5",
                "true",
                '"displayName:x"',
                "members",
            ),
            *(
                "displayName desc",
                "appRoleAssignments($select=id)",
                "startswith(displayName,'a')",
                "not accountEnabled",
            ),
            *("tags/any(t:t eq 'x')", "createdDateTime ge 2026-01-01T00:00:00Z", "start/dateTime ge '2026'", "1000"),
        ]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PROPERTIES = st.sampled_from(
    [
        *(
            "displayName",
            "appId",
            "principalId",
            "resourceId",
            "appRoleId",
            "clientId",
            "consentType",
            "scope",
            "requests",
        ),
        *("requiredResourceAccess", "keyCredentials", "passwordCredentials", "web", "accountEnabled", "tags"),
        *("schedules", "startTime", "endTime", "availabilityViewInterval", "subject", "start", "end", "attendees"),
    ]
)
BODIES = st.dictionaries(PROPERTIES, JSON | st.just(GRAPH), max_size=5)


@pytest.fixture(scope="module")
def callers(credentials: Any) -> dict[str, Asking]:
    """One app and one admin who hold every permission there is."""
    world, published = World(credentials), resources()[GRAPH]
    return {
        "app": Asking(world, "contoso", published.role_ids),
        "user": Asking(world, "contoso", published.scope_ids, user="admin"),
    }


def paths(asking: Asking) -> st.SearchStrategy[tuple[str, str]]:
    """Method and path of any route, its keys filled with what exists, what does not, and nonsense."""
    tenant = asking.tenant
    known = [*tenant.users, *tenant.service_principals, *tenant.rooms, "adele@contoso.example", "contoso.example"]
    key = st.sampled_from(known) | st.text(alphabet="a'%/()$=é \x00", min_size=1, max_size=5)

    def fill(route: routes.Route, keys: list[str]) -> tuple[str, str]:
        path = route.template
        for value in keys:
            head, brace, tail = path.partition("{")
            path = head + (value + tail.partition("}")[2] if brace else "")
        return route.method, path

    return st.builds(fill, st.sampled_from(routes.ROUTES), st.lists(key, min_size=4, max_size=4))


@pytest.mark.parametrize("who", ["app", "user"])
@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_call_crashes_and_every_refusal_is_graphs(who: str, callers: dict[str, Asking], data: st.DataObject) -> None:
    asking = callers[who]
    method, path = data.draw(paths(asking))
    query = data.draw(st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=3))
    eventual = {"ConsistencyLevel": "eventual"} if data.draw(st.booleans()) else {}
    body = data.draw(BODIES) if method in ("POST", "PATCH") else None
    asking.world.faults = None
    version = data.draw(st.sampled_from(["", "/beta"]))
    url = version + quote(path, safe="/()'=,$@:") + "?" + urlencode(query)
    response = asking.send(method, url, headers=eventual, json=body)
    assert response.status_code < 500, response.text
    assert response.headers["request-id"]
    if response.status_code >= 400:
        assert set(response.json()["error"]) >= {"code", "message"}
    elif response.headers.get("content-type", "").startswith("application/json"):
        assert response.json()["@odata.context"].startswith("https://graph.microsoft.com/")
