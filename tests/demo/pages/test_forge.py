"""The forge's pages in a browser: the way to a failed job's log, and a job while it runs."""

import shlex
import subprocess
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from demo.access import await_result
from demo.flow import ASKED
from demo.project import REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.pages.browser import Watch, barriers, overflow, picture, visit, walk
from tests.demo.test_pipelines import Branch

# Slow machines wait in turn for a slot.
RUNS_MS = 60_000
SUBJECT = "Weigh the classes & keep <b>names</b>"

FAILING = r"""
stages: [check, train, register]
default: {image: $DAP_ENVIRONMENT_BASE}
check:
  stage: check
  script: [seq 1 6000]
train:
  stage: train
  script:
    - echo "see https://example.org/a?b=1."
    - printf '\033[1;31mValueError\033[0m no column named %s\n' target
    - exit 3
register:
  stage: register
  script: [echo never]
"""
SLOW = """
slow:
  image: $DAP_ENVIRONMENT_BASE
  script:
    - for i in $(seq 1 40); do echo "tick $i of 40"; sleep 0.5; done
"""
ENDLESS = """
endless:
  image: $DAP_ENVIRONMENT_BASE
  script: [sleep 600]
"""


@dataclass
class Forge:
    """The forge, and a branch to push to it."""

    platform: Platform
    branch: Branch

    def push(self, text: str) -> int:
        """Push a `.gitlab-ci.yml`; the pipeline's number."""
        (self.branch.path / ".gitlab-ci.yml").write_text(text)
        self.branch.git("add", ".gitlab-ci.yml")
        self.branch.git("commit", "--quiet", "--allow-empty", "--message", f"{SUBJECT}\n\nAnd why.")
        port, domain = self.platform.project.ssh_port, self.platform.domain
        remote = f"ssh://git@git.{domain}:{port}/{REPOSITORY}"
        asked = ASKED.search(self.branch.git("push", remote, f"HEAD:{self.branch.path.name}"))
        assert asked
        return int(asked[1])

    def url(self, *parts: object) -> str:
        """Address of a page of the pipelines."""
        return self.platform.admin.url("git", "/".join(["/-/pipelines", *map(str, parts)]))


@pytest.fixture(scope="module")
def forge(platform: Platform, branch: Branch) -> Forge:
    return Forge(platform, branch)


@pytest.fixture(scope="module")
def failed(forge: Forge) -> int:
    """Number of a pipeline with a job that fails between two others."""
    return forge.push(FAILING)


def state(page: Page) -> str:
    """The pipeline's status in a word."""
    return page.locator(".state .status").get_attribute("data-status") or ""


def ended(page: Page, status: str) -> None:
    """Wait for the page to show how the pipeline ended."""
    expect(page.locator(".state .status")).to_have_attribute("data-status", status, timeout=RUNS_MS)


def test_from_the_start_page_to_a_failed_jobs_log(
    forge: Forge, failed: int, page: Page, watch: Watch
) -> None:
    visit(page, forge.platform.admin.url(""))
    page.get_by_text("Repositories and pipelines").click()
    expect(page.get_by_role("link", name=REPOSITORY, exact=True).first).to_be_visible()
    page.get_by_role("link", name="Pipelines", exact=True).click()
    page.get_by_role("link", name=REPOSITORY, exact=True).click()
    row = page.locator(".list > li", has_text=f"#{failed} ")
    expect(row.locator(".status")).to_have_text("✗failed", timeout=RUNS_MS)
    expect(row).to_contain_text("failed: train")
    expect(row).to_contain_text(SUBJECT)
    row.locator("a.title").click()
    expect(page.locator(".state .status")).to_have_text("✗failed")
    expect(page).to_have_title(f"failed · Pipeline #{failed} · {REPOSITORY}")
    expect(page.locator("p.reason")).to_have_text("failed: train")
    expect(page.locator("main")).to_contain_text("by Test")
    log = page.get_by_role("region", name="Log of train")
    expect(log).to_contain_text("ValueError no column named target")
    expect(log.locator(".colour-1")).to_have_text("ValueError")
    expect(log.get_by_role("link").first).to_have_attribute("href", "https://example.org/a?b=1")
    expect(page.locator("summary", has_text="train")).to_contain_text("exit code 3")
    expect(page.locator("summary", has_text="register")).to_contain_text("skipped")
    picture(page, "pipeline-failed")
    assert watch.faults == []


def test_a_long_log_shows_its_end(forge: Forge, failed: int, page: Page) -> None:
    visit(page, forge.url(REPOSITORY, failed))
    ended(page, "failed")
    page.get_by_role("navigation", name="Jobs by stage").get_by_role("link", name="check").click()
    log = page.get_by_role("region", name="Log of check")
    expect(log.locator(".line").last).to_contain_text("success in")
    expect(log.locator(".line")).to_have_count(5000)
    expect(page.get_by_text("The beginning is left out here").first).to_be_visible()
    # A link to a job's log can be passed on.
    page.goto("about:blank")
    visit(page, f"{forge.url(REPOSITORY, failed)}#1-check")
    expect(page.get_by_role("region", name="Log of check")).to_be_visible()
    with page.expect_navigation():
        page.locator("[id='1-check']").get_by_role("link", name="Whole log").click()
    text = page.locator("body").inner_text()
    assert "Z 1\n" in text
    assert "Z 6000\n" in text


