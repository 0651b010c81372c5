"""People's names and accounts replaced in what a file holds: values are walked, and all of it is searched at the end.

The same person has the same number everywhere. Rooms keep their names and addresses.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]+"
"""The part of an account before the @, by RFC 5322 without quotation marks; Exchange takes all of these letters."""
DOMAIN = r"(?:[\w-]+\.)+[A-Za-z]{2,}"
WHOLE = re.compile(rf"{LOCAL}@{DOMAIN}")
INSIDE = re.compile(rf"\w[\w.!#$%&'*+^`{{|}}~-]*@({DOMAIN})")
"""An account within a text: what may end an address on a page or in a link is no part of it."""
GUEST = "#EXT#"
"""In the account of a guest, between the address of the guest's home, with _ for @, and this tenant."""
DEEPEST = 4
"""How often a name may be escaped within a value that is escaped itself."""
ALIAS = re.compile(r"account-\d+@")
ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")


@dataclass
class People:
    """Whom to replace: names and accounts, and what is kept although it looks like an account."""

    names: frozenset[str]
    accounts: frozenset[str]
    kept: frozenset[str]
    aliases: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        """Give everybody a number, and make the patterns."""
        for number, name in enumerate(sorted(self.names), 1):
            self.aliases |= dict.fromkeys(_forms(name), f"person-{number}")
        for account in sorted(self.accounts - self.kept):
            alias = self._numbered(account)
            self.aliases |= dict.fromkeys(_forms(account), alias)
            if GUEST.lower() in account:
                prefix = account.partition(GUEST.lower())[0]
                home = "@".join(prefix.rsplit("_", 1))
                for form in (prefix, home):
                    self.aliases |= dict.fromkeys(_forms(form), alias.partition("@")[0])
        longest = [_spelled(form) for form in sorted(self.aliases, key=len, reverse=True)]
        self.known = re.compile(rf"(?<![\w@.-])(?:{'|'.join(longest)})(?![\w@-])") if longest else None

    def _numbered(self, account: str) -> str:
        numbers = self.__dict__.setdefault("numbers", {})
        number = numbers.setdefault(account.lower(), len(numbers) + 1)
        return f"account-{number}@{account.rpartition('@')[2]}"

    def text(self, value: str) -> str:
        """Return a value without people; one that names somebody in an escaped form comes without the escapes."""
        value = self._replaced(value)
        for _ in range(DEEPEST):
            if not (named := next((form for form in _decoded(value) if self._is_in(form)), "")):
                break
            value = self._replaced(named)
        return value

    def _replaced(self, value: str) -> str:
        if self.known:
            value, times = self.known.subn(self._alias, value)
            self.count += times
        return INSIDE.sub(self._account, value)

    def _is_in(self, value: str) -> bool:
        return self.known is not None and self.known.search(value) is not None

    def _alias(self, found: re.Match[str]) -> str:
        exact = self.aliases.get(found[0])
        return exact or next(alias for form, alias in self.aliases.items() if form.lower() == found[0].lower())

    def _account(self, found: re.Match[str]) -> str:
        if found[0].lower() in self.kept or ALIAS.match(found[0]):
            return found[0]
        self.count += 1
        return self._numbered(found[0])

    def left_in(self, content: str) -> bool:
        """Tell whether somebody is still named, in whatever form."""
        return any(map(self._is_in, _decoded(content)))


def _spelled(form: str) -> str:
    """Return what finds a form: in any case, but for a single word, which may be one of the language as well."""
    return f"(?i:{re.escape(form)})" if re.search(r"[\s@]", form) else re.escape(form)


def _forms(value: str) -> set[str]:
    """Return how a name may be written inside a value that holds a page, JSON, a link or a table."""
    page = html.escape(value)
    coded = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    pages = {page, page.replace("&#x27;", "&#39;"), page.replace("&quot;", "&#34;"), html.escape(value, quote=False)}
    links = {quote(value, safe=""), quote(value), quote_plus(value)}
    return {form for form in {value, *pages, *coded, *links, value.replace('"', '""')} if form.strip()}


def _decoded(content: str) -> Iterator[str]:
    page = html.unescape(content)
    yield from (content, page, html.unescape(page), unquote_plus(content), unquote_plus(page))
    yield from (content.replace('""', '"'), ESCAPED.sub(_unescaped, content), ESCAPED.sub(_unescaped, page))


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]


def in_json(content: str, people: People) -> str:
    """Return a JSON document without people: every key and every text in it is looked at."""
    return json.dumps(_walked(json.loads(content), people.text), ensure_ascii=False, indent=1) + "\n"


def _walked(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {replace(key): _walked(inner, replace) for key, inner in value.items()}
    if isinstance(value, list):
        return [_walked(inner, replace) for inner in value]
    return replace(value) if isinstance(value, str) else value


def in_csv(content: str, people: People) -> str:
    """Return a table without people, cell by cell."""
    mark, body = ("\ufeff", content[1:]) if content.startswith("\ufeff") else ("", content)
    written = io.StringIO(newline="")
    table = csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writerows([people.text(cell) for cell in row] for row in csv.reader(io.StringIO(body, newline="")))
    return mark + written.getvalue()


def in_html(content: str, people: People) -> str:
    """Return a page of ours without people: its texts and the values of its attributes."""

    def text(part: str) -> str:
        plain = html.unescape(part)
        found = people.text(plain)
        return part if found == plain else html.escape(found)

    parts = re.split(r"(<[^>]*>)", content)
    tags = (re.sub(r'(?<==")[^"]*(?=")', lambda value: text(value[0]), part) for part in parts[1::2])
    texts = [text(part) for part in parts[::2]]
    return "".join(piece for pair in zip(texts, [*tags, ""], strict=True) for piece in pair)


HOW = {".json": in_json, ".csv": in_csv, ".html": in_html}
"""By the ending of a file, how people are replaced in it."""


def values(found: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(found, dict):
        yield from found
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from values(one)
    elif isinstance(found, str):
        yield found


def accounts_in(found: Any) -> Iterator[str]:
    """Yield every text in a JSON value that is an account and nothing else, in small letters."""
    yield from (text.lower() for text in values(found) if WHOLE.fullmatch(text))


def persons_in(found: Any, rooms: Iterable[str]) -> Iterator[str]:
    """Yield the display names that stand beside an account's name; rooms have accounts, too."""
    if isinstance(found, dict):
        account, name = found.get("userPrincipalName"), found.get("displayName")
        if isinstance(account, str) and isinstance(name, str) and account.lower() not in rooms:
            yield name
        if found.get("principalType") == "User" and isinstance(found.get("principalDisplayName"), str):
            yield found["principalDisplayName"]
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from persons_in(one, rooms)
