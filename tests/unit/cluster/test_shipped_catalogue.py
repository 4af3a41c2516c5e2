"""The shipped catalogue on a cluster, for several settings."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from dap.cluster.files import MOST_BYTES

from tests.paths import ROOT
from tests.unit.cluster.conftest import NAMESERVER, Api, Made, on_cluster
from tests.unit.cluster.policies import Elsewhere, Pod, passes
from tests.unit.cluster.standard import violations

USERS = [
    {"name": "admin", "email": "admin@example.org", "admin": True},
    {"name": "grace", "email": "grace@example.org"},
]
WORKSPACES = [
    {"name": "one", "owner": "admin", "environment": "python", "volumes": ["big"], "gpus": 2},
    {"name": "two", "owner": "grace", "environment": "base", "volumes": ["big"], "ssh_port": 2201},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "people": {"users": USERS, "workspaces": WORKSPACES},
    "bare": {"projects": [], "workspaces": []},
    "gitlab": {
        "forge": "gitlab",
        "mail": {"host": "mail.example.org", "user": "dap"},
        "options": {"gitlab": {"database": "platform", "pages": True}},
    },
    "nodes": {
        "users": USERS,
        "workspaces": [
            {**WORKSPACES[0], "node_selector": {"a": "b"}, "tolerations": [{"key": "c"}]}
        ],
    },
    "pgadmin": {"options": {"pgadmin": {"enabled": True}}},
    "external store": {
        "storage": {
            "stores": [{"name": "attic", "endpoint": "https://s3.example.org"}],
            "default": "attic",
        }
    },
    "ports of nodes": {
        "ports": {"http": 30080, "https": 30443, "ssh": 30022, "postgres": 30432}
        | {"workspaces": 30200},
        "address": "10.0.0.7",
        "cluster": {
            "service": "NodePort",
            "namespace": "science",
            "storage_class": "fast",
            "registry": {"address": "registry.example.org/dap", "user": "puller"},
        },
    },
}
INGRESS = {
    "ingress_class": "nginx",
    "ingress_annotations": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
}
SETTINGS["ingress and ports of nodes"] = {
    "ports": {"ssh": 30022, "postgres": 30432, "workspaces": 30200},
    "cluster": {"service": "NodePort", **INGRESS},
}


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS), scope="module")
def made(request: pytest.FixtureRequest) -> Made:
    return on_cluster(ROOT, request.param)


@pytest.fixture(scope="module")
def default() -> Made:
    return on_cluster(ROOT, {})


@pytest.fixture(scope="module")
def people() -> Made:
    return on_cluster(ROOT, SETTINGS["people"])


def test_every_object_is_one_of_the_api(made: Made, api: Api) -> None:
    assert [problem for each in made.all for problem in api.problems(each)] == []


def test_the_api_refuses_what_is_not_of_it(made: Made, api: Api) -> None:
    pod = made.workload("nginx-proxy")
    broken = json.loads(json.dumps(pod))
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    broken["spec"]["replicas"] = "1"
    assert len(api.problems(broken)) == 2


def test_names_are_such_as_kubernetes_takes_and_there_once(made: Made) -> None:
    seen = [(each["kind"], each["metadata"]["name"]) for each in made.all]
    assert len(seen) == len(set(seen))
    for _, name in seen:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", name), name


def test_all_but_the_namespace_is_in_it_and_has_the_platforms_labels(made: Made) -> None:
    (namespace,) = made.kind("Namespace")
    for each in made.all:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "dap"
        assert labels["app.kubernetes.io/managed-by"] == "dap"
        assert each["metadata"].get("namespace") == (
            None if each["kind"] == "Namespace" else namespace
        )


def test_labels_are_such_as_kubernetes_takes(made: Made) -> None:
    def labels(value: Any) -> Iterator[dict[str, str]]:
        if isinstance(value, dict):
            for key, part in value.items():
                if key in ("labels", "matchLabels", "selector") and all(
                    isinstance(each, str) for each in part.values()
                ):
                    yield part
                yield from labels(part)
        elif isinstance(value, list):
            for part in value:
                yield from labels(part)

    for each in labels(made.all):
        for key, text in each.items():
            name = key.rpartition("/")[2]
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", name), key
            assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", text), text


def test_every_pod_is_restricted_but_what_its_folder_says(made: Made) -> None:
    (namespace,) = made.kind("Namespace").values()
    worst = "restricted"
    for name, pod in made.pods().items():
        found = list(violations(pod["spec"]))
        reasons = json.loads(pod["metadata"].get("annotations", {}).get("dap.exceptions", "{}"))
        if found:
            worst = "baseline"
            assert set(reasons) & {"user", "cap_add"}, (name, found)
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == worst
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"


def test_only_gitlab_is_less_than_restricted() -> None:
    loose = {
        name
        for settings in SETTINGS.values()
        for name, pod in on_cluster(ROOT, settings).pods().items()
        if list(violations(pod["spec"]))
    }
    assert loose == {"gitlab"}


def test_no_pod_has_a_token_of_the_cluster(made: Made) -> None:
    accounts = made.kind("ServiceAccount")
    for name, pod in made.pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_every_container_has_limits_and_is_sure_of_something(made: Made) -> None:
    for name in made.pods():
        resources = made.container(name)["resources"]
        assert "memory" in resources["limits"], name
        assert {"cpu", "memory"} <= resources["requests"].keys(), name


def test_every_mount_has_its_volume_and_every_volume_its_object(made: Made) -> None:
    claims, secrets = made.kind("PersistentVolumeClaim"), made.kind("Secret")
    maps = made.kind("ConfigMap")
    for name, pod in made.pods().items():
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        mounts = made.container(name).get("volumeMounts", ())
        assert {each["name"] for each in mounts} == set(volumes), name
        targets = [each["mountPath"] for each in mounts]
        assert len(targets) == len(set(targets)), name
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "secret" in volume:
                held = secrets[volume["secret"]["secretName"]]["data"]
                assert {item["key"] for item in volume["secret"]["items"]} <= set(held)
            for source in volume.get("projected", {}).get("sources", ()):
                held = maps[source["configMap"]["name"]]
                files = {**held.get("data", {}), **held.get("binaryData", {})}
                assert {item["key"] for item in source["configMap"]["items"]} <= set(files)
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in made.pods().values()
        for volume in pod["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    }
    assert used == set(claims)


def test_a_file_stands_where_compose_puts_it(default: Made) -> None:
    mounts = {each["mountPath"]: each for each in default.container("git")["volumeMounts"]}
    assert mounts["/run/secrets/ssh-host-key"]["subPath"] == "ssh-host-key"
    assert mounts["/etc/forge/gitolite.conf"]["subPath"] == "gitolite.conf"
    assert mounts["/home/git/repositories"]["name"] == "forge-lite-repositories"
    pages = next(
        each for each in default.spec("portal")["volumes"] if "index.html" in json.dumps(each)
    )
    (source,) = pages["projected"]["sources"]
    paths = {item["path"] for item in source["configMap"]["items"]}
    assert "index.html" in paths
    text = default.kind("ConfigMap")["portal"]["data"]["portal__html__index.html"]
    assert "https://mlflow.dap.test" in text


def test_secrets_stand_in_secrets_alone(made: Made) -> None:
    values = re.compile(r"value-of-(?!tls-ca-certificate)")
    for each in made.all:
        text = json.dumps(each)
        assert not values.search(text), (each["kind"], each["metadata"]["name"])
        if each["kind"] != "Secret":
            for found in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", text):
                try:
                    decoded = base64.b64decode(found + "==", validate=False)
                except ValueError:
                    continue
                assert b"value-of-" not in decoded, each["metadata"]["name"]
    assert any("value-of-" in decoded for decoded in _secret_texts(made))


def _secret_texts(made: Made) -> Iterator[str]:
    for each in made.kind("Secret").values():
        for value in each["data"].values():
            yield base64.b64decode(value).decode()


def test_what_the_engine_alone_needs_is_told_to_no_service() -> None:
    made = on_cluster(ROOT, SETTINGS["ports of nodes"])
    vault = json.loads(base64.b64decode(made.kind("Secret")["content"]["data"]["vault.json"]))
    assert "users/admin/password" in vault
    assert not [name for name in vault if name.startswith("cluster/")]
    for name, each in made.kind("Secret").items():
        decoded = " ".join(base64.b64decode(value).decode() for value in each["data"].values())
        assert "state-passphrase" not in decoded, name


def test_objects_stand_in_an_order_in_which_they_can_be_made(made: Made) -> None:
    kinds = list(dict.fromkeys(each["kind"] for each in made.objects.platform))
    before = {"StatefulSet", "Deployment"}
    assert kinds[0] == "Namespace"
    assert set(kinds[-2:]) == before
    assert kinds.index("ServiceAccount") < kinds.index("Service")
    ready = kinds.index("Service")
    assert {"Secret", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy"} <= set(kinds[:ready])
    assert [each["kind"] for each in made.objects.tasks] == ["Job"] * len(made.objects.tasks)


def test_what_has_volumes_is_a_statefulset(made: Made) -> None:
    for each in made.all:
        if each["kind"] in ("StatefulSet", "Deployment"):
            volumes = each["spec"]["template"]["spec"].get("volumes", ())
            claims = [volume for volume in volumes if "persistentVolumeClaim" in volume]
            assert bool(claims) == (each["kind"] == "StatefulSet"), each["metadata"]["name"]


def test_every_service_that_stays_up_tells_whether_it_is_ready(made: Made) -> None:
    tasks = {each["metadata"]["name"] for each in made.objects.tasks}
    for name in made.pods():
        container = made.container(name)
        assert ("readinessProbe" in container) == (name not in tasks), name
        assert ("startupProbe" in container) == (name not in tasks), name
        assert "livenessProbe" not in container, name


def test_every_name_that_others_use_has_a_service(made: Made) -> None:
    tasks = {each["metadata"]["name"] for each in made.objects.tasks}
    services = _inside(made)
    assert set(services) == set(made.pods()) - tasks
    for name, service in services.items():
        selector = service["spec"]["selector"]
        chosen = [
            pod
            for pod, template in made.pods().items()
            if selector.items() <= template["metadata"]["labels"].items()
        ]
        assert chosen == [name]


def _inside(made: Made) -> dict[str, dict[str, Any]]:
    """The Services by which pods know each other."""
    services = made.kind("Service")
    return {name: each for name, each in services.items() if name != "nginx-proxy-streams"}


def test_a_services_ports_are_those_of_its_routes_and_streams(default: Made) -> None:
    ports = {
        name: [(each["port"], each["targetPort"]) for each in service["spec"].get("ports", ())]
        for name, service in default.kind("Service").items()
    }
    assert ports["minio"] == [(9000, 9000), (9001, 9001)]
    assert ports["postgres-service"] == [(5432, 5432)]
    assert ports["admin-python"] == [(8888, 8888), (2222, 2222)]
    assert [port for port, _ in ports["nginx-proxy"]] == [80, 443, 2222, 2200, 5432]


def test_only_the_entry_is_reached_from_outside(made: Made) -> None:
    kinds = {
        name: each["spec"].get("type", "headless") for name, each in made.kind("Service").items()
    }
    outside = {name for name, kind in kinds.items() if kind in ("LoadBalancer", "NodePort")}
    assert outside == ({"nginx-proxy-streams"} if made.kind("Ingress") else {"nginx-proxy"})


def test_an_ingress_leads_all_pages_to_the_proxy_which_ends_tls(default: Made) -> None:
    made = on_cluster(ROOT, {"cluster": INGRESS})
    (ingress,) = made.kind("Ingress").values()
    assert ingress["metadata"]["annotations"] == INGRESS["ingress_annotations"]
    spec = ingress["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert "tls" not in spec
    hosts = [rule["host"] for rule in spec["rules"]]
    assert {"dap.test", "mlflow.dap.test", "git.dap.test", "admin-python.dap.test"} <= set(hosts)
    assert "postgres.dap.test" not in hosts, "a stream is no page"
    backends = [path["backend"] for rule in spec["rules"] for path in rule["http"]["paths"]]
    wanted = {"service": {"name": "nginx-proxy", "port": {"number": 443}}}
    assert backends == [wanted] * len(hosts)
    # What is no page is reached at the proxy's own Service, as without an Ingress.
    assert made.kind("Service") == default.kind("Service")
    assert default.kind("Ingress") == {}


def test_streams_have_ports_of_nodes_where_pages_have_an_ingress() -> None:
    services = on_cluster(ROOT, SETTINGS["ingress and ports of nodes"]).kind("Service")
    inside, outside = (services[name]["spec"] for name in ("nginx-proxy", "nginx-proxy-streams"))
    assert inside["type"] == "ClusterIP"
    assert {each["port"] for each in inside["ports"]} == {80, 443, 30022, 30432, 30200}
    assert not any("nodePort" in each for each in inside["ports"])
    assert outside["type"] == "NodePort"
    assert {each["nodePort"] for each in outside["ports"]} == {30022, 30432, 30200}
    assert outside["selector"] == inside["selector"]


def test_something_of_the_operator_may_lead_to_the_proxy() -> None:
    made = on_cluster(ROOT, {"cluster": {"service": "ClusterIP"}})
    entry = made.kind("Service")["nginx-proxy"]["spec"]
    assert entry["type"] == "ClusterIP"
    assert {each["port"] for each in entry["ports"]} == {80, 443, 2222, 5432, 2200}
    assert made.kind("Ingress") == {}


def test_ports_of_nodes_are_the_published_ones() -> None:
    entry = on_cluster(ROOT, SETTINGS["ports of nodes"]).kind("Service")["nginx-proxy"]["spec"]
    assert entry["type"] == "NodePort"
    assert all(each["nodePort"] == each["port"] == each["targetPort"] for each in entry["ports"])
    assert {each["port"] for each in entry["ports"]} == {30080, 30443, 30022, 30432, 30200}


def test_images_come_from_the_registry_of_the_settings_or_are_there() -> None:
    there, pulled = on_cluster(ROOT, {}), on_cluster(ROOT, SETTINGS["ports of nodes"])
    for name in there.pods():
        one, other = there.container(name), pulled.container(name)
        assert one["imagePullPolicy"] == "Never"
        assert other["imagePullPolicy"] == "IfNotPresent"
        assert other["image"] == f"registry.example.org/dap/{one['image']}"
    login = pulled.kind("Secret")["registry.pull"]["data"][".dockerconfigjson"]
    (entry,) = json.loads(base64.b64decode(login))["auths"].items()
    assert entry[0] == "registry.example.org"
    assert base64.b64decode(entry[1]["auth"]) == b"puller:value-of-cluster-registry-password-x7"
    for account in pulled.kind("ServiceAccount").values():
        assert account["imagePullSecrets"] == [{"name": "registry.pull"}]


def test_pods_ask_the_platforms_nameserver_and_it_asks_the_clusters(made: Made) -> None:
    assert made.objects.nameserver == "nameserver"
    for name, pod in made.pods().items():
        spec = pod["spec"]
        if name == "nameserver":
            assert (spec["dnsPolicy"], spec.get("dnsConfig")) == ("ClusterFirst", None)
        else:
            assert spec["dnsPolicy"] == "None"
            assert spec["dnsConfig"]["nameservers"] == [NAMESERVER]
            # A pod whose first question is lost asks again at once, and not after 5 s.
            assert {"name": "timeout", "value": "1"} in spec["dnsConfig"]["options"]
    (namespace,) = made.kind("Namespace")
    proxy = made.spec("nginx-proxy")["dnsConfig"]
    assert proxy["searches"][0] == f"{namespace}.svc.cluster.local"
    names = made.kind("ConfigMap")["nameserver"]["data"]["nameserver__names"]
    assert names == "dap.test nginx-proxy\n"


def test_nginx_finds_services_by_their_whole_names(made: Made) -> None:
    (namespace,) = made.kind("Namespace")
    config = made.kind("ConfigMap")["nginx-proxy"]["data"]["nginx-proxy__nginx.conf"]
    assert "resolver kube-dns.kube-system.svc.cluster.local " in config
    found = re.findall(r"set \$upstream ([^:]+):", config)
    assert f"mlflow.{namespace}.svc.cluster.local" in found
    assert all(name.endswith(f".{namespace}.svc.cluster.local") for name in found)


def test_pods_that_share_a_volume_are_on_one_node(people: Made) -> None:
    for name in ("one", "two"):
        (term,) = people.spec(name)["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        wanted = term["labelSelector"]["matchLabels"]
        chosen = {
            pod
            for pod, template in people.pods().items()
            if wanted.items() <= template["metadata"]["labels"].items()
        }
        assert chosen == {"one", "two"}
    assert "affinity" not in people.spec("minio")


def test_gpus_are_asked_of_the_cluster(people: Made) -> None:
    assert people.container("one")["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert "nvidia.com/gpu" not in people.container("two")["resources"]["limits"]


def test_the_quota_has_room_for_all_pods_at_once(made: Made) -> None:
    (quota,) = made.kind("ResourceQuota").values()
    hard = quota["spec"]["hard"]
    asked = sum(
        _amount(made.container(each["metadata"]["name"])["resources"]["requests"]["memory"])
        * (each["spec"].get("replicas", 1) + (each["kind"] == "Deployment"))
        for each in made.all
        if each["kind"] in ("StatefulSet", "Deployment", "Job")
    )
    assert _amount(hard["requests.memory"]) == asked
    # It would keep out the volume of the next workspace.
    assert "requests.storage" not in hard


def _amount(text: str) -> int:
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return int(text[:-2]) * units[text[-2:]] if text[-2:] in units else int(text)


def test_who_reaches_whom_is_what_the_networks_say(made: Made) -> None:
    policies = list(made.kind("NetworkPolicy").values())
    pods = {name: Pod(each["metadata"]["labels"]) for name, each in made.pods().items()}
    networks = {
        name: {key for key in pod.labels if key.startswith("dap.network/")}
        for name, pod in pods.items()
    }
    services = _inside(made)
    for target, service in services.items():
        for source in pods:
            for port in service["spec"].get("ports", ()):
                met = passes(policies, pods[source], pods[target], port["port"], port["protocol"])
                assert met == bool(networks[source] & networks[target]), (source, target)
            assert not passes(policies, pods[source], pods[target], 9), (source, target)


def test_the_ways_out_and_in(default: Made) -> None:
    policies = list(default.kind("NetworkPolicy").values())
    pods = {name: Pod(each["metadata"]["labels"]) for name, each in default.pods().items()}
    world, metadata = Elsewhere("203.0.113.9"), Elsewhere("169.254.169.254")
    stranger, dns = Elsewhere("10.2.0.9", pod=True), Elsewhere("10.2.0.53", pod=True)
    for name, pod in pods.items():
        out = name in ("nginx-proxy", "portal", "admin-python", "jump", "nameserver")
        assert passes(policies, pod, world, 443) == out, name
        assert not passes(policies, pod, metadata, 80), name
        assert passes(policies, pod, dns, 53, "UDP"), name
        entry = name == "nginx-proxy"
        assert passes(policies, world, pod, 443) == entry, name
        assert passes(policies, stranger, pod, 5432) == entry, name
        assert not passes(policies, world, pod, 8999), name


def test_ten_times_the_workspaces_are_no_more_policies() -> None:
    def policies(count: int) -> int:
        workspaces = [
            {"name": f"w{number}", "owner": "admin", "environment": "python"}
            for number in range(count)
        ]
        return len(on_cluster(ROOT, {"workspaces": workspaces}).kind("NetworkPolicy"))

    assert policies(3) == policies(30)


def test_a_new_workspace_changes_no_other_pod_but_who_must_know_it() -> None:
    workspaces = [
        {"name": name, "owner": "admin", "environment": "python"} for name in ("one", "two")
    ]
    before, after = (
        on_cluster(ROOT, {"workspaces": listed}).pods() for listed in (workspaces[:1], workspaces)
    )
    changed = {name for name in before if before[name] != after[name]}
    # The proxy has its route, the page its card, the jump its port; content the whole plan.
    assert changed == {"nginx-proxy", "portal", "jump", "content"}


def test_the_same_settings_give_the_same_objects() -> None:
    assert on_cluster(ROOT, SETTINGS["people"]) == on_cluster(ROOT, SETTINGS["people"])


def test_no_runner_is_where_the_platforms_secrets_are() -> None:
    made = on_cluster(ROOT, {"forge": "gitlab", "cluster": {"slots": 2}})
    assert "gitlab" in made.pods()
    assert "gitlab-runner" not in made.pods()
    assert made.kind("Role") == {}


def test_a_workspace_is_on_the_nodes_that_it_asks_for() -> None:
    workspace = {
        **WORKSPACES[0],
        "node_selector": {"disk": "fast"},
        "tolerations": [
            {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
            {"key": "team", "value": "ml"},
        ],
    }
    one, two = (
        on_cluster(ROOT, {"users": USERS, "workspaces": [each, WORKSPACES[1]]})
        for each in (workspace, WORKSPACES[0])
    )
    spec = one.spec("one")
    assert one.workload("one")["kind"] == "StatefulSet"
    assert one.container("one")["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml"},
    ]
    for other in (one.spec("two"), two.spec("one"), one.spec("mlflow")):
        assert {"nodeSelector", "tolerations"}.isdisjoint(other)


def test_a_thousand_workspaces_fit_into_what_an_object_holds() -> None:
    """All grows with their number alone, so two sizes tell the one of a thousand."""
    few, more = (_largest(count) for count in (50, 100))
    for name, size in more.items():
        each = (size - few[name]) / 50
        assert size + 900 * each < MOST_BYTES, name
    assert max(more.values()) > 90_000, "something grows"


def _largest(count: int) -> dict[str, int]:
    """The largest file of each ConfigMap, and each Secret, of a platform with so many people."""
    people = [f"person{number:03}" for number in range(count)]
    made = on_cluster(
        ROOT,
        {
            "users": [{"name": name, "email": f"{name}@example.org"} for name in people],
            "workspaces": [
                {"name": f"{name}-python", "owner": name, "environment": "python"}
                for name in people
            ],
        },
    )
    found = {
        name: max(len(text.encode()) for text in {**each.get("data", {}), "none": ""}.values())
        for name, each in made.kind("ConfigMap").items()
        if "." not in name
    }
    for name, each in made.kind("Secret").items():
        data = each["data"].values()
        found[f"secret {name}"] = sum(len(base64.b64decode(value)) for value in data)
    return {name: size for name, size in found.items() if "person" not in name}
