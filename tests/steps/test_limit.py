"""The limit on Cronofy's access: every trap seen, and the healthy tenant untouched."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import settings
from runbook_lib.checks import judge
from runbook_lib.clients import exchange
from runbook_lib.clients.exchange import answer
from runbook_lib.model import AccessLimit, Confirmation, Json, Look, Status
from runbook_lib.runs import folder, record
from runbook_lib.steps.access import limit, reach
from runbook_lib.steps.access.reach import Reach
from tests.steps.exchange_facts import CRONOFY, NO_POLICY, POLICY, imported, raw, tenant
from tests.steps.facts import NOW, look, refused

RBAC = replace(POLICY, mode="rbac", cronofy_confirmed_rbac=True)
NONE = AccessLimit("none", reason="until the review in March", approved_by="Robin Berg")
FAIL, PASS, UNKNOWN, PENDING, NA = Status.FAIL, Status.PASS, Status.UNKNOWN, Status.PENDING, Status.NOT_APPLICABLE
RESTRICT: Json = {"app": "cronofy-enterprise", "right": "RestrictAccess"}
DENY: Json = {"app": "cronofy-enterprise", "right": "DenyAccess"}


def found(of: Mapping[str, Look], decided: AccessLimit = POLICY) -> dict[str, dict[str, tuple[Status, str]]]:
    """Return check -> subject -> status and words."""
    rows: dict[str, dict[str, tuple[Status, str]]] = {}
    for one in judge(limit.parse(of, tenant(decided))):
        assert one.remedy or one.status in (PASS, NA), one
        assert one.link, one
        rows.setdefault(one.check, {})[one.subject] = (one.status, one.saw)
    return rows


def statuses(rows: dict[str, tuple[Status, str]]) -> set[Status]:
    return {status for status, _ in rows.values()}


def changed(of: Mapping[str, Look], section: str, *rows: Json, errors: tuple[str, ...] = ()) -> dict[str, Look]:
    """Return the same answers, but with other rows in one part of Exchange's."""
    answer = copy.deepcopy(of["exchange"].rows[0])
    answer["sections"][section] = {"rows": list(rows), "errors": list(errors)}
    return {**of, "exchange": imported(answer)}


def test_a_tenant_whose_limit_is_right_passes_every_check() -> None:
    rows = found(raw())
    assert {check for check, seen in rows.items() if statuses(seen) != {PASS}} == {"pilots-inside"}
    assert len(rows["rooms-inside"]) == 12
    assert rows["outsiders-refused"] == {"admin@contoso.example": (PASS, "refused")}
    assert rows["pilots-inside"]["pilots"][0] is NA


def test_without_an_answer_everything_that_rests_on_exchange_is_unknown() -> None:
    of = {**raw(), "exchange": refused("exchange")}
    rows = found(of)
    assert rows.pop("limit-decided")["access_limit"][0] is PASS
    assert {status for seen in rows.values() for status in statuses(seen)} == {UNKNOWN}
    assert limit.blast_radius(limit.parse(of, tenant())) == ()


@pytest.mark.parametrize(
    ("decided", "status", "says"),
    [
        (POLICY, PASS, "Microsoft calls it legacy"),
        (RBAC, PASS, "Cronofy confirmed"),
        (replace(RBAC, cronofy_confirmed_rbac=False), PENDING, "nobody recorded"),
        (NONE, Status.ACCEPTED, "until the review in March; approved by Robin Berg"),
        (AccessLimit("none", reason="no time"), FAIL, "without reason and approver"),
        (AccessLimit("none", approved_by="Robin Berg"), FAIL, "without reason and approver"),
        (AccessLimit(), FAIL, "not decided"),
    ],
)
def test_the_decision_is_recorded_or_missing(decided: AccessLimit, status: Status, says: str) -> None:
    ((seen, words),) = found(raw(), decided)["limit-decided"].values()
    assert (seen, says in words) == (status, True), words


@pytest.mark.parametrize(
    ("policies", "status", "says"),
    [
        ([], FAIL, "none for this application"),
        ([{**RESTRICT, "app": "cronofy-individual"}], FAIL, "only for Cronofy for Office 365"),
        ([{**RESTRICT, "valid": False}], FAIL, "not valid"),
        ([DENY], FAIL, "everybody outside the group is open"),
        ([RESTRICT, DENY], FAIL, "denial beats restriction"),
        ([RESTRICT, {**RESTRICT, "of": ["joni", "diego"]}], FAIL, "not the tenant file's"),
        ([{**RESTRICT, "right": "AllowAccess"}], UNKNOWN, "nobody documents: AllowAccess"),
        ([{**RESTRICT, "app": "*"}], PASS, "restricted to the members"),
    ],
)
def test_a_policy_that_does_something_else_is_named(policies: list[Json], status: Status, says: str) -> None:
    rows = found(raw(policies=policies))["policy-restricts"]
    assert any(seen is status and says in words for seen, words in rows.values()), rows


