"""The small project of the other unit tests, and the shipped catalogue, on a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dap.catalogue import read_catalogue
from dap.cluster import Objects, objects
from dap.plan import make_plan, secret_specs
from dap.render import Secrets, render, render_clusters
from dap.secrets.kinds import make
from dap.settings import Settings

from tests.tools.kubernetes_schema import FILE

SSH_KEY = make("ssh-key")
NAMESERVER = "10.96.0.99"
ON_CLUSTER: dict[str, Any] = {
    "target": "kubernetes",
    "domain": "dap.test",
    "cluster": {"context": "here", "slots": 0},
}


class AnyVault:
    """A value for each secret that is easy to search for."""

    def __init__(self, kinds: dict[str, Any]) -> None:
        self.kinds = kinds

    def get(self, name: str, /) -> str:
        if self.kinds.get(name) == "ssh-key":
            return SSH_KEY
        return f"value-of-{name.replace('/', '-')}-x7"


@dataclass(frozen=True)
class Made:
    """The objects of a platform, as a test looks them up."""

    objects: Objects

    @property
    def all(self) -> list[dict[str, Any]]:
        return [dict(each) for each in (*self.objects.platform, *self.objects.tasks)]

    def kind(self, kind: str) -> dict[str, dict[str, Any]]:
        found = [each for each in self.all if each["kind"] == kind]
        named = {each["metadata"]["name"]: each for each in found}
        assert len(named) == len(found)
        return named

    def workload(self, name: str) -> dict[str, Any]:
        kinds = ("StatefulSet", "Deployment", "Job")
        (found,) = (self.kind(kind)[name] for kind in kinds if name in self.kind(kind))
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pod templates by the name of what runs them."""
        return {
            each["metadata"]["name"]: each["spec"]["template"]
            for each in self.all
            if each["kind"] in ("StatefulSet", "Deployment", "Job")
        }

    def spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self.pods()[name]["spec"]
        return spec

    def container(self, name: str) -> dict[str, Any]:
        (container,) = self.spec(name)["containers"]
        return dict(container)


def on_cluster(root: Path, data: dict[str, Any]) -> Made:
    """The objects of the project at `root` with these settings beside those of a cluster."""
    cluster = ON_CLUSTER["cluster"] | data.get("cluster", {})
    settings = Settings.model_validate({**ON_CLUSTER, **data, "cluster": cluster})
    plan = make_plan(settings, read_catalogue(root))
    vault: Secrets = AnyVault(dict(secret_specs(plan)))
    (tree,) = render(plan, vault)
    return Made(objects(plan, tree, NAMESERVER, vault))


BESIDE: dict[str, Any] = {"forge": "gitlab", "domain": "dap.test", "address": "10.0.0.5"}


def for_jobs(root: Path, data: dict[str, Any]) -> dict[str, Made]:
    """The objects of each cluster that runs jobs alone, by its name."""
    plan = make_plan(Settings.model_validate({**BESIDE, **data}), read_catalogue(root))
    vault: Secrets = AnyVault(dict(secret_specs(plan)))
    trees = render_clusters(plan, vault)
    return {tree.host: Made(objects(plan, tree, secrets=vault)) for tree in trees}


class Api:
    """What Kubernetes' own description of its API says of objects."""

    def __init__(self) -> None:
        self._description = json.loads(FILE.read_text())

    def problems(self, manifest: dict[str, Any]) -> list[str]:
        """What is wrong with an object: keys that its type does not have, values of other types."""
        schema = {**self._description, **self._description["kinds"][manifest["kind"]]}
        validator = jsonschema.Draft202012Validator(schema)
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        return [
            f"{name}: {error.json_path}: {error.message[:200]}"
            for error in validator.iter_errors(manifest)
        ]


@pytest.fixture(scope="session")
def api() -> Api:
    return Api()
