from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
import yaml
from dap.errors import DapError, InputError
from dap.plan import secret_specs
from dap.render import File, Tree, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Project

APP = "infrastructure/services/app/compose.yml"
UIDS = {"proxy": 11005, "store": 11001, "app": 11003, "app-worker": 11003, "content": 11008}
UIDS["admin-python"] = 1000


def compose(files: dict[str, File]) -> dict[str, Any]:
    data = yaml.safe_load(files["compose.yml"].content)
    assert isinstance(data, dict)
    return data


def labels(files: dict[str, File]) -> dict[str, str]:
    services = compose(files)["services"].items()
    return {name: service["labels"].get("dap.config", "") for name, service in services}


def text(files: dict[str, File], path: str) -> str:
    return files[path].content.decode()


def test_the_tree_is_as_described(project: Project) -> None:
    assert set(project.files()) == {
        "compose.yml",
        "docker-bake.json",
        "plan.json",
        "base/Dockerfile",
        "environments/base/Dockerfile",
        "environments/python/Dockerfile",
        "services/app/Dockerfile",
        "services/content/Dockerfile",
        "services/proxy/Dockerfile",
        "services/store/Dockerfile",
        "services/store/run",
        "config/app/app.ini",
        "config/app/words",
        "config/proxy/proxy.conf",
        "config/start/html/index.html",
        "secrets/app/app/session",
        "secrets/app/app/store.ini",
        "secrets/app/app-worker/session",
        "secrets/content/content/vault.json",
        "secrets/desk/admin-python/client.json",
        "secrets/proxy/proxy/htpasswd",
        "secrets/proxy/proxy/tls-key",
        "secrets/store/store/admin",
        "content/plan.json",
        "content/dap/content/__init__.py",
        "content/services/store/content.py",
    }


def test_mode_and_owner_of_every_file(project: Project) -> None:
    for path, file in project.files().items():
        top, *rest = path.split("/")
        if top == "secrets":
            assert (file.mode, file.uid, file.secret) == (0o400, UIDS[rest[1]], True), path
        else:
            mode = {"config": 0o444}.get(top, 0o755 if path == "services/store/run" else 0o644)
            assert (file.mode, file.uid, file.secret) == (mode, 0, False), path


def test_no_secret_stands_in_a_plain_file(project: Project) -> None:
    files = project.files()
    secret = [file for file in files.values() if file.secret]
    assert all(b"value-of-" in file.content or b"$2b$" in file.content for file in secret)
    for path, file in files.items():
        assert file.secret or b"value-of-" not in file.content, path


def test_the_same_input_gives_the_same_bytes(project: Project) -> None:
    assert project.files() == project.files()


def test_without_a_vault_secrets_are_placeholders(project: Project) -> None:
    (tree,) = project.trees()
    files = {file.path: file for file in tree.files}
    assert files.keys() == project.files().keys()
    assert text(files, "secrets/store/store/admin") == "(secret store/admin)"


def test_the_key_of_the_ca_reaches_no_file(project: Project) -> None:
    for path, file in project.files().items():
        assert b"tls-ca-key" not in file.content, path
    vault = json.loads(text(project.files(), "secrets/content/content/vault.json"))
    assert vault["tls/key"] == "value-of-tls-key-x7"
    assert "tls/ca-key" not in vault


def test_a_secret_that_is_not_declared_is_refused(project: Project) -> None:
    path = "infrastructure/services/app/secrets/store.ini.j2"
    project.write(path, "\n{{ secret('app/stor') }}\n")
    with pytest.raises(InputError, match=rf"{path}:2: no secret 'app/stor' .*: app/store \(near"):
        project.trees()
    project.write(path, "{{ secret('tls/ca-key') }}\n")
    with pytest.raises(InputError, match="no secret 'tls/ca-key'"):
        project.trees()


def test_config_can_not_use_secrets(project: Project) -> None:
    project.write("infrastructure/services/app/config/app.ini.j2", "{{ secret('app/store') }}")
    with pytest.raises(InputError, match=r"app\.ini\.j2:1: 'secret' is undefined"):
        project.trees()


def test_a_url_of_no_route_is_refused(project: Project) -> None:
    project.write("infrastructure/services/app/config/app.ini.j2", "{{ url('ap') }}")
    with pytest.raises(InputError, match=r"app\.ini\.j2:1: no route or stream 'ap'; .* app \(near"):
        project.trees()


