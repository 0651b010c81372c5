"""Notices of what changed since the run that an address was told last: one digest for each, in plain words.

What was told to whom, and which tenants are snoozed, is kept in outputs/_notices. An address that did not take its
digest is told again next time, from the run on that it knows, so that nothing is lost and nothing is told twice. It is
known by its number and service, as its URL is kept nowhere: who adds an address adds it at the end.
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from runbook_lib import vendors
from runbook_lib.errors import ArchiveError, RunbookError, UsageError
from runbook_lib.evidence import secrets
from runbook_lib.evidence.verify_txt import REHEARSAL
from runbook_lib.model import Json, Status
from runbook_lib.report import changes, post, story
from runbook_lib.report.post import Address
from runbook_lib.runs import folder

LONGEST, LONGEST_LINE, MOST, MOST_TENANTS = 3500, 220, 5, 50
"""Letters of a digest and of a line, changes told of one tenant, tenants told at most; the report tells all."""
MARKUP = str.maketrans({sign: chr(ord(sign) + 0xFEE0) for sign in "<>[]`|@\\&*~#"})
"""What would be a link, a mention or markup somewhere, and its wide form, which reads the same and never is."""
DOT = re.compile("[.\u2024\u3002\ufe52\uff0e\uff61](?=[^\\W\\d]|[^\\x00-\\x7f])")
"""A dot inside a name such as contoso.com, of which mail and chat make a link unasked. It becomes a middle dot, for the
wide form and the two others here part domains just so: https://www.rfc-editor.org/rfc/rfc3490#section-3.1"""
SCHEME = re.compile("(?<=[A-Za-z])[:\ufe13\ufe55\uff1a](?=[^\\s:])")
"""The colon of tel:, mailto: and all others; a blank behind it, and no program takes it for an address."""
DEMO = "dry run"


@dataclass(frozen=True, slots=True)
class News:
    """What changed at one tenant between two of its runs; no words when nothing did."""

    tenant: str
    run: str
    outcome: Status
    stamp: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """One digest: for whom, about whom, its text, and whether it was taken (None: it was not sent)."""

    address: str
    tenants: tuple[str, ...]
    text: str
    sent: bool | None

    @property
    def failure(self) -> str:
        """Return in words that the address did not take it; empty when it did."""
        whom = ", ".join(self.tenants[:3]) + (" and others" if len(self.tenants) > 3 else "")
        words = f"Address {self.address} did not take the notice about {whom}; it is told again next time."
        return words if self.sent is False else ""


def after_batch(keys: Iterable[str]) -> list[str]:
    """Tell every address what changed at these tenants, and return in sentences what did not work.

    Whatever goes wrong fails no batch. Without an address nothing is read or written.
    """
    try:
        notices = notify(keys, datetime.now(UTC).date()) if post.addresses() else []
    except RunbookError as error:
        return [f"No notice went out. {error}"]
    return [one.failure for one in notices if one.failure]


def notify(keys: Iterable[str], today: date, *, dry_run: bool = False) -> list[Notice]:
    """Send each address one digest of the tenants in `keys` that changed, if any did, and return the digests.

    With `dry_run` nothing is sent or noted, and no address is needed. Raises UsageError without an address or for one
    that nobody knows, ArchiveError when what was told cannot be read or noted.
    """
    outputs, addresses = folder.home("outputs"), post.addresses()
    if not (addresses or dry_run):
        what = f"There is no address: neither {post.VARIABLE} nor {post.FILE} is set."
        raise UsageError(what, "Set one, or say --dry-run to see what would go out.")
    silent = {key: row for key, row in snoozed(outputs).items() if row["until"] >= today.isoformat()}
    keys, heard, kept, notices = list(keys), cache(_news), _read(outputs, "told.json"), []
    limits = {one: min(LONGEST, post.room(one)) for one in addresses}  # before any is told: a bad one stops all
    for address, limit in (limits or {Address(DEMO, ""): LONGEST}).items():
        told = kept.setdefault(address.label, {})
        pairs = {key: pair for key in keys if (pair := _pair(outputs, key, told.get(key, "")))}
        told |= {key: before.name for key, (before, _) in pairs.items()}
        news = [heard(*pair) for key, pair in pairs.items() if key not in silent and pair[0] != pair[1]]
        sent = None
        if changed := sorted((one for one in news if one.words), key=lambda one: one.outcome.rank):
            body = _text(_without_secrets(changed[:MOST_TENANTS], addresses), len(changed), silent, limit)
            sent = None if dry_run else post.send(address, _title(changed), body)
            notices.append(Notice(address.label, tuple(one.tenant for one in changed), body, sent))
        if sent is not False:
            told |= {one.tenant: one.run for one in news}
    if not dry_run:
        _keep(outputs, "told.json", kept)
    return notices


