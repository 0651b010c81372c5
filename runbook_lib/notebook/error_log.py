"""What a notebook shows when something breaks: two sentences and a link; the whole trace goes into a log of the run.

The log lies in outputs/_logs/TENANT/RUN.log, outside the run's folder: it is no evidence, and nothing in it is sealed.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any

from runbook_lib.display import scrub
from runbook_lib.display.markup import printable
from runbook_lib.errors import CloudError, RunbookError
from runbook_lib.evidence import secrets
from runbook_lib.runs import folder as run_folders

LARGEST = 500_000
"""Bytes of a log before a new one is begun; one older log is kept."""
SECRETS = tuple(re.compile(pattern.decode()) for pattern in secrets.OURS.values())
QUERY = re.compile(r"(https?://[^\s\"'<>?]*\?)[^\s\"'<>]+")
"""What follows the address in a link: activation links and sign-ins carry their secret there."""
LONG = re.compile(r"[A-Za-z0-9_-]{48,}")
"""Longer than any name, and than any hash or id that would help: keys and whatever is encoded."""


def path(folder: Path) -> Path:
    """Return the log that belongs to the run in `folder`."""
    return run_folders.home("outputs") / "_logs" / folder.parent.name / f"{folder.name}.log"


def keep(folder: Path, step: str) -> None:
    """From now on, have this kernel log every error of a cell, and show it in words."""
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is not None:
        show = partial(_show, folder, step)
        shell.set_custom_exc((Exception,), lambda *error, **_: show(*error))


def _show(folder: Path, step: str, shell: Any, kind: type, error: Exception, trace: TracebackType) -> list[str]:
    """Log the error and show it as a cell's error, so that papermill and Run All stop there as for any other."""
    own_words = isinstance(error, RunbookError | NameError) and not isinstance(error, CloudError)
    words = told(error, "" if own_words else logged(folder, step, error.with_traceback(trace)))
    shell._showtraceback(kind, scrubbed(str(error)), words)
    return words


def told(error: Exception, log: str) -> list[str]:
    """Return what the person reads: what happened, what to do, where more about it stands."""
    if isinstance(error, RunbookError):
        return [*error._render_traceback_(), *([f"Details: {log}"] if isinstance(error, CloudError) else [])]
    if isinstance(error, NameError):  # a kernel that was restarted, or a cell that was left out
        return [f"{error}: a cell above this one has not run yet.", "What to do: run the cells from the top, in order."]
    saw = scrubbed(str(error).partition("\n")[0])
    return [
        f"The runbook broke here, and that is its fault, not yours: {type(error).__name__}: {saw}",
        "What to do: run the cell once more; if it breaks again, send that log to whoever looks after the runbook.",
        f"The trace: {log}",
    ]


def logged(folder: Path, step: str, error: Exception) -> str:
    """Write the error's trace, without secrets, into the run's log and return where it is, from `outputs` on."""
    place = path(folder)
    lines = "".join(traceback.format_exception(error))
    text = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {step}\n{scrubbed(lines)}"
    try:
        run_folders.make(place.parent)
        handler = RotatingFileHandler(place, maxBytes=LARGEST, backupCount=1, encoding="utf-8")
        handler.emit(logging.LogRecord("runbook", logging.ERROR, step, 0, text, None, None))
        handler.close()
    except OSError as unwritable:
        return f"nowhere, because {place} cannot be written ({unwritable.strerror})"
    return place.relative_to(run_folders.home("outputs").parent).as_posix()


def scrubbed(text: str, known: Collection[str] | None = None) -> str:
    """Return `text` without what looks like a secret, and without the secrets that this program was given."""
    text = scrub.text(printable(text), scrub.given() if known is None else known)
    for secret in (*SECRETS, LONG):
        text = secret.sub(scrub.MASK, text)
    return QUERY.sub(rf"\1{scrub.MASK}", text)