def test_only_templates_are_rendered(project: Project) -> None:
    files = project.files()
    assert text(files, "config/app/words") == "{{ as they are }}\n"
    assert text(files, "config/app/app.ini") == "[app]\nurl = https://app.dap.localhost\n"


def test_html_is_escaped(project: Project) -> None:
    project.replace(
        "infrastructure/services/app/compose.yml", "portal: {title: App}", "portal: {title: <App>}"
    )
    assert "&lt;App&gt;" in text(project.files(), "config/start/html/index.html")


def test_hashes_of_passwords_fit_and_stay(project: Project) -> None:
    line = text(project.files(), "secrets/proxy/proxy/htpasswd").splitlines()[0]
    name, hashed = line.split(":")
    assert name == "admin"
    assert bcrypt.checkpw(b"value-of-users-admin-password-x7", hashed.encode())


def test_a_secret_template_knows_who_asks(project: Project) -> None:
    assert text(project.files(), "secrets/app/app/store.ini") == "value-of-app-store-x7\napp\n"


def test_a_client_gets_what_all_services_give(project: Project) -> None:
    project.write("infrastructure/services/store/client/NETRC.j2", "machine store\n")
    project.write("infrastructure/services/store/client/environment.j2", "# note\n\nSTORE=a=b\n")
    client = json.loads(text(project.files(), "secrets/desk/admin-python/client.json"))
    assert client["environment"] == {"APP_URL": "https://app.dap.localhost", "STORE": "a=b"}
    assert client["files"]["CA"] == "value-of-tls-ca-certificate-x7\n"
    netrc = client["files"]["NETRC"].splitlines()
    assert sorted(netrc) == [
        "machine app.dap.localhost login admin password value-of-users-admin-password-x7",
        "machine store",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("APP_URL=https://elsewhere", "APP_URL is set differently elsewhere"),
        ("A-B=1", "line 1 as rendered: must be KEY=VALUE"),
        ("just words", "line 1 as rendered: must be KEY=VALUE"),
    ],
)
def test_wrong_variables_of_a_client_are_refused(
    project: Project, given: str, message: str
) -> None:
    project.write("infrastructure/services/store/client/environment.j2", given)
    with pytest.raises(InputError, match=re.escape(message)):
        project.trees()


def test_a_service_gets_safe_defaults(project: Project) -> None:
    service = compose(project.files())["services"]["app-worker"]
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["mem_limit"] == "512m"
    assert service["pids_limit"] == 256
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["networks"] == ["internal"]
    assert service["pull_policy"] == "never"


def test_resources_in_the_settings_win(project: Project) -> None:
    project.data["resources"] = {"admin-python": {"cpus": 0.5}, "app": {"memory": "1g"}}
    services = compose(project.files())["services"]
    assert services["admin-python"]["cpus"] == 0.5
    assert services["admin-python"]["mem_limit"] == "4g"
    assert services["app"]["mem_limit"] == "1g"


def test_the_entry_has_all_names_and_publishes_all_ports(project: Project) -> None:
    project.data["address"] = "127.0.0.2"
    services = compose(project.files())["services"]
    names = ["admin-python.dap.localhost", "app.dap.localhost", "dap.localhost"]
    for network in ("internal", "edge"):
        aliases = services["proxy"]["networks"][network]["aliases"]
        assert aliases == [*names, "store.dap.localhost"]
    ports = services["proxy"]["ports"]
    assert {(port["published"], port["target"], port["host_ip"]) for port in ports} == {
        (str(port), port, "127.0.0.2") for port in (80, 443, 5432, 2201)
    }
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_a_task_runs_only_when_asked(project: Project) -> None:
    services = compose(project.files())["services"]
    assert services["content"]["profiles"] == ["task"]
    assert services["content"]["restart"] == "no"
    assert [name for name, service in services.items() if "profiles" in service] == ["content"]


def test_everything_is_marked_as_the_platforms(project: Project) -> None:
    project.data["name"] = "lab"
    data = compose(project.files())
    assert data["name"] == "lab"
    for part in ("services", "networks", "volumes"):
        for name, item in data[part].items():
            assert item["labels"]["dap.platform"] == "lab", name
    assert data["volumes"]["store-data"]["name"] == "lab_store-data"
    assert data["networks"]["internal"]["internal"] is True
    assert "internal" not in data["networks"]["edge"]