@pytest.mark.parametrize(
    ("policies", "admin", "rooms"),
    [
        ([], FAIL, PASS),  # no policy: everything is open
        ([{**RESTRICT, "app": "cronofy-individual"}], FAIL, PASS),
        ([DENY], FAIL, FAIL),  # the wrong way round: rooms shut, everybody else open
        ([RESTRICT, DENY], PASS, FAIL),
        ([RESTRICT, {**RESTRICT, "of": ["admin"]}], FAIL, PASS),
    ],
)
def test_outsiders_and_rooms_show_what_policies_do_together(policies: list[Json], admin: Status, rooms: Status) -> None:
    seen = found(raw(policies=policies))
    assert statuses(seen["outsiders-refused"]) == {admin}
    assert statuses(seen["rooms-inside"]) == {rooms}


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        ({"AccessCheckResult": "Denied"}, "", PASS),
        ({"AccessCheckResult": " GRANTED "}, "", FAIL),
        ({"Result": "Denied", "AppId": CRONOFY}, "", PASS),  # Microsoft documents no name for the column
        ({"AccessCheckResult": "Perhaps"}, "", UNKNOWN),
        ({"Result": "Denied", "Other": "Granted"}, "", UNKNOWN),
        ({}, "", UNKNOWN),
        ({"AccessCheckResult": "Denied"}, "the mailbox could not be found", UNKNOWN),
    ],
)
def test_a_test_without_a_clear_verdict_is_unknown(answer: Json, error: str, status: Status) -> None:
    row = {"mailbox": "Admin@contoso.example", "answer": answer, "error": error}
    rows = found(changed(raw(), "tests", row))
    assert statuses(rows["outsiders-refused"]) == {status}
    assert statuses(rows["rooms-inside"]) == {UNKNOWN}, "no room was tested"


def test_nobody_to_test_with_is_pending_and_not_a_pass() -> None:
    assert statuses(found(raw(), replace(POLICY, outsiders=()))["outsiders-refused"]) == {PENDING}


def test_rooms_outside_the_group_are_named_as_what_cronofy_will_be_refused() -> None:
    rows = found(raw(outside=[1, 12]))["rooms-inside"]
    outside = {room for room, (status, _) in rows.items() if status is FAIL}
    assert outside == {"room-adams@contoso.example", "room-wye@contoso.example"}
    assert "403" in rows["room-adams@contoso.example"][1]


def test_pilots_have_to_be_inside_whatever_case_the_file_writes() -> None:
    decided = replace(POLICY, pilots=("Joni@Contoso.example", "diego@contoso.example"))
    of = raw(strangers=["joni"], pilots=("joni", "diego"))
    rows = found(of, decided)
    assert {name: status for name, (status, _) in rows["pilots-inside"].items()} == {
        "Joni@Contoso.example": PASS,
        "diego@contoso.example": FAIL,
    }
    assert statuses(rows["group-holds-rooms-only"]) == {PASS}


def test_people_in_the_group_who_are_no_pilots_are_named() -> None:
    assert found(raw(strangers=["joni"]))["group-holds-rooms-only"] == {
        "joni@contoso.example": (FAIL, "in the group, but neither a room nor a pilot")
    }


@pytest.mark.parametrize(
    ("decided", "group", "says"),
    [
        (POLICY, {}, "no recipient"),
        (POLICY, {"type": "MailUniversalDistributionGroup", "made": "9d"}, "cannot carry"),
        (POLICY, {"type": "GroupMailbox", "made": "9d"}, "cannot carry"),
        (RBAC, {"type": "DynamicDistributionGroup", "made": "9d"}, "cannot carry"),
        (replace(POLICY, group=""), {"type": "MailUniversalSecurityGroup", "made": "9d"}, "names no group"),
    ],
)
def test_a_group_that_cannot_carry_the_limit_fails(decided: AccessLimit, group: Json, says: str) -> None:
    ((status, words),) = found(raw(group=group), decided)["group-usable"].values()
    assert (status, says in words) == (FAIL, True), words


