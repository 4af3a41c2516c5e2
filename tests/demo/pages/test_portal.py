"""The start page in a browser: what there is, whether it is well, and the way there."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from demo.project import ADMIN
from tests.demo.conftest import Platform
from tests.demo.pages.browser import LOAD_MS, Watch, barriers, overflow, picture, visit, walk


def test_the_browser_trusts_the_platform(platform: Platform, page: Page) -> None:
    answer = visit(page, platform.admin.url(""))
    assert answer is not None
    details = answer.security_details()
    assert details is not None
    assert details["protocol"] == "TLS 1.3"


def test_the_start_page_names_its_user_and_all_is_up(
    platform: Platform, page: Page, watch: Watch
) -> None:
    visit(page, platform.admin.url(""))
    expect(page).to_have_title(f"{platform.name} · Data Analysis Platform")
    expect(page.locator("#user")).to_have_text(ADMIN)
    cards = [route for route in platform.plan["routes"] if route["portal"] and route["health"]]
    expect(page.locator("#summary")).to_have_text(f"All {len(cards)} answer")
    assert page.locator(".state").all_inner_texts() == ["up"] * len(cards)
    picture(page, "portal")
    assert watch.faults == []


def test_every_card_leads_to_a_page(platform: Platform, page: Page) -> None:
    visit(page, platform.admin.url(""))
    names = page.locator("a.card .title").all_inner_texts()
    expected = [
        route["portal"]["title"]
        for route in platform.plan["routes"]
        if route["portal"] and route["portal"]["page"]
    ]
    assert names == expected
    for name in names:
        visit(page, platform.admin.url(""))
        watch = Watch(platform.domain, page)
        page.locator("a.card", has_text=name).click()
        page.wait_for_url(lambda url: not url.startswith(platform.admin.url("")))
        # A page, or the form that asks who one is: a title, and something to read.
        expect(page, name).to_have_title(re.compile(r"\w"), timeout=LOAD_MS)
        expect(page.locator("body"), name).to_contain_text(re.compile(r"\w"), timeout=LOAD_MS)
        assert not [fault for fault in watch.faults if fault.startswith("5")], name


def test_a_service_that_does_not_answer_is_seen(platform: Platform, page: Page) -> None:
    visit(page, platform.admin.url(""))
    card = page.locator(".card", has_text="Container images")
    expect(card.locator(".state")).to_have_text("up")
    container = platform.container("registry")
    container.pause()
    try:
        page.reload()
        expect(card.locator(".state")).to_have_text("down", timeout=15_000)
        expect(page.locator("#summary")).to_contain_text("does not answer")
    finally:
        container.unpause()
    page.reload()
    expect(card.locator(".state")).to_have_text("up")


def test_the_keyboard_reaches_everything(platform: Platform, page: Page) -> None:
    visit(page, platform.admin.url(""))
    names = walk(page)
    assert names[0] == "A Skip to the services"
    cards = page.locator("a.card").count()
    assert sum(name.startswith("SUMMARY") for name in names) > 0
    assert sum(name.startswith("A ") for name in names) == cards + 1
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    first = page.locator("a.card").first
    expect(first).to_be_focused()
    there = first.get_attribute("href") or ""
    page.keyboard.press("Enter")
    page.wait_for_url(there)


def test_a_way_to_connect_opens_by_the_keyboard(platform: Platform, page: Page) -> None:
    visit(page, platform.admin.url(""))
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details").first.locator("pre")).to_be_visible()
    expect(page.locator("details").first.locator("pre")).to_contain_text(platform.domain)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_start_page_has_no_barriers(platform: Platform, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit(page, platform.admin.url(""))
    expect(page.locator("#summary")).to_contain_text("answer")
    for summary in page.locator("summary").all():
        summary.click()
    assert barriers(page) == []
    picture(page, f"portal-open-{scheme}")


def test_the_start_page_fits_a_phone(platform: Platform, phone: BrowserContext) -> None:
    page = phone.new_page()
    visit(page, platform.admin.url(""))
    expect(page.locator("#summary")).to_contain_text("answer")
    for summary in page.locator("summary").all():
        summary.click()
    assert overflow(page) <= 0
    picture(page, "portal-phone")
    page.close()