def test_a_secret_is_a_file_of_its_own_for_each_service(project: Project) -> None:
    data = compose(project.files())
    assert data["secrets"]["app-worker-session"] == {"file": "./secrets/app/app-worker/session"}
    assert data["services"]["app-worker"]["secrets"] == [
        {"source": "app-worker-session", "target": "session"}
    ]


def test_images_are_built_from_named_contexts(project: Project) -> None:
    files = project.files()
    bake = json.loads(files["docker-bake.json"].content)["target"]
    base = f"docker-image://{bake['base']['tags'][0]}"
    assert bake["base"]["target"] == "base"
    assert bake["base"]["contexts"] == {"debian": "docker-image://debian:trixie-slim"}
    assert bake["app"]["context"] == "services/app"
    assert bake["app"]["contexts"]["base"] == base
    assert bake["store"]["args"] == {"VERSION": "1"}
    assert bake["environment-base"]["contexts"]["parent"] == base
    assert bake["environment-python"]["contexts"]["parent"] == "target:environment-base"
    app = compose(files)["services"]["app"]
    assert app["image"] == bake["app"]["tags"][0]
    assert app["build"]["context"] == "./services/app"
    assert app["build"]["additional_contexts"]["base"] == base


def changed(project: Project, before: dict[str, File]) -> set[str]:
    old, new = labels(before), labels(project.files())
    return {name for name in new if old[name] != new[name]}


def test_a_change_of_config_concerns_its_service_alone(project: Project) -> None:
    before = project.files()
    project.write("infrastructure/services/app/config/app.ini.j2", "other\n")
    assert changed(project, before) == {"app"}
    old, new = compose(before)["services"], compose(project.files())["services"]
    assert [name for name in new if old[name] != new[name]] == ["app"]


def test_config_that_nothing_mounts_concerns_nobody(project: Project) -> None:
    before = project.files()
    project.write("infrastructure/services/app/config/words", "other\n")
    assert changed(project, before) == set()


def test_a_setting_concerns_those_alone_that_use_it(project: Project) -> None:
    before = project.files()
    project.data["projects"] = [{"name": "analysis"}, {"name": "other"}]
    # Everything that lists accounts or gets the plan; neither app, nor store, nor start page.
    assert changed(project, before) == {"proxy", "content"}


def test_a_change_of_a_secret_concerns_those_that_mount_it(project: Project) -> None:
    before = project.files()
    project.write("infrastructure/services/app/secrets/store.ini.j2", "{{ secret('app/session') }}")
    assert changed(project, before) == {"app"}


def test_digests_of_secrets_tell_nothing_without_the_vault(project: Project) -> None:
    class Other:
        def get(self, name: str, /) -> str:
            return "other key" if name == "dap/digest-key" else f"value {name}"

    class Same:
        def get(self, name: str, /) -> str:
            return f"value {name}"

    plan = project.plan()
    assert "dap/digest-key" in secret_specs(plan)
    one, two = (
        labels({file.path: file for file in render(plan, vault)[0].files})["store"]
        for vault in (Same(), Other())
    )
    assert one != two


LIVE = """
x-dap: {title: Queue, description: Waits, roles: [service]}
services:
  queue:
    image: "{{ image('proxy') }}"
    user: "11005:11005"
    volumes: ["%s:/etc/queue:ro", "./config/still:/etc/still:ro"]
    x-dap: {live: [config/list/names]}
"""


def test_a_change_of_what_a_service_reads_anew_makes_no_new_container(project: Project) -> None:
    folder = "infrastructure/services/queue"
    project.service("queue", LIVE % "./config/list")
    project.write(f"{folder}/config/list/names", "one")
    project.write(f"{folder}/config/still", "one")
    first = labels(project.files())["queue"]
    project.write(f"{folder}/config/list/names", "two")
    assert labels(project.files())["queue"] == first
    assert text(project.files(), "config/queue/list/names") == "two"
    project.write(f"{folder}/config/still", "two")
    assert labels(project.files())["queue"] != first

    # Mounted alone it would stay the file that it was.
    project.service("queue", LIVE % "./config/list/names")
    with pytest.raises(InputError, match=r"x-dap.live: 'config/list/names': its folder must be"):
        project.files()