def test_an_empty_group_fails_and_rbac_takes_other_groups() -> None:
    rows = found(changed(raw(), "members"))
    assert rows["group-usable"]["cronofy-rooms@contoso.example"] == (FAIL, "it is empty: Cronofy reaches no room")
    of = raw(group={"type": "GroupMailbox", "made": "9d"}, rbac="group", policies=[])
    assert statuses(found(of, RBAC)["group-usable"]) == {PASS}


def test_nested_rooms_count_for_a_policy_and_are_lost_with_rbac() -> None:
    rows = found(raw(nested=[1, 2]))
    ((status, saw),) = rows["group-not-nested"].values()
    assert (status, saw) == (PASS, "2 by way of floor-1@contoso.example: counted by the policy, lost with RBAC")
    assert statuses(rows["rooms-inside"]) == {PASS}
    lost = found(raw(nested=[1, 2], rbac="group", policies=[], without="Calendars.ReadWrite"), RBAC)
    assert set(lost["group-not-nested"]) == {"room-adams@contoso.example", "room-baker@contoso.example"}
    assert sum(status is FAIL for status, _ in lost["rooms-inside"].values()) == 2


def test_rbac_limits_once_the_grant_in_entra_is_gone() -> None:
    rows = found(raw(rbac="group", policies=[], without="Calendars.ReadWrite"), RBAC)
    assert statuses(rows["no-wider-grant"]) == {PASS}
    assert statuses(rows["rooms-inside"]) == {PASS}
    assert statuses(rows["outsiders-refused"]) == {PASS}


def test_rbac_beside_the_grant_in_entra_has_no_effect() -> None:
    rows = found(raw(rbac="group", policies=[]), RBAC)
    assert rows["no-wider-grant"]["Calendars.ReadWrite (Entra)"][0] is FAIL
    assert statuses(rows["outsiders-refused"]) == {FAIL}


def test_rbac_that_gives_nothing_fails() -> None:
    rows = found(raw(policies=[], without="Calendars.ReadWrite"), RBAC)
    assert rows["no-wider-grant"] == {"RBAC": (FAIL, "no role gives Cronofy calendars")}
    assert statuses(rows["rooms-inside"]) == {FAIL}


ROLE = {"RoleName": "Application Calendars.ReadWrite", "GrantedPermissions": "Calendars.ReadWrite"}
ANYWHERE = {"AllowedResourceScope": "Organization", "ScopeType": "Organization"}
SCOPED = {"AllowedResourceScope": "Cronofy rooms", "ScopeType": "CustomRecipientScope"}
OTHERS = [
    ("Application Calendars.Read", "Calendars.Read"),
    ("application calendars.read", "calendars.read"),
    ("Application EWS.AccessAsApp", "EWS.AccessAsApp"),
    ("Application Exchange Full Access", "Mail.ReadWrite, Calendars.ReadWrite, Contacts.ReadWrite"),
    ("Application Mail.ReadWrite", "Mail.ReadWrite"),
    ("Our own role", ["Calendars.ReadWrite", "Mail.Read"]),
    ("Application Calendars.ReadWrite", "Calendars.ReadWrite Mail.Send"),
    ("Something new", None),
]


def role(name: str, permissions: object, where: Json, mailbox: str = "", covers: object = "Not Run") -> Json:
    return {"RoleName": name, "GrantedPermissions": permissions, **where, "mailbox": mailbox, "InScope": covers}


@pytest.mark.parametrize("where", [ANYWHERE, SCOPED], ids=["anywhere", "scoped"])
@pytest.mark.parametrize(("name", "permissions"), OTHERS)
@pytest.mark.parametrize("decided", [POLICY, RBAC, NONE], ids=["policy", "rbac", "none"])
def test_every_role_of_exchange_that_nobody_documents_fails(
    name: str, permissions: object, where: Json, decided: AccessLimit
) -> None:
    of = changed(raw(), "authorizations", role(name, permissions, where))
    rows = found(of, decided)["no-wider-grant"]
    assert rows[f"{name} (RBAC, {where['AllowedResourceScope']})"][0] is FAIL


