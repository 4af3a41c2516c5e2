from typing import Any

import pytest
from dap_pipelines.policy import Builder, Policy, RefusedError
from dap_pipelines.values import JobLimits

CONTAINER = "c" * 64


@pytest.fixture
def policy() -> Policy:
    made = Policy({"dap.pipeline": "7", "dap.platform": "dap"}, "dap_edge", JobLimits("4g", 2, 99))
    made.volumes.add("gcl-a-1-build")
    made.containers.add(CONTAINER)
    made.networks["e" * 64] = "gitlab-ci-local-1"
    return made


def test_a_container_gets_limits_labels_and_the_network_of_jobs(policy: Policy) -> None:
    made = policy.container(
        {"Image": "i", "WorkingDir": "/builds", "HostConfig": {"Binds": ["gcl-a-1-build:/builds"]}}
    )
    host = made["HostConfig"]
    assert made["Labels"] == policy.labels
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (4 * 1024**3, 2_000_000_000, 99)
    assert host["NetworkMode"] == "dap_edge"
    assert host["LogConfig"]["Type"] == "none"


@pytest.mark.parametrize(
    ("gpus", "asked"),
    [
        (0, {}),
        ("all", {"Count": -1}),
        (2, {"Count": 2}),
        ([0, "GPU-aa"], {"DeviceIDs": ["0", "GPU-aa"]}),
    ],
)
def test_jobs_get_the_gpus_of_the_settings(gpus: Any, asked: dict[str, Any]) -> None:
    policy = Policy({}, "dap_edge", JobLimits("4g", 2, 99, gpus))
    wanted = [{"Driver": "nvidia", "Capabilities": [["gpu"]], **asked}] if asked else []
    job = policy.container({"Image": "i", "WorkingDir": "/builds"})
    assert job["HostConfig"]["DeviceRequests"] == wanted
    greedy = {"Image": "i", "HostConfig": {"DeviceRequests": [{"Count": -1}]}}
    assert policy.container(greedy)["HostConfig"]["DeviceRequests"] == []


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["/:/host"]},
        {"Binds": ["gcl-other-2-build:/x"]},
        {"Binds": ["dap_minio-data:/x"]},
        {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]},
        {"Privileged": True},
        {"Devices": [{"PathOnHost": "/dev/sda"}]},
        {"NetworkMode": "host"},
        {"NetworkMode": "dap_internal"},
        {"NetworkMode": f"container:{CONTAINER}"},
    ],
)
def test_what_leads_out_of_the_pipeline_is_refused(policy: Policy, host: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        policy.container({"Image": "i", "HostConfig": host})


def test_what_is_not_known_is_left_out(policy: Policy) -> None:
    host = {"PidMode": "host", "VolumesFrom": ["x"], "CapAdd": ["SYS_ADMIN"], "Runtime": "other"}
    made = policy.container({"Image": "i", "HostConfig": host, "MacAddress": "x"})["HostConfig"]
    assert not {"PidMode", "VolumesFrom", "Runtime"} & set(made)
    assert "SYS_ADMIN" not in made["CapAdd"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/json"),
        ("POST", "/containers/prune"),
        ("GET", f"/containers/{'d' * 64}/json"),
        ("POST", f"/containers/{CONTAINER}/exec"),
        ("POST", f"/containers/{CONTAINER}/update"),
        ("GET", "/containers/c/json"),
        ("DELETE", "/volumes/gcl-other-2-build"),
        ("POST", "/networks/dap_internal/connect"),
        ("POST", "/build"),
        ("POST", "/swarm/init"),
        ("GET", "/events"),
        ("DELETE", "/images/i"),
        ("POST", "/plugins/pull"),
    ],
)
def test_other_calls_are_refused(policy: Policy, method: str, path: str) -> None:
    with pytest.raises(RefusedError):
        policy.check(method, path, {})


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/containers/create", "container"),
        ("POST", "/volumes/create", "volume"),
        ("POST", f"/containers/{CONTAINER}/start", "plain"),
        ("PUT", f"/containers/{CONTAINER[:12]}/archive", "plain"),
        ("DELETE", f"/containers/{CONTAINER}", "plain"),
        ("DELETE", "/volumes/gcl-a-1-build", "plain"),
        ("GET", "/images/a/b:c/json", "plain"),
    ],
)
def test_what_a_pipeline_needs_is_allowed(
    policy: Policy, method: str, path: str, kind: str
) -> None:
    assert policy.check(method, path, {}) == kind


@pytest.mark.parametrize(
    "name",
    ["gcl-a-1-buil", "gcl-a-1-build-2"],
)
def test_a_name_that_resembles_a_volumes_is_refused(policy: Policy, name: str) -> None:
    with pytest.raises(RefusedError):
        policy.check("DELETE", f"/volumes/{name}", {})


@pytest.mark.parametrize("network", ["gitlab-ci-local-1", "e" * 64, "e" * 12])
def test_what_was_deleted_is_not_the_pipelines_any_more(policy: Policy, network: str) -> None:
    policy.container({"HostConfig": {"NetworkMode": "gitlab-ci-local-1"}})
    policy.check("DELETE", f"/networks/{network}", {})
    with pytest.raises(RefusedError):
        policy.container({"HostConfig": {"NetworkMode": "gitlab-ci-local-1"}})
    policy.check("DELETE", "/volumes/gcl-a-1-build", {})
    with pytest.raises(RefusedError):
        policy.container({"HostConfig": {"Binds": ["gcl-a-1-build:/builds"]}})


def test_importing_an_image_is_refused(policy: Policy) -> None:
    with pytest.raises(RefusedError):
        policy.check("POST", "/images/create", {"fromImage": "i", "fromSrc": "-"})


@pytest.mark.parametrize(
    "asked",
    [
        {"Name": "dap_minio-data"},
        {"Name": ""},
        {"Name": "gcl-a", "Driver": "nfs"},
        {"Name": "gcl-a", "DriverOpts": {"type": "none", "o": "bind", "device": "/"}},
    ],
)
def test_a_volume_that_is_not_gitlab_ci_locals_is_refused(
    policy: Policy, asked: dict[str, Any]
) -> None:
    with pytest.raises(RefusedError):
        policy.volume(asked)


def test_only_the_image_that_builds_is_let_make_namespaces() -> None:
    builder = Builder("r/environments/image-builder@sha256:1", "dap_builds")
    policy = Policy({}, "dap_edge", JobLimits("1g", 1, 9), builder)
    job = {"WorkingDir": "/gcl-builds", "User": "0:0"}
    mine = policy.container({**job, "Image": builder.image})
    assert mine["User"] == "1000:1000"
    assert mine["HostConfig"]["CapDrop"] == ["ALL"]
    assert mine["HostConfig"]["CapAdd"] == ["SETGID", "SETUID"]
    assert mine["HostConfig"]["Binds"] == ["dap_builds:/var/lib/image-builder"]
    assert "seccomp=unconfined" not in mine["HostConfig"]["SecurityOpt"]
    for other, image in ((policy, "r/environments/python@sha256:1"), (plain(), builder.image)):
        made = other.container({**job, "Image": image})
        assert made["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        assert made["HostConfig"]["Binds"] == []
        assert made["User"] == "0:0"


def plain() -> Policy:
    return Policy({}, "dap_edge", JobLimits("1g", 1, 9))
