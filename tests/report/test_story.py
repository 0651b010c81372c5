"""What a run's records tell: what is left to do, what was not seen, who said what; nothing passes by default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError, Forbidden
from runbook_lib.model import Answer, Confirmation, Finding, Look, Status
from runbook_lib.report import page as report_page
from runbook_lib.report import sections, story
from runbook_lib.runs import writes
from tests.fake_runs import NOW, SAID, add, complete, lines, new_run, passing

NO_ROOMS = "The runbook's sign-in lacks Place.Read.All."
REFUSED = {"rooms": Look("rooms", NOW, refusal=NO_ROOMS, remedy="Grant it.", complete=False)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run."""
    return new_run(tmp_path / "outputs")


def test_a_complete_run_passes_only_when_nothing_is_left(run: Path) -> None:
    complete(run)
    assert report_page.read(run).outcome is Status.PASS
    assert report_page.to_do(report_page.read(run)).empty


@pytest.mark.parametrize("damage", ["{", "[]", '{"steps": [{}]}', '{"steps": 5}'])
def test_a_damaged_batch_log_is_named(run: Path, damage: str) -> None:
    complete(run)
    (run / "data" / "batch.json").write_text(damage)
    with pytest.raises(ArchiveError, match=r"batch\.json"):
        report_page.read(run)


def test_what_could_not_be_seen_says_why_what_it_takes_and_what_it_leaves_open(run: Path) -> None:
    unknown = [
        Finding(check, "rooms", Status.UNKNOWN, NO_ROOMS, "Grant Place.Read.All.")
        for check in ("rooms-listed", "rooms-readable")
    ]
    short = {**REFUSED, "free_busy": Look("free_busy", NOW, ({}, {}), 9, complete=False)}
    add(run, "00_preflight", *unknown, raw=short)
    unseen = report_page.unseen(report_page.read(run))
    assert list(unseen["not seen"]) == ["rooms", "free_busy"]
    assert list(unseen["why"]) == [NO_ROOMS, "saw only 2 of 9"]
    assert unseen["what it would take"][0] == "Grant Place.Read.All."
    leaves = unseen["leaves open"][0]
    assert story.question("rooms-listed") in leaves
    assert story.question("rooms-readable") in leaves


def test_a_refused_look_is_told_even_when_no_check_rests_on_it(run: Path) -> None:
    add(run, "00_preflight", passing(), raw=REFUSED)
    assert list(report_page.unseen(report_page.read(run))["why"]) == [NO_ROOMS]


def test_the_to_do_list_names_each_need_once_worst_first(run: Path) -> None:
    complete(run)
    failed = [Finding("rooms-readable", f"room{one}", Status.FAIL, "no mailbox", "Give it one.") for one in range(3)]
    pending = Confirmation("booking-tested", "I booked a room.")
    asked = (Answer("domain", "Domain"), Answer("note", "Note", optional=True))
    add(run, "02_connect", Finding("domain", "x", Status.UNKNOWN, "refused"), look=2)
    add(run, "07_sync", *failed, look=2, confirmations=(pending, SAID), answers=asked)
    to_do = report_page.to_do(report_page.read(run))
    assert list(to_do["status"]) == ["✗ fail", "? unknown", "… pending", "… pending"]
    assert to_do["about"][0] == "3: room0; room1; room2"
    assert to_do["saw"][0] == "no mailbox"
    assert list(to_do["what"])[2:] == ["To confirm: I booked a room.", "To answer: Domain"]


def test_a_line_for_many_rooms_pairs_each_reason_with_its_rooms(run: Path) -> None:
    complete(run)
    reasons = {"oak": "no mailbox", "elm": "hidden", "ash": "no mailbox"}
    failed = [Finding("rooms-ready", room, Status.FAIL, saw, "Mend it.") for room, saw in reasons.items()]
    add(run, "07_sync", *failed, look=2)
    [need] = lines(report_page.to_do(report_page.read(run)))
    assert (need["about"], need["saw"]) == ("3: oak; elm; ash", "2: no mailbox (oak, ash); hidden (elm)")