@pytest.mark.parametrize(("name", "permissions"), OTHERS[:4])
@pytest.mark.parametrize("covers", ["True", True, "true "], ids=["text", "bool", "blank"])
def test_an_outsider_whose_calendar_any_role_opens_is_not_refused(
    name: str, permissions: object, covers: object
) -> None:
    admin = "admin@contoso.example"
    rows = [role(name, permissions, ANYWHERE), role(name, permissions, ANYWHERE, admin.upper(), covers)]
    for order in (rows, rows[::-1], rows[1:]):
        seen = found(changed(raw(), "authorizations", *order))
        assert seen["outsiders-refused"][admin] == (FAIL, "Cronofy can open this mailbox")


def test_a_role_without_calendars_lets_nobody_into_a_calendar_and_fails_all_the_same() -> None:
    admin = "admin@contoso.example"
    rows = [role("Application Mail.Read", "Mail.Read", ANYWHERE, box, True) for box in ("", admin)]
    seen = found(changed(raw(), "authorizations", *rows))
    assert seen["outsiders-refused"][admin] == (PASS, "refused")
    assert FAIL in statuses(seen["no-wider-grant"])


@pytest.mark.parametrize("section", ["service_principals", "group", "impersonation"])
@pytest.mark.parametrize("rows", [True, False], ids=["some rows", "no rows"])
def test_what_was_asked_for_rows_that_nobody_saw_was_never_asked(section: str, rows: bool) -> None:
    of = raw()
    seen = of["exchange"].rows[0]["sections"][section]["rows"] if rows else []
    looks = exchange.sections(changed(of, section, *seen, errors=("The term is not recognized.",))["exchange"])
    for name, premise in answer.PREMISES.items():
        if premise == section or (section, name) == ("service_principals", "scopes"):
            assert not looks[f"exchange {name}"].complete
            assert "not recognized" in (looks[f"exchange {name}"].refusal or looks[f"exchange {name}"].remedy)
        else:
            assert looks[f"exchange {name}"].complete


def test_roles_are_unknown_where_the_service_principals_were_refused() -> None:
    of = changed(raw(), "service_principals", errors=("Access denied.",))
    assert statuses(found(changed(of, "authorizations"))["no-wider-grant"]) == {UNKNOWN}


@pytest.mark.parametrize("said", NO_POLICY)
def test_a_tenant_without_any_policy_has_none_in_whatever_language_it_says_so(said: str) -> None:
    rows = found(changed(raw(policies=[]), "policies", errors=(said,)))
    assert [*rows["policy-restricts"].values()] == [(FAIL, "none for this application")]


@pytest.mark.parametrize(
    "said",
    [
        "Access denied.",
        "The operation couldn't be performed because object 'contoso.onmicrosoft.com\\Cronofy' couldn't be found.",
        "The term 'Get-ApplicationAccessPolicy*' is not recognized.",
        "'x' failed on \\\\server\\share\\*",
        NO_POLICY[0] + "|Access denied.",
    ],
)
def test_any_other_error_about_policies_is_could_not_look(said: str) -> None:
    rows = found(changed(raw(policies=[]), "policies", errors=(said,)))
    assert statuses(rows["policy-restricts"]) == {UNKNOWN}


@pytest.mark.parametrize("known", ["", None, "  "])
@pytest.mark.parametrize("shown", ["", None, "S-1-5-21-1;", "S-1-5-21-1; "])
def test_two_groups_that_nobody_knows_are_not_the_same(known: object, shown: object) -> None:
    group = {"RecipientTypeDetails": "MailUniversalSecurityGroup", "ExternalDirectoryObjectId": known, "mailbox": "g"}
    policy = {"AppId": CRONOFY, "AccessRight": "RestrictAccess", "ScopeName": "old", "ScopeIdentityRaw": shown}
    for row in (policy, {**policy, "ScopeIdentityRaw": "S-1-5-21-1;99999999-0000-4000-8000-000000000001"}):
        of = changed(changed(raw(), "group", group), "policies", row)
        assert statuses(found(of)["policy-restricts"]) == {UNKNOWN}


@pytest.mark.parametrize(("scope", "says"), [("organization", "every mailbox"), ("group", "does not bind it")])
def test_a_role_beside_a_policy_is_a_way_round_it(scope: str, says: str) -> None:
    rows = found(raw(rbac=scope))
    ((status, saw),) = rows["no-wider-grant"].values()
    assert (status, says in saw) == (FAIL, True)
    assert statuses(rows["outsiders-refused"]) == {FAIL if scope == "organization" else PASS}


