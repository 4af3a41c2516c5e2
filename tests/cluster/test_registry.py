"""A platform whose nodes pull all images from a registry with a login and a CA of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest
from docker.models.images import Image

from demo.access import Clock
from demo.project import Project
from tests.cluster import image
from tests.cluster.checks import INSIDE, verify
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import JobsPlatform
from tests.cluster.platform import DOMAIN
from tests.cluster.registry import Serving, serving

PORTS = {"http": 31080, "https": 31443, "ssh": 31222, "postgres": 31432, "workspaces": 31200}
PULLS, PUSHES = "cluster/registry-password", "cluster/registry-push-password"
PASSWORDS = {"puller": "for-nodes", "pusher": "for-this-machine"}
STANDINS = ("gitlab", "gitlab-runner", "gitlab-runner-helper")


@dataclass
class RegistryPlatform(JobsPlatform):
    """A platform that runs jobs, all of whose images are in a registry."""

    registry: Serving | None = None

    @classmethod
    def of(cls, cluster: Cluster, registry: Serving) -> RegistryPlatform:
        """The platform of a cluster and a registry."""
        name, directory = f"{cluster.name}-rg", cluster.directory / "registry"
        project = Project(directory, name, DOMAIN, cluster.addresses.node, PORTS["ssh"])
        return cls(cluster, project, ports=PORTS, registry=registry)

    @property
    def address(self) -> str:
        """Where the images of the platform are."""
        assert self.registry is not None
        return f"{self.registry.address}/team"

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        assert self.registry is not None
        registry = {
            "address": self.address,
            "user": "puller",
            "push_user": "pusher",
            "ca": str(self.registry.ca),
        }
        there = {name: f"{self.address}/{name}:test" for name in STANDINS}
        overrides = {name: there[name] for name in ("gitlab", "gitlab-runner")}
        return found | {
            "images": {"overrides": overrides},
            "options": {"gitlab-runner": {"helper_image": there["gitlab-runner-helper"]}},
            "cluster": found["cluster"] | {"registry": registry},
        }

    def push_standins(self) -> None:
        """Bring what stands in for others' images to the registry."""
        made = {"gitlab": self.standin, **image.have(*image.RUNNERS)}
        client = docker.from_env()
        login = {"username": "pusher", "password": PASSWORDS["pusher"]}
        for name, reference in made.items():
            there = f"{self.address}/{name}"
            found: Image = client.images.get(reference)
            found.tag(there, "test")
            said = client.images.push(there, "test", auth_config=login)
            client.images.remove(f"{there}:test")
            assert "errorDetail" not in said, said

    def keep(self, secret: str, password: str) -> None:
        """Keep a password in the vault."""
        self.dap("secret", secret, given=password).check_returncode()

    def trust_on_node(self) -> None:
        """Have the node trust the registry's CA, as doc/kubernetes-setup.md says."""
        assert self.registry is not None
        place = f"/etc/containerd/certs.d/{self.registry.address}"
        write = 'mkdir -p "$0" && printf %s "$1" >"$0/ca.crt"'
        text = self.registry.ca.read_text(encoding="utf-8")
        self.cluster.execute("sh", "-c", write, place, text)

    def images(self) -> set[str]:
        """The images of all containers in both namespaces."""
        return {
            container["image"]
            for space in (self.project.name, self.space)
            for pod in self.cluster.get("pods", "--namespace", space)["items"]
            for container in pod["spec"]["containers"]
        }

    def doctor(self) -> str:
        """What `dap doctor` says of images."""
        found = json.loads(self.dap("doctor", "--json").stdout)["findings"]
        return "; ".join(each["what"] for each in found if each["where"] == "images")


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[RegistryPlatform]:
    """The project and its registry, and what trusts that; nothing is deployed yet."""
    own = next(name for name in needed_here() if name.startswith("dap/registry:"))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with (
        serving(own, tmp_path_factory.mktemp("registry"), **PASSWORDS) as registry,
        registry.trusted(),
    ):
        made = RegistryPlatform.of(cluster, registry)
        with capture.global_and_fixture_disabled():
            clock = Clock()
            clock.say("registry: a project from the template")
            made.scaffold()
            clock.say("registry: stand-ins")
            made.push_standins()
            clock.say("registry: there")
        made.trust_on_node()
        made.keep(PULLS, PASSWORDS["puller"])
        made.keep(PUSHES, PASSWORDS["pusher"])
        try:
            yield made
        finally:
            made.dap("destroy", "--delete-data", made.project.name)
            made.project.forget_key()
            client = docker.from_env()
            for found in client.images.list():
                for tag in found.tags:
                    if tag.startswith(f"{made.address}/"):
                        client.images.remove(tag)


def needed_here() -> list[str]:
    """Names of this machine's images."""
    return [tag for found in docker.from_env().images.list("dap/registry") for tag in found.tags]


def test_a_password_that_is_wrong_is_told_before_anything_is_changed(
    platform: RegistryPlatform,
) -> None:
    assert "are to be pushed by the next deploy" in platform.doctor()
    platform.keep(PUSHES, "wrong")
    done = platform.dap("deploy")
    assert done.returncode == 1
    assert "answered 401" in done.stderr
    assert f"see that pusher may push there; its password: dap secret {PUSHES}" in done.stderr
    platform.keep(PUSHES, PASSWORDS["pusher"])
    platform.keep(PULLS, "wrong")
    done = platform.dap("deploy")
    assert done.returncode == 1
    assert f"see that puller may pull there; its password: dap secret {PULLS}" in done.stderr
    platform.keep(PULLS, PASSWORDS["puller"])
    spaces = platform.cluster.get("namespaces")["items"]
    assert platform.project.name not in {each["metadata"]["name"] for each in spaces}


def test_nodes_pull_the_whole_platform_and_it_works(platform: RegistryPlatform) -> None:
    """No image of it was on the node; those of jobs and of the checks come from there, too."""
    there = platform.cluster.execute("ctr", "--namespace", "k8s.io", "images", "ls", "-q")
    assert platform.address not in there
    platform.deploy()
    assert {each.startswith(f"{platform.address}/") for each in platform.images()} == {True}
    assert "it has them all" in platform.doctor()
    for options in ((), (INSIDE,)):
        found = verify(platform, "", *options)
        assert found["ok"], [each for each in found["tests"] if each["outcome"] == "failed"]
        jobs = [each["outcome"] for each in found["tests"] if "of the job" in each["check"]]
        assert jobs == ["passed"] * 3
    there = platform.cluster.execute("ctr", "--namespace", "k8s.io", "images", "ls", "-q")
    for name in ("acceptance-tests", "environment-python"):
        assert f"{platform.address}/dap/{name}:" in there
