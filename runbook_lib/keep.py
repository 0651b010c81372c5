"""The commands that close runs and keep them: `runbook seal`, `runbook verify` and `runbook push`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.terminal import AsJson, console, print_json, say

if TYPE_CHECKING:
    from runbook_lib.bag import Fault
    from runbook_lib.evidence import Trust
    from runbook_lib.immutability import Immutability
    from runbook_lib.push import Pushed
    from runbook_lib.store import Store

Target = Annotated[str, typer.Argument(help="A run's folder, tenant/run, or a tenant (its newest run).")]
WORST_FIRST = (1, 3, 5)
OUTCOMES = {0: "✓ archived", 1: "✗ broke", 3: "✗ fail", 5: "… not sealed"}


def run_folder(target: str) -> Path:
    """Return the run's folder for a path, `tenant/run`, or a tenant (its newest run)."""
    from runbook_lib import records

    outputs = records.home("outputs")
    for path in (Path(target), outputs / target):
        if (path / "data").is_dir():
            return path
    newest = records.runs(outputs, target)
    if newest:
        return newest[-1]
    raise UsageError(f"{target} is neither a run's folder nor a tenant with runs.", f"Runs are kept in {outputs}.")


def seal(
    target: Target,
    key: Annotated[Path | None, typer.Option(help="Sign with this SSH key; default: RUNBOOK_SIGNING_KEY.")] = None,
    timestamp: Annotated[
        bool, typer.Option("--timestamp", help="Insist on a time stamp; a sealed run without one gets it now.")
    ] = False,
    share: Annotated[
        bool, typer.Option("--shareable", help="Write a copy without people's names, of a sealed run as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Close a run: list every file with its SHA-256, so that any later change shows."""
    from runbook_lib import evidence, lab, records, shareable

    folder, by = run_folder(target).resolve(), evidence.trust(key=key)
    if timestamp and not by.authority:
        raise UsageError("No time stamp authority is named.", "Set RUNBOOK_TIMESTAMP_AUTHORITY to its address.")
    if timestamp and records.is_sealed(folder):
        evidence.stamp(folder, by)
    elif not (share and records.is_sealed(folder)):
        lab.check_closed(folder)
        with console(stderr=True).status("Sealing: every file is searched for secrets"):
            evidence.seal(folder, clock=lambda: datetime.now(UTC), by=by)
        if timestamp and not evidence.is_stamped(folder):
            raise ArchiveError(
                f"{folder} is sealed, without a time stamp.", f"Later: runbook seal {target} --timestamp"
            )
    number, proofs = evidence.seal_hash(folder), evidence.proofs(folder, by)
    place = records.home("outputs") / "_shareable" / folder.parent.name / folder.name
    copy = str(shareable.write(folder, place)) if share else ""
    if as_json:
        print_json({"folder": str(folder), "seal_sha256": number, "proofs": proofs, "shareable": copy})
    else:
        words = (f"Sealed {folder}", f"SHA-256 of the seal, for the change ticket: {number}", *proofs)
        words = (*words, f"Copy without names: {copy}") if copy else words
        say(*words, error=False)


def verify(
    target: Annotated[
        str,
        typer.Argument(
            help="A run's folder, tenant/run, a tenant (its newest run), or the address of an archived run."
        ),
    ],
    signers: Annotated[
        Path | None, typer.Option(help="Whose signatures count; default: RUNBOOK_ALLOWED_SIGNERS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing in a sealed run was changed, removed, added or renamed; exit code 3 when something was."""
    from dataclasses import asdict

    from runbook_lib import evidence

    by = evidence.trust(signers=signers)
    if "://" in target:
        faults, number, proofs, kept = _archived(target, by)
    else:
        folder = run_folder(target)
        target, (faults, number, proofs, kept) = str(folder), _local(folder, by)
    if as_json:
        listed = [asdict(fault) for fault in faults]
        told = {"folder": target, "intact": not faults, "faults": listed, "proofs": proofs}
        print_json(told | {"seal_sha256": number, "immutability": asdict(kept) if kept else None})
    else:
        words = [f"✗ {fault.kind}: {fault.path} {fault.detail}" for fault in faults]
        whole = words or [f"✓ {target} is as it was sealed. Seal: {number}"]
        held = [f"Immutable: {kept.hold}. {kept.words}"] if kept else []
        say(*whole, *proofs, *held, error=False)
    raise typer.Exit(3 if faults else 0)


Checked = tuple[tuple["Fault", ...], str, tuple[str, ...], "Immutability | None"]
"""Faults, seal, what is proved, and what keeps the archive from being changed."""


def _local(folder: Path, by: Trust) -> Checked:
    from runbook_lib import evidence, records

    faults = evidence.verify(folder, by)
    number = evidence.seal_hash(folder) if records.is_sealed(folder) else ""
    return faults, number, evidence.proofs(folder, by), None


def _archived(url: str, by: Trust) -> Checked:
    from runbook_lib import push as pushing

    return pushing.at(url, by)


def push(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Run folders, tenant/run, or tenants (the newest run of each).")
    ] = None,
    all_runs: Annotated[bool, typer.Option("--all", help="Every run of every tenant.")] = False,
    to: Annotated[
        str, typer.Option(help="The archive: az://, abfs://, s3:// or a folder; default: RUNBOOK_ARCHIVE.")
    ] = "",
    require_immutable: Annotated[
        bool, typer.Option("--require-immutable", help="Send nothing unless a retention policy is seen there.")
    ] = False,
    remove_local: Annotated[
        bool, typer.Option("--remove-local", help="Delete here what was verified there; records and tables stay.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy sealed runs to an archive, replace nothing there, and verify every byte by reading it back.

    Exit codes: 0 archived and verified, 1 it could not be done, 3 a run here or there is not as it was sealed, 5 a run
    is not sealed; the worst wins in the order 1, 3, 5.
    """
    from runbook_lib import evidence, store
    from runbook_lib import push as pushing

    folders = _runs(targets or [], all_runs)
    url = to or os.environ.get("RUNBOOK_ARCHIVE", "")
    if not url:
        raise UsageError("No archive is named.", f"Use --to, or set RUNBOOK_ARCHIVE. {store.WRITE_LIKE}")
    wish = pushing.Wish(evidence.trust(), remove_local)
    with store.opened(url) as place:
        seen = pushing.check(place, require_immutable)
        with _progress(folders) as tell:
            done = list(pushing.push(place, folders, wish, clock=lambda: datetime.now(UTC), tell=tell))
        _print_push(place, seen, done, as_json)
    codes = {one.exit_code for one in done}
    raise typer.Exit(next((code for code in WORST_FIRST if code in codes), 0))


def _runs(targets: list[str], all_runs: bool) -> list[Path]:
    from runbook_lib import records

    outputs = records.home("outputs")
    if all_runs:
        tenants = sorted(outputs.glob("[!_.]*"))
        found = [folder for tenant in tenants if tenant.is_dir() for folder in records.runs(outputs, tenant.name)]
    else:
        found = [run_folder(target).resolve() for target in dict.fromkeys(targets)]
    if not found:
        raise UsageError("No run is named.", "Name tenants or runs (runbook push contoso), or use --all.")
    return found


@contextmanager
def _progress(folders: list[Path]) -> Iterator[Callable[[str], None]]:
    """Show a bar over all files on standard error, and give what moves it on."""
    from rich.progress import Progress

    from runbook_lib import bag

    with Progress(console=console(stderr=True), transient=True) as shown:
        bar = shown.add_task("pushing", total=sum(len(list(bag.files(folder))) for folder in folders))
        yield lambda path: shown.update(bar, advance=1, description=path.rpartition("/")[0])


def _print_push(place: Store, seen: Immutability, done: list[Pushed], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        whose = {"archive": place.url, "endpoint": place.endpoint, "identity": place.identity}
        print_json({**whose, "immutability": asdict(seen), "runs": [asdict(one) for one in done]})
        return
    head = f"{place.url} at {place.endpoint}, opened with: {place.identity}."
    rows = [f"{OUTCOMES[one.exit_code]}  {one.run}  {_told(one, seen)}" for one in done]
    sure = "Immutable" if seen.hold in ("locked", "in force") else "WARNING: not known to be immutable"
    tail = f"{sure} ({seen.hold}). {seen.words}"
    say(head, *rows, tail, error=False)


def _told(one: Pushed, seen: Immutability) -> str:
    if one.exit_code:
        return one.words
    gone = f", {one.removed} files removed here" if one.removed else ""
    own = one.immutability if one.immutability != seen else None
    held = f" Immutable: {own.hold}. {own.words}" if own else ""
    note = f" But: {one.words}" if one.words else ""
    return f"{one.sent} objects sent, {one.there} there already, all read back and verified{gone}.{held}{note}"
