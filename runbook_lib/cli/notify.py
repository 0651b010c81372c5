"""The commands that tell others: `runbook oscal` (auditors' tools) and `runbook notify` (mail and chat)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.terminal import AsJson, print_json, say
from runbook_lib.errors import UsageError

if TYPE_CHECKING:
    from runbook_lib.report.notices import Notice


def notify(
    tenants: Annotated[list[str] | None, typer.Argument(help="Tenant keys; none means all that have runs.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would go out; send and note nothing.")] = False,
    snooze: Annotated[str, typer.Option(help="Send nothing about this tenant; with --until and --reason.")] = "",
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day of the snooze.")] = None,
    reason: Annotated[str, typer.Option(help="Why it is snoozed.")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell mail and chat what changed at the tenants since they were told last; a batch does the same at its end.

    The addresses stand in the environment variable RUNBOOK_NOTIFY, or one a line in the file that RUNBOOK_NOTIFY_FILE
    names, as apprise writes them: mailto://, slack://, msteams://. Each gets one digest, and what it did not take again
    next time. The exit code is 1 when one of them did not take it, else 0.
    """
    from runbook_lib.report import notices
    from runbook_lib.runs import folder

    outputs = folder.home("outputs")
    if snooze or until or reason:
        if tenants or not (snooze and until):
            raise UsageError("A snooze needs one tenant and a day.", "Say: --snooze TENANT --until DAY --reason WHY")
        _snooze(snooze, until, reason, as_json)
        return
    if unknown := [key for key in tenants or [] if not folder.runs(outputs, key)]:
        raise UsageError(f"{unknown[0]} has no run in {outputs}.", f"Run it first: runbook run {unknown[0]}")
    keys = tenants or [path.name for path in sorted(outputs.glob("[!_.]*")) if folder.runs(outputs, path.name)]
    found = notices.notify(keys, datetime.now(UTC).date(), dry_run=dry_run)
    if as_json:
        print_json({"notices": [asdict(one) for one in found], "snoozed": notices.snoozed(outputs)})
    else:
        say("\n\n".join(map(_shown, found)) or "Nothing changed that was not told before.", error=False)
    raise typer.Exit(1 if any(one.failure for one in found) else 0)


def after_batch(keys: list[str]) -> None:
    """Tell the addresses, if there are any, what changed at these tenants; say what did not work, and fail nothing."""
    from runbook_lib.report import notices

    for words in notices.after_batch(keys):
        say(words)


def _snooze(tenant: str, until: datetime, reason: str, as_json: bool) -> None:
    from runbook_lib.report import notices
    from runbook_lib.runs import folder, presence

    notices.snooze(tenant, until.date(), reason, presence.operator_name(), datetime.now(UTC))
    if as_json:
        print_json({"snoozed": notices.snoozed(folder.home("outputs"))})
        return
    say(f"Nothing is sent about {tenant} up to {until:%Y-%m-%d}.", error=False)


def _shown(notice: Notice) -> str:
    done = notice.failure or f"Address {notice.address} was told about {', '.join(notice.tenants)}."
    return f"{notice.text}\n\n({notice.address}: not sent)" if notice.sent is None else done