def test_a_new_folder_appears_everywhere_by_itself(project: Project) -> None:
    before = project.files()
    folder = "infrastructure/services/queue"
    project.service(
        "queue",
        """\
x-dap:
  title: Queue
  description: Waits
  roles: [service]
  needs: [store]
  secrets: {password: password}
  resources: [{from: store, kind: shelf, name: queue, secret: queue/password}]
services:
  queue:
    build: .
    user: "11011:11011"
    secrets: [password]
    x-dap:
      routes: [{name: queue, port: 1, auth: proxy, portal: {title: The queue}}]
""",
    )
    project.write(f"{folder}/Dockerfile", "FROM base\n")
    project.write(f"{folder}/content.py", "def apply(context): ...\n")
    files = project.files()

    assert "queue.dap.localhost queue:1" in text(files, "config/proxy/proxy.conf")
    assert "The queue" in text(files, "config/start/html/index.html")
    old, new = compose(before)["services"], compose(files)["services"]
    assert "queue.dap.localhost" in new["proxy"]["networks"]["edge"]["aliases"]
    vault = json.loads(text(files, "secrets/content/content/vault.json"))
    assert vault["queue/password"] == text(files, "secrets/queue/queue/password")
    plan = json.loads(files["plan.json"].content)
    order = list(plan["folders"])
    assert order.index("queue") > order.index("store")
    assert plan["folders"]["queue"]["resources"][0]["from"] == "store"
    assert "content/services/queue/content.py" in files
    assert "queue" in json.loads(files["docker-bake.json"].content)["target"]
    # Nobody else is touched but those that show or serve it.
    assert {name for name in old if old[name] != new[name]} == {"proxy", "start", "content"}


def test_the_plan_as_data(project: Project) -> None:
    project.data["name"] = "lab"
    files = project.files()
    plan = json.loads(files["plan.json"].content)
    (one, other) = (json.loads(files[name].content) for name in ("content/plan.json", "plan.json"))
    assert one == other
    assert plan["host"] == "local"
    assert plan["settings"]["users"][0]["name"] == "admin"
    assert plan["tasks"] == ["content"]
    assert plan["folders"]["app"]["needs"] == ["store"]
    assert plan["folders"]["app"]["resources"] == [
        {"from": "store", "kind": "shelf", "name": "app", "secret": "app/store", "width": 3}
    ]
    assert {route["name"] for route in plan["routes"]} == {"@", "app", "admin-python"}
    assert {service["name"] for service in plan["services"]} == set(compose(files)["services"])
    assert plan["workspaces"] == {"admin-python": "local"}
    assert plan["environments"]["python"] == compose(files)["services"]["admin-python"]["image"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"address": "::", "ports": {"https": 8443}},
        {"name": "1e5", "domain": "a.example.org"},
        {"resources": {"app": {"cpus": 0.25, "memory": "2g"}}},
        {"workspaces": []},
    ],
)
def test_compose_accepts_the_file(
    project: Project,
    tmp_path: Path,
    check_compose: Callable[[Path], None],
    data: dict[str, Any],
) -> None:
    project.data.update(data)
    tree = Tree("local", "/srv/dap/dap", tuple(project.files().values()))
    tree.write(tmp_path / "tree", secrets=True)
    check_compose(tmp_path / "tree")


def test_the_tree_is_written_as_it_says(project: Project, tmp_path: Path) -> None:
    files = project.files()
    tree = Tree("local", "/srv/dap/dap", tuple(files.values()))
    place = tmp_path / "tree"
    tree.write(place, secrets=True)
    written = {path.relative_to(place).as_posix(): path for path in place.rglob("*")}
    assert {name for name, path in written.items() if path.is_file()} == set(files)
    for name, file in files.items():
        assert stat.S_IMODE(written[name].stat().st_mode) == file.mode, name
        assert written[name].read_bytes() == file.content
    assert stat.S_IMODE(written["secrets"].stat().st_mode) == 0o700

    tree.write(place, secrets=False)
    assert not (place / "secrets").exists()


