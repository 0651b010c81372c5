"""Removing what is too much: opt-in, one by one, and repeated without effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.clients import http as clients_http
from runbook_lib.clients.graph.client import Graph
from runbook_lib.errors import CloudError, Forbidden, GraphError, Unreachable, UnsafeAddress, UsageError
from runbook_lib.model import Answer, Json, Raw, Tenant
from runbook_lib.notebook.prompts import Prompt
from runbook_lib.runs import writes
from runbook_lib.sandbox.world.world import TenantState
from runbook_lib.steps.access import checks as access
from runbook_lib.steps.access import grants, revoke
from tests.fake_runs import new_run
from tests.steps.facts import TENANT
from tests.steps.test_grants import ALL_ROLES, BOTH, WORK_HOURS, delegated, raw, role


class Writer:
    """Notes the changes it is asked for; `refuses` raises instead."""

    def __init__(self, refuses: str = "", gone: str = "") -> None:
        self.changes: list[tuple[str, Json | None, dict[str, str]]] = []
        self.refuses, self.gone = refuses, gone

    def change(self, call: str, body: Json | None = None, **params: str) -> bool:
        if call == self.refuses:
            raise Forbidden("lacks the permission", "Grant it.", status=403, code="x")
        self.changes.append((call, body, params))
        return call != self.gone


def go(value: str = TENANT.domain) -> Prompt:
    return Prompt(Answer("revoke", "", value), str.strip, False, "")


EXTRA = raw(
    [*ALL_ROLES, role(WORK_HOURS) | {"id": "a1"}],
    [delegated("openid email Mail.Read Contacts.Read") | {"id": "g1"}, delegated("Mail.Read", user="u") | {"id": "g2"}],
)


def outcomes(writer: Writer, answers: Raw = EXTRA, word: str = TENANT.domain) -> list[str]:
    planned = revoke.plan(answers, TENANT, attended=True)
    return [one.outcome for one in revoke.carry_out(planned, go(word), lambda _: writer, answers)]  # type: ignore[arg-type,return-value]


def test_every_extra_is_planned_with_somebody_there_and_never_what_is_documented() -> None:
    planned = revoke.plan(EXTRA, TENANT, attended=True)
    assert [one.subject for one in planned] == [
        "Calendars.ReadWrite.All (application)",
        "Mail.Read (delegated)",
        "Contacts.Read (delegated)",
        "Mail.Read (delegated, user u)",
    ]
    assert revoke.plan(raw(ALL_ROLES, BOTH), TENANT, attended=True) == ()


def test_unattended_only_what_the_tenant_file_names_is_planned() -> None:
    assert revoke.plan(EXTRA, TENANT, attended=False) == ()
    named = replace(TENANT, revoke=("Contacts.Read (delegated)", "User.Read.All (application)"))
    planned = revoke.plan(EXTRA, named, attended=False)
    assert [one.subject for one in planned] == ["Contacts.Read (delegated)"]
    assert revoke.word(named, planned, attended=False) == named.domain
    assert revoke.word(named, (), attended=False) == ""
    assert revoke.word(named, planned, attended=True) == ""


def test_without_the_word_nothing_is_removed_and_nobody_signs_in() -> None:
    def never(_: object) -> Graph:
        raise AssertionError("signed in")

    planned = revoke.plan(EXTRA, TENANT, attended=True)
    assert {one.outcome for one in revoke.carry_out(planned, go(""), never, EXTRA)} == {"not removed"}
    assert revoke.carry_out((), go(), never, EXTRA) == ()


def test_grants_are_removed_one_by_one_and_what_is_documented_stays() -> None:
    writer = Writer()
    assert outcomes(writer) == ["removed"] * 4
    assert writer.changes == [
        ("remove_app_role", None, {"id": "sp", "assignment": "a1"}),
        ("narrow_grant", {"scope": "openid email"}, {"grant": "g1"}),
        ("remove_grant", None, {"grant": "g2"}),
    ]


def test_each_removal_is_noted_before_it_is_tried_and_with_what_came_of_it(tmp_path: Path) -> None:
    run = new_run(tmp_path)

    class Looking(Writer):
        def change(self, call: str, body: Json | None = None, **params: str) -> bool:
            assert writes.written(run)[-1].result == "", "noted before"
            if call == "remove_grant":
                raise Unreachable("gone")
            return super().change(call, body, **params)

    writer = Looking(refuses="narrow_grant", gone="remove_app_role")
    planned = revoke.plan(EXTRA, TENANT, attended=True)
    revoke.carry_out(planned, go(), lambda _: writer, EXTRA, run)  # type: ignore[arg-type,return-value]
    noted = [(one.target, one.result, one.answer, one.subject) for one in writes.written(run)]
    assert noted == [
        ("a1", "done", {"changed": False}, "Calendars.ReadWrite.All (application)"),
        ("g1", "refused", {}, "Mail.Read (delegated), Contacts.Read (delegated)"),
        ("g2", "unknown", {}, "Mail.Read (delegated, user u)"),
    ]


def test_what_is_gone_already_is_said_so() -> None:
    assert outcomes(Writer(gone="remove_app_role"))[0] == "was gone already"


def test_a_scope_leaves_the_grant_it_was_planned_for_and_no_other() -> None:
    writer = Writer()
    named = replace(TENANT, revoke=("Mail.Read (delegated, user u)",))
    planned = revoke.plan(EXTRA, named, attended=False)
    done = revoke.carry_out(planned, go(), lambda _: writer, EXTRA)  # type: ignore[arg-type,return-value]
    assert [(one.subject, one.outcome) for one in done] == [("Mail.Read (delegated, user u)", "removed")]
    assert writer.changes == [("remove_grant", None, {"grant": "g2"})]


@pytest.mark.parametrize(
    "trouble", [GraphError("500.", status=500, code="x"), Unreachable("gone."), UnsafeAddress("x")]
)
@pytest.mark.parametrize("breaks", ["remove_app_role", "narrow_grant", "remove_grant"])
def test_a_change_that_breaks_loses_the_outcome_of_no_other(breaks: str, trouble: CloudError) -> None:
    class Breaking(Writer):
        def change(self, call: str, body: Json | None = None, **params: str) -> bool:
            if call == breaks:
                raise trouble
            return super().change(call, body, **params)

    told = outcomes(Breaking())
    broken = {"remove_app_role": 1, "narrow_grant": 2, "remove_grant": 1}[breaks]
    assert sum(one.startswith("not known to be removed") for one in told) == broken
    assert told.count("removed") == 4 - broken


def test_a_refusal_is_told_and_the_rest_still_removed() -> None:
    told = outcomes(Writer(refuses="remove_app_role"))
    assert told[0].startswith("refused: lacks the permission")
    assert told[1:] == ["removed"] * 3


@pytest.mark.parametrize("text", ["", "yes", "fabrikam.example"])
def test_only_the_tenants_own_domain_starts_the_removal(text: str) -> None:
    with pytest.raises(UsageError, match="nothing is removed"):
        revoke.typed(TENANT)(text)
    assert revoke.typed(TENANT)(" Contoso.Example ") == TENANT.domain


def test_the_sandbox_removes_and_a_second_time_finds_nothing_to_do(
    sandbox: object, tenant: Callable[..., Tenant]
) -> None:
    from runbook_lib.clients.entra import sign_in as entra

    adatum = tenant("adatum")
    world = sandbox.world  # type: ignore[attr-defined]
    grant_write(world.tenant("adatum"))
    with clients_http.session(adatum.cloud) as http:

        def sign_in(calls: tuple[str, ...]) -> Graph:
            return Graph(adatum, entra.sign_in(adatum, calls, http, attended=False, show=print), http)

        reader = sign_in(access.CALLS)
        before = access.read(reader, adatum)
        planned = revoke.plan(before, adatum, attended=True)
        assert len(planned) >= 5
        word = go(adatum.domain)
        assert {one.outcome for one in revoke.carry_out(planned, word, sign_in, before)} == {"removed"}
        after = revoke.read_again(reader, adatum, before, [replace(planned[0], outcome="removed")])
        assert grants.extras(grants.held(after)) == ()
        assert all(line.granted == "yes" for line in grants.lines(after))
        assert {one.outcome for one in revoke.carry_out(planned[:3], word, sign_in, before)} == {"was gone already"}


def grant_write(state: TenantState) -> None:
    """Give the runbook's own app the two permissions to change grants, as an administrator would."""
    from runbook_lib.sandbox.world.ids import app_role_assignment_id, object_id

    graph_app, own_app = "00000003-0000-0000-c000-000000000000", "7d1c5c0e-4b1e-4a55-9c7e-0a5f6d2b9e11"
    resource, own = object_id(state.id, graph_app), object_id(state.id, own_app)
    for role_id in ("06b708a9-e830-4db3-a914-8e69da51d44f", "8e8e4742-1d95-4f68-9d56-6ee75648c72a"):
        row = next(iter(state.app_role_assignments.values()))
        own_id = app_role_assignment_id(own, resource, role_id)
        state.app_role_assignments[own_id] = row | {
            "id": own_id, "appRoleId": role_id, "principalId": own, "resourceId": resource,
        }  # fmt: skip
