"""What the pages' script does in a real browser: search, filter and sort, and what a printed page keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from runbook_lib.model import Finding, Status
from runbook_lib.report import page as report
from tests.fake_runs import NOW, TENANT, add, complete, new_run, passing, rooms
from tests.programs import chromium


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a browser without a network, on which an error of the script fails the test."""
    errors: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.context.set_offline(True)
        yield page
    assert errors == []


def shown(page: Page, section: str) -> list[str]:
    """Return the first words of each row that can be seen."""
    return [row.inner_text().split("\t")[0] for row in page.locator(f"#{section} tbody tr:visible").all()]


@pytest.fixture
def report_page(page: Page, tmp_path: Path) -> Page:
    """The report of a run with 60 rooms."""
    folder = new_run(tmp_path)
    add(folder, "07_sync", passing(), frames=(rooms(60),))
    page.goto(report.write(folder, report.read(folder)).as_uri())
    return page


def test_rooms_can_be_searched_filtered_and_sorted_with_the_keyboard(report_page: Page) -> None:
    page = report_page
    page.locator("#rooms input").fill("room1")
    assert shown(page, "rooms") == ["Room 1", *(f"Room {number}" for number in range(10, 20))]
    page.locator("#rooms input").fill("")
    page.get_by_role("button", name="no mailbox 20").click()
    assert len(shown(page, "rooms")) == 20
    head = page.locator("#rooms th", has_text="room").first
    for order, first in (("ascending", "Room 0"), ("descending", "Room 57")):
        head.get_by_role("button").press("Enter")
        assert head.get_attribute("aria-sort") == order
        assert shown(page, "rooms")[0] == first
    page.locator("#rooms input").fill("room57")
    assert shown(page, "rooms") == ["Room 57"]


def test_paper_keeps_the_rows_and_says_what_was_closed(report_page: Page) -> None:
    assert (
        report_page.locator("thead button, thead input").count() == 0
    )  # Chromium repeats heads without their controls
    report_page.emulate_media(media="print")
    assert len(shown(report_page, "rooms")) == 60
    assert not report_page.locator("#rooms input").is_visible()
    note = "getComputedStyle(document.querySelector('#checks summary'), '::after').content"
    assert "not printed" in report_page.evaluate(note)
    report_page.emulate_media(media="screen")


def test_on_a_telephone_everything_is_read_without_moving_sideways(page: Page, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "07_sync", passing(), frames=(rooms(12, name="A room with a very long name " * 3),))
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(report.write(folder, report.read(folder)).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    tables = page.locator("table.data:visible")
    widths = [tables.nth(one).bounding_box() for one in range(tables.count())]
    assert all(one and one["x"] + one["width"] <= 400 for one in widths)
    label = "getComputedStyle(document.querySelector('#rooms td'), '::before').content"
    assert "room" in page.evaluate(label)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_the_first_screen_says_what_matters_most(page: Page, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    complete(folder)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(report.write(folder, report.read(folder)).as_uri())
    for words in ("To do", "Proved by measurement", "Rests on a person's word", "Not looked at"):
        box = page.locator(".tile h2", has_text=words).bounding_box()
        assert box
        assert box["y"] + box["height"] < 900


SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "sample-report.html"


def test_a_run_of_a_whole_evening_prints_on_five_pages(page: Page) -> None:
    page.goto(SAMPLE.as_uri())
    page.emulate_media(media="print")
    printed = page.pdf(prefer_css_page_size=True)
    page.emulate_media(media="screen")
    assert len(re.findall(rb"/Type /Page\b", printed)) <= 5


def test_the_sample_is_a_page_as_it_is_made_today(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "07_sync", passing())
    made, sample = report.write(folder, report.read(folder)).read_text(encoding="utf-8"), SAMPLE.read_text("utf-8")
    for part in ("script", "style"):
        found = [re.search(f"<{part}>(.*?)(?:@page {{ @top|</{part}>)", html, re.DOTALL) for html in (made, sample)]
        assert all(found)
        assert len({one[1].strip() for one in found if one}) == 1
    assert "rehearsal, not audit evidence" in sample


def test_tenants_that_have_not_begun_stand_apart_from_those_of_which_something_is_known(
    page: Page, tmp_path: Path
) -> None:
    folder = new_run(tmp_path, "begun")
    complete(folder, tenant={**TENANT, "key": "begun"})
    told = report.portfolio(tmp_path, ["begun", "later", "much-later"], NOW)
    page.goto(report.write_portfolio(new_run(tmp_path, "_portfolio"), told).as_uri())
    assert page.locator("#tenants tbody tr td:nth-child(2)").all_inner_texts() == ["begun"]
    assert "later, much-later" in page.locator("#waiting").inner_text()
    assert "2 not begun" in page.locator(".tally").inner_text().replace("\n", " ")
    assert "later" not in page.locator("#needs").inner_text()


def test_a_need_shows_who_has_it(page: Page, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for number in range(12):
        key = f"tenant-{number:02}"
        folder = new_run(outputs, key)
        complete(folder, tenant={**TENANT, "key": key})
        if number % 5 == 0:
            add(folder, "06_access", Finding("x", "y", Status.FAIL, "z"), look=2, tenant={**TENANT, "key": key})
    told = report.portfolio(outputs, [], NOW + timedelta(days=1))
    page.goto(report.write_portfolio(new_run(outputs, "_portfolio"), told).as_uri())
    assert len(shown(page, "tenants")) == 12
    page.locator("#needs tbody tr").first.get_by_role("button").click()
    having = page.locator("#tenants tbody tr:visible td:nth-child(2)")
    assert having.all_inner_texts() == ["tenant-00", "tenant-05", "tenant-10"]
    assert "Only who has this: Not so: x" in page.locator("#tenants").inner_text()
    page.locator("#tenants input").fill("tenant-05")
    assert having.all_inner_texts() == ["tenant-05"]
    page.locator("#tenants input").fill("")
    page.get_by_role("button", name="All tenants again").click()
    assert len(shown(page, "tenants")) == 12
