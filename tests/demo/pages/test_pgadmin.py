"""pgAdmin, which is off by default: one setting brings it everywhere, and takes it away again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.pages.browser import LOAD_MS, Watch, picture, visit

ON = "\noptions:\n  pgadmin: {enabled: true}\n"
SERVICE = "pgadmin"


@dataclass(frozen=True)
class Brought:
    """What its deploy did.

    Attributes:
        before: containers and their start before it, by service.
        after: the same after it.
        again: what a second deploy answered.
    """

    before: dict[str, str]
    after: dict[str, str]
    again: dict[str, Any]


@pytest.fixture(scope="module")
def brought(platform: Platform) -> Iterator[Brought]:
    """Turn it on; afterwards it is off, and its data gone."""
    file = platform.project.path / "platform.yml"
    text = file.read_text()
    before = platform.started()
    file.write_text(text + ON)
    try:
        platform.project.make("deploy")
        yield Brought(before, platform.started(), platform.project.make_json("deploy"))
    finally:
        file.write_text(text)
        platform.project.make("deploy")
        volume = platform.docker.volumes.get(f"{platform.name}_{SERVICE}-data")
        volume.remove()
    assert platform.containers().keys() == before.keys()


def test_it_comes_alone_and_once(brought: Brought) -> None:
    new = brought.after.keys() - brought.before.keys()
    assert new == {SERVICE}
    # Those that must know its name: the proxy, and who shows or is told what there is.
    anew = {name for name, time in brought.before.items() if brought.after[name] != time}
    assert anew <= {"nginx-proxy", "portal"}
    assert brought.again["changed"] == 0


@pytest.mark.usefixtures("brought")
def test_status_and_verify_have_it(platform: Platform) -> None:
    rows = {row["service"]: row for row in platform.project.make_json("status")["services"]}
    assert rows[SERVICE]["well"]
    assert f"https://{SERVICE}.{platform.domain}" in rows[SERVICE]["addresses"]
    found = platform.project.make_json("verify", f"ONLY={SERVICE}")
    assert found["ok"]
    assert found["passed"] >= 10
    (service,) = (each for each in platform.plan["services"] if each["name"] == SERVICE)
    assert set(service["backup"]) <= platform.volumes()


@pytest.mark.usefixtures("brought")
def test_a_query_from_the_start_page_on(platform: Platform, page: Page, watch: Watch) -> None:
    # That is how it asks for the password of the database.
    watch.expected = ("428: POST",)

    def forget(request: Request) -> None:
        """Where the network changed under way the page is opened again: that time counts."""
        if request.is_navigation_request() and request.frame == page.main_frame:
            watch.faults.clear()

    visit(page, platform.admin.url(""))
    address = page.locator("a.card", has_text="pgAdmin").get_attribute("href") or ""

    def node(name: str) -> Locator:
        return page.locator(".file-name", has_text=re.compile(f"^{name}"))

    page.on("request", forget)
    visit(page, address, shows=node("Servers"))
    # Its only server is opened with the group.
    node("Servers").dblclick()
    question = page.locator(".MuiDialog-root")
    expect(question).to_contain_text(f"'{ADMIN}'", timeout=LOAD_MS)
    expect(question).to_contain_text('"postgres-data"')
    expect(question.get_by_label("Save Password")).to_be_disabled()
    question.locator("input[type=password]").fill(platform.project.password)
    page.keyboard.press("Enter")
    node("Databases").dblclick(timeout=LOAD_MS)
    node(REPOSITORY).click(timeout=LOAD_MS)
    page.locator("button[data-label='Query Tool']").click(timeout=LOAD_MS)
    window = page.frame_locator("iframe").last
    window.locator(".cm-content").first.click(timeout=LOAD_MS)
    page.keyboard.insert_text("select current_user || ' of ' || session_user as who, 6 * 7")
    window.locator("button[data-label='Execute script']").click(timeout=LOAD_MS)
    cells = window.locator(".rdg-row .rdg-cell")
    expect(cells.get_by_text("42", exact=True)).to_be_visible(timeout=LOAD_MS)
    # Who makes a table makes it for the project.
    expect(cells.get_by_text(f"{REPOSITORY} of {ADMIN}", exact=True)).to_be_visible()
    picture(page, "pgadmin")
    assert watch.faults == []
