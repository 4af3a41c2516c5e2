from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dap.catalogue import read_catalogue
from dap.errors import InputError

if TYPE_CHECKING:
    from tests.unit.conftest import Project

APP = "infrastructure/services/app/compose.yml"


def test_a_folder_is_split_into_its_parts(project: Project) -> None:
    folder = read_catalogue(project.root).services["app"]
    assert [file.path for file in folder.context] == ["Dockerfile"]
    assert [file.path for file in folder.config] == ["app.ini.j2", "words"]
    assert [file.path for file in folder.secrets] == ["store.ini.j2"]
    assert [file.path for file in folder.client] == ["NETRC.j2", "environment.j2"]
    assert folder.content == ()


def test_executable_bits_are_read(project: Project) -> None:
    folder = read_catalogue(project.root).services["store"]
    assert {file.path: file.executable for file in folder.context} == {
        "Dockerfile": False,
        "run": True,
    }
    assert [file.path for file in folder.content] == ["content.py"]


def test_tests_and_description_of_an_environment_are_no_build_context(project: Project) -> None:
    environment = read_catalogue(project.root).environments["python"]
    assert [file.path for file in environment.context] == ["Dockerfile"]


def test_content_may_be_a_package_and_is_no_build_context(project: Project) -> None:
    for name in ("__init__.py", "parts.py"):
        project.write(f"infrastructure/services/app/content/{name}", "")
    folder = read_catalogue(project.root).services["app"]
    assert [file.path for file in folder.content] == ["content/__init__.py", "content/parts.py"]
    assert [file.path for file in folder.context] == ["Dockerfile"]


def test_traces_of_python_are_no_content(project: Project) -> None:
    before = read_catalogue(project.root)
    project.write("infrastructure/services/store/__pycache__/x.cpython-313.pyc", "x")
    assert read_catalogue(project.root) == before


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("infrastructure/services/half/Dockerfile", "", "services/half: compose.yml is missing"),
        ("infrastructure/services/base/compose.yml", "", "services/base: the name is reserved"),
        ("infrastructure/services/Big/compose.yml", "", "Big: the name must be a DNS label"),
        ("environments/half/Dockerfile", "", "environments/half: environment.yml is missing"),
        (
            "environments/python/environment.yml",
            "description: P\ncpu: 1\n",
            "environments/python/environment.yml: cpu: Extra inputs are not permitted",
        ),
        ("environments/python/environment.yml", "a: [", "environment.yml: line "),
        ("infrastructure/services/app/client/plain", "", "client/plain: files of client/ are"),
        ("infrastructure/services/store/content/__init__.py", "", "content.py and content/; one"),
        ("infrastructure/services/app/options.yml", "a: {default: 1}", "yml: a.description: Field"),
        ("infrastructure/services/app/options.yml", "a: [", "options.yml: line "),
        (
            "infrastructure/services/app/options.yml",
            "a: {description: A, default: x, choices: [y]}",
            "options.yml: a: Value error, default: must be one of y",
        ),
    ],
)
def test_a_wrong_folder_is_refused(project: Project, path: str, text: str, message: str) -> None:
    project.write(path, text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_catalogue(project.root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("build: .", "build: {{ nothing }}", f"{APP}:11: 'nothing' is undefined"),
        ("build: .", "build: {{ . }}", f"{APP}:11: "),
        ("build: .", "build: {{ settings.nam }}", f"{APP}:11: "),
        ("build: .", "build: {{ environment('rust') }}", f"{APP}:11: no environment 'rust'"),
        ("build: .", "build: [", f"{APP} (as rendered): line "),
        ("build: .", "build: .\n    build: .", "line 12: the key 'build' is there twice"),
        ("build: .", "build: ../x", "services.app.build.context: must be '.' or a path below"),
        ("build: .", "build: ./x", "services.app.build.context: 'x' holds no files"),
        ("build: .", "build: {context: ., network: host}", "app.build.network: not allowed"),
        ("build: .", "ports: ['80:80']", "services.app.ports: not allowed: only the entry"),
        ("build: .", "cap_drop: [ALL]", "services.app: image: or build: is missing"),
        ("services:", "networks: {}\nservices:", f"{APP}: networks: not allowed here"),
        ("  title: App\n", "", f"{APP}: x-dap.title: Field required"),
        ("title: App\n", "title: App\n  titel: App\n", "x-dap.titel: Extra inputs"),
        ("auth: service", "auth: none", "services.app.x-dap.routes.0.auth: Input should be"),
        ("port: 5000", "port: 70000", "services.app.x-dap.routes.0.port: "),
        ("name: app, port", "name: App, port", "services.app.x-dap.routes.0.name: "),
        ("session: token", "session: pin", "x-dap.secrets.session: "),
        ("dap/app\n", "dap/nothing\n", "app-worker.image: no compose service 'nothing'"),
        ("./config/app.ini:", "./config/other:", "'./config/other': there is no such file"),
        ("./config/app.ini:", "./Dockerfile:", "'./Dockerfile': must be below ./config/"),
        ("secrets: [session]", "secrets: [7]", "app-worker.secrets[0]: must be a name, or a map"),
        (
            "secrets: [session]",
            "secrets: [{source: session, target: there}]",
            "app-worker.secrets[0]: must be a name, or a mapping of source: NAME and target: /PATH",
        ),
        ("./config/app.ini:", "data:", "services.app.volumes: 'data' is not declared"),
        ("./config/app.ini:/etc/app.ini:ro", "data", "'data': must be SOURCE:TARGET"),
        ("secrets: [session]", "secrets: [session]\n    networks: [host]", "networks: 'host'"),
    ],
)
def test_a_wrong_compose_file_is_refused(
    project: Project, old: str, new: str, message: str
) -> None:
    project.replace(APP, old, new)
    with pytest.raises(InputError, match=re.escape(message)):
        project.trees()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("privileged: true", "privileged"),
        ("cap_add: [NET_ADMIN]", "cap_add"),
        ("cap_drop: []", "cap_drop"),
        ("read_only: false", "read_only"),
        ("security_opt: []", "security_opt"),
        ("pid: host", "pid"),
        ("network_mode: host", "network_mode"),
        ("devices: [/dev/kvm]", "devices"),
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']", "volumes"),
    ],
)
def test_less_confinement_needs_a_reason(project: Project, keys: str, name: str) -> None:
    project.replace(APP, "image: dap/app", f"image: dap/app\n    {keys}")
    with pytest.raises(InputError, match=rf"services\.app-worker\.{name}: deviates"):
        project.trees()
    project.replace(APP, keys, f"{keys}\n    x-dap: {{exceptions: {{{name}: it must}}}}")
    assert project.trees()


