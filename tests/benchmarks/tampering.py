"""Tamper with sealed, signed runs and forge others, and say what `verify` did not notice.

    python -m tests.benchmarks.tampering

Each of a dozen files is flipped, cut, lengthened, deleted and renamed; forgers calculate every hash again, drop or make
signatures, and put runs into the places of others. Whoever verifies has the list of allowed signers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from runbook_lib.evidence import bagit, seal, verify
from runbook_lib.evidence.bagit import INFO, SIGNATURE
from runbook_lib.evidence.trust import Trust
from runbook_lib.runs import folder as run_folders
from tests.evidence import test_signature as forger
from tests.fake_runs import NOW, add, new_run, organization, passing

FILES = (
    "data/06_access.json",
    "data/06_access.raw.json",
    "data/06_access.ipynb",
    "data/01_disconnect.json",
    "data/01_disconnect.ipynb",
    "data/tables/06_access.scopes.csv",
    "data/answers.jsonl",
    "bagit.txt",
    "bag-info.txt",
    "VERIFY.txt",
    "manifest-sha256.txt",
    "tagmanifest-sha256.txt",
    "tagmanifest-sha256.txt.sig",
)


@dataclass
class Case:
    """Three runs of a tenant and one of another, all sealed and signed by Dana, whom whoever verifies knows."""

    outputs: Path
    dana: Trust
    stranger: Path
    runs: list[Path]
    other: Path

    def noticed(self, folder: Path) -> bool:
        """Tell whether somebody who verifies a run, with Dana's key in the list, sees that something is wrong."""
        return not verify.verdict(folder, self.dana).intact


def sealed(outputs: Path, days: int, key: str, by: Trust) -> Path:
    """Return a sealed and signed run."""
    folder = new_run(outputs, key, NOW + timedelta(days=days))
    add(folder, "01_disconnect")
    add(folder, "06_access", passing(), raw=organization())
    (folder / "data/tables").mkdir()
    (folder / "data/tables/06_access.scopes.csv").write_text("permission\nCalendars.ReadWrite\n")
    (folder / "data/answers.jsonl").write_text('{"act": "confirmed"}\n')
    return seal.seal(folder, clock=lambda: NOW + timedelta(days=days), by=by)


def case(place: Path) -> Case:
    """Make the runs; RUNBOOK_OUTPUTS names where."""
    outputs = place / "outputs"
    os.environ["RUNBOOK_OUTPUTS"] = str(outputs)
    key, stranger = forger.new_key(place / "dana"), forger.new_key(place / "stranger")
    signers = place / "allowed_signers"
    signers.write_text(f"dana@contoso.com {key.with_suffix('.pub').read_text()}")
    dana = Trust(key=key, signers=signers)
    runs = [sealed(outputs, days, "contoso", dana) for days in range(3)]
    return Case(outputs, dana, stranger, runs, sealed(outputs, 0, "fabrikam", dana))


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Take the last byte away."""
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    """Add a line."""
    path.write_bytes(path.read_bytes() + b"more\n")


def rename(path: Path) -> None:
    """Call it otherwise."""
    path.rename(path.with_name(f"{path.name}.old"))


WAYS: tuple[Callable[[Path], None], ...] = (flip, cut, lengthen, Path.unlink, rename)


def tamperings(made: Case) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Yield each way to tamper with the middle run: its name, and what does it and says which run to verify."""
    run = made.runs[1]
    for name in FILES:
        for way in WAYS:

            def tamper(name: str = name, way: Callable[[Path], None] = way) -> Path:
                (run / name).chmod(0o644)
                way(run / name)
                return run

            yield f"{way.__name__} {name}", tamper


def forgeries(made: Case) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Yield each forgery: its name, and what does it and says which run to verify."""
    first, middle, last = made.runs

    def done(work: Callable[[Path], object], run: Path = middle) -> Callable[[], Path]:
        def forge() -> Path:
            work(run)
            return run

        return forge

    def replaced(run: Path, place: Path) -> Callable[[], Path]:
        def forge() -> Path:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(run, place)
            return place

        return forge

    def by_a_stranger(run: Path) -> None:
        forger.change_a_table(run)
        for name in (*bagit.WITNESSES, INFO):
            (run / name).unlink(missing_ok=True)
        seal.seal(run, clock=lambda: NOW, by=Trust(key=made.stranger))

    def with_anothers_record(run: Path) -> None:
        (run / "data/06_access.json").chmod(0o644)
        shutil.copyfile(made.other / "data/06_access.json", run / "data/06_access.json")
        forger.seal_by_hand(run)

    def with_anothers_signature(run: Path) -> None:
        forger.forge(run)
        forger.write(run / SIGNATURE, (first / SIGNATURE).read_bytes())

    def the_chain_cut(_: Path) -> None:
        shutil.rmtree(first)
        lines = (middle / INFO).read_bytes().splitlines(keepends=True)
        forger.write(middle / INFO, b"".join(line for line in lines if b"Previous" not in line))
        forger.seal_by_hand(middle)

    yield "every hash calculated again", done(forger.forge)
    yield "the signature dropped as well", done(forger.forge_and_drop_the_signature)
    yield "and said that nobody signed", done(forger.forge_and_say_that_nobody_signed)
    yield "sealed anew by a stranger", done(by_a_stranger)
    yield "another run's signature", done(with_anothers_signature)
    yield "another tenant's record inside", done(with_anothers_record)
    yield "a good run in another's place", replaced(first, middle)
    yield "a newer run in an older's place", replaced(last, middle)
    yield "a good run in another tenant's place", replaced(first, made.outputs / "fabrikam" / first.name)
    yield "a good run under a name that is free", replaced(made.other, made.outputs / "contoso/20991231T000000Z-0000")
    yield "an earlier run deleted", done(lambda _: shutil.rmtree(first), last)
    yield "an earlier run deleted and the chain cut", done(the_chain_cut, last)
    yield "a copy beside the runs", replaced(first, made.outputs / "contoso" / f"{first.name} - Copy")


def unnoticed(place: Path) -> dict[str, list[str] | int]:
    """Return how many were tried, and what nobody noticed; the runs are restored after each."""
    made, kept = case(place), place / "kept"
    shutil.copytree(made.outputs, kept)
    found: dict[str, list[str] | int] = {}
    for kind, tries in (("tamperings", list(tamperings(made))), ("forgeries", list(forgeries(made)))):
        missed = []
        for name, work in tries:
            if not made.noticed(work()):
                missed.append(name)
            shutil.rmtree(made.outputs)
            shutil.copytree(kept, made.outputs)
        found |= {kind: len(tries), f"{kind} unnoticed": missed}
    wrong = [str(run) for run in (*made.runs, made.other) if made.noticed(run)]
    return found | {"whole runs called changed": wrong, "runs counted": len(run_folders.runs(made.outputs, "contoso"))}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        sys.stdout.write(json.dumps(unnoticed(Path(where)), indent=1) + "\n")
