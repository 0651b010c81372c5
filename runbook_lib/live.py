"""Outputs of a running cell that change while it runs: a sign-in that waits for a person, and how far reading has come.

What such an output shows last is what the notebook keeps. A batch shows nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, Protocol

COME = (
    "<script>{{ const here = document.currentScript.parentElement; if (Date.now() < {until}) setTimeout(() => {{"
    " here.scrollIntoView({{block: 'center'}});"
    " here.querySelector('a, input')?.focus({{preventScroll: true}}) }}, 500) }}</script>"
)
"""After Run All the page stands at the notebook's end; this brings it, and the keyboard, to the output it is part of.

It does nothing a minute later, when the saved notebook is opened again, nor where a page lets no script run.
"""
EVERY = 1.0
"""Seconds between two looks at whether there is something new to show."""


class Shown(Protocol):
    """What a notebook can show, and a terminal too."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]: ...


def come_here() -> str:
    """Return the HTML that brings the page to the output which ends with it."""
    return COME.format(until=int((time.time() + 60) * 1000))


class Output:
    """One place in the running cell's output; it appears with its first content and takes others after it."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._handle: Any = None
        self._last = ""

    @property
    def appeared(self) -> bool:
        """Tell whether anything was shown."""
        return self._handle is not None

    def show(self, content: Shown) -> None:
        """Show `content` in place of what was there; the same again changes nothing, so that a selection stays."""
        from IPython.display import display

        if str(content) == self._last:
            return
        self._last = str(content)
        if self._handle is None:
            self._handle = display(content, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        else:
            self._handle.update(content)


@contextmanager
def ticking(tick: Callable[[], object], every: float = EVERY) -> Iterator[None]:
    """Call `tick` every few seconds in a thread until the block ends, also while the block itself waits."""
    over = Event()

    def go() -> None:
        while not over.wait(every):
            tick()

    thread = Thread(target=copy_context().run, args=(go,), name="live output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
