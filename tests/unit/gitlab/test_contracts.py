"""What is rendered for GitLab and its runner, against the keys and fields that these document.

The lists in tests/gitlab/data were taken from GitLab's gitlab.rb template and from the types of
gitlab-runner's configuration.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.errors import InputError
from dap.plan import make_plan, secret_specs
from dap.render import Tree, render
from dap.settings import Settings

from tests.gitlab.forge import Vault, catalogue

LISTS = Path(__file__).parents[2] / "gitlab" / "data"
STORE = {"name": "attic", "endpoint": "https://s3.example.org", "region": "eu-1"}
MAIL = {"host": "mail.example.org", "user": "dap", "sender": "dap@example.org"}
HOSTS: list[dict[str, Any]] = [
    {"name": "main", "address": "localhost", "roles": ["service"]},
    {"name": "one", "address": "10.0.0.1", "roles": ["runner"], "slots": 4, "labels": ["gpu"]},
    {"name": "two", "address": "10.0.0.2", "roles": ["runner"], "gpus": [0, 2]},
    {"name": "three", "address": "10.0.0.3", "roles": ["runner"], "gpus": "all"},
    {"name": "idle", "address": "10.0.0.4", "roles": ["runner"], "slots": 0},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "all options": {
        "ports": {"https": 8443, "ssh": 2022},
        "mail": MAIL,
        "options": {
            "gitlab": {"database": "platform", "pages": True},
            "gitlab-runner": {"helper_image": "helper:1", "job_memory": "8g"},
        },
        "resources": {"gitlab": {"memory": "6g"}},
    },
    "without a registry": {
        "options": {"gitlab": {"registry": False}},
        "mail": {"host": "10.1.1.1"},
    },
    "external store": {"storage": {"stores": [STORE], "default": "attic"}},
    "hosts": {"hosts": HOSTS},
    "gitops": {
        "hosts": [HOSTS[0] | {"address": "10.0.0.9"}, *HOSTS[1:]],
        "gitops": {"plan": True, "apply": True, "drift": "0 5 * * *"},
    },
}
ASSIGNED = re.compile(r"^([a-z_]+(?:\['[a-z0-9_]+'\])+) = |^((?:[a-z]+_)?external_url) '", re.M)
GO = {"string": str, "int": int, "int64": int, "bool": bool, "StringOrArray": list}


def trees(data: dict[str, Any]) -> tuple[Tree, ...]:
    plan = make_plan(Settings.model_validate({"forge": "gitlab", **data}), catalogue())
    vault = Vault()
    specs = secret_specs(plan)
    vault.ensure(specs)
    for host in data.get("hosts", [])[1:]:
        for name in ("tls/host-{}-key", "tls/host-{}-certificate"):
            vault.values[name.format(host["name"])] = "x"
    late = [name for name, kind in specs.items() if kind == "content"]
    vault.values |= {name: f"glrt-{name.rpartition('/')[2]}" for name in late}
    vault.values |= dict.fromkeys(HOSTS_SECRETS, "x")
    return render(plan, vault)


HOSTS_SECRETS = [
    "tls/hosts-ca-certificate",
    *(f"tls/host-{host['name']}-{part}" for host in HOSTS for part in ("key", "certificate")),
]


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS), scope="module")
def rendered(request: pytest.FixtureRequest) -> tuple[Tree, ...]:
    return trees(request.param)


def text(tree: Tree, path: str) -> str:
    return next(file.content.decode() for file in tree.files if file.path == path)


def configurations(found: tuple[Tree, ...]) -> dict[str, dict[str, Any]]:
    path = "secrets/gitlab-runner/gitlab-runner/config.toml"
    return {
        tree.host: tomllib.loads(file.content.decode())
        for tree in found
        for file in tree.files
        if file.path == path
    }


def test_every_key_of_gitlab_rb_is_documented(rendered: tuple[Tree, ...]) -> None:
    documented = set((LISTS / "gitlab-rb-keys.txt").read_text().splitlines())
    configuration = text(rendered[0], "config/gitlab/gitlab.rb")
    keys = [one or other for one, other in ASSIGNED.findall(configuration)]
    assert len(keys) > 40
    assert [key for key in keys if key not in documented] == []
    assert len(keys) == len(set(keys))
    # Nothing is assigned in a way that the pattern does not see.
    lines = [each for each in configuration.splitlines() if each and each[0] not in " #}"]
    others = [each for each in lines if not ASSIGNED.match(each)]
    assert [each.split(" ")[0] for each in others] == ["secret", "machine", "small"]


def test_gitlab_rb_has_no_secret_and_reads_those_that_are_there(rendered: tuple[Tree, ...]) -> None:
    configuration = text(rendered[0], "config/gitlab/gitlab.rb")
    compose = yaml.safe_load(text(rendered[0], "compose.yml"))["services"]["gitlab"]
    there = {each["target"] for each in compose["secrets"]}
    read = set(re.findall(r"secret\.call\('([a-z-]+)'\)", configuration))
    assert read <= there
    assert there - read == {"token", "/etc/gitlab/ssh_host_ed25519_key"}


def fields() -> dict[str, dict[str, str]]:
    """The documented fields of each part of config.toml, with their types in Go."""
    found: dict[str, dict[str, str]] = {}
    for line in (LISTS / "gitlab-runner-config-fields.txt").read_text().splitlines():
        if line and line[0] not in " #":
            found[line.strip()] = part = {}
        elif line.startswith("  "):
            name, kind = line.split(maxsplit=1)
            part[name] = kind
    found["RunnerConfig"] |= found["RunnerCredentials"] | found["RunnerSettings"]
    return found


def check(value: dict[str, Any], part: str) -> None:
    """Hold a table of config.toml against the fields of its part."""
    known = fields()
    for key, each in value.items():
        assert key in known[part], f"{part}.{key}"
        kind = known[part][key].removeprefix("*")
        if kind == "[]*RunnerConfig":
            for runner in each:
                check(runner, "RunnerConfig")
        elif isinstance(each, dict) and kind != "map[string]string":
            check(each, kind)
        elif kind.startswith("[]"):
            assert all(isinstance(item, str) for item in each), f"{part}.{key}"
        elif kind == "map[string]string":
            assert all(isinstance(item, str) for item in each.values()), f"{part}.{key}"
        else:
            wanted = list if kind.startswith("[]") else GO.get(kind, str)
            assert type(each) is wanted, f"{part}.{key}: {kind}"


def test_every_field_of_config_toml_is_documented(rendered: tuple[Tree, ...]) -> None:
    found = configurations(rendered)
    assert found
    for configuration in found.values():
        check(configuration, "Config")


def test_runners_are_confined(rendered: tuple[Tree, ...]) -> None:
    for configuration in configurations(rendered).values():
        jobs, builder, *platform = configuration["runners"]
        for runner in (jobs, builder, *platform):
            docker = runner["docker"]
            assert runner["executor"] == "docker"
            assert (docker["privileged"], docker["services_privileged"]) == (False, False)
            assert docker["cap_drop"] == ["ALL"]
            assert docker["memory"] == docker["memory_swap"]
            assert not any("docker.sock" in volume for volume in docker["volumes"])
        # A deploy of the platform waits for no analysis.
        assert jobs["limit"] == builder["limit"] == configuration["concurrent"] - len(platform)
        assert jobs["docker"]["security_opt"] == ["no-new-privileges:true"]
        assert builder["docker"]["user"] == "1000:1000"
        (allowed,) = builder["docker"]["allowed_images"]
        assert re.fullmatch(r"registry\.[a-z.]+(:\d+)?/environments/image-builder\*", allowed)


def test_each_host_that_runs_jobs_has_runners_of_its_own() -> None:
    found = configurations(trees(SETTINGS["hosts"]))
    assert set(found) == {"one", "two", "three"}
    assert {host: each["concurrent"] for host, each in found.items()} == {
        "one": 4,
        "two": 2,
        "three": 2,
    }
    assert {host: each["runners"][0]["token"] for host, each in found.items()} == {
        host: f"glrt-token-{host}" for host in found
    }
    gpus = {host: each["runners"][0]["docker"].get("gpus") for host, each in found.items()}
    assert gpus == {"one": None, "two": "device=0,2", "three": "all"}
    assert not any("gpus" in each["runners"][1]["docker"] for each in found.values())


def test_one_host_alone_deploys_the_platform() -> None:
    """The service host where it runs jobs, else the first that does."""
    gitops = {"gitops": {"drift": "0 5 * * *"}}
    service = {**HOSTS[0], "address": "10.0.0.9"}
    both = {**service, "roles": ["service", "runner"]}
    for hosts, where in (([service, *HOSTS[1:]], "one"), ([*HOSTS[1:], both], "main")):
        found = configurations(trees({**gitops, "hosts": hosts}))
        names = {host: [each["name"] for each in conf["runners"]] for host, conf in found.items()}
        assert [host for host, each in names.items() if f"{host}-platform" in each] == [where]
        (runner,) = (r for r in found[where]["runners"] if r["name"] == f"{where}-platform")
        assert runner["limit"] == 1
        (allowed,) = runner["docker"]["allowed_images"]
        assert re.fullmatch(r"registry\.[a-z.]+/environments/\*", allowed)


def test_the_cache_is_where_objects_are() -> None:
    (inside,) = configurations(trees({})).values()
    (outside,) = configurations(trees(SETTINGS["external store"])).values()
    stores = [each["runners"][0]["cache"]["s3"] for each in (inside, outside)]
    assert [each["ServerAddress"] for each in stores] == ["s3.dap.localhost", "s3.example.org"]
    assert [each["BucketLocation"] for each in stores] == ["us-east-1", "eu-1"]
    assert [each["Insecure"] for each in stores] == [False, False]


def test_everybody_may_read_the_certificate_that_jobs_and_gitlab_trust() -> None:
    (tree,) = trees({})
    files = {file.path: file for file in tree.files}
    for folder in ("gitlab", "gitlab-runner"):
        assert files[f"config/{folder}/ca.pem"].mode == 0o444
    (configuration,) = configurations((tree,)).values()
    for runner in configuration["runners"]:
        mount = runner["docker"]["volumes"][-1]
        assert mount.startswith(f"{tree.directory}/config/gitlab-runner/ca.pem:")


def test_gitlab_takes_the_place_of_the_small_forge() -> None:
    (tree,) = trees({})
    plan = yaml.safe_load(text(tree, "plan.json"))
    services = yaml.safe_load(text(tree, "compose.yml"))["services"]
    assert {"gitlab", "gitlab-runner"} <= services.keys()
    assert {"git", "git-web", "pipelines"}.isdisjoint(services)
    routes = {route["name"]: route for route in plan["routes"]}
    assert (routes["git"]["service"], routes["git"]["auth"]) == ("gitlab", "service")
    (stream,) = (each for each in plan["streams"] if each["name"] == "git")
    assert (stream["listen"], stream["port"]) == (2222, 22)
    backups = {each["name"]: each["backup"] for each in plan["services"]}
    assert backups["gitlab"] == ["dap_gitlab-config", "dap_gitlab-data"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"users": [{"name": "root", "email": "a@b.c"}]}, "users[0].name: is the name of a"),
        ({"projects": [{"name": "raw"}]}, "projects[0].name: is the name of a service"),
        (
            {"name": "lab", "users": [{"name": "lab", "email": "a@b.c"}]},
            "users[0].name: is the name of a service",
        ),
    ],
)
def test_names_that_gitlab_keeps_for_itself_are_refused(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        trees(data)


def test_an_image_of_ones_own_can_stand_in_for_gitlabs() -> None:
    (tree,) = trees({"images": {"overrides": {"gitlab": "standin:1", "gitlab-runner": "run:1"}}})
    services = yaml.safe_load(text(tree, "compose.yml"))["services"]
    images = [services[name]["image"] for name in ("gitlab", "gitlab-runner")]
    assert images == ["standin:1", "run:1"]
