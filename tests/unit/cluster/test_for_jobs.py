"""Clusters that run jobs: what is made there, and what of it could harm whom."""

from __future__ import annotations

import base64
import json
import tomllib
from typing import Any

import pytest
from dap.catalogue import read_catalogue
from dap.errors import InputError
from dap.plan import make_plan, secret_specs
from dap.render import render
from dap.settings import Settings, SettingsError

from tests.paths import ROOT
from tests.unit.cluster.conftest import (
    BESIDE,
    ON_CLUSTER,
    AnyVault,
    Api,
    Made,
    for_jobs,
    on_cluster,
)
from tests.unit.cluster.policies import Elsewhere, Pod, passes
from tests.unit.cluster.standard import violations
from tests.unit.conftest import Project

GPU: dict[str, Any] = {
    "name": "gpu",
    "context": "lab",
    "slots": 3,
    "gpus": 2,
    "job": {"cpus": 8.0, "memory": "16g"},
    "platform_address": "10.0.0.5",
}
OWN = {**ON_CLUSTER, "address": "10.0.0.7", "cluster": {"context": "here", "slots": 2}}
PULLER = {"address": "images.example.org/dap", "user": "puller"}
SETTINGS: dict[str, dict[str, Any]] = {
    "beside hosts": {"clusters": [GPU]},
    "bare": {"clusters": [{"name": "gpu", "context": "lab"}]},
    "without a registry": {"clusters": [GPU], "options": {"gitlab": {"registry": False}}},
    "own": OWN,
    "own with a registry": {**OWN, "cluster": {**OWN["cluster"], "registry": PULLER}},
}
# GitLab Runner's documentation, Kubernetes executor, "Configure runner API permissions": what it
# needs whatever is switched on, then what by default is, by resource.
ALWAYS = {
    "pods": {"create", "delete", "get"},
    "pods/exec": {"create", "delete", "get", "patch"},
    "secrets": {"create", "delete", "get", "update"},
    "serviceaccounts": {"get"},
    "services": {"create", "get"},
}
BY_DEFAULT = {
    "events": {"list"},  # print_pod_warning_events
    "pods": {"list", "watch"},  # informers
    # FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY is off
    "pods/attach": {"create", "delete", "get", "patch"},
    "pods/log": {"get", "list"},
}


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS), scope="module")
def made(request: pytest.FixtureRequest) -> Made:
    (found,) = for_jobs(ROOT, request.param).values()
    return found


@pytest.fixture(scope="module")
def gpu() -> Made:
    return for_jobs(ROOT, SETTINGS["beside hosts"])["gpu"]


def configuration(made: Made) -> dict[str, Any]:
    data = made.kind("Secret")["gitlab-runner"]["data"]["config.toml"]
    return tomllib.loads(base64.b64decode(data).decode())


def test_every_object_is_one_of_the_api(made: Made, api: Api) -> None:
    assert [problem for each in made.all for problem in api.problems(each)] == []


def test_all_is_in_one_restricted_namespace_that_is_its_own(made: Made) -> None:
    (namespace,) = made.kind("Namespace").values()
    name = namespace["metadata"]["name"]
    assert name in ("dap-gpu", "dap-jobs")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in made.all:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == name
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "dap"
    assert [*made.pods()] == ["gitlab-runner"]
    assert made.kind("PersistentVolumeClaim") == {}
    assert [*violations(made.spec("gitlab-runner"))] == []
    assert configuration(made)["runners"][0]["kubernetes"]["namespace"] == name


def test_the_runner_may_do_what_its_documentation_says_and_no_more(made: Made) -> None:
    (role,) = made.kind("Role").values()
    given: dict[str, set[str]] = {}
    for rule in role["rules"]:
        assert rule["apiGroups"] == [""]
        for resource in rule["resources"]:
            given.setdefault(resource, set()).update(rule["verbs"])
    assert given == {
        name: ALWAYS.get(name, set()) | BY_DEFAULT.get(name, set())
        for name in ALWAYS.keys() | BY_DEFAULT.keys()
    }
    (binding,) = made.kind("RoleBinding").values()
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    spec = made.spec("gitlab-runner")
    assert subject["name"] == spec["serviceAccountName"]
    assert subject["namespace"] == binding["metadata"]["namespace"]
    # Its pod has the token, and whoever else takes the account has none.
    assert spec["automountServiceAccountToken"] is True
    assert made.kind("ServiceAccount")[subject["name"]]["automountServiceAccountToken"] is False
    # Jobs are another account, which has no rights.
    job = configuration(made)["runners"][0]["kubernetes"]
    assert job["service_account"] != subject["name"]


