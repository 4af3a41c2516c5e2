"""The services' own pages through the proxy: whole, without a refused request or websocket."""

from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page, expect

from demo.access import await_result
from demo.project import ADMIN, REPOSITORY
from tests.demo.conftest import Platform
from tests.demo.pages.browser import LOAD_MS, Watch, picture, visit
from tests.demo.test_run import s3
from tests.demo.test_workspace import WORKSPACE

KERNEL_MS = 90_000

# Ends the notebook's kernel and removes its file and what JupyterLab keeps of its window.
CLEAR = """async ([notebook, workspace]) => {
  const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)[1];
  const ask = (method, path) => fetch(path, {method, headers: {"X-XSRFToken": token}});
  for (const session of await (await fetch("/api/sessions")).json())
    if (session.path === notebook) await ask("DELETE", `/api/sessions/${session.id}`);
  await ask("DELETE", `/api/contents/${encodeURI(notebook)}`);
  await ask("DELETE", `/lab/api/workspaces/${workspace}`);
}"""


def test_mlflow_shows_a_run_its_charts_and_its_plot(
    platform: Platform, page: Page, watch: Watch
) -> None:
    run = platform.outcome.run["info"]
    # Where the network changed under way; a script that fails otherwise is a failed request, too.
    watch.expected = ("ChunkLoadError",)
    place = platform.admin.url("mlflow", f"/#/experiments/{run['experiment_id']}/runs")
    # By their text: a hint of MLflow's may lie over the page, which then has no other roles.
    visit(page, place, shows=page.locator("a", has_text=run["run_name"]).first)
    place += f"/{run['run_id']}"
    visit(page, place, shows=page.get_by_text("Finished", exact=True))
    pipeline = page.locator("a", has_text=f"Pipeline #{platform.outcome.number}")
    expect(pipeline).to_have_attribute("href", platform.outcome.url)
    picture(page, "mlflow-run")
    visit(page, f"{place}/model-metrics", shows=page.locator(".js-plotly-plot .main-svg").first)
    for name in platform.outcome.metrics:
        expect(page.get_by_text(name, exact=True).first).to_be_attached(timeout=LOAD_MS)
    expect(page.locator(".js-plotly-plot .trace").first).to_be_attached(timeout=LOAD_MS)
    picture(page, "mlflow")
    visit(page, f"{place}/artifacts/loss.png", shows=page.get_by_text("loss.png").first)
    wide = "[...document.images].some(image => image.naturalWidth >= 400)"
    await_result("the plot", lambda: page.evaluate(wide) or None, LOAD_MS / 1000)
    picture(page, "mlflow-plot")
    assert watch.faults == []


def test_minio_takes_a_file_and_lists_it(
    platform: Platform, page: Page, watch: Watch, tmp_path: Path
) -> None:
    # Asked before anybody has logged in; and a quota is the operator's to see.
    watch.expected = ("/api/v1/session", "/quota", "Error Getting Quota Status")
    visit(page, platform.admin.url("minio"))
    page.locator("#accessKey").fill(ADMIN)
    page.locator("#secretKey").fill(platform.project.password)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Acknowledge").click(timeout=LOAD_MS)
    visit(page, platform.admin.url("minio", f"/browser/{REPOSITORY}"))
    file = tmp_path / f"pages-{uuid4().hex[:8]}.csv"
    file.write_text("a,b\n1,2\n")
    try:
        page.locator("input[type=file]").first.set_input_files(file, timeout=LOAD_MS)
        row = page.get_by_role("gridcell", name=file.name).or_(page.get_by_text(file.name))
        expect(row.first).to_be_visible(timeout=LOAD_MS)
        # The list itself comes over the websocket.
        visit(page, platform.admin.url("minio", f"/browser/{REPOSITORY}"))
        expect(page.get_by_text(file.name).first).to_be_visible(timeout=LOAD_MS)
        picture(page, "minio")
    finally:
        s3(platform).delete_object(Bucket=REPOSITORY, Key=file.name)
    assert [address for address in watch.sockets if "/ws/objectManager" in address]
    assert watch.frames > 0
    assert watch.faults == []


def test_a_notebook_runs_in_jupyterlab(platform: Platform, page: Page, watch: Watch) -> None:
    window = f"pages-{uuid4().hex[:8]}"
    visit(page, platform.admin.url(WORKSPACE))
    page.get_by_label("Password").fill(platform.project.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/lab*")
    visit(page, platform.admin.url(WORKSPACE, f"/lab/workspaces/{window}"))
    page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=LOAD_MS)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click(timeout=LOAD_MS)
    page.keyboard.insert_text(
        "import mlflow\n\n"
        f'runs = mlflow.search_runs(experiment_names=["{REPOSITORY}"])\n'
        'runs[["run_id", "status", "metrics.test_accuracy", "tags.pipeline_id"]]'
    )
    path = page.evaluate("location.pathname").rpartition("/tree/")[2]
    try:
        # What is run before a kernel is there is lost.
        idle = page.get_by_role("button", name="| Idle")
        expect(idle).to_be_visible(timeout=KERNEL_MS)
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea-output").first).to_contain_text(
            platform.outcome.run["info"]["run_id"], timeout=KERNEL_MS
        )
        expect(page.get_by_text("Jupyter news")).to_have_count(0)
        picture(page, "jupyter")
    finally:
        page.evaluate(CLEAR, [path, window])
    assert [address for address in watch.sockets if "/api/kernels/" in address]
    assert watch.frames > 0
    assert watch.faults == []


def test_the_registry_has_no_page_and_answers_its_clients(platform: Platform, page: Page) -> None:
    visit(page, platform.admin.url(""))
    card = page.locator("div.card", has_text="Container images")
    expect(card).to_be_visible()
    assert card.locator("a").count() == 0
    login = page.locator("details", has_text="docker login")
    expect(login.locator("code")).to_contain_text(f"docker login -u {ADMIN} registry.")
    answer = page.context.request.get(platform.admin.url("registry", "/v2/_catalog"))
    assert "environments/base" in answer.json()["repositories"]
