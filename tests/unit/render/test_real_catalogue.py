"""The catalogue that is shipped, rendered for several settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.catalogue import read_catalogue
from dap.plan import make_plan, secret_specs
from dap.render import Tree, render
from dap.secrets.kinds import make
from dap.settings import Settings

ROOT = Path(__file__).parents[3]
STORE = {"name": "attic", "endpoint": "https://s3.example.org", "region": "eu-1"}
HOSTS = [
    {"name": "main", "address": "localhost", "roles": ["service"]},
    {"name": "one", "address": "10.0.0.1", "roles": ["runner"], "slots": 4},
    {"name": "two", "address": "10.0.0.2", "roles": ["runner"], "directory": "/data/dap"},
]
USERS = [
    {"name": "admin", "email": "admin@example.org", "admin": True},
    {"name": "grace", "email": "grace@example.org", "full_name": 'Grace O\'Neil, "$HOME"'},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "ports": {
        "name": "lab",
        "domain": "lab.example.org",
        "address": "0.0.0.0",
        "ports": {"http": 8080, "https": 8443, "ssh": 2022, "postgres": 15432},
    },
    "stores": {"storage": {"stores": [STORE]}},
    "external store": {"storage": {"stores": [STORE], "default": "attic"}},
    "people": {
        "users": USERS,
        "projects": [{"name": "analysis"}, {"name": "closed", "members": ["grace"]}],
        "workspaces": [
            {"name": "a", "owner": "admin", "environment": "python", "ssh_port": 2201},
            {"name": "b", "owner": "grace", "environment": "base", "ssh_port": 2202},
        ],
    },
    "bare": {"projects": [], "workspaces": []},
    "hosts": {"hosts": HOSTS},
    "gitlab": {
        "forge": "gitlab",
        "mail": {"host": "mail.example.org", "user": "dap"},
        "options": {"gitlab": {"database": "platform", "pages": True}},
    },
    "all options": {
        "users": USERS,
        "projects": [{"name": "closed", "members": ["grace"]}],
        "options": {"pgadmin": {"enabled": True}, "portainer": {"enabled": True}},
    },
    "gitlab on hosts": {"forge": "gitlab", "hosts": HOSTS},
}


SSH_KEY = make("ssh-key")


@dataclass(frozen=True)
class Vault:
    """A value for each secret that is easy to search for, without characters that need quotes."""

    kinds: Mapping[str, str]

    def get(self, name: str, /) -> str:
        if self.kinds.get(name) == "ssh-key":
            return SSH_KEY
        return f"value-of-{name.replace('/', '-')}-x7"


def rendered(data: dict[str, Any]) -> tuple[Tree, ...]:
    plan = make_plan(Settings.model_validate(data), read_catalogue(ROOT))
    return render(plan, Vault(secret_specs(plan)))


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS), scope="module")
def trees(request: pytest.FixtureRequest) -> tuple[Tree, ...]:
    return rendered(request.param)


def test_compose_accepts_every_file(
    trees: tuple[Tree, ...], tmp_path: Path, check_compose: Callable[[Path], None]
) -> None:
    for tree in trees:
        tree.write(tmp_path / tree.host, secrets=True)
        check_compose(tmp_path / tree.host)


def test_mode_and_owner_of_every_file(trees: tuple[Tree, ...]) -> None:
    for tree in trees:
        files = {file.path: file for file in tree.files}
        services = yaml.safe_load(files["compose.yml"].content)["services"]
        for path, file in files.items():
            part, *names = path.split("/")
            if part == "secrets":
                user = services[names[1]].get("user", "0:0")
                assert (file.mode, file.secret) == (0o400, True), path
                assert file.uid == int(user.split(":")[0]), path
            else:
                expected = {0o444} if part == "config" else {0o644, 0o755}
                assert file.mode in expected, path
                assert (file.uid, file.secret) == (0, False), path


def test_no_secret_stands_in_a_plain_file(trees: tuple[Tree, ...]) -> None:
    for tree in trees:
        for file in tree.files:
            # The CA's certificate is for everybody to read.
            content = file.content.replace(b"value-of-tls-ca-certificate-x7", b"")
            assert file.secret or b"value-of-" not in content, file.path


def test_the_same_settings_give_the_same_bytes() -> None:
    assert rendered(SETTINGS["people"]) == rendered(SETTINGS["people"])


def test_only_the_entry_publishes_ports(trees: tuple[Tree, ...]) -> None:
    for tree in trees:
        files = {file.path: file for file in tree.files}
        services = yaml.safe_load(files["compose.yml"].content)["services"]
        for name, service in services.items():
            entry = service.get("x-dap", {}).get("entry", False)
            assert ("ports" in service) == entry, name


def test_every_service_that_stays_up_tells_its_health(trees: tuple[Tree, ...]) -> None:
    built = {file.path: file for file in trees[0].files}
    targets = json.loads(built["docker-bake.json"].content)["target"].values()
    dockerfiles = {
        tag: built[f"{target['context']}/Dockerfile"].content
        for target in targets
        for tag in target["tags"]
    }
    for tree in trees:
        files = {file.path: file for file in tree.files}
        services = yaml.safe_load(files["compose.yml"].content)["services"]
        for name, service in services.items():
            if not service.get("x-dap", {}).get("task"):
                in_image = b"\nHEALTHCHECK " in dockerfiles.get(service["image"], b"")
                assert in_image or "test" in service["healthcheck"], name


def test_every_image_of_ours_is_built_on_the_service_host(trees: tuple[Tree, ...]) -> None:
    main, *others = trees
    files = {file.path: file for file in main.files}
    targets = json.loads(files["docker-bake.json"].content)["target"]
    built = {tag for target in targets.values() for tag in target["tags"]}
    for target in targets.values():
        assert f"{target['context']}/Dockerfile" in files
    for tree in trees:
        (compose,) = (file.content for file in tree.files if file.path == "compose.yml")
        services = yaml.safe_load(compose)["services"].values()
        used = {service["image"] for service in services}
        assert {image for image in used if image.startswith("dap/")} <= built
        assert any("build" in service for service in services) == (tree is main)
    for tree in others:
        assert not [file.path for file in tree.files if file.path.endswith("Dockerfile")]


def test_what_hosts_publish_and_where_the_names_lead() -> None:
    settings = {
        "domain": "dap.test",
        "address": "10.0.0.9",
        "hosts": HOSTS,
        "workspaces": [
            {
                "name": "far",
                "owner": "admin",
                "environment": "python",
                "host": "two",
                "ssh_port": 2201,
            }
        ],
    }
    services = {
        tree.host: yaml.safe_load(file.content)["services"]["nginx-proxy"]
        for tree in rendered(settings)
        for file in tree.files
        if file.path == "compose.yml"
    }
    published = {
        host: {(port["host_ip"], port["target"]) for port in proxy.get("ports", [])}
        for host, proxy in services.items()
    }
    everybody = {("10.0.0.9", port) for port in (80, 443, 2222, 5432, 2200, 2201)}
    assert published["main"] == everybody
    pages, jump, direct = (("10.0.0.2", port) for port in (2443, 2200, 2201))
    assert published["two"] >= {pages, jump, direct}
    assert pages[1] not in {port for _, port in published["one"]}
    names = {host: set(proxy["networks"]["edge"]["aliases"]) for host, proxy in services.items()}
    assert "far.dap.test" in names["main"]
    assert {"mlflow.dap.test", "git.dap.test", "registry.dap.test"} <= names["one"]
    # What another host's workspaces are called is nothing to this one.
    own = {"far.dap.test", "workspaces-two.dap.test", "engine-two.dap.test"}
    assert names["one"] - {"workspaces.dap.test", "engine-one.dap.test"} == names["two"] - own
    secrets = {
        host: {each["target"] for each in proxy["secrets"]} for host, proxy in services.items()
    }
    assert "tls-key" not in secrets["one"]
    assert secrets["main"] == secrets["one"] | {"tls-key", "tls-certificate", "htpasswd"}


def test_a_workspace_without_a_page_has_no_route_link_or_password() -> None:
    (tree,) = rendered(SETTINGS["people"])
    files = {file.path: file for file in tree.files}
    services = yaml.safe_load(files["compose.yml"].content)["services"]
    routes = {route["name"]: route for route in json.loads(files["plan.json"].content)["routes"]}
    assert routes["a"]["portal"]["description"] == "JupyterLab of admin, environment python"
    assert "b" not in routes
    start = files["config/portal/html/index.html"].content
    assert b"Workspace a<" in start
    assert b"Workspace b<" not in start
    assert b"ssh b    # grace\n" in start
    passwords = {path for path in files if path.endswith("/jupyter-password")}
    assert passwords == {"secrets/workspace/a/jupyter-password"}
    assert "b" in services


def test_pgadmin_is_there_where_it_is_wanted_and_knows_who_may_see_what() -> None:
    (without,), (tree,) = rendered(SETTINGS["default"]), rendered(SETTINGS["all options"])
    path = "config/pgadmin/people.json"
    assert path not in {file.path for file in without.files}
    people = json.loads(next(file.content for file in tree.files if file.path == path))
    assert [each["name"] for each in people] == ["admin", "grace"]
    servers = [each["server"] for each in people]
    assert [each["username"] for each in servers] == ["admin", "grace"]
    assert [each["maintenance_db"] for each in servers] == ["postgres", "closed"]
    assert {each["host"] for each in servers} == {"postgres.dap.localhost"}
    assert {each["connection_params"]["sslmode"] for each in servers} == {"verify-full"}


OFF = ("pgadmin", "portainer")


@pytest.mark.parametrize("folder", OFF)
def test_what_is_off_is_nowhere_and_what_is_on_is_all_over(folder: str) -> None:
    """One folder makes all of this; that it is named in no other, tests/lint sees."""
    (without,), (tree,) = rendered(SETTINGS["default"]), rendered(SETTINGS["all options"])
    name = folder.encode()
    traces = [file.path for file in without.files if name in file.content or folder in file.path]
    assert traces == []
    found = {file.path for file in tree.files if name in file.content}
    assert found >= {
        "compose.yml",
        "plan.json",
        "config/nginx-proxy/nginx.conf",
        "config/portal/html/index.html",
    }
    plan = json.loads(next(file.content for file in tree.files if file.path == "plan.json"))
    (service,) = (each for each in plan["services"] if each["name"] == folder)
    assert service["backup"] == [f"dap_{folder}-data"]
    (route,) = (each for each in plan["routes"] if each["service"] == folder)
    assert route["portal"]["title"]


def test_portainer_has_its_password_from_the_vault_and_the_socket_for_a_reason() -> None:
    (tree,) = rendered(SETTINGS["all options"])
    files = {file.path: file for file in tree.files}
    service = yaml.safe_load(files["compose.yml"].content)["services"]["portainer"]
    assert re.fullmatch(r"portainer/portainer-ce:\d+\.\d+\.\d+-alpine", service["image"])
    assert "build" not in service
    options = dict(
        word.removeprefix("--").split("=", 1) for word in service["command"] if "=" in word
    )
    secret = next(each for each in service["secrets"] if each["target"] == "admin-password")
    assert options["admin-password-file"] == f"/run/secrets/{secret['target']}"
    assert options["trusted-origins"] == "portainer.dap.localhost"
    password = files["secrets/portainer/portainer/admin-password"]
    assert password.content == b"value-of-portainer-admin-password-x7"
    assert set(service["x-dap"]["exceptions"]) == {"user", "volumes"}
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "ports" not in service
