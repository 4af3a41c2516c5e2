"""How a platform's objects are shared out to components, and which kubeconfig is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.settings import Settings, SettingsError
from dap.stack.kubeconfig import find
from dap.stack.model import shared_out

from tests.paths import ROOT
from tests.unit.cluster.conftest import ON_CLUSTER, Made, on_cluster


@pytest.fixture(scope="module")
def made() -> Made:
    return on_cluster(ROOT, {})


def key(thing: dict[str, Any]) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


def test_each_object_is_the_matter_of_one_component(made: Made) -> None:
    args = shared_out(made.objects)
    shared = [args.space.namespace, *args.space.rules, *args.volumes.claims]
    for each in args.applications:
        shared += [*each.files, *each.services, each.workload, *each.budgets]
    assert sorted(map(key, shared)) == sorted(key(dict(each)) for each in made.objects.platform)


def test_an_application_has_what_is_its_own(made: Made) -> None:
    args = shared_out(made.objects)
    minio = next(each for each in args.applications if each.name == "minio")
    assert [key(each) for each in minio.files] == [("Secret", "minio")]
    assert [key(each) for each in minio.services] == [("Service", "minio")]
    assert key(minio.workload) == ("StatefulSet", "minio")
    assert {key(each)[1] for each in args.volumes.claims} >= {"minio-data", "content-kept"}
    # What a task reads has no application: it is there for its Job.
    assert ("Secret", "content") in {key(each) for each in args.space.rules}
    assert args.nameserver == "nameserver"


def test_a_claim_that_nothing_mounts_any_more_stays(made: Made) -> None:
    old = made.kind("PersistentVolumeClaim")["minio-data"]
    gone = {**old, "metadata": {**old["metadata"], "name": "gone-data"}}
    gone["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true", "dap.platform": "dap"}
    args = shared_out(made.objects, [old, gone])
    claims = {each["metadata"]["name"]: each for each in args.volumes.claims}
    assert claims["gone-data"]["metadata"]["annotations"] == {"dap.platform": "dap"}
    assert claims["gone-data"]["spec"] == old["spec"]
    assert len(claims) == len(args.volumes.claims)


def written(path: Path, *contexts: str) -> Path:
    path.write_text(yaml.dump({"contexts": [{"name": name} for name in contexts]}))
    return path


def settings(**cluster: Any) -> Settings:
    return Settings.model_validate({**ON_CLUSTER, "cluster": {"context": "here", **cluster}})


def refused(root: Path, **cluster: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        find(settings(**cluster), root)
    (problem,) = caught.value.problems
    return str(problem)


def test_the_file_of_the_settings(tmp_path: Path) -> None:
    file = written(tmp_path / "k.yml", "there", "here")
    assert find(settings(kubeconfig="k.yml"), tmp_path) == (file,)


def test_the_files_that_kubectl_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path / "a", "there"), written(tmp_path / "b", "here")
    monkeypatch.setenv("KUBECONFIG", f"{files[0]}:{tmp_path / 'none'}:{files[1]}")
    assert find(settings(), tmp_path)[::2] == files
    (tmp_path / "users").write_text("users: [{name: ada}]\n")
    (tmp_path / "empty").touch()
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'users'}:{tmp_path / 'empty'}:{files[1]}")
    assert find(settings(), tmp_path)[2] == files[1]
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    own = written(tmp_path / ".kube" / "config", "here")
    assert find(settings(), tmp_path) == (own,)


def test_an_unknown_context_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "k.yml", "there", "heer")
    assert refused(tmp_path, kubeconfig="k.yml") == (
        f"platform.yml:1: cluster.context: is no context of {file}; allowed: there (nearest), heer"
    )


def test_a_file_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(tmp_path, kubeconfig="none.yml")
    assert message.startswith("platform.yml:1: cluster.kubeconfig: there is no kubeconfig ")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "cluster.context: there is no kubeconfig" in refused(tmp_path)


@pytest.mark.parametrize("text", ["[]", "a: [", "contexts: [{}]", "contexts: here", "- contexts"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "k.yml").write_text(text)
    message = refused(tmp_path, kubeconfig="k.yml")
    assert "cluster.kubeconfig: the file is no kubeconfig that can be read" in message
