"""What the tests of the Kubernetes engine rely on: that this is a cluster like any other."""

import json
import subprocess
from collections.abc import Callable
from functools import partial

import pytest
import requests

from demo.access import await_result
from tests.cluster import config, image
from tests.cluster.cluster import Cluster
from tests.cluster.space import PAGE, PORT, Space, pod, template


def service(name: str, **spec: object) -> dict[str, object]:
    """A Service of the pods labelled with its name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": PORT}], **spec},
    }


def test_it_is_the_version_it_says(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("version", "--output", "json"))["serverVersion"]
    assert version["gitVersion"] == "v1.34.1"
    (node,) = cluster.get("nodes")["items"]
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.1"
    assert (image.openapi() / "apis__apps__v1_openapi.json").is_file()


def test_pages_are_reached_by_every_kind_of_service(cluster: Cluster, space: Space) -> None:
    for name in ("plain", "node", "balanced"):
        space.page(name)
    space.apply(
        service("plain"), service("node", type="NodePort"), service("balanced", type="LoadBalancer")
    )
    space.wait("jsonpath={.status.loadBalancer.ingress}", "service/balanced")
    inside = space.get("service", "plain")["spec"]["clusterIP"]
    port = space.get("service", "node")["spec"]["ports"][0]["nodePort"]
    balanced = space.get("service", "balanced")["status"]["loadBalancer"]["ingress"][0]["ip"]
    assert balanced == cluster.addresses.node
    for host, number in (
        (space.address("plain"), PORT),
        (inside, PORT),
        (cluster.addresses.node, port),
        (balanced, PORT),
    ):
        url = f"http://{host}:{number}/"
        assert await_result(url, partial(answer, url), 20) == "here\n"
    # By name, from a pod.
    space.becomes(True, "plain", f"balanced.{space.name}.svc.{config.DOMAIN}")


def answer(url: str) -> str | None:
    """A page, once there is one."""
    try:
        return requests.get(url, timeout=2).text
    except requests.ConnectionError:
        return None


def test_data_outlasts_a_power_cut(cluster: Cluster, space: Space) -> None:
    """A volume made on demand belongs to the pod's group, and is there with its data afterwards."""
    script = f"date +%s.%N >>/data/starts; {PAGE}"
    spec = template("keeper", script)
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    space.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "keeper"},
            "spec": {
                "serviceName": "keeper",
                "selector": {"matchLabels": {"app": "keeper"}},
                "template": {"metadata": {"labels": {"app": "keeper"}}, "spec": spec},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            },
        }
    )

    def starts() -> list[str]:
        space.kubectl("rollout", "status", "statefulset/keeper", "--timeout=60s")
        return space.kubectl("exec", "keeper-0", "--", "cat", "/data/starts").split()

    first = starts()
    assert len(first) == 1
    cluster.off()
    cluster.on()
    again = await_result("the pod's second start", lambda: after(starts, 2), 60)
    assert again[:1] == first
    volume = space.get("pvc", "data-keeper-0")["spec"]["volumeName"]
    assert volume in cluster.execute("ls", "/var/lib/node/volumes")
    space.remove()
    await_result(
        "removal of the volume",
        lambda: volume not in cluster.execute("ls", "/var/lib/node/volumes") or None,
        30,
    )
    space.make()


def after(starts: Callable[[], list[str]], count: int) -> list[str] | None:
    """What a pod has written once it has started so often."""
    try:
        found = starts()
    except subprocess.CalledProcessError:
        return None
    return found if len(found) >= count else None


def test_memory_is_limited(space: Space) -> None:
    space.apply(pod("eater", "head -c 200m /dev/zero | tail", memory="48Mi", restartPolicy="Never"))
    space.wait("jsonpath={.status.phase}=Failed", "pod/eater")
    (container,) = space.get("pod", "eater")["status"]["containerStatuses"]
    assert container["state"]["terminated"]["reason"] == "OOMKilled"


def test_what_is_not_allowed_is_denied(cluster: Cluster, space: Space) -> None:
    space.kubectl("create", "serviceaccount", "nobody")
    account = f"system:serviceaccount:{space.name}:nobody"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        space.kubectl("get", "secrets", "--as", account)
    assert "cannot list resource" in refused.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("label", "namespace", space.name, "a=b", "--as", "system:node:other")
    assert "cannot" in refused.value.stderr


def test_the_restricted_standard_is_enforced(cluster: Cluster, space: Space) -> None:
    cluster.kubectl(
        "label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted"
    )
    space.page("good")
    bad = pod("bad", PAGE)
    bad["spec"]["securityContext"] = {}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        space.apply(bad)
    assert "violates PodSecurity" in refused.value.stderr


def test_a_policy_lets_in_whom_it_names_alone(space: Space) -> None:
    for name in ("server", "friend", "stranger"):
        space.page(name)
    server = space.address("server")
    for name in ("friend", "stranger"):
        space.becomes(True, name, server)
    space.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "server"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "server"}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [{"podSelector": {"matchLabels": {"app": "friend"}}}],
                        "ports": [{"port": PORT}],
                    }
                ],
            },
        }
    )
    space.becomes(False, "stranger", server)
    assert space.reaches("friend", server)
    # It may still ask others.
    assert space.reaches("server", space.address("stranger"))


def test_a_policy_lets_out_to_whom_it_names_alone(space: Space) -> None:
    for name in ("client", "inside", "outside"):
        space.page(name)
    block = {"ipBlock": {"cidr": f"{space.address('inside')}/32"}}
    names = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    space.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "client"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "client"}},
                "policyTypes": ["Egress"],
                "egress": [
                    # What a policy says of IPv6 lets nothing through on IPv4.
                    {"to": [block, {"ipBlock": {"cidr": "::/0"}}]},
                    {"to": [names], "ports": [{"port": 53, "protocol": "UDP"}]},
                ],
            },
        },
        service("inside"),
        service("outside"),
    )
    space.becomes(False, "client", space.address("outside"))
    # A name is found, and a Service leads to a pod that is allowed, or to one that is not.
    space.becomes(True, "client", "inside")
    assert not space.reaches("client", "outside")