@pytest.mark.parametrize(
    ("made", "confirmed", "status"),
    [
        ("3d", None, PASS),
        ("90m", None, PENDING),  # only this answer shows the policy, and it is 90 minutes old
        ("90m", timedelta(hours=5), PASS),
        ("90m", timedelta(minutes=100), PENDING),
    ],
)
def test_a_limit_is_pending_until_its_budget_is_over(made: str, confirmed: timedelta | None, status: Status) -> None:
    ((seen, saw),) = found(raw(finished=made, confirmed_ago=confirmed))["limit-took-effect"].values()
    assert seen is status, saw
    assert ("works at the latest at 2026-11-22" in saw) == (status is PENDING)


def test_rbac_counts_from_the_date_of_its_role() -> None:
    of = raw(
        rbac="group",
        policies=[],
        finished="1h",
        rbac_made="20m",
        without="Calendars.ReadWrite",
        confirmed_ago=timedelta(days=3),
    )
    ((status, saw),) = found(of, RBAC)["limit-took-effect"].values()
    assert (status, "the role assignment's date" in saw) == (PENDING, True)


@pytest.mark.parametrize(
    ("changes", "confirmed", "status", "says"),
    [
        ({"finished": "3d"}, None, PASS, "the Exchange answer"),
        ({"finished": "1h"}, timedelta(days=3), PASS, "the word of Megan Bowen"),
        ({"finished": "1h"}, timedelta(days=1), UNKNOWN, "nothing shows the policy before"),
        ({"finished": "1h"}, None, UNKNOWN, "nothing shows the policy before"),
        (
            {"finished": "1h", "group": {"type": "MailUniversalSecurityGroup", "made": "1d"}},
            None,
            FAIL,
            "was made only",
        ),
        ({"finished": "1h", "policies": []}, None, NA, "no policy"),
    ],
)
def test_a_limit_has_to_be_older_than_the_consent(
    changes: dict[str, Any], confirmed: timedelta | None, status: Status, says: str
) -> None:
    ((seen, saw),) = found(raw(**changes, confirmed_ago=confirmed))["limit-before-consent"].values()
    assert (seen, says in saw) == (status, True), saw


def test_the_words_of_the_run_and_of_the_tenant_file_are_archived_and_the_earliest_counts(tmp_path: Path) -> None:
    class Graph:
        def look(self, name: str) -> Look:
            return look(name)

    def said(who: str, ago: int, confirmed: bool = True, key: str = "access-limited") -> Confirmation:
        return Confirmation(key, "", confirmed, who, NOW - timedelta(days=ago))

    known = replace(tenant(), confirmations={"access-limited": said("Megan", 1)})
    others = [said("Sam", 2), said("Lynne", 9, confirmed=False), said("Robin", 9, key="disconnected")]
    of = limit.read(Graph(), known, others)  # type: ignore[arg-type]
    path = tmp_path / "06.raw.json"
    path.write_bytes(record.raw_json(of))
    facts = limit.parse({**raw(), **record.read_raw(path)}, tenant())
    assert facts.confirmed == (NOW - timedelta(days=2), "Sam")


def test_archived_answers_judged_again_come_to_the_same(tmp_path: Path) -> None:
    of, known = (
        raw(nested=[1], outside=[2], strangers=["joni"]),
        tenant(replace(POLICY, pilots=("joni@contoso.example",))),
    )
    path = tmp_path / "06.raw.json"
    path.write_bytes(record.raw_json(of))
    settings_of_record = json.loads(folder.to_json(settings.plain(known)))
    again = limit.parse(record.read_raw(path), settings.revive(settings_of_record))
    assert judge(again) == judge(limit.parse(of, known))


def test_before_the_consent_the_policy_alone_decides_and_nothing_is_compared_with_it() -> None:
    rows = found(raw(consent_ago=None))
    assert statuses(rows["limit-before-consent"]) == {NA}
    assert statuses(rows["rooms-inside"]) == statuses(rows["outsiders-refused"]) == {PASS}
    assert statuses(found(raw(consent_ago=None, policies=[]))["outsiders-refused"]) == {FAIL}


def test_without_a_limit_the_rooms_are_still_judged_and_the_rest_does_not_arise() -> None:
    rows = found(raw(policies=[], group={}), NONE)
    assert statuses(rows.pop("rooms-inside")) == {PASS}
    assert rows.pop("limit-decided")["access_limit"][0] is Status.ACCEPTED
    assert {status for seen in rows.values() for status in statuses(seen)} == {NA}