def test_none_of_the_platforms_secrets_are_there_but_the_runners(made: Made) -> None:
    texts = [
        base64.b64decode(value).decode()
        for each in made.kind("Secret").values()
        for value in each["data"].values()
    ]
    for text in texts:
        for word in ("users-", "projects-", "kubeconfig", "state-passphrase", "tls-key"):
            assert f"value-of-{word}" not in text
    assert any("value-of-gitlab-runner-token" in text for text in texts)
    assert any("value-of-gitlab-runner-cache-key" in text for text in texts)


def test_the_quota_has_room_for_the_runner_and_all_jobs(gpu: Made) -> None:
    (quota,) = gpu.kind("ResourceQuota").values()
    hard = quota["spec"]["hard"]
    # Two runners while one takes the place of the other; three jobs with helper and one service,
    # and as many that are still going.
    assert hard["requests.memory"] == f"{1 + 6 * (16 + 1)}Gi"
    assert hard["requests.cpu"] == f"{2 * 20 + 6 * (800 + 100)}m"
    assert hard["requests.nvidia.com/gpu"] == "12"
    job = configuration(gpu)["runners"][0]["kubernetes"]
    assert (job["memory_request"], job["cpu_request"]) == ("16Gi", "800m")
    assert job["helper_memory_request"] == job["service_memory_request"] == "512Mi"
    assert job["helper_cpu_request"] == job["service_cpu_request"] == "50m"


def test_a_quota_that_is_too_small_is_refused_by_its_place() -> None:
    small = {**GPU, "quota": {"memory": "4g", "cpus": 1}}
    with pytest.raises(SettingsError) as caught:
        for_jobs(ROOT, {"clusters": [{"name": "a", "context": "b"}, small]})
    first, second = caught.value.problems
    assert (first.path, first.allowed) == (("clusters", 1, "quota", "cpus"), "5.44 or more")
    assert second.path == ("clusters", 1, "quota", "memory")


def test_a_larger_quota_is_taken() -> None:
    made = for_jobs(ROOT, {"clusters": [{**GPU, "quota": {"memory": "512g"}}]})["gpu"]
    (quota,) = made.kind("ResourceQuota").values()
    assert quota["spec"]["hard"]["requests.memory"] == "512Gi"


def test_nodes_log_in_where_environments_are() -> None:
    def logins(settings: str) -> dict[str, Any]:
        (made,) = for_jobs(ROOT, SETTINGS[settings]).values()
        accounts = {name: each.get("imagePullSecrets") for name, each in _accounts(made).items()}
        held = made.kind("Secret").get("registry.pull")
        asked = configuration(made)["runners"][0]["kubernetes"].get("image_pull_secrets")
        if held is None:
            assert (accounts, asked) == ({"gitlab-runner": None}, None)
            return {}
        assert accounts == {"gitlab-runner": [{"name": "registry.pull"}]}
        assert asked == ["registry.pull"]
        data = json.loads(base64.b64decode(held["data"][".dockerconfigjson"]))["auths"]
        return {host: base64.b64decode(each["auth"]).decode() for host, each in data.items()}

    # By an account of its own, which may only pull.
    assert logins("beside hosts") == {
        "registry.dap.test": "cluster_gpu:value-of-registry-pull-gpu-x7"
    }
    assert logins("own") == {}
    assert logins("own with a registry") == {
        "images.example.org": "puller:value-of-cluster-registry-password-x7"
    }


def test_an_account_that_pulls_is_known_while_its_cluster_is() -> None:
    def known(*names: str) -> set[str]:
        given = {**BESIDE, "clusters": [{"name": name, "context": name} for name in names]}
        plan = make_plan(Settings.model_validate(given), read_catalogue(ROOT))
        specs = secret_specs(plan)
        assert {name for name in specs if "/pull-" in name} == {
            f"registry/pull-{name}" for name in names
        }
        (tree,) = render(plan, AnyVault(dict(specs)))
        texts = {file.path: file.content.decode() for file in tree.files if file.secret}
        lines = texts["secrets/registry/registry/htpasswd"].splitlines()
        return {line.partition(":")[0] for line in lines} - {"platform_admin", "admin", "analysis"}

    assert known("gpu", "far") == {"cluster_gpu", "cluster_far"}
    assert known("far") == {"cluster_far"}
    assert known() == set()


def _accounts(made: Made) -> dict[str, dict[str, Any]]:
    return made.kind("ServiceAccount")


