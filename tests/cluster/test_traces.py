"""A cluster leaves this machine as it was, however it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.access import await_result
from demo.project import run
from tests.cluster.cluster import Cluster, chosen
from tests.paths import ROOT

# What Kubernetes' programs set, of the whole kernel and of a network.
SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
    *("net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max", "net/ipv4/conf/all/route_localnet"),
    *("net/bridge/bridge-nf-call-iptables", "net/ipv4/vs/conntrack"),
)


@pytest.fixture
def other() -> Cluster:
    """A cluster beside the one that the tests share."""
    first = chosen()
    return Cluster(f"{first.name}-traces", first.number + 100)


def settings() -> dict[str, str]:
    """The settings as they are; those that the machine does not have are left out."""
    paths = [Path("/proc/sys", name) for name in SETTINGS]
    return {str(path): path.read_text() for path in paths if path.exists()}


def traces(cluster: Cluster) -> set[str]:
    """All on this machine that is a cluster's: rules, routes, links, processes, mounts, cgroups."""
    own = [str(net).rsplit(".", 1)[0] for net in vars_of(cluster)]
    marks = (*own, "KUBE-", "CNI-", cluster.bridge, "kubepods", "/var/lib/kubelet", cluster.name)
    seen = {
        "rules": run("iptables-save"),
        "routes": run("ip", "route", "show", "table", "all"),
        "links": run("ip", "-o", "link"),
        "mounts": Path("/proc/self/mounts").read_text(),
        "cgroups": "\n".join(str(path) for path in Path("/sys/fs/cgroup").glob("*/*/")),
        "containers": run("docker", "ps", "--all", "--format", "{{.Names}}"),
        "networks": run("docker", "network", "ls", "--format", "{{.Name}}"),
        "volumes": run("docker", "volume", "ls", "--format", "{{.Name}}"),
    }
    return {
        f"{what}: {line}"
        for what, text in seen.items()
        for line in text.splitlines()
        if any(mark in line for mark in marks)
    }


def vars_of(cluster: Cluster) -> list[object]:
    """The networks of a cluster."""
    addresses = cluster.addresses
    return [addresses.nodes, addresses.pods, addresses.services]


def test_nothing_is_left_of_a_cluster(other: Cluster) -> None:
    other.clean()
    before, kernel = traces(other), settings()
    other.up()
    assert traces(other) > before
    assert settings() == kernel
    other.clean()
    assert traces(other) == before
    assert settings() == kernel


def test_what_a_killed_start_left_is_removed(other: Cluster) -> None:
    other.clean()
    before = traces(other)
    environment = os.environ | {
        "DAP_CLUSTER": f"{other.name}@{other.number}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'infrastructure'}",
    }
    command = [sys.executable, "-m", "tests.cluster", "up"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as process:

        def started() -> bool | None:
            names = run("docker", "ps", "--filter", f"name=^{other.name}$", "--quiet")
            return bool(names) or None

        await_result("the node", started, 60, 0.05)
        os.killpg(process.pid, signal.SIGKILL)
    other.clean()
    assert traces(other) == before
    other.clean()
