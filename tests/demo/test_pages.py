"""The forge's pages on a phone."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform

WIDTH_PX = 400
PAGES = {
    "repositories": "/",
    "summary": f"/{REPOSITORY}/",
    "log": f"/{REPOSITORY}/log/",
    "tree": f"/{REPOSITORY}/tree/",
    "file": f"/{REPOSITORY}/tree/README.md",
    "text": f"/{REPOSITORY}/about/",
    "commit": f"/{REPOSITORY}/commit/",
    "two columns": f"/{REPOSITORY}/commit/?ss=1",
    "all pipelines": "/-/pipelines/",
    "pipelines": f"/-/pipelines/{REPOSITORY}",
    "pipeline": f"/-/pipelines/{REPOSITORY}/{{number}}",
}


@pytest.fixture(scope="module")
def phone(platform: Platform) -> Iterator[BrowserContext]:
    """A browser of a phone's width; whether it would trust the authority is not asked here."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium that could lay out the pages")
    with sync_playwright() as playwright:
        # Its sandbox refuses to start for root.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context(
            viewport={"width": WIDTH_PX, "height": 800},
            is_mobile=True,
            has_touch=True,
            ignore_https_errors=True,
            http_credentials={"username": ADMIN, "password": platform.project.password},
        )
        browser.close()


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_no_wider_than_a_phone(
    platform: Platform, phone: BrowserContext, path: str
) -> None:
    page = phone.new_page()
    url = platform.admin.url("git", path.format(number=platform.outcome.number))
    answer = page.goto(url, wait_until="networkidle")
    assert answer is not None
    assert answer.ok, f"{url}: {answer.status}"
    # A page that names no width is laid out for a desktop's and shown small.
    assert page.evaluate("innerWidth") == WIDTH_PX
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH_PX
    page.close()


def test_the_pages_of_repositories_have_their_styles(platform: Platform) -> None:
    text = platform.admin.request("GET", "git", f"/{REPOSITORY}/").text
    assert '<meta name="viewport" content="width=device-width' in text
    styles = re.findall(r"<link rel='stylesheet'[^>]* href='([^']+)'", text)
    assert len(styles) == 2
    for style in styles:
        answer = platform.admin.request("GET", "git", style)
        assert answer.headers["Content-Type"].startswith("text/css"), style
