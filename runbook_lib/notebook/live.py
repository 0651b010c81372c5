"""Outputs of a running cell that change while it runs: a sign-in that waits for a person, and how far reading has come.

What such an output shows last is what the notebook keeps. A batch shows nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from runbook_lib.display.markup import shown

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


PATIENCE = 2.0
"""Seconds that a cell may take without saying anything."""


QUIET = 3.0
"""Seconds after which an answer that does not come is worth a word."""


NAMES = {"room": "rooms", "getSchedule": "rooms' free/busy", "$batch": "mailboxes"}
"""What people call what the last part of an address asks for; other lists are called as Graph calls them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text."""

    words: str

    def __str__(self) -> str:
        """Return the words."""
        return self.words

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {
            "text/html": f"<div role='status' style='opacity:.75'>{shown(self.words)}</div>",
            "text/plain": self.words,
        }


@dataclass
class Progress:
    """What the running cell heard from Microsoft Graph: how many answers, and how many rows of how many."""

    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    last: float = 0.0
    answers: int = 0
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    output: Output = field(default_factory=Output)
    _ticker: AbstractContextManager[None] | None = None

    def begin(self, *_: object) -> None:
        """Forget the cell before: another one runs now."""
        self.began, self.answers, self.rows, self.output = self.clock(), 0, {}, Output()

    def hear(self, answer: Any, **_: object) -> None:
        """Take note of one HTTP answer; a sign-in's are not counted."""
        parts = urlsplit(answer.url)
        if not parts.path.startswith(("/v1.0/", "/beta/")):
            return
        self.answers, self.last = self.answers + 1, self.clock()
        self._count(unquote(parts.path), answer)
        if self._ticker is None:
            self._ticker = ticking(self.tell)
            self._ticker.__enter__()

    def _count(self, path: str, answer: Any) -> None:
        try:
            page = answer.json()
        except ValueError:
            return
        rows = page.get("value", page.get("responses")) if isinstance(page, dict) else None
        if isinstance(rows, list) and rows:
            last = path.rpartition("/")[2].partition("(")[0].rpartition(".")[2]
            name = NAMES.get(last, last)
            seen, total = self.rows.get(name, (0, 0))
            self.rows[name] = seen + len(rows), max(total, page.get("@odata.count", 0))

    def tell(self) -> None:
        """Show the line, once the cell has run long enough."""
        now = self.clock()
        if now - self.began >= PATIENCE:
            quiet = f"; waiting for {now - self.last:.0f} s" if now - self.last > QUIET else ""
            self.output.show(Line(f"… {self} so far, {now - self.began:.0f} s{quiet}"))

    def end(self, *_: object) -> None:
        """Let the line, if there is one, say what it came to."""
        if self._ticker is not None:
            self._ticker.__exit__(None, None, None)
            self._ticker = None
        if self.output.appeared:
            self.output.show(Line(f"{self} in {self.clock() - self.began:.0f} s"))

    def __str__(self) -> str:
        """Return what was heard, in words."""
        rows = [f"{seen} of {total} {name}" if total else f"{seen} {name}" for name, (seen, total) in self.rows.items()]
        heard = f"{self.answers} answer{'' if self.answers == 1 else 's'} from Microsoft Graph"
        return f"{heard} ({', '.join(rows)})" if rows else heard


_here = Progress()
"""This kernel's; cells run one at a time."""


def follow(http: Any) -> None:
    """Show in every cell of this kernel how far it has come with what it asks over the connection `http`."""
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]

    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is None:
        return
    events = shell.events
    for name, react in (("pre_run_cell", _here.begin), ("post_run_cell", _here.end)):
        events.register(name, react)  # once, however often it is said
    if not _here.began:
        _here.begin()  # the cell that signs in was begun already
    http.hooks["response"].append(_here.hear)
