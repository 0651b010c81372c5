"""The `runbook` command: every option, every exit code, every word to the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from runbook_lib.cli import app as register
from runbook_lib.cli import demo, doctor, new, notify, oscal, sandbox, seal, signout, status
from runbook_lib.cli import push as push_command
from runbook_lib.cli import verify as verify_command
from runbook_lib.cli.terminal import console, speak_utf_8
from runbook_lib.errors import RunbookError

if TYPE_CHECKING:
    pass

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


def main() -> None:
    """Run the command; an error is two sentences on standard error and its documented exit code."""
    speak_utf_8()
    try:
        app()
    except RunbookError as error:
        console(stderr=True).print("\n".join(error._render_traceback_()), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


app.command()(status.status)


app.command()(seal.seal)
app.command()(verify_command.verify)
app.command()(push_command.push)


app.command()(new.new)
app.command()(register.app)
app.command()(doctor.doctor)
app.command()(signout.signout)
app.command()(demo.demo)
app.command()(sandbox.sandbox)
app.command()(oscal.oscal)
app.command()(notify.notify)
