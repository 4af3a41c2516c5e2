"""What a cluster does with each key that a Compose file may have; any other is refused by name.

doc/kubernetes.md has these tables; a test keeps it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SERVICE: Mapping[str, str] = {
    "annotations": "annotations of the pod",
    "build": "nothing: images are built before, and `image` names them",
    "cap_add": "`securityContext.capabilities.add`",
    "cap_drop": "`securityContext.capabilities.drop`",
    "command": "`args`",
    "cpus": "`resources.limits.cpu`, a tenth of it as request",
    "depends_on": "init containers that wait until the other takes connections",
    "deploy": "`replicas`, and GPUs as `resources.limits`",
    "entrypoint": "`command`",
    "environment": "`env`",
    "expose": "ports of the Service; without any, and without routes, it is headless",
    "extra_hosts": "`hostAliases`",
    "group_add": "`securityContext.supplementalGroups`",
    "healthcheck": "a startup probe that never gives up, and a readiness probe",
    "hostname": "`hostname`, a DNS label",
    "image": "`image`, below `cluster.registry.address` where the platform builds it",
    "init": "`shareProcessNamespace`: the pause container reaps",
    "labels": "annotations of the pod",
    "logging": "nothing: the kubelet rotates logs",
    "mem_limit": "`resources.limits.memory`, and as much as request",
    "mem_reservation": "`resources.requests.memory`",
    "network_mode": "`none`: no network policy lets anything through",
    "networks": "labels that network policies select by; aliases are the nameserver's",
    "pids_limit": "nothing: the kubelet's `podPidsLimit` does it, for all pods alike",
    "ports": "the entry's Service, of the type `cluster.service`; an Ingress with `ingress_class`",
    "privileged": "`securityContext.privileged`",
    "profiles": "`task`: a Job that each deploy runs",
    "pull_policy": "`imagePullPolicy`",
    "read_only": "`securityContext.readOnlyRootFilesystem`",
    "restart": "`restartPolicy`",
    "secrets": "a Secret of the service, mounted file by file",
    "security_opt": "`allowPrivilegeEscalation`, `seccompProfile`",
    "shm_size": "a volume in memory at `/dev/shm`",
    "stdin_open": "`stdin`",
    "stop_grace_period": "`terminationGracePeriodSeconds`",
    "sysctls": "`securityContext.sysctls`",
    "tmpfs": "volumes in memory, of the group; all are executable",
    "tty": "`tty`",
    "user": "`runAsUser`, `runAsGroup` and `fsGroup`",
    "volumes": "PersistentVolumeClaims; a ConfigMap for what is below `./config` and `./content`",
    "working_dir": "`workingDir`",
    "x-dap": "what each part of it says (doc/architecture.md)",
}

OPTIONS: Mapping[str, str] = {
    "backup": "nothing yet: volumes are claims",
    "checks": "a Job in a namespace of its own, while `make verify IN_CLUSTER=1` runs",
    "entry": "the Service of the type `cluster.service`; what it answers to is the nameserver's",
    "exceptions": "the annotation `dap.exceptions`; the namespace takes what the loosest pod needs",
    "gpus": "`nvidia.com/gpu`, a number",
    "keeps": "a deploy reads that file of the volume, by a pod as the Job's",
    "kubernetes": "a Role of its account, its nodes, and room in the quota for pods it starts",
    "live": "a change of these files makes no pod anew; their folder shows it",
    "may_stop": "refused: a cluster starts anew what has stopped",
    "metrics": "a port of the Service",
    "nameserver": "pods ask it for names; its Service has port 53",
    "reproduce": "nothing: it is a command in the pod",
    "routes": "ports of the Service",
    "ssh": "a port of the Service",
    "streams": "ports of the Service",
    "takes": "claims of the volumes that folders left, mounted there",
    "task": "a Job that each deploy runs",
}

REFUSED: Mapping[str, str] = {
    "devices": "a pod gets devices by plugins of the cluster; GPUs by x-dap.gpus",
    "dns": "names are the cluster's",
    "ipc": "a pod has an IPC namespace of its own",
    "pid": "a pod has processes of its own",
    "stop_signal": "the image's own is sent: say it there, by STOPSIGNAL",
    "ulimits": "a pod has the limits that its node's container runtime gives",
    "userns_mode": "it is the node's",
}

VOLUME: Mapping[str, str] = {
    "name": "nothing: the claim is called FOLDER-VOLUME",
    "labels": "annotations of the claim",
}

HEALTHCHECK: Mapping[str, str] = {
    "test": "the command of both probes",
    "interval": "`readinessProbe.periodSeconds`",
    "timeout": "`timeoutSeconds`",
    "retries": "`readinessProbe.failureThreshold`",
    "start_interval": "`startupProbe.periodSeconds`, at least 1",
    "start_period": "nothing: the startup probe waits as long as it takes",
    "disable": "no probes",
}


def unknown(found: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    """Yield "KEY: why" of each key that is not known."""
    for key in found:
        if key not in known:
            why = REFUSED.get(key, "nothing there is alike")
            yield f"{key}: can't be done on Kubernetes: {why}"
