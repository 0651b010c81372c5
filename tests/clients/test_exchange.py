"""The scripts for Exchange, and the answer they bring back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import vendors
from runbook_lib.clients import exchange
from runbook_lib.clients.exchange import scripts as exchange_scripts
from runbook_lib.errors import RunbookError, UsageError, WrongTenant
from runbook_lib.model import AccessLimit, Cloud, Json, Look, Tenant
from runbook_lib.runs import record
from runbook_lib.sandbox.exchange import answers
from tests.steps.exchange_facts import NO_POLICY, POLICY, WORLD, state
from tests.steps.facts import NOW, TENANT

OBJECT_ID = "0fffffff-0000-0000-0000-000000000000"
LIMITED = replace(TENANT, access_limit=POLICY, tenant_id=state().id)
RBAC = replace(LIMITED, access_limit=replace(POLICY, mode="rbac", cronofy_confirmed_rbac=True))
CHANGING = re.compile(r"\b(?:New|Set|Add|Remove|Enable|Disable|Update|Grant|Revoke)-(?!Object\b)[A-Z]\w+")


def everything(tenant: Tenant) -> dict[str, str]:
    """Return every script that a tenant can have."""
    rbac = replace(tenant, access_limit=replace(tenant.access_limit, mode="rbac", cronofy_confirmed_rbac=True))
    return {
        "read": exchange.script(tenant),
        "limit policy": exchange.limit_script(tenant),
        "undo policy": exchange.undo_script(tenant),
        "limit rbac": exchange.limit_script(rbac, OBJECT_ID),
        "undo rbac": exchange.undo_script(rbac),
    }


# Scripts


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters=exchange_scripts.QUOTES)))
def test_a_literal_is_one_single_quoted_text_that_means_exactly_the_value(value: str) -> None:
    written = exchange_scripts.literal(value)
    assert re.fullmatch(r"'(?:[^']|'')*'", written), "a quote inside is always doubled, so nothing ends the text early"
    assert written[1:-1].replace("''", "'") == value


@pytest.mark.parametrize(
    "strange",
    ["\n", "\r", "\0", "\t", "\x1b", "\u2018", "\u2019", "\u201a", "\u201b", "\u201c", "\u2028", "\u202e", "\u200b"],
)
def test_a_value_that_could_break_out_or_hide_is_refused_without_repeating_it(strange: str) -> None:
    hostile = replace(LIMITED, access_limit=replace(POLICY, outsiders=(f"a{strange}; Remove-Mailbox@contoso.example",)))
    with pytest.raises(UsageError, match=f"U\\+{ord(strange):04X}") as refused:
        exchange.script(hostile)
    assert "Remove-Mailbox" not in str(refused.value)
    assert refused.value.remedy


HOSTILE = [
    "'; Remove-Mailbox -Identity ceo; '@contoso.example",
    "$(Remove-Mailbox)@contoso.example",
    "`'`n@contoso.example",
    "#>Remove-Mailbox<#@contoso.example",
    "#SETTINGS#@contoso.example",
    "#COMMON#@contoso.example",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_tenant_s_values_stand_in_the_settings_only_and_unexpanded(value: str) -> None:
    limit = replace(POLICY, group=value, outsiders=(value,), pilots=(value,))
    hostile = replace(LIMITED, access_limit=limit, ews_accounts=(value,))
    benign = everything(LIMITED)
    for name, text in everything(hostile).items():
        settings = text[text.index("$Settings = @{") : text.index("\n}\n", text.index("$Settings"))]
        assert f"group = {exchange_scripts.literal(value)}" in settings
        assert _without_settings(text) == _without_settings(benign[name])


def _without_settings(text: str) -> str:
    start = text.index("$Settings = @{")
    return text[:start] + text[text.index("\n}\n", start) :]


def test_the_reading_script_changes_nothing_and_asks_every_section() -> None:
    text = exchange.script(LIMITED)
    assert CHANGING.findall(text) == []
    asked = re.findall(r"^Read-Section '(\w+)'", text, re.MULTILINE)
    sections = vendors.facts()["exchange"]["sections"]
    assert asked == list(sections)
    assert all(cmdlet in text for cmdlet in sections.values())


WRITERS = re.compile(r"(?:New|Add|Remove)-(?:ApplicationAccess|Distribution|Management|ServicePrincipal)\w*")


def test_a_dry_run_calls_no_writer_and_every_change_goes_through_the_one_that_counts_it() -> None:
    for name, text in everything(LIMITED).items():
        depth, outside = 0, []
        for line in text.splitlines():
            code = line.split(" # ")[0]
            if "Invoke-Change " in code and code.rstrip().endswith("{"):
                depth += 1
            elif depth and code.rstrip() == "    " * (len(code) - len(code.lstrip()) >= 4) + "}":
                depth -= 1
            elif (
                WRITERS.search(code) and not depth and "Invoke-Change" not in code and not code.strip().startswith("#")
            ):
                outside.append(code)
        assert outside == [], name
        assert bool(WRITERS.search(text)) == (name != "read")
        if name != "read":
            assert 'if (-not $Apply) { Write-Host "  Would: $What"; return }' in text
            assert "'*:ErrorAction' = 'Stop'" in text
            assert "[switch] $Apply" in text


def test_the_last_words_of_a_script_are_counted_from_what_was_done() -> None:
    for name, text in everything(LIMITED).items():
        if name != "read":
            *_, last = [line for line in text.splitlines() if line.strip()]
            assert last.startswith("Write-End '"), name
            effect = text[text.index("function Write-End") :]
            assert effect.index("-not $Apply") < effect.index("$left.Count") < effect.index('$Effect"')


@pytest.mark.parametrize("name", everything(LIMITED))
def test_policies_are_read_by_the_one_function_that_knows_none_from_an_error(name: str) -> None:
    text = everything(LIMITED)[name]
    assert text.count("Get-ApplicationAccessPolicy") == 1
    (pattern,) = re.findall(r"\$none = \$quote \+ '(.+)' \+ \$quote", text)
    (quote,) = re.findall(r"\$quote = '(.+)'", text)
    none = re.compile(f"{quote}{pattern}{quote}", re.IGNORECASE)
    for said in NO_POLICY:
        assert none.search(said.split("|")[-1]), said
    for said in ("Access denied.", "object 'contoso\\Cronofy' couldn't be found", "'Get-ApplicationAccessPolicy*'"):
        assert not none.search(said.split("|")[-1]), said


def test_a_second_session_that_answers_for_exchange_is_refused() -> None:
    for text in everything(LIMITED).values():
        assert text.index("$others.Count) { throw") < text.index("$connection = @(Get-Session)")


def test_every_script_stops_at_another_tenant_before_it_asks_or_changes_anything() -> None:
    for text in everything(LIMITED).values():
        guard = text.index('"$($connection[0].TenantID)" -ne $Settings.tenant_id')
        asked = [
            text.index(line)
            for line in text.splitlines()
            if line.startswith(("Read-Section", "$group =", "$assignments =", "$policies =", "$all ="))
        ]
        assert guard < min(asked)
        assert f"tenant_id = '{LIMITED.tenant_id}'" in text


@pytest.mark.parametrize(
    ("cloud", "environment"),
    [("global", "O365Default"), ("gcc", "O365Default"), ("gcc-high", "O365USGovGCCHigh"), ("china", "O365China")],
)
def test_a_national_cloud_signs_in_to_its_own_exchange(cloud: str, environment: str) -> None:
    there = replace(LIMITED, cloud=Cloud(cloud, "https://login.example", "https://graph.example", True))
    assert f"environment = '{environment}'" in exchange.script(there)


def test_rooms_that_graph_lists_are_looked_up_and_tested_as_well() -> None:
    text = exchange.script(LIMITED, ["B@contoso.example", "a@contoso.example", "b@contoso.example"])
    assert "rooms = @('a@contoso.example', 'b@contoso.example')" in text


def test_without_a_limit_there_is_nothing_to_put_in_place() -> None:
    none = replace(LIMITED, access_limit=AccessLimit("none", reason="r", approved_by="a"))
    assert exchange.limit_script(none) == exchange.undo_script(none) == ""


@pytest.mark.parametrize(
    ("tenant", "object_id", "says"),
    [
        (replace(LIMITED, access_limit=AccessLimit()), "", "does not say how"),
        (replace(LIMITED, access_limit=replace(POLICY, group="")), "", "does not say how"),
        (
            replace(RBAC, access_limit=replace(RBAC.access_limit, cronofy_confirmed_rbac=False)),
            OBJECT_ID,
            "Cronofy supports",
        ),
        (RBAC, "", "not in the tenant yet"),
    ],
)
def test_a_limit_that_cannot_be_put_in_place_says_why(tenant: Tenant, object_id: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        exchange.limit_script(tenant, object_id)
    assert refused.value.remedy


def test_scripts_are_written_once_for_windows_powershell_and_never_over_another(tmp_path: Path) -> None:
    paths = exchange.save(LIMITED, tmp_path)
    assert [path.name.rsplit("-", 1)[0] for path in paths] == ["exchange-read", "exchange-limit", "exchange-undo"]
    content = paths[0].read_bytes()
    assert content.startswith(b"\xef\xbb\xbf#requires")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert exchange.save(LIMITED, tmp_path) == paths, "the same scripts again are the same files"
    other = exchange.save(replace(LIMITED, ews_accounts=("svc@contoso.example",)), tmp_path)
    assert other[0] != paths[0]
    assert paths[0].read_bytes() == content


def test_what_is_saved_follows_the_decision(tmp_path: Path) -> None:
    def names(tenant: Tenant, object_id: str = "") -> list[str]:
        return [path.name.rsplit("-", 1)[0] for path in exchange.save(tenant, tmp_path, object_id=object_id)]

    assert names(replace(LIMITED, access_limit=AccessLimit())) == ["exchange-read"]
    assert names(replace(LIMITED, access_limit=replace(POLICY, group=""))) == ["exchange-read"]
    unconfirmed = replace(RBAC.access_limit, cronofy_confirmed_rbac=False)
    assert names(replace(RBAC, access_limit=unconfirmed), OBJECT_ID) == ["exchange-read"]
    assert names(RBAC) == ["exchange-read"], "before the consent there is no application to give a role to"
    assert names(RBAC, OBJECT_ID) == ["exchange-read", "exchange-limit", "exchange-undo"]


# Answers


@pytest.fixture
def answer() -> Json:
    """The answer of a healthy tenant."""
    return answers.answer(state(), NOW, answers.plan("contoso"))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes | Json], Path]:
    """Return what writes an answer to a file."""

    def write(content: bytes | Json) -> Path:
        path = tmp_path / "contoso.exchange.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


Put = Callable[[bytes | Json], Path]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_answer_is_read_as_powershell_and_editors_write_it(put: Put, answer: Json, encoding: str) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    answer["by"] = "dänä@contoso.example"
    path = put(marks.get(encoding, b"") + f"\r\n{json.dumps(answer, ensure_ascii=False)}\r\n".encode(encoding))
    look = exchange.read_answer(path, LIMITED, NOW)
    assert look.rows == (answer,), "nothing is lost"
    assert (look.refusal, look.asked_at) == ("", NOW - timedelta(days=3))


def test_an_answer_survives_the_archive(put: Put, answer: Json, tmp_path: Path) -> None:
    raw = exchange.read(replace(LIMITED, exchange_answer=put(answer)), NOW)
    archived = tmp_path / "00.raw.json"
    archived.write_bytes(record.raw_json(raw))
    assert record.read_raw(archived) == raw


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf  ", "is empty"),
        (b"not JSON at all", "is not JSON"),
        (b'{"schema": 1, "tenant_id": "', "was cut off"),
        (b'{"a": 1} {"b": 2}', "is not JSON"),
        (b"[]", "is not an answer"),
        (b'"text"', "is not an answer"),
        (b"\xff\xfe\x00", "is not text"),
        (b"\x93smart\x94", "is not text"),
    ],
)
def test_a_file_that_is_no_answer_says_what_is_wrong(put: Put, content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        exchange.read_answer(put(content), LIMITED, NOW)
    assert "exchange-read" in refused.value.remedy


SECTIONS = sorted(vendors.facts()["exchange"]["sections"])
ROW = {"mailbox": "oak@example.org"}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(
    "saved",
    [
        {"rows": ROW, "errors": []},
        {"rows": {"value": [ROW], "Count": 1}, "errors": []},
        {"rows": ["@{mailbox=oak@example.org}"], "errors": []},
        {"rows": [None], "errors": []},
        {"rows": [ROW], "errors": "Access denied"},
        {"rows": [ROW]},
        [{"rows": [ROW], "errors": []}],
        "@{rows=System.Object[]; errors=System.Object[]}",
        None,
    ],
)
def test_a_part_that_was_saved_again_in_another_shape_is_refused_by_its_name(
    put: Put, answer: Json, section: str, saved: object
) -> None:
    with pytest.raises(UsageError) as refused:
        exchange.read_answer(put({**answer, "sections": {**answer["sections"], section: saved}}), LIMITED, NOW)
    assert f"sections.{section}" in refused.value.message
    part = exchange.sections(Look("exchange", NOW, ({"sections": {section: saved}},)))[f"exchange {section}"]
    assert part.refusal or part.rows  # kept raw answers of an older runbook are judged again without its reader


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "has version 2 of the answer"),
        ({"schema": None}, "schema"),
        ({"complete": False}, "is not complete"),
        ({"complete": None}, "is not complete"),
        ({"app_id": OBJECT_ID}, "was asked about application"),
        ({"sections": {"policies": {"rows": "none"}}}, "sections.policies"),
        ({"finished": "2026-11-22T25:00:00Z"}, "no time of that calendar"),
        ({"finished": "yesterday"}, "finished"),
        ({"finished": "2026-11-22T22:00:00Z"}, "in the future"),
    ],
)
def test_an_answer_that_cannot_count_says_why(put: Put, answer: Json, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        exchange.read_answer(put({**answer, **changes}), LIMITED, NOW)
    assert says in refused.value.message
    assert refused.value.remedy


def test_a_newer_answer_is_refused_for_its_version_and_not_for_its_shape(put: Put, answer: Json) -> None:
    with pytest.raises(UsageError, match="Update the runbook"):
        exchange.read_answer(put({"schema": 2, "tenant_id": answer["tenant_id"]}), LIMITED, NOW)


def test_the_answer_of_another_tenant_stops_everything(put: Put, answer: Json) -> None:
    path = put({**answer, "tenant_id": "99999999-2222-3333-4444-555555555555"})
    with pytest.raises(WrongTenant, match="not of"):
        exchange.read(replace(LIMITED, exchange_answer=path), NOW)


def test_ids_are_compared_whatever_their_case(put: Put, answer: Json) -> None:
    path = put({**answer, "tenant_id": answer["tenant_id"].upper(), "app_id": answer["app_id"].upper()})
    assert exchange.read_answer(path, LIMITED, NOW).refusal == ""


@pytest.mark.parametrize(("days", "old"), [(6, False), (7, False), (8, True), (400, True)])
def test_an_old_answer_is_kept_and_refused(put: Put, answer: Json, days: int, old: bool) -> None:
    look = exchange.read_answer(put(answer), LIMITED, NOW - timedelta(days=3) + timedelta(days=days))
    assert (f"{days} days old" in look.refusal) == old
    assert look.rows == (answer,)
    assert all(bool(part.refusal) == old for part in exchange.sections(look).values())


@pytest.mark.parametrize("there", [None, Path("nowhere") / "contoso.exchange.json"])
def test_no_answer_is_refused_with_what_to_do(there: Path | None) -> None:
    look = exchange.read(replace(LIMITED, exchange_answer=there), NOW)["exchange"]
    assert look.refusal == "no Exchange answer was imported"
    assert look.remedy.endswith("beside the tenant file as contoso.exchange.json.")


def test_a_bad_answer_is_a_refusal_in_a_step_so_that_the_rest_is_still_judged(put: Put) -> None:
    look = exchange.read(replace(LIMITED, exchange_answer=put(b"{")), NOW)["exchange"]
    assert look.refusal.startswith("contoso.exchange.json was cut off")
    assert look.remedy


def test_parts_that_were_refused_are_missing_or_have_errors_are_told_apart(put: Put, answer: Json) -> None:
    answer["sections"]["policies"] = {"rows": [], "errors": ["Access  \n denied."]}
    answer["sections"]["members"]["errors"] = ["one", "one", "two"]
    del answer["sections"]["rooms"]
    parts = exchange.sections(exchange.read_answer(put(answer), LIMITED, NOW))
    assert parts["exchange policies"].refusal == "Exchange did not answer: Access denied."
    assert "older script" in parts["exchange rooms"].refusal
    assert (parts["exchange members"].complete, parts["exchange members"].refusal) == (False, "")
    assert parts["exchange members"].remedy.startswith("Exchange said: one; two. Run")
    assert parts["exchange policies"].remedy.startswith("Exchange said: Access denied. Run")
    assert (parts["exchange tests"].complete, len(parts["exchange tests"].rows)) == (True, 13)


# The sandbox's answers


def test_the_sandbox_answers_for_every_scenario_that_was_asked(tmp_path: Path) -> None:
    written = {path.stem for path in answers.write_answers(WORLD, tmp_path)}
    assert written == {key for key in WORLD.scenarios if key != "treyresearch"}
    for key in written:
        tenant = replace(TENANT, key=key, tenant_id=state(key).id)
        assert exchange.read_answer(tmp_path / f"{key}.json", tenant, NOW).refusal == ""


def test_every_sandbox_plan_is_of_a_scenario_that_exists() -> None:
    plans = yaml.safe_load(answers.PLANS.read_text(encoding="utf-8"))
    assert plans["tenants"].keys() <= WORLD.scenarios.keys()
    assert all(plan.keys() <= plans["usual"].keys() | {"none"} for plan in plans["tenants"].values())


def test_an_unreadable_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="cannot be read"):
        exchange.read_answer(tmp_path, LIMITED, datetime.now(UTC))
