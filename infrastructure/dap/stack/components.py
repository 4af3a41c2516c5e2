"""The components of the program: a namespace with its rules, volumes, applications."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from dap.stack.model import ApplicationArgs, Object, SpaceArgs, VolumesArgs

MANAGER = "dap"
NO_ADDRESS = "0.0.0.0"  # noqa: S104  no address to listen on
_MANAGED = {"pulumi.com/patchFieldManager": MANAGER}
# Whether a pod is ready is judged after content is made, without which some never are.
_AT_ONCE = {**_MANAGED, "pulumi.com/skipAwait": "true"}
_CLASSES: dict[str, Callable[[], Callable[..., pulumi.CustomResource]]] = {
    "ConfigMap": lambda: kubernetes.core.v1.ConfigMap,
    "Deployment": lambda: kubernetes.apps.v1.Deployment,
    "Ingress": lambda: kubernetes.networking.v1.Ingress,
    "LimitRange": lambda: kubernetes.core.v1.LimitRange,
    "Namespace": lambda: kubernetes.core.v1.Namespace,
    "NetworkPolicy": lambda: kubernetes.networking.v1.NetworkPolicy,
    "PersistentVolumeClaim": lambda: kubernetes.core.v1.PersistentVolumeClaim,
    "PodDisruptionBudget": lambda: kubernetes.policy.v1.PodDisruptionBudget,
    "ResourceQuota": lambda: kubernetes.core.v1.ResourceQuota,
    "Role": lambda: kubernetes.rbac.v1.Role,
    "RoleBinding": lambda: kubernetes.rbac.v1.RoleBinding,
    "Secret": lambda: kubernetes.core.v1.Secret,
    "Service": lambda: kubernetes.core.v1.Service,
    "ServiceAccount": lambda: kubernetes.core.v1.ServiceAccount,
    "StatefulSet": lambda: kubernetes.apps.v1.StatefulSet,
}
_RENAMED = {
    "automountServiceAccountToken": "automount_service_account_token",
    "binaryData": "binary_data",
    "imagePullSecrets": "image_pull_secrets",
    "roleRef": "role_ref",
}
Resources = list[pulumi.CustomResource]


class _Component(pulumi.ComponentResource):
    """Something that makes objects, each under its kind and name, in the cluster of `provider`."""

    def __init__(self, name: str, after: Iterable[pulumi.Resource], **options: Any) -> None:
        kind = f"dap:cluster:{type(self).__name__}"
        own = pulumi.ResourceOptions(depends_on=list(after), **options)
        super().__init__(kind, name, None, own)

    def _make(
        self, thing: Object, *, awaited: bool = False, **options: Any
    ) -> pulumi.CustomResource:
        rest = {_RENAMED.get(key, key): value for key, value in thing.items() if key not in _OWN}
        metadata = thing["metadata"]
        notes = _MANAGED if awaited else _AT_ONCE
        annotations = {**metadata.get("annotations", {}), **notes}
        return _CLASSES[thing["kind"]]()(
            f"{thing['kind']}/{metadata['name']}",
            opts=pulumi.ResourceOptions(parent=self, **options),
            metadata={**metadata, "annotations": annotations},
            **rest,
        )


_OWN = ("apiVersion", "kind", "metadata")


class Space(_Component):
    """The namespace, which is protected, with its quota, limits, accounts and policies."""

    def __init__(self, args: SpaceArgs, **options: Any) -> None:
        super().__init__("space", (), **options)
        self.namespace = self._make(args.namespace, protect=True)
        self.rules: Resources = [
            self._make(each, depends_on=[self.namespace]) for each in args.rules
        ]
        self.register_outputs({})


class Volumes(_Component):
    """What holds data; it is protected, and never made anew by a change of its class."""

    def __init__(self, args: VolumesArgs, after: Iterable[pulumi.Resource], **options: Any) -> None:
        super().__init__("volumes", after, **options)
        self.claims = {
            each["metadata"]["name"]: self._make(each, protect=True) for each in args.claims
        }
        self.register_outputs({})


class Application(_Component):
    """A service: its files and names first, then, by `run`, what runs it.

    Args:
        args: its objects.
        after: what must be there before.
    """

    def __init__(
        self, args: ApplicationArgs, after: Iterable[pulumi.Resource], **options: Any
    ) -> None:
        super().__init__(args.name, after, **options)
        self._args = args
        self._files: Resources = [self._make(each) for each in args.files]
        self.services: Resources = [self._make(each) for each in args.services]
        self.budgets: Resources = [self._make(each) for each in args.budgets]

    def run(
        self,
        after: Iterable[pulumi.Resource],
        nameserver: pulumi.Input[str] | None,
        *,
        awaited: bool = False,
    ) -> pulumi.CustomResource:
        """Declare what runs it, once.

        Args:
            after: what must be there before, beside its own files and names.
            nameserver: address that its pods ask for names; None where there is none to ask.
            awaited: what comes after waits until its pods are ready.
        """
        given = self._args.workload
        workload = given if nameserver is None else _asking(given, nameserver)
        needed = [*self._files, *self.services, *after]
        made = self._make(workload, awaited=awaited, depends_on=needed)
        self.register_outputs({})
        return made

    @property
    def mounted(self) -> list[str]:
        """The names of the claims that its pods mount."""
        volumes = self._args.workload["spec"]["template"]["spec"].get("volumes") or ()
        claims = (each.get("persistentVolumeClaim") for each in volumes)
        return [claim["claimName"] for claim in claims if claim]

    @property
    def address(self) -> pulumi.Output[str]:
        """The address of its Service; in a preview before its namespace is there, none."""
        (service,) = self.services
        found: pulumi.Output[str] = service.spec.apply(  # type: ignore[attr-defined]
            lambda spec: spec.get("cluster_ip") or NO_ADDRESS
        )
        return found


def _asking(workload: Object, nameserver: pulumi.Input[str]) -> Object:
    """Return a workload whose pods ask `nameserver` for names, if it is not for the cluster alone.

    The address is known once the Service is there, so it stands in no object before.
    """
    template = workload["spec"]["template"]
    names = template["spec"].get("dnsConfig")
    if names is None:
        return workload
    spec = {**template["spec"], "dnsConfig": {**names, "nameservers": [nameserver]}}
    return {**workload, "spec": {**workload["spec"], "template": {**template, "spec": spec}}}
