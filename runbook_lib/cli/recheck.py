"""`runbook recheck`: a run judged again, offline."""

from __future__ import annotations

import typer

from runbook_lib.cli.targets import Target, run_folder
from runbook_lib.cli.terminal import AsJson, console, print_json


def recheck(target: Target, as_json: AsJson = False) -> None:
    """Judge a run's raw answers again, offline, with this version's checks; exit code 3 when a finding differs."""
    from dataclasses import asdict

    from runbook_lib.evidence import recheck as judged

    folder = run_folder(target)
    differences = judged.recheck(folder)
    if as_json:
        print_json(
            {"folder": str(folder), "same": not differences, "differences": [asdict(one) for one in differences]}
        )
    else:
        screen = console()
        for one in differences:
            words = f"✗ {one.record} {one.check} {one.subject}\n  recorded: {one.recorded}\n  now:      {one.now}"
            screen.print(words, markup=False, soft_wrap=True)
        if not differences:
            screen.print(f"✓ the raw answers in {folder} still lead to every recorded finding.", soft_wrap=True)
    raise typer.Exit(3 if differences else 0)
