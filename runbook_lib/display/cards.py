"""Small cards that notebooks show: escaped HTML, and the same as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook_lib.display.markup import linked, printable, shown
from runbook_lib.model import Status


def status_words(status: Status) -> str:
    """Return the status as sign and word, readable without colour."""
    return f"{status.symbol} {status.value}"


@dataclass(frozen=True, slots=True)
class Card:
    """A title, lines of label and text, the status they add up to, and where the text of a label leads."""

    title: str
    lines: Mapping[str, str]
    status: Status | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what Jupyter shows."""
        return {"text/html": self.html(), "text/plain": str(self)}

    def __str__(self) -> str:
        """Return the card as plain lines."""
        mark = f"[{status_words(self.status)}] " if self.status else ""
        lines = (f"  {label}: {text}".replace("\n", "\n    ") for label, text in self.lines.items() if text)
        return printable("\n".join([f"{mark}{self.title}", *lines]))

    def html(self) -> str:
        """Return the card as HTML; every text is escaped, colours follow the theme."""
        cell = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0"
        rows = "".join(
            f"<tr><th style='{cell};font-weight:normal;opacity:.75;white-space:nowrap'>{shown(label)}</th>"
            f"<td style='{cell};overflow-wrap:anywhere;unicode-bidi:isolate'>{self._linked(label, text)}</td></tr>"
            for label, text in self.lines.items()
            if text
        )
        mark = f"<b>{shown(status_words(self.status))}</b> · " if self.status else ""
        return (
            "<div style='border-left:4px solid currentColor;padding:.2em 1em;margin:.3em 0'>"
            f"<div>{mark}<b>{shown(self.title)}</b></div><table style='margin:0'>{rows}</table></div>"
        )

    def _linked(self, label: str, text: str) -> str:
        return linked(shown(text).replace("\n", "<br>"), self.links.get(label, ""))
