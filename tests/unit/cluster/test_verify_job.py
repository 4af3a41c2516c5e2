"""What `make verify IN_CLUSTER=1` makes in a cluster: who may what there, and what it is given."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dap.catalogue import read_catalogue
from dap.engine import Prepared, prepare
from dap.errors import InputError
from dap.plan import STATE_PASSPHRASE, make_plan, secret_specs
from dap.render import render
from dap.secrets import Vault
from dap.settings import Settings
from dap.stack import checks
from dap.stack.live import LOOKED_AT

from tests.paths import ROOT
from tests.unit.cluster.conftest import ON_CLUSTER, AnyVault, Api
from tests.unit.cluster.standard import violations

CLUSTER = {
    **ON_CLUSTER["cluster"],
    "registry": {
        "address": "registry.example.org/dap",
        "user": "puller",
        "push_user": "pusher",
        "ca": "registry-ca.pem",  # of the operator's machine
    },
}


def prepared(root: Path, **data: Any) -> Prepared:
    """The shipped catalogue on a cluster, with a value for each secret."""
    settings = Settings.model_validate({**ON_CLUSTER, "cluster": CLUSTER, **data})
    plan = make_plan(settings, read_catalogue(root))
    kinds = dict(secret_specs(plan))
    names = [*kinds, "tls/ca-key", "tls/ca-certificate", "tls/certificate", "tls/key"]
    values = {name: AnyVault(kinds).get(name) for name in names}
    vault = Vault(root / "vault.yml", "label", b"", b"", values)
    return Prepared(root, plan, vault, (), render(plan, vault))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the shipped catalogue."""
    root = tmp_path_factory.mktemp("project")
    for name in ("infrastructure", "environments"):
        (root / name).symlink_to(ROOT / name)
    settings = json.dumps({**ON_CLUSTER, "cluster": CLUSTER})
    (root / "platform.yml").write_text(settings, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def made(project: Path) -> list[dict[str, Any]]:
    return [dict(each) for each in checks.objects(prepared(project), ["--json"])]


def one(made: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    (found,) = (
        each for each in made if each["kind"] == kind and name in ("", each["metadata"]["name"])
    )
    return found


def test_objects_are_as_the_api_describes_them(made: list[dict[str, Any]], api: Api) -> None:
    assert [problem for each in made for problem in api.problems(each)] == []


def test_the_pod_is_restricted_and_so_is_its_namespace(made: list[dict[str, Any]]) -> None:
    assert list(violations(one(made, "Job")["spec"]["template"]["spec"])) == []
    labels = one(made, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_it_is_no_part_of_the_platform(made: list[dict[str, Any]]) -> None:
    """So that neither a deploy nor the checks take it for what should not be there."""
    for each in made:
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "dap-verify"
        assert each["metadata"]["labels"][checks.VERIFIES] == "dap"


def test_beside_the_platform_are_its_rights_alone_and_these_change_nothing(
    made: list[dict[str, Any]],
) -> None:
    beside = [each for each in made if each["metadata"].get("namespace") == "dap"]
    assert sorted(each["kind"] for each in beside) == ["Role", "RoleBinding"]
    allowed = {
        (resource, verb)
        for rule in one(made, "Role")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    inside = {"pods/exec", "pods/portforward"}
    assert {verb for resource, verb in allowed if resource not in inside} == {"get", "list"}
    assert {resource for resource, verb in allowed if verb == "create"} == inside
    looked_at = {resource for resource, verb in allowed if verb == "list"}
    assert len(looked_at) == len(LOOKED_AT) - 1, "all kinds but the namespace, which it gets"


def test_who_pulls_images_is_there_too(made: list[dict[str, Any]]) -> None:
    assert one(made, "Secret", "registry.pull")["type"] == "kubernetes.io/dockerconfigjson"
    account = one(made, "ServiceAccount")
    assert account["imagePullSecrets"] == [{"name": "registry.pull"}]
    (container,) = one(made, "Job")["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.org/dap/dap/acceptance-tests:")
    assert container["args"] == ["--json"]


def test_what_no_service_is_told_stays_here(made: list[dict[str, Any]]) -> None:
    secrets = json.loads(one(made, "Secret", checks.NAME)["stringData"]["secrets.json"])
    assert "tls/key" in secrets
    withheld = {"tls/ca-key", STATE_PASSPHRASE, "cluster/registry-push-password"}
    assert not withheld & secrets.keys()


def test_from_what_it_is_given_the_same_objects_come(
    made: list[dict[str, Any]], project: Path, tmp_path: Path
) -> None:
    """The project in parts, with the secrets, renders as the project here does."""
    parts = [each for each in made if each["kind"] == "ConfigMap"]
    assert all(len(base64.b64decode(*each["binaryData"].values())) < 2**20 for each in parts)
    mounted = one(made, "Job")["spec"]["template"]["spec"]["volumes"]
    (volume,) = (each for each in mounted if each["name"] == "given-project")
    names = [each["configMap"]["name"] for each in volume["projected"]["sources"]]
    assert sorted(names) == sorted(each["metadata"]["name"] for each in parts)
    content = b"".join(
        base64.b64decode(*each["binaryData"].values())
        for each in sorted(parts, key=lambda each: str(each["metadata"]["name"]))
    )
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        archive.extractall(tmp_path, filter="data")
    assert not (tmp_path / "infrastructure" / "secrets").exists()
    assert (tmp_path / "infrastructure" / "tests" / "run.py").is_file()
    secrets = json.loads(one(made, "Secret", checks.NAME)["stringData"]["secrets.json"])
    again = prepare(tmp_path, secrets)
    assert again.new_secrets == ()
    assert again.trees == prepared(project).trees


def test_many_files_make_several_parts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_PART", 100_000)
    parts = checks.project_parts(project)
    assert len(parts) > 5
    assert list(parts) == sorted(parts)
    assert {len(part) for part in list(parts.values())[:-1]} == {100_000}


def test_without_an_image_to_run_in_it_is_refused(project: Path) -> None:
    whole = prepared(project)
    (host,) = whole.plan.hosts
    folders = tuple(each for each in host.folders if each.name != "acceptance-tests")
    bare = replace(whole, plan=replace(whole.plan, hosts=(replace(host, folders=folders),)))
    with pytest.raises(InputError, match=r"no service says x-dap\.checks"):
        checks.objects(bare, [])