def test_a_pipeline_is_followed_without_a_reload(
    forge: Forge, desk: BrowserContext, page: Page, watch: Watch
) -> None:
    overview = desk.new_page()
    visit(overview, forge.url())
    number = forge.push(SLOW)
    visit(page, forge.url(REPOSITORY, number))
    page.evaluate("window.marked = true")
    ended(page, "running")
    row = overview.locator(".list > li", has_text=f"#{number} ")
    expect(row.locator(".status")).to_have_attribute("data-status", "running")
    page.locator("dl a.commit").focus()
    log = page.get_by_role("region", name="Log of slow")
    expect(log).to_contain_text("tick 2 of 40", timeout=RUNS_MS)
    assert state(page) == "running"
    assert "tick 40 of 40" not in log.inner_text()
    picture(page, "pipeline-running")
    ended(page, "success")
    expect(log).to_contain_text("tick 40 of 40")
    expect(log.locator(".line", has_text="tick 3 of 40")).to_have_count(1)
    expect(row.locator(".status")).to_have_attribute("data-status", "success")
    # It was one page all the time, and left the focus where it was.
    assert page.evaluate("window.marked") is True
    expect(page.locator("dl a.commit")).to_be_focused()
    assert watch.faults == []
    overview.close()


def test_the_page_tells_how_to_cancel_and_to_retry(forge: Forge, page: Page) -> None:
    number = forge.push(ENDLESS)
    visit(page, forge.url(REPOSITORY, number))
    ended(page, "running")
    command = page.locator(".command", has_text="Cancel it").locator("code").inner_text()
    program, *words = shlex.split(command)
    assert program == "ssh"
    options = forge.platform.project.ssh_options
    subprocess.run([program, *options, *words], check=True, capture_output=True)
    ended(page, "canceled")
    expect(page.locator("p.reason")).to_contain_text("canceled by ")
    expect(page.locator(".command", has_text="Run it again")).to_contain_text(f"retry {number}")


def test_a_server_that_is_away_is_told_and_nothing_is_lost(
    forge: Forge, desk: BrowserContext, page: Page
) -> None:
    visit(page, forge.url(REPOSITORY))
    rows = page.locator(".list > li")
    expect(rows.first).to_be_visible()
    desk.set_offline(True)
    try:
        expect(page.get_by_role("alert")).to_contain_text("can't be reached", timeout=20_000)
        expect(rows.first).to_be_visible()
    finally:
        desk.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden(timeout=20_000)


def test_what_is_not_there_is_said(forge: Forge, page: Page) -> None:
    visit(page, forge.url("nobody"))
    expect(page.locator("main")).to_contain_text("There is no project “nobody”")
    visit(page, forge.url(REPOSITORY, 999_999))
    expect(page.locator("main")).to_contain_text("There is no such pipeline yet")
    page.get_by_role("link", name=f"Pipelines of {REPOSITORY}").click()
    expect(page.locator("h1")).to_have_text(f"Pipelines of {REPOSITORY}")


def test_the_keyboard_reaches_everything(forge: Forge, failed: int, page: Page) -> None:
    visit(page, forge.url(REPOSITORY, failed))
    ended(page, "failed")
    expect(page.get_by_role("region", name="Log of train")).to_contain_text("exit code 3")
    names = walk(page)
    assert names[0] == "A Skip to the content"
    assert any(name.startswith("PRE") for name in names), "the log is not reached"
    page.locator("summary", has_text="check").focus()
    page.keyboard.press("Enter")
    log = page.get_by_role("region", name="Log of check")
    expect(log.locator(".line").last).to_contain_text("success in")
    log.focus()
    bottom = log.evaluate("element => element.scrollTop")
    assert bottom > 0
    page.keyboard.press("Home")
    await_result("the top of the log", lambda: log.evaluate("e => e.scrollTop === 0") or None, 10)


PLACES = {
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
    "failed pipeline": f"/-/pipelines/{REPOSITORY}/{{failed}}",
}
OURS = [name for name in PLACES if "pipeline" in name]


def address(forge: Forge, failed: int, name: str) -> str:
    path = PLACES[name].format(number=forge.platform.outcome.number, failed=failed)
    return forge.platform.admin.url("git", path)


@pytest.mark.parametrize("name", PLACES)
def test_a_page_fits_a_phone(forge: Forge, failed: int, phone: BrowserContext, name: str) -> None:
    page = phone.new_page()
    answer = visit(page, address(forge, failed, name), idle=True)
    assert answer is not None
    assert answer.ok
    # A page that names no width is laid out for a desk's and shown small.
    assert page.evaluate("innerWidth") == 390
    assert page.evaluate("screen.width") == 390
    for summary in page.locator("summary").all():
        if summary.evaluate("element => !element.parentElement.open"):
            summary.click()
    assert overflow(page) <= 0
    picture(page, f"phone-{name.replace(' ', '-')}")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", OURS)
def test_a_page_has_no_barriers(
    forge: Forge, failed: int, page: Page, name: str, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit(page, address(forge, failed, name), idle=True)
    picture(page, name.replace(" ", "-") + ("-dark" if scheme == "dark" else ""))
    # A log of thousands of lines has the barriers of a short one.
    for summary in page.locator("summary").filter(has_not_text="check").all():
        if summary.evaluate("element => !element.parentElement.open"):
            summary.click()
    page.wait_for_load_state("networkidle")
    assert barriers(page) == []


@pytest.mark.parametrize("name", [name for name in PLACES if name not in OURS])
def test_a_page_of_a_repository_loads_whole(
    forge: Forge, failed: int, page: Page, watch: Watch, name: str
) -> None:
    visit(page, address(forge, failed, name), idle=True)
    assert page.locator("html").get_attribute("lang") == "en"
    assert watch.faults == []
