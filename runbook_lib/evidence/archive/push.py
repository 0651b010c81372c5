"""Copy sealed runs to an archive: payload first, the tag manifest last, each object read back before the next thing.

So a push that was cut off left an archive without a tag manifest, which is visibly no sealed run, and goes on where it
stopped when it is repeated. Nothing that is there is replaced, and nothing here is deleted before all of it was read
back from there and has the SHA-256 that was sealed.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import bagit, chain, verify
from runbook_lib.evidence.archive import receipts
from runbook_lib.evidence.archive.immutability import Hold, Immutability
from runbook_lib.evidence.archive.store import Folder, Store, opened
from runbook_lib.evidence.bagit import MANIFEST, SIGNATURE, STAMP, TAG_MANIFEST, Fault, Kind
from runbook_lib.evidence.trust import Trust
from runbook_lib.evidence.verify import Verdict
from runbook_lib.runs import folder as run_folders

AT_ONCE = 8
"""Objects under way at a time: most of each is waiting for the service."""
INSIDE = re.compile(r"(?!\.{1,2}(/|$))[^/\\:\0-\x1f]+(/(?!\.{1,2}(/|$))[^/\\:\0-\x1f]+)*")
"""How the path of an object looks that leads nowhere but into the run's folder, on any system."""
READ_BACK = "every object was read back whole; its SHA-256 is the sealed one"


class NotAsSealed(ArchiveError):
    """The run here, or what is there in its place, is not what was sealed."""

    exit_code = 3