def test_a_part_that_exchange_refused_is_unknown_with_its_words_and_the_others_are_judged() -> None:
    rows = found(raw(errors={"policies": "Access denied."}))
    assert [*rows["policy-restricts"].values()] == [(UNKNOWN, "Exchange did not answer: Access denied.")]
    assert statuses(rows["rooms-inside"]) == {PASS}


def test_a_part_with_errors_is_judged_and_incomplete() -> None:
    of = raw()
    members = of["exchange"].rows[0]["sections"]["members"]["rows"]
    rows = found(changed(of, "members", *members, errors=("a nested group was hidden",)))
    assert statuses(rows["group-usable"]) == {PASS, UNKNOWN}


def test_raw_answers_from_before_there_was_exchange_are_unknown_and_not_an_error() -> None:
    of = {name: look for name, look in raw().items() if name not in ("exchange", "rooms")}
    rows = found(of)
    assert statuses(rows["rooms-inside"]) == statuses(rows["policy-restricts"]) == {UNKNOWN}


def test_the_scripts_know_graph_s_rooms_and_cronofy_s_object(tmp_path: Path) -> None:
    names = limit.write_scripts(raw(), tenant(RBAC), tmp_path)
    assert [name.rsplit("-", 1)[0] for name in names] == ["exchange-read", "exchange-limit", "exchange-undo"]
    read, change, _ = ((tmp_path / name).read_text("utf-8-sig") for name in names)
    assert "'room-adams@contoso.example', 'room-avon@contoso.example'" in read
    assert f"object_id = '{raw()['service_principal'].rows[0]['id']}'" in change
    assert len(limit.write_scripts(raw(consent_ago=None), tenant(RBAC), tmp_path)) == 1


def radius(of: Mapping[str, Look], decided: AccessLimit = POLICY) -> dict[str, tuple[int, int | None]]:
    return {one.kind: (one.unlimited, one.limited) for one in limit.blast_radius(limit.parse(of, tenant(decided)))}


@pytest.mark.parametrize(
    ("decided", "changes", "rooms", "people"),
    [
        (POLICY, {}, 12, 0),
        (POLICY, {"outside": [3], "strangers": ["joni"]}, 11, 1),
        (POLICY, {"nested": [1, 2]}, 12, 0),
        (POLICY, {"policies": []}, 12, 9),
        (POLICY, {"rbac": "organization"}, 12, 9),
        (POLICY, {"policies": [DENY]}, 12, 9),
        (POLICY, {"policies": [RESTRICT, DENY]}, None, None),
        (POLICY, {"policies": [RESTRICT, {**RESTRICT, "of": ["joni"]}]}, None, None),
        (POLICY, {"errors": {"members": "no"}}, None, None),
        (RBAC, {"rbac": "group", "policies": [], "nested": [1, 2], "without": "Calendars.ReadWrite"}, 10, 0),
        (RBAC, {"rbac": "group", "policies": []}, 12, 9),
        (NONE, {"policies": [], "group": {}}, 12, 9),
    ],
)
def test_the_blast_radius_counts_what_the_consent_opens_with_and_without_the_limit(
    decided: AccessLimit, changes: dict[str, Any], rooms: int | None, people: int | None
) -> None:
    total = None if rooms is None or people is None else rooms + people
    assert radius(raw(**changes), decided) == {
        "RoomMailbox": (12, rooms),
        "UserMailbox": (9, people),
        "all mailboxes": (21, total),
    }


def test_the_blast_radius_is_empty_when_exchange_did_not_count() -> None:
    assert radius(raw(errors={"mailboxes": "timed out"})) == {}
    (first, *_) = limit.blast_radius(limit.parse(raw(), tenant()))
    assert first == Reach("RoomMailbox", 12, 12)


@pytest.mark.parametrize(
    ("written", "only"),
    [
        ("MemberOfGroup -eq 'CN=Rooms O''Hare'", True),
        ("((memberofgroup  -eq 'cn=rooms o''hare'))", True),
        ("( MemberOfGroup -eq 'CN=Rooms O''Hare' )", True),
        ("(MemberOfGroup -eq 'CN=Rooms O''Hare') -or (Alias -like '*')", False),
        ("MemberOfGroup -ne 'CN=Rooms O''Hare'", False),
        ("", False),
    ],
)
def test_a_scope_is_that_of_the_group_when_its_filter_says_so_in_whatever_spelling(written: str, only: bool) -> None:
    assert reach._only_members_of("CN=Rooms O'Hare", written) is only
