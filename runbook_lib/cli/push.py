"""`runbook push`: sealed runs into an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.targets import run_folder
from runbook_lib.cli.terminal import AsJson, console, print_json, say
from runbook_lib.errors import UsageError

if TYPE_CHECKING:
    from runbook_lib.evidence.archive.immutability import Immutability
    from runbook_lib.evidence.archive.push import Pushed
    from runbook_lib.evidence.archive.store import Store


WORST_FIRST = (1, 3, 5)


OUTCOMES = {0: "✓ archived", 1: "✗ broke", 3: "✗ fail", 5: "… not sealed"}


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
    from runbook_lib.evidence import trust
    from runbook_lib.evidence.archive import push as pushing
    from runbook_lib.evidence.archive import store

    folders = _runs(targets or [], all_runs)
    url = to or os.environ.get("RUNBOOK_ARCHIVE", "")
    if not url:
        raise UsageError("No archive is named.", f"Use --to, or set RUNBOOK_ARCHIVE. {store.WRITE_LIKE}")
    wish = pushing.Wish(trust.trust(), remove_local)
    with store.opened(url) as place:
        seen = pushing.check(place, require_immutable)
        with _progress(folders) as tell:
            done = list(pushing.push(place, folders, wish, clock=lambda: datetime.now(UTC), tell=tell))
        _print_push(place, seen, done, as_json)
    codes = {one.exit_code for one in done}
    raise typer.Exit(next((code for code in WORST_FIRST if code in codes), 0))


def _runs(targets: list[str], all_runs: bool) -> list[Path]:
    from runbook_lib.runs import folder as run_folders

    outputs = run_folders.home("outputs")
    if all_runs:
        tenants = sorted(outputs.glob("[!_.]*"))
        found = [folder for tenant in tenants if tenant.is_dir() for folder in run_folders.runs(outputs, tenant.name)]
    else:
        found = [run_folder(target).resolve() for target in dict.fromkeys(targets)]
    if not found:
        raise UsageError("No run is named.", "Name tenants or runs (runbook push contoso), or use --all.")
    return found


@contextmanager
def _progress(folders: list[Path]) -> Iterator[Callable[[str], None]]:
    """Show a bar over all files on standard error, and give what moves it on."""
    from rich.progress import Progress

    from runbook_lib.evidence import bagit

    with Progress(console=console(stderr=True), transient=True) as shown:
        bar = shown.add_task("pushing", total=sum(len(list(bagit.files(folder))) for folder in folders))
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