def test_jobs_reach_the_world_and_names_and_nobody_reaches_them(made: Made) -> None:
    policies = list(made.kind("NetworkPolicy").values())
    job = Pod(configuration(made)["runners"][0]["kubernetes"]["pod_labels"])
    runner = Pod(made.pods()["gitlab-runner"]["metadata"]["labels"])
    # What somebody else starts there, by whatever label.
    other = Pod({"app": "other"})
    world, metadata = Elsewhere("203.0.113.9"), Elsewhere("169.254.169.254")
    stranger, dns = Elsewhere("10.2.0.9", pod=True), Elsewhere("10.2.0.53", pod=True)
    for pod in (job, runner):
        assert passes(policies, pod, world, 443)
        assert passes(policies, pod, dns, 53, "UDP")
        assert not passes(policies, pod, metadata, 80)
        for source in (world, stranger, other):
            assert not passes(policies, source, pod, 9252)
            assert not passes(policies, source, pod, 8080)
    assert not passes(policies, job, job, 8080)
    assert not passes(policies, other, world, 443)


def test_who_has_a_token_reaches_the_api_wherever_it_is(made: Made) -> None:
    """Plugins differ in whether an address of the cluster's own is one of a block."""
    policies = list(made.kind("NetworkPolicy").values())
    runner = Pod(made.pods()["gitlab-runner"]["metadata"]["labels"])
    job = Pod(configuration(made)["runners"][0]["kubernetes"]["pod_labels"])
    api = Elsewhere("169.254.0.7")  # in no block that anybody may reach
    assert [passes(policies, pod, api, 6443) for pod in (runner, job)] == [True, False]


def test_own_jobs_reach_the_entry_of_their_platform_alone() -> None:
    def to_platform(settings: str) -> list[dict[str, Any]]:
        (made,) = for_jobs(ROOT, SETTINGS[settings]).values()
        policies = made.kind("NetworkPolicy")
        return (
            list(policies["platform.out"]["spec"]["egress"]) if "platform.out" in policies else []
        )

    assert to_platform("beside hosts") == []
    (rule,) = to_platform("own")
    (peer,) = rule["to"]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "dap"}}
    assert {443, 2222} <= {each["port"] for each in rule["ports"]}
    entry = on_cluster(ROOT, OWN).pods()["nginx-proxy"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= entry.items()


def test_jobs_mount_the_authority_from_where_it_is(made: Made) -> None:
    (mount,) = configuration(made)["runners"][0]["kubernetes"]["volumes"]["config_map"]
    held = made.kind("ConfigMap")[mount["name"]]["data"]
    ((key, path),) = mount["items"].items()
    assert "value-of-tls-ca-certificate" in held[key]
    assert path == mount["sub_path"]
    assert configuration(made)["runners"][0]["tls-ca-file"] == "/etc/dap/ca.pem"


def test_names_lead_to_the_address_of_the_settings_or_are_asked_for() -> None:
    there, bare = (
        for_jobs(ROOT, SETTINGS[name])["gpu"].spec("gitlab-runner")
        for name in ("beside hosts", "bare")
    )
    # The API takes an address once.
    assert there["hostAliases"] == [
        {"ip": "10.0.0.5", "hostnames": ["git.dap.test", "s3.dap.test"]}
    ]
    assert "hostAliases" not in bare
    assert there["dnsPolicy"] == bare["dnsPolicy"] == "ClusterFirst"


def test_a_runner_keeps_its_name_at_gitlab(made: Made) -> None:
    data = made.kind("Secret")["gitlab-runner"]["data"]["system-id"]
    assert base64.b64decode(data).decode().startswith("r_value-of-g")
    targets = [each["mountPath"] for each in made.container("gitlab-runner")["volumeMounts"]]
    assert "/etc/gitlab-runner/.runner_system_id" in targets


def test_a_platform_in_a_cluster_without_slots_has_no_place_for_jobs() -> None:
    data = {**OWN, "cluster": {"context": "here", "slots": 0}}
    assert for_jobs(ROOT, data) == {}
    more = for_jobs(ROOT, {**OWN, "clusters": [GPU]})
    assert set(more) == {"jobs", "gpu"}


def test_rights_in_the_platforms_own_namespace_are_refused(project: Project) -> None:
    rules = "kubernetes: {rules: [{resources: [pods], verbs: [create]}]}"
    text = (
        "x-dap: {title: Extra, description: More, roles: [service]}\nservices:\n  extra:\n"
        f'    image: a:1\n    user: "11030:11031"\n    x-dap: {{{rules}}}\n'
    )
    project.service("extra", text)
    with pytest.raises(InputError, match=r"services.extra.x-dap.kubernetes.rules: can't be given"):
        on_cluster(project.root, {})
