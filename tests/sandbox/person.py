"""A person with a browser that runs no script: reads headings, fills fields, presses buttons, follows links."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import requests

Fields = dict[str, str]


@dataclass
class Form:
    """One form: where it goes, its fields with their values, and its buttons by their words."""

    method: str
    action: str
    fields: Fields = field(default_factory=dict)
    buttons: dict[str, Fields] = field(default_factory=dict)


class Page(HTMLParser):
    """What a person sees of a page: its heading, forms and links by their words, and the text of the whole."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.heading, self.text = "", ""
        self.forms: list[Form] = []
        self.links: Fields = {}
        self._open: list[tuple[str, Fields, str]] = []
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(known.get("method", "get"), known["action"]))
        if tag == "input" and self.forms and "name" in known and known.get("type") != "checkbox":
            self.forms[-1].fields[known["name"]] = known.get("value", "")
        if tag in ("h1", "a", "button"):
            self._open.append((tag, known, ""))

    def handle_data(self, data: str) -> None:
        self.text += data
        self._open = [(tag, known, words + data) for tag, known, words in self._open]

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            return
        _, known, words = self._open.pop()
        words = words.strip()
        if tag == "h1":
            self.heading = words
        elif tag == "a":
            self.links.setdefault(words, known["href"])
        elif tag == "button":
            self.forms[-1].buttons[words] = {known["name"]: known.get("value", "")} if "name" in known else {}


class Browser:
    """A window with its cookies; a private one is a new object."""

    def __init__(self, url: str, ca_file: str) -> None:
        self.url, self.session = url, requests.Session()
        self.session.trust_env = False
        self.session.verify = ca_file

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def opens(self, address: str) -> Page:
        """Go to an address, or to a path of the sandbox, and wherever it redirects to."""
        whole = address if address.startswith("https://") else f"{self.url}{address}"
        self.response = self.session.get(whole)
        self.page = Page(self.response)
        return self.page

    def presses(self, button: str, **filled: str) -> Page:
        """Press a button, with fields filled in by name; the answer after all redirects is the new page."""
        form = next(one for one in self.page.forms if any(button in words for words in one.buttons))
        pressed = next(sent for words, sent in form.buttons.items() if button in words)
        sent = form.fields | pressed | filled
        where = f"{self.url}{form.action}"
        if form.method == "post":
            self.response = self.session.post(where, data=sent, headers={"Origin": self.url})
        else:
            self.response = self.session.get(where, params=sent)
        self.page = Page(self.response)
        return self.page

    def chooses(self, account: str) -> Page:
        """Type an account into the sign-in page."""
        return self.presses("Next", account=account)
