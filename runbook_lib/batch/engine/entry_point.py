"""What papermill finds under the entry point `papermill.engine`: the fast engine, imported when it is first used.

Papermill loads its entry points while it is itself being imported, when engine.py could not import papermill yet.
"""

from __future__ import annotations

from typing import Any


class _Late:
    """Stands for RunbookEngine until somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        from runbook_lib.batch.engine.kernel import RunbookEngine

        return getattr(RunbookEngine, name)


engine = _Late()
