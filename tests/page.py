"""A page of ours, read as a browser without script would."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser without script shows: text and table rows by section, links, and everything that could run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.statuses: list[str] = []
        self._section, self._tag = "head", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._tag = tag
        self.tags[tag] += 1
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "section":
            self._section = found["id"] or ""
        if tag == "tr":
            self.rows[self._section] += 1
        if tag == "td" and (found.get("class") or "").startswith("status"):
            self.statuses.append(found["class"] or "")
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  the base class calls it so
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts[-1] += data
        elif self._tag != "style":
            self.words[self._section] = self.words.get(self._section, "") + " " + data

    @property
    def text(self) -> str:
        """Return all words of the page with single spaces."""
        return " ".join(" ".join(self.words.values()).split())
