"""A one-node Kubernetes in a privileged container, with addresses that this machine reaches.

Everything of it is in the container's own namespaces, network and volumes: removing these removes
all of it, whatever state it is in. Several clusters can be there at once.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from demo.access import await_result
from demo.project import ROOT, run
from tests.cluster import config, image
from tests.fleet.hosts import LABEL, Entry, archive

VALUE = "cluster"
OWNER = "dap.cluster"  # label: which cluster it belongs to
KIND = "dap.cluster.volume"  # label: what the volume has
READY_S = 90
MEMORY = "10g"


class Cluster:
    """One of the clusters, as its operator and its pods' users see it.

    Args:
        name: prefix of all that is made.
        number: 0 to 255; third number of its addresses.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.addresses = config.Addresses(number)

    @cached_property
    def docker(self) -> docker.DockerClient:
        """The machine's Docker engine."""
        return docker.from_env()

    @property
    def directory(self) -> Path:
        """Scratch folder of the cluster."""
        return ROOT / "build" / self.name

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of its administrator, as anybody on this machine may use it."""
        return self.directory / "kubeconfig"

    @property
    def container(self) -> Container:
        """The container that the node is."""
        return self.docker.containers.get(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all that belongs to the cluster."""
        return {LABEL: VALUE, OWNER: self.name}

    @property
    def bridge(self) -> str:
        """Interface of this machine that leads to the node."""
        return f"dapk{self.number}"

    @property
    def there(self) -> bool:
        """Whether its node runs."""
        mine: dict[str, Any] = {"label": f"{OWNER}={self.name}", "status": "running"}
        return bool(self.docker.containers.list(filters=mine))

    def up(self) -> None:
        """Make it from blank; it is there when its node is ready and names resolve."""
        images = image.have("node", *image.FOR_PODS)
        self.down()
        self.directory.mkdir(parents=True, exist_ok=True)
        keys = config.Keys(self.addresses)
        url = f"https://{self.addresses.node}:{config.PORT}"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(keys.kubeconfig(url, keys.clients["admin"]), encoding="utf-8")
        self._create(images, keys)
        self.on()

    def _create(self, images: dict[str, str], keys: config.Keys) -> None:
        pool = IPAMPool(subnet=str(self.addresses.nodes), gateway=str(self.addresses.nodes[1]))
        self.docker.networks.create(
            self.name,
            driver="bridge",
            options={"com.docker.network.bridge.name": self.bridge},
            labels=self.labels,
            ipam=IPAMConfig(pool_configs=[pool]),
        )
        mounts = []
        for kind, place in (("node", "/var/lib/node"), ("images", "/var/lib/containerd")):
            name = f"{self.name}-{kind}"
            self.docker.volumes.create(name, labels=self.labels | {KIND: kind})
            mounts.append(f"{name}:{place}")
        endpoint = self.docker.api.create_endpoint_config(ipv4_address=self.addresses.node)
        made = self.docker.containers.create(
            images["node"],
            name=self.name,
            hostname=config.NODE,
            init=True,
            privileged=True,
            cgroupns="private",
            tmpfs={"/run": ""},
            volumes=mounts,
            mem_limit=MEMORY,
            labels=self.labels,
            network=self.name,
            networking_config={self.name: endpoint},
        )
        resolv = Path("/etc/resolv.conf").read_text(encoding="utf-8")
        files = config.files(self.addresses, keys, images, resolv)
        made.put_archive("/", archive({path: Entry(text, 0o600) for path, text in files.items()}))

    def on(self) -> None:
        """Switch the node on, and await that it is ready.

        Raises:
            TimeoutError: it isn't.
        """
        self.container.start()
        for network in (self.addresses.pods, self.addresses.services):
            run(*("ip", "route", "replace", str(network), "via", self.addresses.node))
        await_result("the cluster's containerd", self._containerd, READY_S, 0.1)
        self.load(*image.have(*image.FOR_PODS).values())
        await_result(f"node {config.NODE} of {self.name}", self._ready, READY_S, 0.2)

    def off(self) -> None:
        """Cut the node's power."""
        self.container.kill()

    def down(self) -> None:
        """Remove all of it but the images it has loaded, which the next one of its name takes."""
        mine: dict[str, Any] = {"label": f"{OWNER}={self.name}"}
        for container in self.docker.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for network in self.docker.networks.list(filters=mine):
            network.remove()
        mine["label"] = [mine["label"], f"{KIND}=node"]
        for volume in self.docker.volumes.list(filters=mine):
            volume.remove(force=True)
        self.kubeconfig.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove all of it."""
        self.down()
        for volume in self.docker.volumes.list(filters={"label": f"{OWNER}={self.name}"}):
            volume.remove(force=True)

    def execute(self, *command: str) -> str:
        """Run a command as root on the node; what it printed.

        Raises:
            subprocess.CalledProcessError: it returned nonzero.
        """
        return run("docker", "exec", self.name, *command)

    def log(self, program: str) -> str:
        """What one of the node's programs has said."""
        return self.execute("cat", f"/run/log/{program}")

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run kubectl as administrator; what it printed.

        Args:
            arguments: of kubectl.
            given: what it reads.

        Raises:
            subprocess.CalledProcessError: it returned nonzero; carries what it said.
        """
        return subprocess.run(
            ["docker", "exec", "-i", self.name, "kubectl", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def get(self, *arguments: str) -> Any:
        """What `kubectl get` says, parsed."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def load(self, *references: str) -> None:
        """Give the node images of this machine's Docker engine, as a node has pulled ones."""
        there = set(self.execute("ctr", "--namespace", "k8s.io", "images", "ls", "-q").split())
        missing = [name for name in references if name not in there and _full(name) not in there]
        if not missing:
            return
        load = "ctr --namespace k8s.io images import -"
        command = f'docker save "$@" | docker exec -i "$0" {load}'
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", command, self.name, *missing],
            check=True,
            capture_output=True,
        )

    def _containerd(self) -> bool | None:
        code, _ = self.container.exec_run(["ctr", "version"])
        return code == 0 or None

    def _ready(self) -> bool | None:
        """Whether the node is ready, and names resolve."""
        asked = subprocess.run(
            [
                *("docker", "exec", self.name, "kubectl", "get", "--output", "json"),
                *("nodes,deployments", "--all-namespaces"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            if not self.container.attrs["State"]["Running"]:
                raise RuntimeError(f"{self.name} has ended: {self.container.logs(tail=20)!r}")
            return None
        found = {each["kind"]: each for each in json.loads(asked.stdout)["items"]}
        if found.keys() != {"Node", "Deployment"}:
            return None
        conditions = found["Node"]["status"]["conditions"]
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return (ready and found["Deployment"]["status"].get("readyReplicas") == 1) or None


def _full(reference: str) -> str:
    """The name that containerd keeps an image of Docker's under."""
    registry, _, _ = reference.partition("/")
    return reference if "." in registry or ":" in registry else f"{DOCKER}/{reference}"


# Written in two parts: no registry is named here, it is where Docker's own names lie.
DOCKER = "docker" + ".io"


def chosen() -> Cluster:
    """The cluster that DAP_CLUSTER=NAME@NUMBER names; cluster@0 without."""
    name, _, number = os.environ.get("DAP_CLUSTER", "cluster@0").partition("@")
    return Cluster(name, int(number or 0))
