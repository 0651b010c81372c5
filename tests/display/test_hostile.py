"""Everything that makes HTML, in a real browser, with a hundred names that would like to run there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
from playwright.sync_api import Page

from runbook_lib.clients.entra.sign_in import SignInPrompt
from runbook_lib.display import charts, frames
from runbook_lib.display.cards import Card
from runbook_lib.display.markup import LINK, NOTEBOOK, https, printable
from runbook_lib.model import Answer, Confirmation, Finding, Status
from runbook_lib.notebook import live, prompts
from runbook_lib.notebook.status_cards import Closed, Waiting
from runbook_lib.report import notices
from runbook_lib.report import page as report
from runbook_lib.sandbox.entra.flows import pages
from tests.fake_runs import NOW, TENANT, VERSIONS, add, new_run
from tests.hostile import CORPUS
from tests.programs import chromium
from tests.steps import facts

pytestmark = pytest.mark.timeout(300)
LOOK = """() => {
  for (const one of document.querySelectorAll('*'))
    for (const kind of ['mouseover', 'focus', 'click', 'toggle']) if (one.tagName !== 'BUTTON' && one.tagName !== 'A')
      one.dispatchEvent(new Event(kind, {bubbles: false}));
  const all = [...document.querySelectorAll('*')];
  return {
    fired: window.fired || 0,
    tags: [...new Set(all.map((one) => one.tagName.toLowerCase()))],
    handlers: all.flatMap((one) => [...one.attributes].filter((a) => a.name.startsWith('on')).map((a) => a.value)),
    links: [...document.querySelectorAll('a')].map((one) => one.getAttribute('href')),
    cells: [...document.querySelectorAll('td')].map((one) => one.textContent),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
}"""
PLAIN = set(
    "html head meta title body div span p b i br wbr table thead tbody tr th td a ol li ul dl dt dd pre code h1 h2 h3"
    " header footer nav main section article figure details summary svg desc defs pattern rect path text tspan g style"
    " label input button output small".split()
)
"""Elements that our own pages are made of; none of the corpus' own is among them."""


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    """A page without network on which a dialog, or a page left for another, would be seen."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.context.set_offline(True)
        yield page


def look(page: Page, html: str) -> dict[str, Any]:
    """Show `html` as a page of its own and tell what the browser made of it, after touching every element."""
    page.goto("about:blank")  # a window of its own, in which nothing ran yet
    page.set_content(html if "<html" in html else f"<!doctype html><meta charset=utf-8><body>{html}")
    page.wait_for_timeout(50)  # an image that is not there tells so a moment later
    found: dict[str, Any] = page.evaluate(LOOK)
    return found


def harmless(found: dict[str, Any], *, own: set[str] = frozenset(), own_handlers: tuple[str, ...] = ()) -> None:  # type: ignore[assignment]
    """Nothing ran, no element or handler is there that is not ours, and every link is https or a notebook of ours."""
    assert found["fired"] == 0
    assert set(found["tags"]) <= PLAIN | own
    assert [one for one in found["handlers"] if not one.startswith(own_handlers or ("\0",))] == []
    bad = [one for one in found["links"] if not (LINK.fullmatch(one) or NOTEBOOK.fullmatch(one))]
    assert bad == []


def test_the_corpus_does_run_where_nothing_is_escaped(browser_page: Page) -> None:
    shown = [f'<table><tr><td title="{printable(one)}">{printable(one)}</td></table>' for one in CORPUS]
    assert (
        sum(look(browser_page, html)["fired"] > 0 for html in shown) >= 15
    )  # else the tests below would pass with names that hurt nobody


COLUMNS = [f"column {number}" for number in range(frames.WIDE)]


def upright(name: str) -> str:
    return frames.html(frames.table("t", [dict.fromkeys(COLUMNS, name)], COLUMNS))


def repeated(name: str) -> str:
    return frames.html(frames.table("t", [dict.fromkeys(COLUMNS, name)] * 2, COLUMNS))


def as_heads(name: str) -> str:
    return frames.html(frames.table(name, [{name: "x"}], [name]))


def card(name: str) -> str:
    return Card(name, {name: name, "go to": name}, Status.FAIL, {name: name, "go to": name}).html()


def gate(name: str) -> str:
    html = Closed("06_access", f"{name} 05_permissions")._repr_mimebundle_()["text/html"]
    return re.sub(r"<script>.*?</script></div>$", "</div>", html)  # ours, which brings the page here


def form(name: str) -> str:
    asked = prompts._Form(prompts.Prompt(Confirmation("k", name), str, True, name), name, name)
    answered = prompts._Form(prompts.Prompt(Answer("k", name), str, True, name), name, name)
    asked.tell(name)
    return "".join(one.value for one in (asked.head, asked.told, answered.head))


def progress(name: str) -> str:
    return live.Line(name)._repr_mimebundle_()["text/html"]


def bars(name: str) -> str:
    return charts.stacked_bars("bars", name, {name: {name: 3, "x": 1}}, [name, "x"])


def timeline(name: str) -> str:
    return charts.timeline("line", name, [charts.Span(name, NOW, NOW + timedelta(hours=1), Status.PASS)])


@pytest.mark.parametrize("make", [upright, repeated, as_heads, card, gate, form, progress, bars, timeline])
def test_what_a_notebook_shows_is_text_whatever_it_says(browser_page: Page, make: Callable[[str], str]) -> None:
    harmless(look(browser_page, "".join(map(make, CORPUS))))


def test_every_cell_of_a_table_says_exactly_what_the_tenant_wrote(browser_page: Page) -> None:
    frame = frames.table("rooms", [{"room": one, "building": one} for one in CORPUS], ["room", "building"])
    found = look(browser_page, frames.html(frame))
    harmless(found)
    assert found["cells"] == [printable(one) for one in CORPUS for _ in range(2)]
    assert found["links"]  # a plain address of https is still one click away
    assert repr(frame).encode()  # a notebook keeps it in plain letters too


@pytest.mark.parametrize("microsoft", [True, False])
def test_the_sign_in_card_links_to_a_page_of_its_cloud_and_to_no_other(browser_page: Page, microsoft: bool) -> None:
    cloud = facts.TENANT.cloud
    tenant = facts.TENANT if microsoft else facts.with_cloud("https://127.0.0.1:8443")
    own = f"{tenant.cloud.login}/common/oauth2/deviceauth"
    away = ("https://microsoft.com.evil.example/devicelogin", "https://evil.example/?x=login.microsoftonline.com")
    for address in (*CORPUS, *away, cloud.graph, "https://microsoft.com@evil.example/"):
        waiting = Waiting(SignInPrompt(address, address, address, NOW), tenant, address)
        found = look(browser_page, waiting.html())
        harmless(found, own_handlers=("this.select()", "navigator.clipboard.writeText("))
        assert found["links"] == []
    known = [own, "https://microsoft.com/devicelogin", "https://login.microsoft.com/device"]
    cards = [Waiting(SignInPrompt("w", one, "c", NOW), tenant, "").html() for one in known]
    links = [look(browser_page, html)["links"] for html in cards]
    assert links == [[one] if microsoft or one == own else [] for one in known]


ROOM = ["room", "state", "building", "email"]


def hostile_run(folder: Path, names: tuple[str, ...]) -> Path:
    """A run in which every text that anybody but us writes is one of `names`."""
    for number, name in enumerate(names):
        frame = frames.table("rooms", [dict.fromkeys(ROOM, name)], ROOM)
        add(
            folder,
            "07_sync",
            Finding("rooms-readable", name, Status.FAIL, name, name, name),
            Finding("scopes-granted", name, Status.UNKNOWN, name, name, name),
            look=number + 1,
            frames=(frame,),
            tenant={**TENANT, "name": name, "domain": name},
            confirmations=(Confirmation(name, name, True, name, NOW, name, name),),
            answers=(Answer(name, name, name, name, NOW, name),),
            how_to={"title": name, "url": name, "read": name},
            versions={**VERSIONS, printable(name) or "none": name},
            waiting=name,
            override=name,
        )
    return folder


@pytest.mark.parametrize("part", range(6))
def test_the_report_and_the_page_of_all_tenants_are_text_whatever_was_recorded(
    browser_page: Page, tmp_path: Path, part: int
) -> None:
    names = tuple(one for one in CORPUS[part::6] if len(one) < 5000)
    hostile_run(new_run(tmp_path), names)
    run = next((tmp_path / "contoso").iterdir())
    story, own = report.read(run), {"script"}
    html = report._tenant_page(story)
    found = look(browser_page, html)
    local = [one for one in found["links"] if not one.startswith("#") and not (run / "data" / one).is_file()]
    harmless(found | {"links": local}, own=own)
    assert html.count("<script>") == 1
    all_tenants = report.portfolio(tmp_path, [], NOW)
    harmless(look(browser_page, report._portfolio_page(all_tenants)) | {"links": []}, own=own)


class Evil(jinja2.Undefined):
    """Whatever a template asks for, and each part of it: the same hostile text."""

    text = ""

    def __str__(self) -> str:
        return self.text

    def __iter__(self) -> Iterator[Any]:
        yield from (self, self)

    def __bool__(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _: object) -> Any:
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        return [(self, self)]

    def __len__(self) -> int:
        return 2

    def __eq__(self, _: object) -> bool:
        return False

    __hash__ = jinja2.Undefined.__hash__


TEMPLATES = sorted(path.name for path in (Path(pages.__file__).parent / "pages").glob("*.html"))


@pytest.mark.parametrize("template", [one for one in TEMPLATES if one != "form_post.html"])  # which goes elsewhere
def test_the_pages_of_the_sandbox_are_text_whatever_its_world_holds(browser_page: Page, template: str) -> None:
    made = pages._templates().overlay(undefined=Evil)
    for name in CORPUS[::3]:
        Evil.text = printable(name)
        found = look(browser_page, made.get_template(template).render())
        assert (found["fired"], found["handlers"]) == (0, [])
        assert not {"img", "script", "iframe", "object", "embed", "base", "svg"} & set(found["tags"])


def test_a_notice_holds_nothing_that_mail_or_chat_would_link(browser_page: Page) -> None:
    for name in (
        *CORPUS,
        "tel:+49301",
        "call tel\uff1a+49301",
        "dana\u2025contoso\u2024example",
        "x\ufe52y",
        "sip:dana",
    ):
        line = notices.plain(name)
        assert not set("<>[]@*`|#&~\\") & set(line)
        assert "://" not in line
        assert not any(f"{scheme}{colon}{after}" in line for scheme in ("tel", "mailto", "script", "sip", "https")
                       for colon in ":\uff1a" for after in "+d/w")  # fmt: skip
        assert not any(dot + "example" in line for dot in ".\u2024\ufe52\u3002\uff0e\uff61")


@pytest.mark.parametrize("hosts", [None, ["r.example"]])
def test_only_whole_addresses_of_https_are_links(hosts: list[str] | None) -> None:
    kept = {one for one in CORPUS if https(one, hosts)}
    assert kept <= {one for one in CORPUS if LINK.fullmatch(one) and one.startswith("https://r.example")}
    assert not any(sign in one for one in kept for sign in "'\"<>\\ \n\t")