@pytest.mark.parametrize("user", ["", 'user: "0:0"', "user: root", 'user: "1000"'])
def test_a_user_must_be_a_number_and_not_root(project: Project, user: str) -> None:
    project.replace(APP, 'user: "11003:11003"\n    secrets: [session]', user)
    with pytest.raises(InputError, match=r"services\.app-worker\.user: deviates"):
        project.plan()


def test_a_reason_without_a_deviation_is_refused(project: Project) -> None:
    project.replace(APP, "image: dap/app", "image: dap/app\n    x-dap: {exceptions: {pid: why}}")
    with pytest.raises(InputError, match=r"exceptions\.pid: the service does not set 'pid'"):
        project.plan()


def test_an_error_in_any_template_names_file_and_line(project: Project) -> None:
    path = "infrastructure/services/app/config/app.ini.j2"
    project.write(path, "one\ntwo\n{% for x in y %}\n{{ x }}\n{% endfor %}\n")
    with pytest.raises(InputError, match=rf"^{re.escape(path)}:3: 'y' is undefined$"):
        project.trees()


def test_a_file_that_is_no_text_is_refused_as_template(project: Project) -> None:
    (project.root / "infrastructure/services/app/config/app.ini.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"app\.ini\.j2: not UTF-8 text"):
        project.trees()


def test_a_missing_catalogue_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data: {kind: boxes}", "data.group: Field required"),
        ("data: {kind: boxes, group: 0}", "data.group: Input should be greater"),
        ("data: {kind: boxes, group: 7, mode: 1}", "data.mode: Extra inputs"),
        ("data: [", "line 1"),
    ],
)
def test_what_a_folder_leaves_is_described_or_refused(
    project: Project, text: str, says: str
) -> None:
    project.write("infrastructure/services/app/leaves.yml", text)
    with pytest.raises(InputError, match=f"services/app/leaves.yml: {re.escape(says)}"):
        read_catalogue(project.root)
