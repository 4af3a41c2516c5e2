"""What differs from cluster to cluster: addresses, certificates and the files that hold them."""

from __future__ import annotations

import ipaddress
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import yaml

from tests.certificates import Signed, authority, client, key_pem, pem, server

DOMAIN = "cluster.local"
NODE = "node"
CLASS = "local"  # of volumes, made on demand
KUBERNETES = "etc/kubernetes"
PKI = "/etc/kubernetes/pki"
PORT = 6443
# A client of the API server: file of its kubeconfig → name and group.
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}


@dataclass(frozen=True)
class Addresses:
    """Where a cluster is: networks of its own, of 10.201.0.0/16, 10.202.0.0/16, 10.208.0.0/12.

    Attributes:
        number: 0 to 255; third number of its nodes' and pods' addresses.
    """

    number: int

    def _network(self, second: int) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(f"10.{second}.{self.number}.0/24")

    @property
    def nodes(self) -> ipaddress.IPv4Network:
        """Network of the node, on which this machine has the first address."""
        return self._network(201)

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """Addresses of pods."""
        return self._network(202)

    @property
    def services(self) -> ipaddress.IPv4Network:
        """Addresses of services: 4,096, for a workspace has one."""
        first = ipaddress.IPv4Address("10.208.0.0") + 4096 * self.number
        return ipaddress.IPv4Network((first, 20))

    @property
    def node(self) -> str:
        """Address of the node: its API server, its NodePorts and all LoadBalancers."""
        return str(self.nodes[2])

    @property
    def api(self) -> str:
        """Address of the API server's own service."""
        return str(self.services[1])

    @property
    def dns(self) -> str:
        """Address of the name server's service."""
        return str(self.services[10])


class Keys:
    """The certificates of a new cluster: a CA, whom it trusts, and a key for service accounts."""

    def __init__(self, addresses: Addresses) -> None:
        self.authority = authority("cluster")
        inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
        names = (*inside, f"kubernetes.default.svc.{DOMAIN}", "localhost")
        answers = (*names, "127.0.0.1", addresses.node, addresses.api)
        self.apiserver = server(answers, self.authority)
        self.kubelet_server = server((NODE, addresses.node), self.authority)
        self.apiserver_kubelet = client("apiserver", "system:masters", self.authority)
        self.accounts = authority("accounts")
        self.clients = {
            file: client(name, group, self.authority) for file, (name, group) in CLIENTS.items()
        }

    def files(self) -> dict[str, str]:
        """All of them as files below `pki`."""
        pairs = {
            "ca": self.authority,
            "apiserver": self.apiserver,
            "apiserver-kubelet": self.apiserver_kubelet,
            "kubelet": self.kubelet_server,
            "accounts": self.accounts,
        }
        found = {f"{name}.crt": pem([signed]) for name, signed in pairs.items()}
        return found | {f"{name}.key": key_pem(signed) for name, signed in pairs.items()}

    def kubeconfig(self, server_url: str, who: Signed) -> str:
        """A kubeconfig that carries its certificates in itself."""

        def encoded(text: str) -> str:
            return b64encode(text.encode()).decode()

        cluster = {
            "server": server_url,
            "certificate-authority-data": encoded(pem([self.authority])),
        }
        user = {
            "client-certificate-data": encoded(pem([who])),
            "client-key-data": encoded(key_pem(who)),
        }
        return _yaml(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "cluster", "cluster": cluster}],
                "users": [{"name": "user", "user": user}],
                "contexts": [
                    {"name": "cluster", "context": {"cluster": "cluster", "user": "user"}}
                ],
                "current-context": "cluster",
            }
        )


def files(addresses: Addresses, keys: Keys, images: dict[str, str], resolv: str) -> dict[str, str]:
    """Return the files of a node, path → text.

    Args:
        addresses: where the cluster is.
        keys: its certificates.
        images: references of `pause` and `coredns`.
        resolv: the machine's own resolv.conf, for names outside of the cluster.
    """
    local = f"https://127.0.0.1:{PORT}"
    texts = {
        "address": addresses.node,
        "apiserver.flags": _flags(_apiserver(addresses)),
        "controller-manager.flags": _flags(_controller_manager()),
        "containerd.toml": CONTAINERD.format(pause=images["pause"]),
        "kubelet.yaml": _yaml(_kubelet(addresses)),
        "proxy.yaml": _yaml(_proxy(addresses)),
        "resolv.conf": resolv,
        "cni/10-bridge.conflist": json.dumps(_bridge(addresses)),
        "addons.yaml": _addons(addresses, images["coredns"]),
    }
    texts |= {f"pki/{name}": text for name, text in keys.files().items()}
    texts |= {
        f"{name}.kubeconfig": keys.kubeconfig(local, signed)
        for name, signed in keys.clients.items()
    }
    found = {f"{KUBERNETES}/{name}": text for name, text in texts.items()}
    return found | {"root/.kube/config": texts["admin.kubeconfig"]}


CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE, which a machine may lack, no score can be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/kubernetes/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def _flags(flags: dict[str, str]) -> str:
    return "".join(f"--{name}={value}\n" for name, value in flags.items())


def _apiserver(addresses: Addresses) -> dict[str, str]:
    return {
        "advertise-address": addresses.node,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": f"{PKI}/ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "etcd-servers": "http://127.0.0.1:2379",
        "kubelet-certificate-authority": f"{PKI}/ca.crt",
        "kubelet-client-certificate": f"{PKI}/apiserver-kubelet.crt",
        "kubelet-client-key": f"{PKI}/apiserver-kubelet.key",
        "kubelet-preferred-address-types": "InternalIP",
        "secure-port": str(PORT),
        "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
        "service-account-key-file": f"{PKI}/accounts.crt",
        "service-account-signing-key-file": f"{PKI}/accounts.key",
        "service-cluster-ip-range": str(addresses.services),
        "tls-cert-file": f"{PKI}/apiserver.crt",
        "tls-private-key-file": f"{PKI}/apiserver.key",
    }


def _controller_manager() -> dict[str, str]:
    return {
        "allocate-node-cidrs": "false",
        "cluster-signing-cert-file": f"{PKI}/ca.crt",
        "cluster-signing-key-file": f"{PKI}/ca.key",
        # At the default, a new cluster's roles and accounts take five seconds.
        "kube-api-burst": "1000",
        "kube-api-qps": "500",
        "kubeconfig": "/etc/kubernetes/controller-manager.kubeconfig",
        "leader-elect": "false",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/accounts.key",
        "use-service-account-credentials": "true",
    }


def _kubelet(addresses: Addresses) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [addresses.dns],
        "clusterDomain": DOMAIN,
        # Watching waits for caches and fails mounts meanwhile.
        "configMapAndSecretChangeDetectionStrategy": "Get",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # The disk is the machine's, however full: nothing of ours is deleted for it.
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "failSwapOn": False,
        "nodeStatusUpdateFrequency": "2s",
        "resolvConf": "/etc/kubernetes/resolv.conf",
        "serializeImagePulls": False,
        "tlsCertFile": f"{PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
    }


def _proxy(addresses: Addresses) -> dict[str, Any]:
    # What a network namespace may not set is left as it is.
    untouched = {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": "/etc/kubernetes/proxy.kubeconfig"},
        "clusterCIDR": str(addresses.pods),
        "conntrack": untouched,
        "hostnameOverride": NODE,
        "mode": "iptables",
    }


def _bridge(addresses: Addresses) -> dict[str, Any]:
    ipam = {"type": "host-local", "ranges": [[{"subnet": str(addresses.pods)}]]}
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "bridge", "plugins": [bridge, ports]}


COREFILE = f"""\
.:53 {{
    errors
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa {{
        pods insecure
        ttl 5
    }}
    forward . /etc/resolv.conf
    cache 5
}}
"""


def _addons(addresses: Addresses, coredns: str) -> str:
    name = "coredns"
    meta = {"name": name, "namespace": "kube-system"}
    # Every distribution of Kubernetes calls the Service and its pods so, whatever answers there.
    known = "kube-dns"
    labels = {"k8s-app": known}
    probe = {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1}
    container = {
        "name": name,
        "image": coredns,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "serviceAccountName": name,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    readable = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
    ]
    ports = [{"name": p.lower(), "port": 53, "protocol": p} for p in ("UDP", "TCP")]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    rbac = "rbac.authorization.k8s.io/v1"
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "dap.test/local",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": rbac,
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{**each, "verbs": ["list", "watch"]} for each in readable],
        },
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**meta, "name": known},
            "spec": {"clusterIP": addresses.dns, "selector": labels, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]
    return str(yaml.safe_dump_all(objects))


def _yaml(data: dict[str, Any]) -> str:
    return str(yaml.safe_dump(data, sort_keys=False))