def test_a_permission_that_was_lacking_is_one_need_however_many_questions_it_leaves_open(run: Path) -> None:
    complete(run)
    for step, checks in {"00_preflight": ["rooms-listed"], "07_sync": ["rooms-readable", "rooms-listed"]}.items():
        unknown = [
            Finding(check, "rooms", Status.UNKNOWN, NO_ROOMS, "Grant it.", "https://x.example/") for check in checks
        ]
        add(run, step, *unknown, look=2)
    [need] = lines(report_page.to_do(report_page.read(run)))
    assert (need["what"], need["about"], need["what to do"]) == (NO_ROOMS, "rooms", "Grant it.")
    assert need["step"] == "Preflight; Step 7. Synchronisation and test"
    assert need["saw"].startswith("2: not answered: ")
    assert need["where"] == "https://x.example/"


def test_a_step_that_judged_nothing_is_left_to_do(run: Path) -> None:
    complete(run)
    add(run, "04_credentials", look=2)
    assert list(report_page.to_do(report_page.read(run))["what"]) == [
        "Step 4. Enter the administrator's credentials recorded nothing"
    ]


def test_confirmations_stand_in_their_exact_words_with_name_time_and_source(run: Path) -> None:
    add(run, "01_disconnect", confirmations=(SAID, Confirmation("later", "I did the other thing.")))
    rows = lines(sections.confirmations(report_page.read(run)))
    assert rows[0] | {"note": ""} == {
        "step": "Step 1. Disconnect the existing integration",
        "statement": "I pressed Delete and Yes.",
        "status": "✓ confirmed",
        "by": "Dana Admin",
        "at": "2026-11-22 18:03:00 UTC",
        "source": "typed in the form",
        "note": "",
    }
    assert (rows[1]["status"], rows[1]["by"], rows[1]["at"]) == ("… pending", "", "")


def test_what_was_judged_stands_with_its_population_its_evidence_and_what_it_supports(run: Path) -> None:
    roles = {"app_role_assignments": Look("app_role_assignments", NOW, ({}, {}), 9, complete=False)}
    found = [Finding("no-extra-permissions", one, Status.FAIL, "granted") for one in ("Mail.Read", "Mail.Send")]
    add(run, "06_access", *found, passing("no-extra-permissions", "x"), passing("limit-decided"), raw=roles)
    first, second = lines(sections.checks(report_page.read(run)))
    assert first == {
        "step": "Step 6. Review Cronofy's access",
        "question": "Cronofy holds nothing beyond what is documented",
        "status": "✗ fail",
        "judged": "2 fail, 1 pass",
        "seen": "app_role_assignments: 2 of 9",
        "evidence": "06_access.raw.json",
        "supports": "NIST 800-53 AC-6, AC-6(7); ISO 27001 A.5.18, A.8.2, A.8.3; SOC 2 CC6.3",
    }
    assert (second["seen"], second["evidence"]) == ("the tenant file", "06_access.json")


def cut_off(run: Path, minutes: float) -> None:
    """Leave the line that a write leaves whose process was killed."""
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    row = {
        "id": "1",
        "at": at,
        "act": "begun",
        "step": "06_access",
        "verb": "revoke",
        "target": "grant-1",
        "subject": "X",
    }
    writes.append(run / "data" / writes.FILE, row)


def test_a_change_that_was_cut_off_is_open_until_somebody_has_looked_again(run: Path) -> None:
    complete(run)
    cut_off(run, 300)
    told = report_page.read(run)
    assert told.outcome is Status.UNKNOWN
    assert (told.open[0].about, "grant-1" in told.open[0].saw) == ("X", True)
    add(run, "06_access", passing(), look=2, minutes=310)
    assert report_page.read(run).outcome is Status.PASS


def test_a_change_that_ended_well_or_was_refused_leaves_nothing_open(run: Path) -> None:
    complete(run)
    with writes.writing(run, "06_access", "revoke", "grant-1"):
        pass
    with pytest.raises(Forbidden), writes.writing(run, "06_access", "revoke", "grant-2"):
        raise Forbidden("no", status=403, code="x")
    assert report_page.read(run).outcome is Status.PASS