def test_nothing_is_written_over_other_files(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tree,) = project.trees()
    with pytest.raises(InputError, match="is not empty and no rendered tree"):
        tree.write(tmp_path, secrets=False)
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize(
    ("gpus", "device"),
    [
        ("all", {"count": "all"}),
        (2, {"count": 2}),
        ([0, "GPU-aa"], {"device_ids": ["0", "GPU-aa"]}),
    ],
)
def test_a_workspace_reserves_the_gpus_it_asks_for(
    project: Project, gpus: Any, device: dict[str, Any]
) -> None:
    project.replace(
        "infrastructure/services/desk/compose.yml",
        "    x-dap:\n      routes",
        "    x-dap:\n      gpus: {{ workspace.gpus | tojson }}\n      routes",
    )
    assert "deploy" not in compose(project.files())["services"]["admin-python"]
    project.data["workspaces"] = [
        {"name": "admin-python", "owner": "admin", "environment": "python", "gpus": gpus}
        | {"ssh_port": 2201}
    ]
    reserved = compose(project.files())["services"]["admin-python"]["deploy"]["resources"]
    assert reserved["reservations"]["devices"] == [
        {"driver": "nvidia", "capabilities": ["gpu"], **device}
    ]


def test_a_secret_stands_where_its_service_wants_it(project: Project) -> None:
    project.replace(APP, "secrets: [session]", "secrets: [{source: session, target: /etc/session}]")
    service = compose(project.files())["services"]["app-worker"]
    assert service["secrets"] == [{"source": "app-worker-session", "target": "/etc/session"}]
    assert "secrets/app/app-worker/session" in project.files()


def test_a_secret_that_content_gets_is_empty_until_then(project: Project) -> None:
    project.replace(APP, "session: token", "session: content")
    plan = project.plan()
    names = [*secret_specs(plan), "tls/ca-certificate", "tls/certificate", "tls/key"]
    path = "secrets/app/app/session"
    for there in (True, False):
        values = {name: f"of {name}" for name in names if there or name != "app/session"}
        files = {file.path: file for file in render(plan, LateVault(values))[0].files}
        assert bool(files[path].content) is there
        everything = json.loads(files["secrets/content/content/vault.json"].content)
        assert ("app/session" in everything) is there


class LateVault:
    """Says of what it does not have what a vault says."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get(self, name: str, /) -> str:
        if name not in self.values:
            raise DapError(f"secret {name}: there is none")
        return self.values[name]


def test_a_package_of_content_comes_with_the_rest(project: Project) -> None:
    project.write("infrastructure/services/app/content/__init__.py", "from . import parts\n")
    project.write("infrastructure/services/app/content/parts.py", "")
    found = {path for path in project.files() if path.startswith("content/services/")}
    assert found == {
        "content/services/app/content/__init__.py",
        "content/services/app/content/parts.py",
        "content/services/store/content.py",
    }


OLD = """\
{% if settings.forge == 'lite' %}
x-dap: {title: Old, description: Keeps things, roles: [service]}
services:
  old: {image: old, user: "1:1", volumes: ["things:/things"]}
volumes:
  things:
{% endif %}
"""


def test_what_a_folder_leaves_is_read_by_content_once_it_is_gone(project: Project) -> None:
    """Its volume stays as it was, and is there to be read alone; with the folder, nothing is."""
    project.service("old", OLD)
    project.write("infrastructure/services/old/leaves.yml", "things: {kind: boxes, group: 11006}")
    project.replace(
        "infrastructure/services/content/compose.yml",
        "task: true",
        "task: true, takes: /left",
    )
    before = compose(project.files())
    assert "group_add" not in before["services"]["content"]
    assert not [each for each in before["services"]["content"]["volumes"] if "/left" in str(each)]
    project.data["forge"] = "gitlab"
    after = compose(project.files())
    assert "old" not in after["services"]
    assert after["services"]["content"]["group_add"] == ["11006"]
    assert "old-things:/left/boxes/old:ro" in after["services"]["content"]["volumes"]
    assert after["volumes"]["old-things"] == before["volumes"]["old-things"]
    assert [name for name, each in after["services"].items() if "old-things" in str(each)] == [
        "content"
    ]


def test_a_volume_that_is_left_and_nobody_takes_is_in_no_file(project: Project) -> None:
    project.service("old", OLD)
    project.write("infrastructure/services/old/leaves.yml", "things: {kind: boxes, group: 11006}")
    project.data["forge"] = "gitlab"
    assert "old-things" not in text(project.files(), "compose.yml")


def test_what_tests_run_in_is_for_clusters_alone(project: Project) -> None:
    compose = """
x-dap: {title: Tests, description: Tests it, roles: [service]}
services:
  tests:
    image: example.org/tests:1
    user: "11030:11031"
    x-dap: {checks: true}
"""
    project.service("tests", compose)
    with pytest.raises(InputError, match=r"x-dap\.checks: only with target: kubernetes"):
        project.trees()
