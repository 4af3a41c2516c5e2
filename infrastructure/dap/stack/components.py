"""The components of the program: a namespace with its rules, volumes, applications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi

from dap.stack.model import ApplicationArgs, Object, SpaceArgs, VolumesArgs

MANAGER = "dap"
NO_ADDRESS = "0.0.0.0"  # noqa: S104  no address to listen on
# What is the platform's by its label is so in each field: who has changed one since, loses it.
_MANAGED = {"pulumi.com/patchFieldManager": MANAGER, "pulumi.com/patchForce": "true"}
# Whether a pod is ready is judged after content is made, without which some never are.
_AT_ONCE = {**_MANAGED, "pulumi.com/skipAwait": "true"}
_SECRET = ["data", "stringData"]
Resources = list[pulumi.CustomResource]


class _Thing(pulumi.CustomResource):
    """An object, given as the API has it.

    The SDK's class of each kind asks for other names of keys, and to translate them back took most
    of a run's time.
    """

    def __init__(self, thing: Object, options: pulumi.ResourceOptions) -> None:
        group, _, version = thing["apiVersion"].rpartition("/")
        given = dict(thing)
        if thing["kind"] == "Secret":
            given |= {key: pulumi.Output.secret(thing[key]) for key in _SECRET if key in thing}
            secret = pulumi.ResourceOptions(additional_secret_outputs=_SECRET)
            options = pulumi.ResourceOptions.merge(options, secret)
        super().__init__(
            f"kubernetes:{group or 'core'}/{version}:{thing['kind']}",
            f"{thing['kind']}/{thing['metadata']['name']}",
            given,
            options,
        )


class _Component(pulumi.ComponentResource):
    """Something that makes objects, each under its kind and name, in the cluster of `provider`."""

    def __init__(self, name: str, after: Iterable[pulumi.Resource], **options: Any) -> None:
        kind = f"dap:cluster:{type(self).__name__}"
        own = pulumi.ResourceOptions(depends_on=list(after), **options)
        super().__init__(kind, name, None, own)

    def _make(self, thing: Object, *, awaited: bool = False, **options: Any) -> _Thing:
        metadata = thing["metadata"]
        notes = _MANAGED if awaited else _AT_ONCE
        annotations = {**metadata.get("annotations", {}), **notes}
        return _Thing(
            {**thing, "metadata": {**metadata, "annotations": annotations}},
            pulumi.ResourceOptions(parent=self, **options),
        )


class Space(_Component):
    """The namespace, which is protected, with its quota, limits, accounts and policies."""

    def __init__(self, args: SpaceArgs, **options: Any) -> None:
        super().__init__("space", (), **options)
        self.namespace = self._make(args.namespace, protect=True)
        # Of who may not give everything, the API looks up what a binding gives.
        roles: dict[str, pulumi.CustomResource] = {}
        made: list[tuple[str, pulumi.CustomResource]] = []
        for each in sorted(args.rules, key=lambda each: each["kind"] == "RoleBinding"):
            role = roles.get(each["roleRef"]["name"]) if each["kind"] == "RoleBinding" else None
            after = [self.namespace] if role is None else [self.namespace, role]
            made.append((each["kind"], self._make(each, depends_on=after)))
            if each["kind"] == "Role":
                roles[each["metadata"]["name"]] = made[-1][1]
        self.rules: Resources = [rule for _, rule in made]
        self.quotas: Resources = [rule for kind, rule in made if kind == "ResourceQuota"]
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
        spec: pulumi.Output[Object] = pulumi.get(service, "spec")
        return spec.apply(lambda found: found.get("clusterIP") or NO_ADDRESS)


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