def _pair(outputs: Path, key: str, told: str) -> tuple[Path, Path] | None:
    """Return the run of `key` that was told last, else its previous, else its only one; and its newest."""
    folders = [one for one in folder.runs(outputs, key) if any((one / "data").glob("??_*.json"))]
    if not folders:
        return None
    known = [one for one in folders if one.name == told]
    return known[0] if known else changes.previous(folders[-1]) or folders[-1], folders[-1]


def _news(before: Path, after: Path) -> News:
    """Return what changed between two runs; that they cannot be compared is news as well."""
    key = after.parent.name
    try:
        was, now = story.read(before), story.read(after)
    except ArchiveError as error:
        return News(key, after.name, Status.UNKNOWN, "", (f"its runs cannot be compared: {error.message}",))
    stamp = "" if now.cloud["microsoft"] else f" ({REHEARSAL})"
    return News(key, after.name, now.outcome, stamp, tuple(one.words for one in changes.changes(was, now)))


def _title(changed: list[News]) -> str:
    return f"Calendar runbook: {len(changed)} {'tenant' if len(changed) == 1 else 'tenants'} changed"


def _without_secrets(news: list[News], addresses: tuple[Address, ...]) -> list[tuple[str, ...]]:
    """Return the lines about each tenant; of one that would give away a secret, only that it changed."""
    blocks = [tuple(_lines(one)) for one in news]
    hosts = vendors.facts()["activation_hosts"]
    with tempfile.TemporaryDirectory() as place:
        for number, block in enumerate(blocks):
            (Path(place) / str(number)).write_text("\n".join(block), encoding="utf-8")
            (Path(place) / f"{number}.as-recorded").write_text("\n".join(news[number].words), encoding="utf-8")
        own = secrets.leaks(Path(place), (), [one.url for one in addresses])
        found = {one.path.partition(".")[0] for one in (*secrets.leaks(Path(place), hosts), *own)}
    withheld = "- what changed would give away a secret and is not shown: see the records"
    return [(block[0], withheld) if str(number) in found else block for number, block in enumerate(blocks)]


def _lines(news: News) -> Iterator[str]:
    yield plain(f"{news.tenant}: {news.outcome}{news.stamp}")
    yield from (plain(f"- {words}") for words in news.words[:MOST])
    if len(news.words) > MOST:
        yield f"- and {len(news.words) - MOST} more changes: see the report"


def plain(words: str) -> str:
    """Return words as one short line without markup, links, mentions or control signs, whoever wrote them."""
    seen = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in words)
    line = SCHEME.sub(": ", DOT.sub("·", " ".join(seen.split()).translate(MARKUP)))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _text(blocks: list[tuple[str, ...]], total: int, silent: Mapping[str, Json], limit: int) -> str:
    """Return the digest: as many tenants as fit, how many more of `total` there are, and who is snoozed until when."""
    quiet = [plain(f"{key} until {row['until']}") for key, row in sorted(silent.items())]
    tail = f"\n\nSnoozed: {', '.join(quiet[:MOST])}{'' if len(quiet) <= MOST else ' and others'}." if quiet else ""
    body, shown = "What is not as it was told before:", 0
    more = "\n\nand {} more tenants: runbook status"
    for block in blocks:
        longer = body + "\n\n" + "\n".join(block)
        if len(longer) + len(more) + 8 + len(tail) > limit:
            break
        body, shown = longer, shown + 1
    return (body + (more.format(total - shown) if shown < total else "") + tail)[:limit]


def snooze(tenant: str, until: date, reason: str, by: str, now: datetime) -> None:
    """Send no notice about `tenant` before the day after `until`; what changes meanwhile is told then.

    Raises UsageError for a tenant without runs, a day that is over, or no reason.
    """
    outputs = folder.home("outputs")
    if not folder.runs(outputs, tenant):
        raise UsageError(f"{tenant} has no run in {outputs}.", f"Run it first: runbook run {tenant}")
    if until < now.date():
        raise UsageError(f"{until} is over.", "Give a day from today on with --until.")
    if not reason.strip():
        raise UsageError("Nobody could tell later why this was snoozed.", "Give a reason with --reason.")
    row = {"until": until.isoformat(), "reason": reason.strip(), "by": by, "at": now.isoformat(timespec="seconds")}
    _keep(outputs, "snoozed.json", snoozed(outputs) | {tenant: row})


def snoozed(outputs: Path) -> dict[str, Json]:
    """Return every snooze by tenant: until when, why, by whom, and when it was said."""
    return _read(outputs, "snoozed.json")


def _read(outputs: Path, name: str) -> dict[str, Any]:
    path = outputs / "_notices" / name
    try:
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} cannot be read ({error}).", "Delete it: what it holds is told anew.") from error
    return found


def _keep(outputs: Path, name: str, value: dict[str, Any]) -> None:
    """Replace the file in one piece, so that a crash leaves the old one."""
    path = outputs / "_notices" / name
    try:
        folder.make(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(folder.to_json(value))
        Path(file.name).replace(path)
    except OSError as error:
        raise folder.unwritable(path, error) from error
