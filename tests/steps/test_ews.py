"""Leftovers of EWS: what is still on, who may still impersonate, which old accounts still work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.checks import judge
from runbook_lib.model import Json, Look, Status
from runbook_lib.sandbox.exchange import answers
from runbook_lib.steps import ews
from tests.steps.exchange_facts import CRONOFY, raw, tenant
from tests.steps.facts import look, refused

FAIL, PASS, UNKNOWN, PENDING, NA = Status.FAIL, Status.PASS, Status.UNKNOWN, Status.PENDING, Status.NOT_APPLICABLE
USUAL: Json = answers.plan("contoso")["organization"]
ACCOUNT = "svc-cronofy@contoso.example"


def found(of: Mapping[str, Look], *accounts: str) -> dict[str, dict[str, tuple[Status, str]]]:
    """Return check -> subject -> status and words."""
    rows: dict[str, dict[str, tuple[Status, str]]] = {}
    for one in judge(ews.parse(of, tenant(ews_accounts=accounts))):
        assert one.remedy or one.status in (PASS, NA), one
        assert one.link, one
        rows.setdefault(one.check, {})[one.subject] = (one.status, one.saw)
    return rows


def organization(**changes: Any) -> Mapping[str, Look]:
    return raw(organization={**USUAL, **changes})


def test_a_tenant_without_leftovers_passes() -> None:
    rows = found(raw())
    assert {check: {status for status, _ in seen.values()} for check, seen in rows.items()} == {
        "ews-off": {PASS},
        "ews-rules-spare-graph": {PASS},
        "no-impersonation": {PASS},
        "ews-accounts-retired": {NA},
    }


def test_without_an_answer_nothing_is_known() -> None:
    for of in ({"exchange": refused("exchange")}, {"rooms": look("rooms")}):
        rows = found(of, ACCOUNT)
        assert {status for seen in rows.values() for status, _ in seen.values()} == {UNKNOWN}


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"EwsEnabled": False}, PASS, "off for the whole organization"),
        ({"EwsEnabled": "False"}, PASS, "off for the whole organization"),
        ({"EwsEnabled": None}, PENDING, "not decided: Microsoft switches it off any day"),
        ({"EwsEnabled": True, "EwsAllowedAppIDs": ""}, FAIL, "an empty list"),
        ({"EwsEnabled": "true", "EwsAllowedAppIDs": None}, FAIL, "an empty list"),
        ({"EwsEnabled": True, "EwsAllowedAppIDs": []}, FAIL, "an empty list"),
        ({"EwsEnabled": True, "EwsAllowedAppIDs": f"{'1' * 8}-1111-1111-1111-{'1' * 12}"}, PENDING, "for 1 listed"),
        ({"EwsEnabled": True, "EwsAllowedAppIDs": CRONOFY.upper()}, PENDING, "Cronofy Enterprise for Office 365"),
        (
            {"EwsEnabled": True, "EwsAllowedAppIDs": [f"{'1' * 8}-1111-1111-1111-{'1' * 12},{CRONOFY}"]},
            PENDING,
            "and 1 others",
        ),
        ({"EwsEnabled": "Perhaps"}, UNKNOWN, "Perhaps"),
    ],
)
def test_the_switch_is_read_with_the_list_of_applications(changes: Json, status: Status, says: str) -> None:
    seen, saw = found(organization(**changes))["ews-off"]["EwsEnabled"]
    assert (seen, says in saw) == (status, True), saw


def test_the_days_that_are_left_are_counted_and_after_the_end_nothing_is_left_to_do() -> None:
    of = organization(EwsEnabled=None)
    assert "it ends on 2027-04-01, in 130 days" in found(of)["ews-off"]["EwsEnabled"][1]
    late = {**of, "rooms": replace(of["rooms"], asked_at=of["rooms"].asked_at + timedelta(days=130))}
    assert found(late)["ews-off"]["EwsEnabled"] == (PASS, "it ended on 2027-04-01")


def test_a_list_that_was_not_answered_is_said_to_be_missing() -> None:
    switches = {name: value for name, value in USUAL.items() if name != "EwsAllowedAppIDs"}
    of = raw(organization={**switches, "EwsEnabled": True})
    (status, saw) = found(of)["ews-off"]["EwsEnabled"]
    assert (status, "was not answered" in saw) == (UNKNOWN, True)
    assert found(raw(organization={}))["ews-off"]["EwsEnabled"][0] is UNKNOWN


@pytest.mark.parametrize(
    ("rule", "listed", "status"),
    [
        (None, {}, PASS),
        ("EnforceAllowList", {"EwsAllowList": ["OWA/*"]}, UNKNOWN),
        ("EnforceBlockList", {"EwsBlockList": ["Cronofy*"]}, UNKNOWN),
        ("SomethingNew", {}, UNKNOWN),
    ],
)
def test_a_rule_about_programs_may_hold_for_graph_as_well(rule: str | None, listed: Json, status: Status) -> None:
    seen, saw = found(organization(EwsApplicationAccessPolicy=rule, **listed))["ews-rules-spare-graph"].popitem()[1]
    assert seen is status
    assert all(str(value) in saw for value in listed.values())


def test_who_may_impersonate_is_named() -> None:
    of = raw(impersonation=True, impersonators=["svc-ews", "svc-old"])
    rows = found(of)["no-impersonation"]
    assert {who: status for who, (status, _) in rows.items()} == {"svc-ews": FAIL, "svc-old": FAIL}
    assert found(raw(impersonation=True))["no-impersonation"]["ApplicationImpersonation"][0] is PASS


def test_no_roles_at_all_is_not_the_same_as_the_role_gone() -> None:
    of = raw()
    of["exchange"].rows[0]["sections"]["impersonation"]["rows"][0]["roles_seen"] = 0
    assert found(of)["no-impersonation"]["ApplicationImpersonation"][0] is UNKNOWN


@pytest.mark.parametrize(
    ("account", "status", "says"),
    [
        ({"disabled": True}, PASS, "blocked"),
        ({"disabled": False}, FAIL, "EWS is on for its mailbox"),
        ({}, PASS, "no such account"),
        ({"disabled": None}, UNKNOWN, "does not say"),
    ],
)
def test_an_old_service_account_has_to_be_switched_off(account: Json, status: Status, says: str) -> None:
    seen, saw = found(raw(accounts={"svc-cronofy": account}), ACCOUNT.upper())["ews-accounts-retired"][ACCOUNT.upper()]
    assert (seen, says in saw) == (status, True), saw


def test_an_account_that_the_answer_does_not_speak_of_is_unknown() -> None:
    assert found(raw(), ACCOUNT)["ews-accounts-retired"][ACCOUNT][0] is UNKNOWN


@pytest.mark.parametrize("listed", ["", CRONOFY, f"{'1' * 8}-1111-1111-1111-{'1' * 12}"])
@pytest.mark.parametrize("enabled", [True, False, None], ids=["on", "off", "unset"])
def test_nothing_advises_to_cut_what_spaceiq_may_still_stand_on(enabled: bool | None, listed: str) -> None:
    of = organization(EwsEnabled=enabled, EwsAllowedAppIDs=listed)
    (finding,) = [one for one in judge(ews.parse(of, tenant())) if one.check == "ews-off"]
    assert finding.remedy.startswith("Change nothing before step 7") or finding.status is PASS
