"""The part of Kubernetes' OpenAPI description that tests hold objects against.

    python -m tests.tools.kubernetes_schema

reads it from the Go module of Kubernetes, which go fetches, and writes FILE: the types of the kinds
below, without their descriptions. Keys that a type does not have are refused, as by
`kubectl --validate=strict`.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.paths import ROOT

FILE = ROOT / "tests" / "unit" / "cluster" / "data" / "kubernetes.json"
VERSION = "v1.34.1"
KINDS = {
    "api__v1": (
        *("ConfigMap", "LimitRange", "Namespace", "PersistentVolumeClaim", "ResourceQuota"),
        *("Secret", "Service", "ServiceAccount"),
    ),
    "apis__apps__v1": ("Deployment", "StatefulSet"),
    "apis__batch__v1": ("Job",),
    "apis__networking.k8s.io__v1": ("Ingress", "NetworkPolicy"),
    "apis__policy__v1": ("PodDisruptionBudget",),
    "apis__rbac.authorization.k8s.io__v1": ("Role", "RoleBinding"),
}
COMMENT = (
    f"From api/openapi-spec/v3 of k8s.io/kubernetes {VERSION}, Copyright The Kubernetes Authors, "
    "Apache-2.0; cut down by tests/tools/kubernetes_schema.py"
)
REF = "#/components/schemas/"


def main() -> None:
    """Write the file."""
    folder = _module() / "api" / "openapi-spec" / "v3"
    types: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    for name, wanted in KINDS.items():
        data = json.loads((folder / f"{name}_openapi.json").read_text())
        schemas: dict[str, Any] = data["components"]["schemas"]
        for full, schema in schemas.items():
            for each in schema.get("x-kubernetes-group-version-kind", ()):
                if each["kind"] in wanted and full.endswith(f".{each['kind']}"):
                    kinds[each["kind"]] = {"$ref": REF + full}
                    _collect(full, schemas, types)
    whole = {"$comment": COMMENT, "components": {"schemas": types}, "kinds": kinds}
    FILE.write_text(json.dumps(whole, separators=(",", ":"), sort_keys=True) + "\n")


def _module() -> Path:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{VERSION}"],
            cwd=folder,
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            check=True,
            capture_output=True,
            text=True,
        )
    return Path(json.loads(done.stdout)["Dir"])


def _collect(name: str, schemas: dict[str, Any], types: dict[str, Any]) -> None:
    if name in types:
        return
    types[name] = made = _cut(schemas[name])
    if "properties" in made:
        made["additionalProperties"] = False
    for other in set(_references(made)):
        _collect(other.removeprefix(REF), schemas, types)


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _cut(each) for name, each in part.items()}
        if key == "properties"
        else _cut(part)
        for key, part in value.items()
        if key not in ("description", "default") and not key.startswith("x-")
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref":
                yield part
            else:
                yield from _references(part)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


if __name__ == "__main__":
    main()
