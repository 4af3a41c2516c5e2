"""A browser on the demo's platform, logged in as its first user."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.pages.browser import Watch, flags, install, trust
from tests.demo.test_pipelines import Branch

DESK = {"width": 1100, "height": 760}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium in a home of its own that trusts the platform's CA."""
    install()
    home = tmp_path_factory.mktemp("home")
    # The deploy puts the CA there for all programs of this host; Chromium has a list of its own.
    trust(home, Path(f"/usr/local/share/ca-certificates/dap-{platform.name}.crt"))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=flags(), env={**os.environ, "HOME": str(home)}
        )
        yield started
        started.close()


def login(platform: Platform) -> dict[str, str]:
    return {"username": ADMIN, "password": platform.project.password}


@pytest.fixture(scope="session")
def desk(platform: Platform, browser: Browser) -> Iterator[BrowserContext]:
    """A wide window whose user gives name and password where a service asks for them."""
    context = browser.new_context(viewport=DESK, http_credentials=login(platform))  # type: ignore[arg-type]
    yield context
    context.close()


@pytest.fixture(scope="session")
def phone(platform: Platform, browser: Browser) -> Iterator[BrowserContext]:
    """A phone's window."""
    context = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type]
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        http_credentials=login(platform),  # type: ignore[arg-type]
    )
    yield context
    context.close()


@pytest.fixture
def page(desk: BrowserContext) -> Iterator[Page]:
    opened = desk.new_page()
    yield opened
    opened.close()


@pytest.fixture
def watch(platform: Platform, page: Page) -> Watch:
    """The page under watch."""
    return Watch(platform.domain, page)


@pytest.fixture(scope="module")
def branch(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Branch]:
    """A branch of the example's repository; gone at the end."""
    path: Path = tmp_path_factory.mktemp("pages") / f"pages-{uuid4().hex[:8]}"
    path.mkdir()
    made = Branch(platform, path)
    yield made
    made.end()
    port, domain = platform.project.ssh_port, platform.domain
    made.git("push", "--delete", f"ssh://git@git.{domain}:{port}/{REPOSITORY}", path.name)
