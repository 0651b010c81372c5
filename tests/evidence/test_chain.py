"""The runs of a tenant are a chain of seals: a missing or altered one shows in every later one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from runbook_lib.evidence import bagit, seal, verify
from runbook_lib.evidence.bagit import INFO, Fault, Kind
from tests.evidence.test_signature import forge_and_say_that_nobody_signed, seal_by_hand, write
from tests.fake_runs import NOW, add, new_run, passing


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """Three runs of one tenant, each sealed after the other."""
    return [sealed(tmp_path / "outputs", days) for days in range(3)]


def sealed(outputs: Path, days: int) -> Path:
    folder = new_run(outputs, at=NOW + timedelta(days=days))
    scopes = folder / "data/tables/06_access.scopes.csv"
    add(folder, "06_access", passing())
    scopes.parent.mkdir()
    scopes.write_text("permission\nCalendars.ReadWrite\n")
    return seal.seal(folder, clock=lambda: NOW + timedelta(days=days))


def faults(folder: Path) -> list[tuple[Kind, str]]:
    return [(one.kind, one.path) for one in verify.verify(folder)]


def test_each_run_notes_the_seal_of_the_one_sealed_before(chain: list[Path]) -> None:
    assert "Previous-Seal" not in bagit.read_info(chain[0])
    for before, after in pairwise(chain):
        assert bagit.read_info(after)["Previous-Run"] == before.name
        assert bagit.read_info(after)["Previous-Seal"] == verify.seal_hash(before)
    assert [faults(one) for one in chain] == [[], [], []]
    assert verify.verdict(chain[2]).proofs[-1] == "Runs of this tenant sealed before it: 2, none missing."
    assert verify.verdict(chain[0]).proofs[-1] == "It is the first of its chain."


def delete(run: Path) -> None:
    shutil.rmtree(run)


def unseal(run: Path) -> None:
    (run / "tagmanifest-sha256.txt").unlink()


def seal_again_after_a_change(run: Path) -> None:
    forge_and_say_that_nobody_signed(run)


def lead_past_a_gap(run: Path) -> None:
    write(run / INFO, b"".join(one for one in (run / INFO).read_bytes().splitlines(True) if b"Previous" not in one))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("tamper", [delete, unseal, seal_again_after_a_change])
def test_a_run_that_is_gone_or_altered_shows_in_every_later_one(
    chain: list[Path], number: int, tamper: Callable[[Path], None]
) -> None:
    (chain[number] / bagit.SIGNATURE).touch()  # what the forger of a signed run would remove
    tamper(chain[number])
    for later in chain[number + 1 :]:
        assert faults(later) == [(Kind.CHAIN, chain[number].name)]


def test_a_link_that_was_cut_to_hide_a_deleted_run_shows(chain: list[Path]) -> None:
    delete(chain[0])
    lead_past_a_gap(chain[1])
    assert faults(chain[2]) == [(Kind.CHAIN, chain[1].name)]
    seal_by_hand(chain[1])
    assert faults(chain[1]) == []
    assert faults(chain[2]) == [(Kind.CHAIN, chain[1].name)]


def test_a_run_that_was_begun_earlier_and_sealed_later_stands_later_in_the_chain(chain: list[Path]) -> None:
    late = sealed(chain[0].parent.parent, -5)
    write(late / INFO, (late / INFO).read_bytes())
    assert bagit.read_info(late)["Previous-Run"] == chain[2].name


def test_another_tenants_runs_are_no_part_of_the_chain(chain: list[Path]) -> None:
    folder = new_run(chain[0].parent.parent, "fabrikam", NOW + timedelta(days=9))
    add(folder, "06_access", passing())
    assert "Previous-Run" not in bagit.read_info(seal.seal(folder, clock=lambda: NOW))


def test_one_run_taken_out_of_the_archive_is_intact_and_says_what_was_not_followed(
    chain: list[Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(chain[2], tmp_path / "mail" / chain[2].name)
    assert verify.verify(copy) == ()
    assert "the chain was not followed" in verify.verdict(copy).proofs[-1]


def test_a_chain_that_bites_its_tail_ends(chain: list[Path]) -> None:
    first, last = chain[0], chain[1]
    text = (first / INFO).read_text() + f"Previous-Run: {last.name}\nPrevious-Seal: {verify.seal_hash(last)}\n"
    write(first / INFO, text.encode())
    assert Fault(Kind.CHAIN, first.name, f"It is not the run as it was when {last.name} was sealed after it.") in (
        verify.verify(last)
    )