class StillOpen(ArchiveError):
    """The run is not sealed yet."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one run: an exit code as the commands' own, and how many objects were sent or there already.

    `words` say why it was not pushed, or what is wrong with the runs before it.
    """

    run: str
    exit_code: int = 0
    words: str = ""
    archived_at: str = ""
    seal_sha256: str = ""
    sent: int = 0
    there: int = 0
    immutability: Immutability | None = None
    removed: int = 0
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a push is to do beside copying: who vouches for seals, and whether the files here go afterwards."""

    by: Trust
    remove_local: bool = False


def check(store: Store, required: bool) -> Immutability:
    """Return what keeps the archive from being changed; raise UsageError when that is required and not so."""
    found = store.immutability()
    if required and found.hold not in (Hold.LOCKED, Hold.IN_FORCE):
        what = f"{store.url} is not shown to be immutable, so nothing was sent. {found.words}"
        raise UsageError(what, "Set a retention policy on it (docs/archive.md), or leave --require-immutable away.")
    return found


def push(
    store: Store, folders: Iterable[Path], wish: Wish, *, clock: Callable[[], datetime], tell: Callable[[str], None]
) -> Iterator[Pushed]:
    """Push each run and yield what became of it; one that cannot be pushed does not stop the others.

    `tell` hears the path of every object that was verified.
    """
    heads = chain.Heads()
    for folder in folders:
        try:
            yield _push(store, folder, wish, heads, clock, tell)
        except ArchiveError as error:
            yield Pushed(f"{folder.parent.name}/{folder.name}", error.exit_code, str(error))
        except OSError as error:
            what = f"{error.filename or folder} cannot be read or deleted: {error.strerror or error}."
            words = f"{what} Close the program that has it open, or correct the permissions; then push again."
            yield Pushed(f"{folder.parent.name}/{folder.name}", 1, words)


def _push(
    store: Store,
    folder: Path,
    wish: Wish,
    heads: chain.Heads,
    clock: Callable[[], datetime],
    tell: Callable[[str], None],
) -> Pushed:
    if not run_folders.is_sealed(folder):
        raise StillOpen("It is not sealed, so it is not pushed.", f"Seal it: runbook seal {folder}")
    found = verify.verdict(folder, wish.by, heads)
    faults, seal, run = found.faults, found.seal, receipts.name(folder)
    at = f"{store.url.rstrip('/')}/{run}"
    moved = any(one.kind is Kind.ARCHIVED for one in faults)
    _demand((one for one in faults if one.kind not in (Kind.ARCHIVED, Kind.CHAIN)), "here")
    # another run's fault: all the more to keep this one
    broken = " ".join(one.detail for one in faults if one.kind is Kind.CHAIN)
    _refuse_itself(store, folder, run, wish.remove_local)
    if moved:
        sent, there = _look_again(store, run, seal, receipts.removed(folder, seal), at, wish.by)
    else:
        sent, there = _send(store, folder, run, tell)
    kept = store.immutability(f"{run}/{TAG_MANIFEST}")
    receipt = {
        "run": run,
        "seal_sha256": seal,
        "archived_at": at,
        "endpoint": store.endpoint,
        "identity": store.identity,
        "at": clock(),
        "objects": sent + there,
        "sent": sent,
        "verified": READ_BACK,
        "immutability": asdict(kept),
        "removed_here": wish.remove_local or moved,
    }
    note = receipts.write(run, clock(), receipt)  # before anything is deleted: it says where the files are
    removed = receipts.remove(folder, bagit.read_manifest(folder / MANIFEST)[0]) if wish.remove_local else 0
    return Pushed(run, 0, broken, at, seal, sent, there, kept, removed, str(note))


def _demand(faults: Iterable[Fault], where: str) -> None:
    if words := " ".join(f"{one.kind}: {one.path} {one.detail}" for one in faults):
        raise NotAsSealed(
            f"The run {where} is not as it was sealed. {words}", "Find out who changed it, and restore it."
        )


def _refuse_itself(store: Store, folder: Path, run: str, remove_local: bool) -> None:
    """Raise UsageError where the archive is the run itself, and where files would be removed from a mere copy."""
    if isinstance(store, Folder):
        if (there := store.place / run).exists() and there.samefile(folder):
            raise UsageError(f"{store.url} is where the runs are kept here.", "Name another place with --to.")
        if store.place.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{store.url} lies inside the run.", "Name another place with --to.")
    if remove_local and not receipts.is_at_home(folder, run):
        raise UsageError(
            f"{folder} is a copy of {run}.", "--remove-local is for runs in outputs/; delete a copy yourself."
        )


def _look_again(store: Store, run: str, seal: str, was: str, at: str, by: Trust) -> tuple[int, int]:
    """Check a run whose files are only in the archive; return how many objects were sent, none, and are there."""
    if was != at:
        raise ArchiveError(
            f"Its files are not here any more but at {was}.", f"Push to there, or restore it from {was}."
        )
    found = fetched(store, run, by)
    _demand(found.faults, f"at {at}")
    if found.seal != seal:
        raise NotAsSealed(f"The run at {at} has another seal, {found.seal}.", "Find out who replaced it.")
    return 0, len(store.names(run))


def _send(store: Store, folder: Path, run: str, tell: Callable[[str], None]) -> tuple[int, int]:
    """Copy what is not there yet, verify all that is, and return how many objects were sent, and were there."""
    if isinstance(store, Folder):
        store.sweep(run)
    listed, present = _listed(folder), set(store.names(run))
    _refuse_strangers(store, run, present - listed.keys())

    def keep(path: str) -> bool:
        sent = _keep(store, folder / path, f"{run}/{path}", listed[path], path in present)
        tell(f"{run}/{path}")
        return sent

    payload = [path for path in listed if path.startswith("data/")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sent = sum(pool.map(keep, payload))
    sent += sum(keep(path) for path in listed if path not in payload)  # one after another, the tag manifest last
    now = set(store.names(run))
    _refuse_strangers(store, run, now ^ listed.keys())
    return sent, len(listed) - sent


def _listed(folder: Path) -> dict[str, str]:
    """Return the sealed SHA-256 of each file in the order of sending; of what no manifest lists, the one it has."""
    payload, _ = bagit.read_manifest(folder / MANIFEST)
    beside, _ = bagit.read_manifest(folder / TAG_MANIFEST)
    witnesses = {
        name: bagit.sha256(folder / name) for name in (SIGNATURE, STAMP, TAG_MANIFEST) if (folder / name).is_file()
    }
    return payload | beside | witnesses


def _refuse_strangers(store: Store, run: str, strangers: set[str]) -> None:
    if strangers:
        what = f"{store.url.rstrip('/')}/{run} does not hold the run's files alone: {', '.join(sorted(strangers))}."
        raise NotAsSealed(what, "Find out who put or took them there. Nothing there was replaced.")


def _keep(store: Store, file: Path, path: str, sealed: str, present: bool) -> bool:
    """Create the object unless it is there, read it back, and return whether it was sent."""
    sent = False
    if not present:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sealed:
            raise NotAsSealed(f"{file} was changed while the run was pushed.", "Restore it, then push again.")
        try:
            store.create(path, content)
            sent = True
        except FileExistsError:
            pass  # somebody pushes the same run; what is there is looked at like everything else
    found = hashlib.sha256(store.read(path)).hexdigest()
    if found != sealed:
        what = f"{store.url.rstrip('/')}/{path} has other bytes than were sealed: SHA-256 {found}, sealed {sealed}."
        raise NotAsSealed(what, "It was not replaced. Find out whose it is, or push to another path.")
    return sent


def fetched(store: Store, run: str, by: Trust) -> Verdict:
    """Fetch a run into a temporary folder and return what `evidence.verify` finds there."""
    with tempfile.TemporaryDirectory() as place:
        return verify.verdict(fetch(store, run, Path(place) / "run"), by)


def fetch(store: Store, run: str, to: Path) -> Path:
    """Copy the objects of a run into the new folder `to`, and return it; `run` is "" when the store is the run."""
    names = store.names(run)
    if not names:
        raise ArchiveError(
            f"There is no run at {store.url.rstrip('/')}/{run}".rstrip("/") + ".", "Look at the address."
        )
    for name in names:
        if not INSIDE.fullmatch(name):
            raise NotAsSealed(f"No sealed run has a file of the name {name!r}.", "Find out who put it there.")

    def copy(name: str) -> None:
        run_folders.write_new(to / name, store.read(f"{run}/{name}".lstrip("/")))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, names))
    return to


def at(url: str, by: Trust) -> tuple[Verdict, Immutability]:
    """Return the verdict on the archived run at `url`, and what keeps it from being changed."""
    with opened(url) as store:
        found = fetched(store, "", by)
        return found, store.immutability(TAG_MANIFEST) if found.seal else store.immutability()
