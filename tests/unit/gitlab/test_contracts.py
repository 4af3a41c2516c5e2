"""What is rendered for GitLab and its runner, against the keys and fields that these document.

The lists in tests/gitlab/data were taken from GitLab's gitlab.rb template and from the types of
gitlab-runner's configuration.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.errors import InputError
from dap.plan import make_plan, secret_specs
from dap.render import Tree, render, render_clusters
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
GPU = {
    "name": "gpu",
    "context": "lab",
    "labels": ["a100"],
    "slots": 4,
    "gpus": 2,
    "job": {"cpus": 8.0, "memory": "64g"},
    "node_selector": {"nvidia.com/gpu.product": "A100"},
    "tolerations": [
        {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
        {"key": "team", "value": "ml"},
    ],
    "platform_address": "10.0.0.5",
}
BESIDE = {"domain": "dap.test", "address": "10.0.0.5"}
SETTINGS |= {
    "clusters": BESIDE | {"clusters": [GPU, {"name": "other", "context": "far"}]},
    "clusters with options": BESIDE
    | {
        "clusters": [GPU],
        "options": {"gitlab-runner": {"helper_image": "helper:1"}},
        "storage": {"stores": [STORE], "default": "attic"},
    },
    "on a cluster": {
        "target": "kubernetes",
        "domain": "dap.test",
        "cluster": {"context": "here", "registry": {"address": "images.example.org/dap"}},
    },
}
ASSIGNED = re.compile(r"^([a-z_]+(?:\['[a-z0-9_]+'\])+) = |^((?:[a-z]+_)?external_url) '", re.M)
LISTS_OF = {
    "[]KubernetesConfigMap": "KubernetesConfigMap",
    "[]KubernetesPodSpec": "KubernetesPodSpec",
    # A type of the list, which the fields of its items are described for.
    "KubernetesHostAliasesFlag": "KubernetesHostAliases",
}
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
    return (*render(plan, vault), *render_clusters(plan, vault))


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
        elif isinstance(each, dict) and not kind.startswith("map["):
            check(each, kind)
        elif kind in LISTS_OF:
            for item in each:
                check(item, LISTS_OF[kind])
        elif kind == "map[string]bool":
            assert all(isinstance(item, bool) for item in each.values()), f"{part}.{key}"
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


def of_hosts(found: tuple[Tree, ...]) -> list[dict[str, Any]]:
    listed = configurations(found).values()
    return [each for each in listed if each["runners"][0]["executor"] == "docker"]


def test_runners_are_confined(rendered: tuple[Tree, ...]) -> None:
    for configuration in of_hosts(rendered):
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


def of_clusters(found: tuple[Tree, ...]) -> dict[str, dict[str, Any]]:
    """The only runner of each cluster."""
    made = {}
    for host, configuration in configurations(found).items():
        if configuration["runners"][0]["executor"] == "kubernetes":
            (made[host],) = configuration["runners"]
            assert configuration["concurrent"] == made[host]["limit"]
    return made


def test_jobs_of_clusters_are_restricted(rendered: tuple[Tree, ...]) -> None:
    for runner in of_clusters(rendered).values():
        given = runner["kubernetes"]
        assert (given["privileged"], given["allow_privilege_escalation"]) == (False, False)
        assert given["automount_service_account_token"] is False
        pod = given["pod_security_context"]
        assert (pod["run_as_user"], pod["run_as_non_root"], pod["fs_group"]) == (1000, True, 1000)
        assert pod["seccomp_profile"] == {"type": "RuntimeDefault"}
        contexts = [key for key in given if key.endswith("_container_security_context")]
        assert len(contexts) == 4
        for key in contexts:
            assert given[key]["allow_privilege_escalation"] is False
            assert given[key]["capabilities"] == {"drop": ["ALL"]}
        # What a job may say itself would loosen that.
        assert not [key for key in given if "overwrite" in key]
        assert {"host_path", "secret"}.isdisjoint(given["volumes"])


def test_a_clusters_jobs_get_what_its_settings_say() -> None:
    found = of_clusters(trees(SETTINGS["clusters"]))
    assert set(found) == {"gpu", "other"}
    given, other = (found[name]["kubernetes"] for name in ("gpu", "other"))
    assert (given["namespace"], other["namespace"]) == ("dap-gpu", "dap-other")
    assert (given["cpu_limit"], given["cpu_request"]) == ("8000m", "800m")
    assert (given["memory_limit"], given["memory_request"]) == ("64Gi", "64Gi")
    assert (other["cpu_limit"], other["memory_limit"]) == ("2000m", "4Gi")
    assert given["node_selector"] == {"nvidia.com/gpu.product": "A100"}
    assert given["node_tolerations"] == {"nvidia.com/gpu": "NoSchedule", "team=ml": ""}
    assert found["gpu"]["feature_flags"] == {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION": True}
    (patch,) = given["pod_spec"]
    gpus = {"nvidia.com/gpu": 2}
    assert json.loads(patch["patch"]) == {
        "containers": [{"name": "build", "resources": {"limits": gpus, "requests": gpus}}]
    }
    assert "pod_spec" not in other
    assert "feature_flags" not in found["other"]
    (aliases,) = given["host_aliases"]
    assert aliases["ip"] == "10.0.0.5"
    assert {"git.dap.test", "s3.dap.test", "registry.dap.test"} <= set(aliases["hostnames"])
    # A new workspace starts no runner anew.
    assert "admin-python.dap.test" not in aliases["hostnames"]
    assert "host_aliases" not in other
    assert {found[name]["token"] for name in found} == {"glrt-token-gpu", "glrt-token-other"}


def test_clusters_pull_environments_from_where_the_platform_has_them() -> None:
    beside = of_clusters(trees(SETTINGS["clusters"]))["gpu"]["kubernetes"]
    own = of_clusters(trees(SETTINGS["on a cluster"]))["jobs"]["kubernetes"]
    assert re.fullmatch(r"registry\.dap\.test/environments/base:[0-9a-f]{12}", beside["image"])
    assert beside["image_pull_secrets"] == ["registry.pull"]
    assert own["image"].startswith("images.example.org/dap/dap/environment-base:")
    assert "image_pull_secrets" not in own
    assert own["namespace"] == "dap-jobs"


def test_the_store_of_caches_is_the_same_in_clusters() -> None:
    found = configurations(trees(SETTINGS["clusters"]))
    stores = [each["runners"][0]["cache"] for each in found.values()]
    assert len(stores) == 3
    assert stores[0] == stores[1] == stores[2]


def test_a_cluster_is_picked_by_its_tags_alone_where_hosts_run_jobs() -> None:
    def runners(data: dict[str, Any]) -> dict[str, tuple[list[str], bool]]:
        plan = yaml.safe_load(text(trees(data)[0], "plan.json"))
        listed = plan["folders"]["gitlab-runner"]["resources"]
        return {
            each["name"]: (each["tags"], each["untagged"])
            for each in listed
            if each["kind"] == "runner" and "image-builder" not in each["tags"]
        }

    assert runners(SETTINGS["clusters"]) == {
        "local": (["local"], True),
        "gpu": (["gpu", "a100"], False),
        "other": (["other"], False),
    }
    idle = [{"name": "main", "slots": 0}]
    assert runners(BESIDE | {"hosts": idle, "clusters": [GPU]}) == {"gpu": (["gpu", "a100"], True)}
    assert runners(SETTINGS["on a cluster"]) == {"jobs": (["jobs"], True)}


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
