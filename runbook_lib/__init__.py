"""The Office 365 calendar runbook: the verbs that its notebooks use.

They are loaded on first use, so that the `runbook` command answers `--help` without importing pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbook_lib.notebook.earlier import earlier
    from runbook_lib.notebook.run import ask, attest, finish, judge, raw_of, sign_in, start
    from runbook_lib.steps import tables

__all__ = ["ask", "attest", "earlier", "finish", "judge", "raw_of", "sign_in", "start", "tables"]

_HOME = dict.fromkeys(__all__, "notebook.run") | {"tables": "steps", "earlier": "notebook.earlier"}


def __getattr__(name: str) -> object:
    """Load the module a verb lives in; a module in its room is one, too."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOME[name]}")
    return getattr(home, name, None) or import_module(f"{home.__name__}.{name}")
