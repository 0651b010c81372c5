"""The pages: complete without script or network, honest about what is missing, and safe with any name in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runbook_lib.display import frames
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import seal, verify
from runbook_lib.model import Answer, Confirmation, Finding, Look, Status
from runbook_lib.report import page as report_page
from runbook_lib.report import sections
from tests.fake_runs import (
    MICROSOFT,
    NOW,
    SAID,
    SANDBOX,
    TENANT,
    add,
    complete,
    new_run,
    organization,
    passing,
    request,
    rooms,
)
from tests.page import Page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def page_of(folder: Path) -> Page:
    """Write the run's page and read it as a browser would."""
    return Page(report_page.write(folder, report_page.read(folder)).read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run."""
    return new_run(tmp_path / "outputs")


def test_the_head_answers_what_an_auditor_asks_first(run: Path) -> None:
    complete(run, raw=organization(), requests=(request(1),), confirmations=(SAID,))
    text = page_of(run).text
    for fact in (
        "Contoso Ltd",
        TENANT["tenant_id"],
        "contoso.example",
        "global (graph.microsoft.com)",
        f"contoso/{run.name}",
        "dana",
        "SpaceIQ runbook (application, certificate)",
        "2026-11-22 18:00:00 UTC",
        "2026-11-22 18:37:00 UTC",
        "0 h 34 min, from 2026-11-22 18:03 UTC: room booking is still down",
        "Change CHG-1",
        "To be approved by, as the tenant file says Kim Chief",
        "Executed by dana; SpaceIQ runbook; Dana Admin",
        "Four eyes not shown (names are typed",
        "none, rooms only, approved by Kim Chief",
        "The how-to, as read on 2026-11-22",
        "0.1.0",
        "3.11.9",
        "VERIFY.txt",
        "8 of 8 steps have a record",
        "Nothing is left to do",
    ):
        assert fact in text


@pytest.mark.parametrize(("cloud", "stamped"), [(MICROSOFT, False), (SANDBOX, True)])
def test_only_what_microsoft_did_not_answer_is_stamped_as_a_rehearsal(
    run: Path, cloud: dict[str, Any], stamped: bool
) -> None:
    complete(run, cloud=cloud)
    html = report_page.write(run, report_page.read(run)).read_text()
    assert ("rehearsal, not audit evidence" in html) is stamped
    assert ('<div class="banner"' in html) is stamped
    printed = html.partition("@media print")[2].partition("</style>")[0]
    hidden = re.findall(r"([^{}]*)\{ display: none", printed)
    assert hidden
    assert not any("banner" in selectors for selectors in hidden)
    assert ('@top-center { content: "rehearsal, not audit evidence";' in html) is stamped  # on every printed page


def test_the_page_needs_no_network_and_lets_only_its_own_script_run(run: Path) -> None:
    complete(run, frames=(rooms(20),))
    html = report_page.write(run, report_page.read(run)).read_text()
    page = Page(html)
    assert not page.tags["link"]
    assert not page.tags["img"]
    assert not re.search(r"@import|url\((?!#)|src=", html)
    [script] = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_every_row_is_there_without_script(run: Path) -> None:
    add(run, "07_sync", passing(), frames=(rooms(250),))
    page = page_of(run)
    assert page.rows["rooms"] == 251
    assert all(f"room{number}@contoso.example" in page.words["rooms"] for number in range(250))
    assert "166 readable, 84 no mailbox" in page.text
    assert page.tags["svg"] == 2


def test_a_need_of_many_rooms_names_each_of_them_also_on_paper(run: Path) -> None:
    found = [Finding("rooms-readable", f"room{one}@contoso.example", Status.FAIL, "no mailbox") for one in range(60)]
    add(run, "07_sync", *found)
    html = report_page.write(run, report_page.read(run)).read_text()
    page = Page(html)
    assert all(f"room{one}@contoso.example" in page.words["to-do"] for one in range(60))
    assert '<div class="long"' in html  # scrolls on a screen
    assert ".long { max-height: none; }" in html.partition("@media print")[2]


def test_a_column_that_says_the_same_of_every_room_is_said_once(run: Path) -> None:
    add(run, "07_sync", passing(), frames=(rooms(5),))
    html = report_page.write(run, report_page.read(run)).read_text()
    assert "The same for every room: building: Main; capacity: 8; reason: empty." in html
    assert ">Main</td>" not in html
    assert ">Room 3</td>" in html


def test_a_single_room_keeps_all_its_columns(run: Path) -> None:
    add(run, "07_sync", passing(), frames=(rooms(1),))
    assert ">Room 0</td>" in report_page.write(run, report_page.read(run)).read_text()


def evil_run(folder: Path) -> None:
    """Record a run in which every text is an attack."""
    finding = Finding(EVIL, EVIL, Status.FAIL, EVIL, EVIL, f"https://example.com/{EVIL}")
    refused = {"rooms": Look(EVIL, NOW, refusal=EVIL, complete=False)}
    add(
        folder,
        "07_sync",
        finding,
        raw=refused,
        frames=(rooms(12, EVIL, EVIL), frames.table("scopes", [{"permission": EVIL}], ["permission"])),
        tenant={**TENANT, "name": EVIL, "domain": EVIL},
        cloud={"name": EVIL, "graph": EVIL, "microsoft": False},
        confirmations=(Confirmation(EVIL, EVIL, True, EVIL, NOW, EVIL, EVIL), Confirmation("a", EVIL)),
        answers=(Answer(EVIL, EVIL, EVIL, EVIL, NOW, EVIL),),
        requests=({**request(1), "path": EVIL, "request_id": EVIL},),
        override=EVIL,
        waiting=EVIL,
    )
    broke = {"step": "06_access", "outcome": "broke", "seconds": 1.0, "error": EVIL}
    (folder / "data" / "batch.json").write_text(json.dumps({"steps": [broke]}))


def test_no_name_from_anywhere_runs_or_loads_anything(run: Path) -> None:
    evil_run(run)
    page = page_of(run)
    assert len(page.scripts) == 1
    assert not page.tags["img"]
    assert page.handlers == []
    assert page.text.count("alert(1)") > 20


@pytest.mark.parametrize(
    ("link", "linked"),
    [
        ("https://entra.microsoft.com/#view", True),
        ("http://entra.microsoft.com/", False),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)//https://x", False),
        ("data:text/html,x", False),
        ("//example.com/", False),
        ("https:", False),
        ("https://[broken", False),
        ("../../secret", False),
        ("", False),
    ],
)
def test_only_https_remedies_become_links(run: Path, link: str, linked: bool) -> None:
    add(run, "06_access", Finding("x", "y", Status.FAIL, "z", "Do it.", link))
    page = page_of(run)
    assert (link in page.links) is linked
    away = [one for one in page.links if not one.startswith("#") and not (run / "data" / one).is_file()]
    assert all(one.startswith("https://") for one in away)
    assert linked or not link or link in page.text


def test_a_page_is_never_overwritten_and_a_sealed_run_gets_none(run: Path) -> None:
    complete(run)
    told = report_page.read(run)
    paths = [report_page.write(run, told) for _ in range(3)]
    assert [path.name for path in paths] == ["report.html", "report.2.html", "report.3.html"]
    seal.seal(run)
    with pytest.raises(ArchiveError, match="sealed"):
        report_page.write(run, told)
    assert verify.verify(run) == ()


def test_the_same_records_make_the_same_page(run: Path) -> None:
    complete(run, raw=organization(), frames=(rooms(9),))
    one, two = (report_page.write(run, report_page.read(run)).read_bytes() for _ in range(2))
    assert one == two


def test_a_run_with_steps_missing_says_so_and_does_not_pass(run: Path) -> None:
    add(run, "00_preflight", passing())
    told = report_page.read(run)
    assert told.outcome is Status.PENDING
    steps = report_page.steps(told).set_index("step")["outcome"]
    assert list(steps) == ["✓ pass", *["not run"] * 7]
    page = page_of(run)
    assert "1 of 8 steps have a record" in page.text
    assert "Step 7. Synchronisation and test has not run" in page.text
    assert "No look of this run recorded the scopes" in page.text
    assert "No look of this run recorded rooms" in page.text


def test_a_step_that_broke_is_told_with_its_message(run: Path) -> None:
    add(run, "00_preflight", passing())
    steps = [
        {"step": "00_preflight", "outcome": "pass", "seconds": 2.0, "error": ""},
        {"step": "01_disconnect", "outcome": "broke", "seconds": 1.5, "error": "01_disconnect: the disk is full"},
    ]
    (run / "data" / "batch.json").write_text(json.dumps({"steps": steps}))
    told = report_page.read(run)
    assert told.outcome is Status.UNKNOWN
    page = page_of(run)
    assert page.text.count("the disk is full") == 4  # to do, in its step, in a table, among the broken
    assert "1 broke." in page.text
    assert "Step 1. Disconnect the existing integration has not run" not in page.text


def test_a_run_whose_first_step_broke_still_tells_whose_it_is(run: Path) -> None:
    (run / "data" / "batch.json").write_text(
        json.dumps({"steps": [{"step": "00_preflight", "outcome": "broke", "seconds": 1.0, "error": "no sign-in"}]})
    )
    with pytest.raises(ArchiveError, match="no records"):
        report_page.read(run)
    tenant = SimpleNamespace(**TENANT, cloud=SimpleNamespace(**SANDBOX))
    begun = cast("Any", SimpleNamespace(folder=run, tenant=tenant))
    text = Page(report_page.write(begun, report_page.read(begun)).read_text()).text
    assert "Contoso Ltd" in text
    assert "no sign-in" in text
    assert "rehearsal" in text


def test_the_newest_look_counts_and_the_earlier_one_is_listed(run: Path) -> None:
    failed = Finding("x", "Place.Read.All", Status.FAIL, "absent")
    add(run, "06_access", failed, minutes=1, frames=(frames.table("scopes", [{"permission": "Old"}], ["permission"]),))
    scopes = frames.table("scopes", [{"permission": "New"}], ["permission"])
    add(run, "06_access", passing(), look=2, minutes=9, frames=(scopes,))
    told = report_page.read(run)
    assert list(report_page.scopes(told)["permission"]) == ["New"]
    line = report_page.steps(told).set_index("step").loc["Step 6. Review Cronofy's access"]
    assert (line["outcome"], line["look"]) == ("✓ pass", "2 of 2")
    earlier = sections.earlier_looks(told)
    assert list(earlier["outcome"]) == ["✗ fail"]
    assert "absent" not in page_of(run).text


def test_a_look_without_a_table_leaves_the_earlier_table_and_says_when_it_was_seen(run: Path) -> None:
    add(run, "07_sync", passing(), frames=(rooms(3),), raw={"rooms": Look("rooms", NOW, ({}, {}, {}), 5, False)})
    add(run, "07_sync", look=2, minutes=60, waiting="Step 7 wants step 6 not failed.")
    page = page_of(run)
    assert "3 of 5 rooms seen" in page.text
    assert "As of Step 7. Synchronisation and test, 2026-11-22 18:02:00 UTC" in page.text
    assert "Step 7 wants step 6 not failed." in page.words["to-do"]


def test_requests_are_counted_with_their_errors_and_listed_with_their_ids(run: Path) -> None:
    add(run, "06_access", passing(), requests=(request(0), request(61, 429), request(62, 0), request(63)))
    told = report_page.read(run)
    [counted] = sections.request_counts(told).to_dict("records")
    assert (counted["requests"], counted["errors"]) == (4, 2)
    assert (counted["first"], counted["last"]) == ("2026-11-22 18:00:00 UTC", "2026-11-22 18:01:03 UTC")
    page = page_of(run)
    assert "aaaaaaaa-0000-0000-0000-000000000061" in page.words["requests"]


@pytest.mark.parametrize("status", Status)
def test_a_status_is_a_sign_and_a_word_and_a_colour(run: Path, status: Status) -> None:
    add(run, "06_access", Finding("x", "y", status, "z"))
    page = page_of(run)
    assert f"{status.symbol} {status.value}" in page.text
    assert f"status {status.name.lower()}" in page.statuses
    css = (Path(report_page.__file__).parent / "templates" / "page.css.j2").read_text()
    assert css.count(f"--{status.name.lower()}: #") == 2  # light and dark
