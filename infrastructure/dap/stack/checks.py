"""What the acceptance tests need to run as a Job in the platform's cluster. All pure.

They are in a namespace of their own, beside that of their platform.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dap.cluster import Manifest
from dap.cluster.source import PLATFORM_LABEL
from dap.engine import Prepared
from dap.errors import InputError
from dap.files import outside, read_files
from dap.plan import REGISTRY_PASSWORD
from dap.render.values import Values
from dap.stack.live import LOOKED_AT
from dap.stack.place import Place
from dap.stack.plan import objects_of
from dap.stack.preflight import plural

VERIFIES = "dap.verify"
"""Label of all that is there meanwhile: the platform that is verified."""
NAME = "tests"
"""Name of the Job, and of what it alone has."""
_APART = "-verify"
_SECRETS = "secrets.json"
# An object of the API has at most 1 MiB.
_PART = 700 * 1024
# What plan, rendered trees and tests are read from; secrets come by themselves.
_FOLDERS = ("infrastructure", "environments")
_NOT_GIVEN = outside({"secrets"})
_LOGIN = "kubernetes.io/dockerconfigjson"
_LIMIT_S = 3600

Object = dict[str, Any]


def of_checks(place: Place) -> Place:
    """Return the place of the tests beside that of their platform."""
    at = place.at and replace(place.at, namespace=place.namespace + _APART)
    return replace(place, platform=place.platform + _APART, at=at)


def objects(prepared: Prepared, arguments: Sequence[str]) -> list[Manifest]:
    """Return what the tests need in the cluster, in an order in which it can be made. Pure.

    Raises:
        InputError: the catalogue has nothing that they run in.
    """
    made = objects_of(prepared)
    if made.checks is None:
        raise InputError(
            "no service says x-dap.checks, so there is no image to run the tests in",
            "bring back its folder, or verify from here: make verify",
        )
    settings = prepared.plan.settings
    place, space = settings.namespace, settings.namespace + _APART
    labels = {
        PLATFORM_LABEL: settings.name + _APART,
        VERIFIES: settings.name,
        "app.kubernetes.io/managed-by": "dap",
    }
    platform = {each["kind"]: each for each in made.platform if each["kind"] == "Namespace"}
    kinds = [(version, kind) for version, kind in LOOKED_AT if kind != "Namespace"]
    pull = [each for each in made.platform if each.get("type") == _LOGIN]

    def thing(version: str, kind: str, name: str, where: str = space, **rest: Any) -> Manifest:
        head: Any = {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "labels": dict(labels)},
        }
        if kind != "Namespace":
            head["metadata"]["namespace"] = where
        return head | rest  # type: ignore[no-any-return]

    rbac = "rbac.authorization.k8s.io"
    namespace = thing("v1", "Namespace", space)
    standard = {
        key: "restricted"
        for key in platform["Namespace"]["metadata"]["labels"]
        if key.startswith("pod-security.kubernetes.io/")
    }
    namespace["metadata"]["labels"] |= standard
    parts = project_parts(prepared.root)
    return [
        namespace,
        # It is reached by nobody.
        thing(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            NAME,
            spec={"podSelector": {}, "policyTypes": ["Ingress"]},
        ),
        *(
            thing("v1", "Secret", each["metadata"]["name"], type=_LOGIN, data=each["data"])
            for each in pull
        ),
        thing(
            "v1",
            "ServiceAccount",
            NAME,
            automountServiceAccountToken=False,
            imagePullSecrets=[{"name": each["metadata"]["name"]} for each in pull],
        ),
        thing(f"{rbac}/v1", "Role", space, where=place, rules=_rules(place, kinds)),
        thing(
            f"{rbac}/v1",
            "RoleBinding",
            space,
            where=place,
            roleRef={"apiGroup": rbac, "kind": "Role", "name": space},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": space}],
        ),
        *(
            thing("v1", "ConfigMap", name, binaryData={name: base64.b64encode(part).decode()})
            for name, part in parts.items()
        ),
        thing("v1", "Secret", NAME, stringData={_SECRETS: json.dumps(given(prepared))}),
        thing(
            "batch/v1",
            "Job",
            NAME,
            spec={
                "backoffLimit": 0,
                "activeDeadlineSeconds": _LIMIT_S,
                "template": {
                    "metadata": {"labels": dict(labels)},
                    "spec": _pod(made.checks, [*parts], arguments),
                },
            },
        ),
    ]


def _rules(place: str, kinds: Sequence[tuple[str, str]]) -> list[Object]:
    """Return what the tests may do in the platform's namespace: look, and ask inside pods."""
    resources: dict[str, list[str]] = {}
    for version, kind in kinds:
        resources.setdefault(version.rpartition("/")[0], []).append(plural(kind))
    verbs = ["get", "list"]
    return [
        {
            "apiGroups": [""],
            "resources": ["namespaces"],
            "resourceNames": [place],
            "verbs": ["get"],
        },
        *(
            {"apiGroups": [group], "resources": sorted(names), "verbs": verbs}
            for group, names in sorted(resources.items())
        ),
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {
            "apiGroups": [""],
            "resources": ["pods/exec", "pods/portforward"],
            "verbs": ["create", "get"],
        },
    ]


def _pod(planned: Mapping[str, Any], parts: Sequence[str], arguments: Sequence[str]) -> Object:
    """Return the pod of the Job: as the catalogue says, with an account, project and secrets."""
    (container,) = planned["containers"]
    spec = {key: value for key, value in planned.items() if key != "dnsConfig"}
    mounts = [
        {"name": "given-project", "mountPath": "/given/project", "readOnly": True},
        {"name": "given-secrets", "mountPath": "/given/secrets", "readOnly": True},
    ]
    return {
        **spec,
        "containers": [
            {
                **container,
                "args": [each.replace("$(", "$$(") for each in arguments],
                "volumeMounts": [*(container.get("volumeMounts") or ()), *mounts],
            }
        ],
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "dnsPolicy": "ClusterFirst",
        "volumes": [
            *(planned.get("volumes") or ()),
            {
                "name": "given-project",
                "projected": {"sources": [{"configMap": {"name": name}} for name in parts]},
            },
            {"name": "given-secrets", "secret": {"secretName": NAME, "defaultMode": 0o440}},
        ],
    }


def given(prepared: Prepared) -> dict[str, str]:
    """Return the secrets that the tests get: what content has in the cluster, and what pulls.

    The key of the CA, kubeconfigs and the passphrase of the state stay here.
    """
    found = Values(prepared.plan, prepared.vault).vault()
    if REGISTRY_PASSWORD in prepared.secrets:
        found[REGISTRY_PASSWORD] = prepared.secrets[REGISTRY_PASSWORD]
    return found


def project_parts(root: Path) -> dict[str, bytes]:
    """Return a compressed archive of what the tests read of the project, in parts by name."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for file in (
            *(each for name in _FOLDERS for each in read_files(root, root / name, _NOT_GIVEN)),
        ):
            _add(archive, file.where, file.content, 0o755 if file.executable else 0o644)
        _add(archive, "platform.yml", (root / "platform.yml").read_bytes(), 0o644)
    content = packed.getvalue()
    return {
        f"project-{start // _PART:03}": content[start : start + _PART]
        for start in range(0, len(content), _PART)
    }


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def container(wanted: Sequence[Manifest]) -> str:
    """Return the name of the container that the tests run in."""
    job: Any = next(each for each in wanted if each["kind"] == "Job")
    return str(job["spec"]["template"]["spec"]["containers"][0]["name"])
