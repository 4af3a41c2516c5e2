"""What each key of a Compose service becomes, with made-up services."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from dap.catalogue.model import ServiceOptions
from dap.cluster import amounts, keys, objects
from dap.errors import InputError
from dap.plan import secret_specs
from dap.render import render
from dap.settings import SettingsError

from tests.unit.cluster.conftest import AnyVault, Api, Made, on_cluster
from tests.unit.conftest import Project, Vault

HEAD = "x-dap: {title: Extra, description: More, roles: [service]}\n"


def one(project: Project, lines: str, volumes: str = "", head: str = HEAD) -> Made:
    """The platform with a service `extra` that has these further lines."""
    text = f'{head}services:\n  extra:\n    image: upstream/extra:1\n    user: "11030:11031"\n'
    text += "".join(f"    {line}\n" for line in lines.splitlines())
    project.service("extra", text + volumes)
    return on_cluster(project.root, project.data)


def refused(project: Project, lines: str, volumes: str = "") -> str:
    """The message for such a service, which must name its file and it."""
    with pytest.raises(InputError) as caught:
        one(project, lines, volumes)
    assert caught.value.status == 2
    prefix = "infrastructure/services/extra/compose.yml: services.extra."
    assert caught.value.message.startswith(prefix), caught.value.message
    return caught.value.message.removeprefix(prefix)


def test_the_small_platform_is_of_the_api(project: Project, api: Api) -> None:
    made = on_cluster(project.root, {})
    assert [problem for each in made.all for problem in api.problems(each)] == []
    assert made.objects.nameserver == ""


def test_user_group_and_what_it_may_not_do(project: Project) -> None:
    made = one(project, "group_add: [11040]")
    pod = made.spec("extra")["securityContext"]
    assert (pod["runAsUser"], pod["runAsGroup"], pod["runAsNonRoot"]) == (11030, 11031, True)
    assert (pod["fsGroup"], pod["fsGroupChangePolicy"]) == (11031, "OnRootMismatch")
    assert pod["supplementalGroups"] == [11040]
    assert made.container("extra")["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_an_exception_is_kept_with_its_reason_and_lowers_the_namespace(project: Project) -> None:
    made = one(project, 'cap_add: [CHOWN]\nx-dap: {exceptions: {cap_add: "it gives away"}}')
    pod = made.pods()["extra"]
    assert json.loads(pod["metadata"]["annotations"]["dap.exceptions"]) == {
        "cap_add": "it gives away"
    }
    assert _level(made) == "baseline"
    made = one(project, 'cap_add: [SYS_ADMIN]\nx-dap: {exceptions: {cap_add: "it mounts"}}')
    assert _level(made) == "privileged"
    assert _level(one(project, "")) == "restricted"


@pytest.mark.parametrize(
    ("key", "value"),
    [("privileged", "true"), ("security_opt", "[seccomp:unconfined]"), ("user", '"0:0"')],
)
def test_other_exceptions_lower_it_too(project: Project, key: str, value: str) -> None:
    text = f"{HEAD}services:\n  extra:\n    image: a:1\n    {key}: {value}\n"
    text += (
        "    x-dap: {exceptions: {" + f"{key}: why" + ("}}" if key == "user" else ", user: me}}")
    )
    text += "\n" if key == "user" else '\n    user: "0:0"\n'
    project.service("extra", text)
    made = on_cluster(project.root, {})
    assert _level(made) == ("baseline" if key == "user" else "privileged")
    assert "fsGroup" not in made.spec("extra")["securityContext"]


def _level(made: Made) -> str:
    (namespace,) = made.kind("Namespace").values()
    level: str = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    return level


def test_a_pod_may_listen_where_docker_lets_it(project: Project) -> None:
    (sysctl,) = one(project, "").spec("extra")["securityContext"]["sysctls"]
    assert sysctl == {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}


def test_command_entrypoint_and_environment(project: Project) -> None:
    container = one(
        project,
        'entrypoint: run "two words"\n'
        "command: [go, $$HOME, $(date)]\n"
        "working_dir: /work\n"
        'environment: {A: 1, B: true, C: "cost: $$5", D: "$(A)"}',
    ).container("extra")
    assert container["command"] == ["run", "two words"]
    assert container["args"] == ["go", "$HOME", "$$(date)"]
    assert container["workingDir"] == "/work"
    assert {each["name"]: each["value"] for each in container["env"]} == {
        "A": "1",
        "B": "true",
        "C": "cost: $5",
        "D": "$$(A)",
    }
    listed = one(project, "environment: [A=1, B=, C=x=y]").container("extra")["env"]
    assert [(each["name"], each["value"]) for each in listed] == [
        *(("A", "1"), ("B", "")),
        ("C", "x=y"),
    ]


def test_limits_and_what_it_is_sure_of(project: Project) -> None:
    resources = one(project, "mem_limit: 1g\nmem_reservation: 256m\ncpus: 2").container("extra")
    assert resources["resources"] == {
        "requests": {"memory": "256Mi", "cpu": "200m"},
        "limits": {"memory": "1Gi", "cpu": "2"},
    }
    default = one(project, "").container("extra")["resources"]
    assert default == {"requests": {"memory": "512Mi", "cpu": "20m"}, "limits": {"memory": "512Mi"}}


def test_resources_of_the_settings_count(project: Project) -> None:
    project.data = {"resources": {"app": {"memory": "3g", "cpus": 1.5}}}
    limits = on_cluster(project.root, project.data).container("app")["resources"]["limits"]
    assert limits == {"memory": "3Gi", "cpu": "1500m"}


def test_health_check(project: Project) -> None:
    container = one(
        project,
        "healthcheck: {test: [CMD, ask, $$PORT], interval: 1m30s, timeout: 5s, retries: 4, "
        "start_period: 30s, start_interval: 500ms}",
    ).container("extra")
    ready, started = container["readinessProbe"], container["startupProbe"]
    assert ready["exec"] == started["exec"] == {"command": ["ask", "$PORT"]}
    assert (ready["periodSeconds"], ready["timeoutSeconds"], ready["failureThreshold"]) == (
        90,
        5,
        4,
    )
    assert (started["periodSeconds"], started["timeoutSeconds"]) == (1, 5)
    # A program may take hours to be there, as a database that mends itself: it is not killed.
    assert started["periodSeconds"] * started["failureThreshold"] > 365 * 86400


@pytest.mark.parametrize("test", ["ask it", '[CMD-SHELL, "ask it"]'])
def test_a_health_check_for_the_shell(project: Project, test: str) -> None:
    probe = one(project, f"healthcheck: {{test: {test}}}").container("extra")["readinessProbe"]
    assert probe["exec"]["command"] == ["/bin/sh", "-c", "ask it"]
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == (
        *(30, 30),
        3,
    )


@pytest.mark.parametrize("how", ["{disable: true}", "{test: [NONE]}"])
def test_no_health_check(project: Project, how: str) -> None:
    assert "readinessProbe" not in one(project, f"healthcheck: {how}").container("extra")


def test_volumes_are_claims_of_the_sizes_in_the_settings(project: Project) -> None:
    project.data = {"cluster": {"size": "5g", "sizes": {"extra-b": "1t"}, "storage_class": "fast"}}
    made = one(project, "volumes: [a:/a, b:/b:ro]", "volumes:\n  a:\n  b:\n")
    claims = made.kind("PersistentVolumeClaim")
    sizes = {
        name: each["spec"]["resources"]["requests"]["storage"] for name, each in claims.items()
    }
    assert (sizes["extra-a"], sizes["extra-b"]) == ("5Gi", "1Ti")
    assert {each["spec"]["storageClassName"] for each in claims.values()} == {"fast"}
    assert made.workload("extra")["kind"] == "StatefulSet"
    mounts = {each["mountPath"]: each for each in made.container("extra")["volumeMounts"]}
    # Below the top of the volume, where its file system may have a folder of its own.
    assert mounts["/a"] == {"name": "extra-a", "mountPath": "/a", "subPath": "data"}
    assert mounts["/b"]["readOnly"] is True


def test_without_a_class_it_is_the_clusters_default(project: Project) -> None:
    made = one(project, "volumes: [a:/a]", "volumes:\n  a:\n")
    assert "storageClassName" not in made.kind("PersistentVolumeClaim")["extra-a"]["spec"]


def test_a_size_for_no_volume_is_refused(project: Project) -> None:
    project.data = {"cluster": {"sizes": {"extra-aa": "1g"}}}
    with pytest.raises(SettingsError) as caught:
        one(project, "volumes: [a:/a]", "volumes:\n  a:\n")
    (problem,) = caught.value.problems
    assert str(problem).startswith("platform.yml:1: cluster.sizes.extra-aa: is no volume; allowed")
    assert "extra-a (nearest)" in problem.allowed


@pytest.mark.parametrize(
    ("quota", "key", "allowed"),
    [
        ({"memory": "1g"}, "memory", r"^[0-9]+m or more$"),
        ({"cpus": 0.05}, "cpus", r"^0\.[0-9]+ or more$"),
        ({"storage": "1g"}, "storage", r"^10g or more$"),
    ],
)
def test_a_quota_that_is_too_small_is_refused(
    project: Project, quota: dict[str, Any], key: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        on_cluster(project.root, {"cluster": {"quota": quota}, "workspaces": []})
    (problem,) = caught.value.problems
    assert problem.path == ("cluster", "quota", key)
    assert problem.what == "is less than the platform needs"
    assert re.search(allowed, problem.allowed), problem.allowed
    enough = problem.allowed.split()[0]
    value = float(enough) if key == "cpus" else enough
    on_cluster(project.root, {"cluster": {"quota": {key: value}}, "workspaces": []})


def test_a_quota_of_the_settings_counts(project: Project) -> None:
    quota = {"memory": "64g", "cpus": 12, "storage": "2t"}
    (made,) = on_cluster(project.root, {"cluster": {"quota": quota}}).kind("ResourceQuota").values()
    assert made["spec"]["hard"] == {
        "requests.memory": "64Gi",
        "requests.cpu": "12",
        "requests.storage": "2Ti",
    }


def test_memory_for_files(project: Project) -> None:
    made = one(project, 'tmpfs: [/tmp, "/run/x:size=16m,uid=11030,mode=0700,exec"]\nshm_size: 64m')
    volumes = {each["name"]: each for each in made.spec("extra")["volumes"]}
    by_target = {
        each["mountPath"]: volumes[each["name"]]["emptyDir"]
        for each in made.container("extra")["volumeMounts"]
    }
    assert by_target == {
        "/tmp": {"medium": "Memory"},
        "/run/x": {"medium": "Memory", "sizeLimit": "16Mi"},
        "/dev/shm": {"medium": "Memory", "sizeLimit": "64Mi"},
    }


def test_files_of_configuration(project: Project) -> None:
    project.write("infrastructure/services/extra/config/a.conf", "a = 1\n")
    project.write("infrastructure/services/extra/config/pages/in/b.html", "<p>\n")
    (project.root / "infrastructure/services/extra/config/pages/c.png").write_bytes(b"\x89PNG\xff")
    made = one(project, "volumes: [./config/a.conf:/etc/a.conf:ro, ./config/pages:/pages:ro]")
    held = made.kind("ConfigMap")["extra"]
    assert held["data"]["extra__a.conf"] == "a = 1\n"
    assert base64.b64decode(held["binaryData"]["extra__pages__c.png"]) == b"\x89PNG\xff"
    mounts = {each["mountPath"]: each for each in made.container("extra")["volumeMounts"]}
    assert mounts["/etc/a.conf"]["subPath"] == "a.conf"
    volumes = {each["name"]: each for each in made.spec("extra")["volumes"]}
    (source,) = volumes[mounts["/pages"]["name"]]["projected"]["sources"]
    paths = {item["path"] for item in source["configMap"]["items"]}
    assert paths == {"in/b.html", "c.png"}
    assert "subPath" not in mounts["/pages"]  # so that what changes is seen


def test_files_that_are_too_many_for_one_config_map_are_in_several(project: Project) -> None:
    for number in range(5):
        path = f"infrastructure/services/extra/config/many/{number}"
        project.write(path, str(number) * 400_000)
    made = one(project, "volumes: [./config/many:/many:ro]")
    held = {name: each for name, each in made.kind("ConfigMap").items() if "extra" in name}
    assert sorted(held) == ["extra", "extra.2", "extra.3"]
    assert all(sum(map(len, each["data"].values())) < 1024**2 for each in held.values())
    (volume,) = (v for v in made.spec("extra")["volumes"] if "projected" in v)
    paths = [
        item["path"]
        for source in volume["projected"]["sources"]
        for item in source["configMap"]["items"]
    ]
    assert sorted(paths) == [str(number) for number in range(5)]


def test_a_file_that_is_too_large_is_refused(project: Project) -> None:
    project.write("infrastructure/services/extra/config/large", "x" * (1024**2 + 1))
    message = refused(project, "volumes: [./config/large:/large:ro]")
    assert message == (
        "volumes: config/extra/large: has 1048577 bytes, and a file in a cluster has 1048576 "
        "at most"
    )


def test_secrets_that_are_too_large_are_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = HEAD.replace("roles", "secrets: {key: password, other: password}, roles")
    value = AnyVault.get
    large = {"extra/key": "x" * 2**20, "extra/other": "y"}
    monkeypatch.setattr(AnyVault, "get", lambda own, name: large.get(name) or value(own, name))
    with pytest.raises(InputError) as caught:
        one(project, "secrets: [key, other]", head=head)
    # Content is told all secrets, so it has too many, too.
    own, content = sorted(caught.value.message.splitlines(), key=len)
    assert own.endswith("services.extra.secrets: have 1048577 bytes together; allowed: 1048576")
    assert "services.content.secrets: have 1049" in content


def test_secrets_are_files_of_the_group(project: Project) -> None:
    head = HEAD.replace("roles", "secrets: {key: password}, roles")
    made = one(project, "secrets: [key]", head=head)
    held = made.kind("Secret")["extra"]
    assert base64.b64decode(held["data"]["key"]) == b"value-of-extra-key-x7"
    (volume,) = (v for v in made.spec("extra")["volumes"] if v["name"] == "secrets")
    assert volume["secret"]["defaultMode"] == 0o440
    mount = next(m for m in made.container("extra")["volumeMounts"] if m["name"] == "secrets")
    assert (mount["mountPath"], mount["subPath"]) == ("/run/secrets/key", "key")
    made = one(project, "secrets: [{source: key, target: /etc/key}]", head=head)
    mount = next(m for m in made.container("extra")["volumeMounts"] if m["name"] == "secrets")
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/key", True)


def test_another_secret_makes_the_pod_anew(project: Project) -> None:
    def pod(text: str) -> dict[str, Any]:
        project.write("infrastructure/services/extra/secrets/key", text)
        return one(project, "secrets: [key]").pods()["extra"]

    before, same, after = pod("a"), pod("a"), pod("b")
    assert before == same
    assert before["spec"] == after["spec"]
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


def test_a_live_file_makes_no_pod_anew(project: Project) -> None:
    def made(text: str) -> Made:
        project.write("infrastructure/services/extra/config/live/list", text)
        return one(project, "volumes: [./config/live:/l:ro]\nx-dap: {live: [config/live/list]}")

    before, after = made("a"), made("b")
    assert before.pods() == after.pods()
    assert before.kind("ConfigMap")["extra"] != after.kind("ConfigMap")["extra"]


def test_what_needs_no_volume_is_replaced_without_a_pause(project: Project) -> None:
    made = one(project, "deploy: {replicas: 3}\nexpose: [80]")
    deployment = made.workload("extra")
    assert (deployment["kind"], deployment["spec"]["replicas"]) == ("Deployment", 3)
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = made.kind("PodDisruptionBudget")["extra"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= (
        made.pods()["extra"]["metadata"]["labels"].items()
    )
    (spread,) = made.spec("extra")["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert "extra" not in one(project, "").kind("PodDisruptionBudget")


def test_who_is_waited_for(project: Project) -> None:
    made = one(
        project,
        "depends_on: {app: {condition: service_healthy}, store: {condition: service_started}}",
    )
    first, second = made.spec("extra")["initContainers"]
    assert first["name"] == "wait-app"
    assert first["command"][-2:] == ["app", "5000"]
    assert second["command"][-2:] == ["store", "5432"]
    assert first["image"].startswith("dap/base:")
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert len(one(project, "depends_on: [app]").spec("extra")["initContainers"]) == 1


def test_a_task_is_a_job_of_each_deploy(project: Project) -> None:
    made = on_cluster(project.root, {})
    (job,) = made.objects.tasks
    assert (job["kind"], job["metadata"]["name"]) == ("Job", "content")
    assert made.workload("content")["spec"]["backoffLimit"] == 0
    assert made.spec("content")["restartPolicy"] == "Never"
    assert "content" not in made.kind("Service")


def test_what_tests_run_in_is_no_part_of_the_platform(project: Project) -> None:
    """No deploy starts it, nothing is made for it, and no quota has room for it."""
    made = one(project, "x-dap: {checks: true}")
    assert made.objects.checks is not None
    assert made.objects.checks["restartPolicy"] == "Never"
    assert [each["name"] for each in made.objects.checks["containers"]] == ["extra"]
    assert "extra" not in {each["metadata"]["name"] for each in made.all}
    (quota,) = made.kind("ResourceQuota").values()
    (more,) = one(project, "").kind("ResourceQuota").values()
    assert quota["spec"]["hard"]["requests.cpu"] < more["spec"]["hard"]["requests.cpu"]


def test_a_service_without_known_ports_has_a_headless_one(project: Project) -> None:
    service = one(project, "").kind("Service")["extra"]["spec"]
    assert (service["clusterIP"], "ports" in service) == ("None", False)
    service = one(project, 'expose: ["7000", "7001/udp"]').kind("Service")["extra"]["spec"]
    assert "clusterIP" not in service
    assert [(each["port"], each["protocol"]) for each in service["ports"]] == [
        *((7000, "TCP"), (7001, "UDP"))
    ]


def test_no_network_is_no_way_in_or_out(project: Project) -> None:
    made = one(project, 'network_mode: none\nx-dap: {exceptions: {network_mode: "needs none"}}')
    labels = made.pods()["extra"]["metadata"]["labels"]
    assert not [label for label in labels if label.startswith(("dap.network/", "dap.port/"))]
    assert "extra" not in made.kind("Service")


def test_small_things(project: Project) -> None:
    spec = one(
        project,
        "stop_grace_period: 1m30s\nhostname: desk\nextra_hosts: [a.example=10.0.0.1]\n"
        "tty: true\nstdin_open: true\ninit: false\nlabels: {a/b: c}\nannotations: {d: e}",
    )
    pod = spec.spec("extra")
    assert pod["terminationGracePeriodSeconds"] == 90
    assert pod["hostname"] == "desk"
    assert pod["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["a.example"]}]
    assert "shareProcessNamespace" not in pod
    assert (spec.container("extra")["tty"], spec.container("extra")["stdin"]) == (True, True)
    annotations = spec.pods()["extra"]["metadata"]["annotations"]
    assert (annotations["a/b"], annotations["d"]) == ("c", "e")
    default = one(project, "").spec("extra")
    assert default["shareProcessNamespace"] is True
    assert default["terminationGracePeriodSeconds"] == 10


EXCEPT = "\nx-dap: {exceptions: {%s: why}}"
REFUSALS = [
    ("ulimits: {nofile: 1}", "ulimits: can't be done on Kubernetes: a pod has the limits"),
    ("stop_signal: SIGINT", "stop_signal: can't be done on Kubernetes: the image's own"),
    ("dns: [10.0.0.1]", "dns: can't be done on Kubernetes: names are the cluster's"),
    (f"devices: [/dev/x]{EXCEPT % 'devices'}", "devices: can't be done on Kubernetes: a pod gets"),
    (f"pid: host{EXCEPT % 'pid'}", "pid: can't be done on Kubernetes: a pod has processes"),
    (f"ipc: host{EXCEPT % 'ipc'}", "ipc: can't be done on Kubernetes: a pod has an IPC"),
    (f"userns_mode: host{EXCEPT % 'userns_mode'}", "userns_mode: can't be done on Kubernetes"),
    ("oom_score_adj: 5", "oom_score_adj: can't be done on Kubernetes: nothing there is alike"),
    ("memswap_limit: 1g", "memswap_limit: can't be done on Kubernetes: nothing there is alike"),
    ("healthcheck: {test: [ask]}", "healthcheck.test: must begin with CMD, CMD-SHELL or NONE"),
    ("healthcheck: {test: [CMD, x], pause: 3s}", "healthcheck.pause: can't be done on Kubernetes"),
    ("healthcheck: {test: [CMD, x], interval: 3}", "healthcheck.interval: '3' is no duration"),
    ("mem_limit: much", "mem_limit: 'much' is no size such as 512m"),
    ("cpus: some", "cpus: 'some' is no number of processors"),
    ("environment: {A: }", "environment: A: has no value"),
    ("environment: [A]", "environment: A: has no value"),
    ("command: [go, $HOME]", "command: '$HOME': has a variable of Compose; write $$"),
    ("environment: {A: '${B:-c}'}", "environment: '${B:-c}': has a variable of Compose"),
    ("hostname: a.b", "hostname: 'a.b': must be a DNS label"),
    ("restart: on-failure", "restart: 'on-failure': can't be done on Kubernetes but for a task"),
    ("pull_policy: daily", "pull_policy: 'daily': allowed are always"),
    ("tmpfs: ['/x:nr_inodes=5']", "tmpfs: /x: nr_inodes: can't be done on Kubernetes"),
    ("tmpfs: ['/x:uid=7']", "tmpfs: /x: uid: must be 11030, as its user"),
    ("group_add: [staff]", "group_add: a cluster needs groups in numbers"),
    ("security_opt: [no-new-privileges:true, label:disable]", "security_opt: 'label:disable'"),
    ("expose: [a]", "expose: 'a': must be PORT or PORT/udp"),
    ("deploy: {mode: global}", "deploy: allowed are replicas and resources"),
    ("deploy: {resources: {limits: {cpus: 1}}}", "deploy.resources: allowed are reservations"),
    ("x-dap: {gpus: all}", "x-dap.gpus: a cluster gives a number of NVIDIA's GPUs"),
    ("x-dap: {gpus: [0, 1]}", "x-dap.gpus: a cluster gives a number of NVIDIA's GPUs"),
    ("x-dap: {may_stop: true}", "x-dap.may_stop: can't be done on Kubernetes: it starts anew"),
    ("x-dap: {nameserver: true}", "x-dap.nameserver: needs expose: [53, 53/udp]"),
    ("depends_on: [nobody]", "depends_on.nobody: needs a port to wait for"),
    ("depends_on: [app-worker]", "depends_on.app-worker: needs a port to wait for"),
    (
        "depends_on: {app: {condition: service_completed_successfully}}",
        "depends_on.app.condition: 'service_completed_successfully': can't be done",
    ),
    ("depends_on: {app: {required: false}}", "depends_on.app: allowed is condition"),
    ("extra_hosts: [a=host-gateway]", "extra_hosts: a: a pod does not reach its node"),
    (
        f"volumes: [/var/run/docker.sock:/s]{EXCEPT % 'volumes'}",
        "volumes: '/var/run/docker.sock': can't be done on Kubernetes: pods get no path",
    ),
]


@pytest.mark.parametrize(("lines", "message"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_what_a_cluster_cant_do_is_refused_by_name(
    project: Project, lines: str, message: str
) -> None:
    assert refused(project, lines).startswith(message)


def test_a_user_without_numbers_is_refused(project: Project) -> None:
    text = f"{HEAD}services:\n  extra:\n    image: a:1\n    user: me\n"
    project.service("extra", f"{text}    x-dap: {{exceptions: {{user: why}}}}\n")
    with pytest.raises(InputError, match=r'services\.extra\.user: a cluster needs "UID:GID"'):
        on_cluster(project.root, {})


@pytest.mark.parametrize(
    ("lines", "volumes", "message"),
    [
        ("volumes: [a:/a:z]", "volumes:\n  a:\n", "volumes: 'extra-a:/a:z': allowed options"),
        (
            "volumes: [{type: volume, source: a, target: /a, volume: {subpath: x}}]",
            "volumes:\n  a:\n",
            "volumes: /a: volume: allowed is nocopy",
        ),
        (
            "volumes: [a:/a]\ndeploy: {replicas: 2}",
            "volumes:\n  a:\n",
            "deploy.replicas: must be 1 for a service with volumes",
        ),
    ],
)
def test_what_is_wrong_with_volumes(
    project: Project, lines: str, volumes: str, message: str
) -> None:
    assert refused(project, lines, volumes).startswith(message)


def test_files_of_the_platform_are_read_only(project: Project) -> None:
    project.write("infrastructure/services/extra/config/a", "a")
    message = refused(project, "volumes: [./config/a:/a]")
    assert message.startswith("volumes: ./config/extra/a: files of the platform are read-only")


def test_a_volume_of_another_driver_is_refused(project: Project) -> None:
    with pytest.raises(InputError, match=r"volumes\.extra-a\.driver: can't be done on Kubernetes"):
        one(project, "volumes: [a:/a]", "volumes:\n  a: {driver: nfs}\n")


@pytest.mark.parametrize("name", ["1st", "w" * 53])
def test_a_name_that_no_service_of_a_cluster_can_have(project: Project, name: str) -> None:
    workspaces = [{"name": name, "owner": "admin", "environment": "python"}]
    with pytest.raises(InputError, match="can't be called so on Kubernetes"):
        on_cluster(project.root, {"workspaces": workspaces})


def test_all_that_is_wrong_is_told_at_once(project: Project) -> None:
    message = refused(project, "ulimits: {}\ndns: []\nhealthcheck: {pause: 1s}")
    assert [line.rpartition("extra.")[2].split(":")[0] for line in message.splitlines()] == [
        *("ulimits", "dns", "healthcheck.pause")
    ]


def test_every_key_that_is_told_to_be_refused_is() -> None:
    for key in keys.REFUSED:
        assert key not in keys.SERVICE
        assert any(lines.startswith(key) for lines, _ in REFUSALS), key


def test_docker_is_no_target_of_objects(project: Project) -> None:
    plan = project.plan()
    (tree,) = render(plan, Vault(secret_specs(plan)))
    with pytest.raises(InputError, match="target is docker"):
        objects(plan, tree)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512m", 512 * 2**20), ("1.5g", 3 * 2**29), ("2GB", 2**31), (65536, 65536), ("1kib", 1024)],
)
def test_sizes(text: object, size: int) -> None:
    assert amounts.size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", True, "1 2"])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        amounts.size_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"), [(2**30, "1Gi"), (1536 * 2**20, "1536Mi"), (1000, "1000"), (0, "0")]
)
def test_quantities(size: int, text: str) -> None:
    assert amounts.quantity(size) == text


@pytest.mark.parametrize(
    ("text", "number"), [("500ms", 0.5), ("1m30s", 90), ("2h", 7200), ("1h0m1s", 3601)]
)
def test_durations(text: str, number: float) -> None:
    assert amounts.seconds(text) == number


def test_every_option_of_a_service_is_known_to_the_page() -> None:
    """Who adds a key to `x-dap` decides what a cluster makes of it, and says so in `keys`."""
    assert set(ServiceOptions.model_fields) == set(keys.OPTIONS)
