"""The Kubernetes objects that a platform is made of: of each type the keys that are used here.

The names are those of the API (v1.34); tests hold what is made against its OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

Labels = dict[str, str]
Quantities = dict[str, str | int]


class ObjectMeta(TypedDict):
    """Name and labels of an object; a Namespace has no namespace."""

    name: str
    labels: Labels
    namespace: NotRequired[str]
    annotations: NotRequired[Labels]


class Manifest(TypedDict):
    """An object as it is applied; what it holds beside these keys is a matter of its kind."""

    apiVersion: str
    kind: str
    metadata: ObjectMeta
    spec: NotRequired[Mapping[str, Any]]
    data: NotRequired[dict[str, str]]
    binaryData: NotRequired[dict[str, str]]
    type: NotRequired[str]
    automountServiceAccountToken: NotRequired[bool]
    imagePullSecrets: NotRequired[list[dict[str, str]]]
    rules: NotRequired[list[dict[str, list[str]]]]
    roleRef: NotRequired[dict[str, str]]
    subjects: NotRequired[list[dict[str, str]]]


class KeyToPath(TypedDict):
    """A key of a ConfigMap or Secret as a file; `mode` in decimal, as JSON has it."""

    key: str
    path: str
    mode: NotRequired[int]


class Volume(TypedDict):
    """A volume of a pod: one key beside the name says of what kind."""

    name: str
    emptyDir: NotRequired[dict[str, str]]
    persistentVolumeClaim: NotRequired[dict[str, str | bool]]
    secret: NotRequired[dict[str, Any]]
    projected: NotRequired[dict[str, Any]]


class VolumeMount(TypedDict):
    """Where a volume, or one file of it, appears in a container."""

    name: str
    mountPath: str
    subPath: NotRequired[str]
    readOnly: NotRequired[bool]


class Probe(TypedDict):
    """A check by a command in the container; times in seconds."""

    exec: dict[str, list[str]]
    periodSeconds: int
    timeoutSeconds: int
    failureThreshold: int


class Capabilities(TypedDict):
    """Linux capabilities of a container."""

    drop: NotRequired[list[str]]
    add: NotRequired[list[str]]


class SecurityContext(TypedDict):
    """What a container may not do."""

    allowPrivilegeEscalation: bool
    privileged: bool
    readOnlyRootFilesystem: bool
    capabilities: Capabilities


class PodSecurityContext(TypedDict):
    """Whom the containers of a pod run as."""

    runAsUser: int
    runAsGroup: int
    runAsNonRoot: bool
    seccompProfile: dict[str, str]
    sysctls: list[dict[str, str]]
    fsGroup: NotRequired[int]
    fsGroupChangePolicy: NotRequired[Literal["OnRootMismatch"]]
    supplementalGroups: NotRequired[list[int]]


class Resources(TypedDict):
    """What a container is sure to get, and what it gets at most."""

    requests: Quantities
    limits: Quantities


class Container(TypedDict):
    """A container of a pod."""

    name: str
    image: str
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"]
    resources: Resources
    securityContext: SecurityContext
    command: NotRequired[list[str]]
    args: NotRequired[list[str]]
    workingDir: NotRequired[str]
    env: NotRequired[list[dict[str, str]]]
    ports: NotRequired[list[dict[str, str | int]]]
    volumeMounts: NotRequired[list[VolumeMount]]
    startupProbe: NotRequired[Probe]
    readinessProbe: NotRequired[Probe]
    stdin: NotRequired[bool]
    tty: NotRequired[bool]


class PodSpec(TypedDict):
    """A pod."""

    containers: list[Container]
    serviceAccountName: str
    automountServiceAccountToken: bool
    enableServiceLinks: bool
    restartPolicy: Literal["Always", "Never"]
    securityContext: PodSecurityContext
    terminationGracePeriodSeconds: int
    dnsPolicy: Literal["ClusterFirst", "None"]
    dnsConfig: NotRequired[dict[str, Any]]
    initContainers: NotRequired[list[Container]]
    volumes: NotRequired[list[Volume]]
    shareProcessNamespace: NotRequired[bool]
    affinity: NotRequired[dict[str, Any]]
    topologySpreadConstraints: NotRequired[list[dict[str, Any]]]
    hostAliases: NotRequired[list[dict[str, Any]]]
    hostname: NotRequired[str]
    nodeSelector: NotRequired[dict[str, str]]
    tolerations: NotRequired[list[dict[str, str]]]


class PodTemplate(TypedDict):
    """What pods are made from."""

    metadata: dict[str, Labels]
    spec: PodSpec
