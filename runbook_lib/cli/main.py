"""The `runbook` command: every option, every exit code, every word to the terminal."""

from __future__ import annotations

import sys

import typer

from runbook_lib.cli import app as app_command
from runbook_lib.cli import (
    demo,
    doctor,
    export,
    new,
    notify,
    oscal,
    recheck,
    run,
    sandbox,
    seal,
    signout,
    status,
)
from runbook_lib.cli import open as open_command
from runbook_lib.cli import push as push_command
from runbook_lib.cli import verify as verify_command
from runbook_lib.cli.terminal import console, speak_utf_8
from runbook_lib.errors import RunbookError

app = typer.Typer(
    name="runbook",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # half of the start would go into importing what makes help colourful
    help="Reconnect SpaceIQ to Office 365 calendars, step by step or for many tenants.\n\n"
    "Exit codes: 0 pass, 1 the runbook broke, 2 wrong usage, 3 fail, 4 unknown, 5 pending; "
    "the worst wins in the order 1, 3, 4, 5.",
)


COMMANDS = (
    run.run,
    status.status,
    open_command.open_,
    seal.seal,
    verify_command.verify,
    push_command.push,
    export.export,
    recheck.recheck,
    new.new,
    app_command.app,
    doctor.doctor,
    signout.signout,
    demo.demo,
    sandbox.sandbox,
    oscal.oscal,
    notify.notify,
)
"""In the order in which `--help` and README tell them."""

for command in COMMANDS:
    app.command(name=command.__name__.rstrip("_"))(command)


def main() -> None:
    """Run the command; an error is two sentences on standard error and its documented exit code."""
    speak_utf_8()
    try:
        app()
    except RunbookError as error:
        console(stderr=True).print("\n".join(error._render_traceback_()), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
