"""A whole platform by the real engine: made, left alone, changed, mended, taken away."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.cluster import Objects
from dap.errors import DapError
from dap.settings import Settings
from dap.stack import Engine, Result

from tests.cluster import image
from tests.paths import ROOT
from tests.pulumi.platform import ADDRESS, PASSPHRASE, Addressed, Passphrase
from tests.pulumi.standin.serve import served
from tests.unit.cluster.conftest import ON_CLUSTER, on_cluster


@pytest.fixture
def memory() -> Addressed:
    return Addressed()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def engine(memory: Addressed, tmp_path: Path, told: list[str]) -> Iterator[Engine]:
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.dump({"contexts": [{"name": "here"}]}))
    cluster = {**ON_CLUSTER["cluster"], "kubeconfig": "kubeconfig"}
    settings = Settings.model_validate({**ON_CLUSTER, "cluster": cluster})
    with served(lambda _: memory) as environment:
        variables = {
            **environment,
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        command = image.tool("pulumi").parent.parent
        yield Engine(
            tmp_path, settings, Passphrase(), told.append, variables=variables, command=command
        )


@pytest.fixture(scope="module")
def platform() -> Objects:
    return on_cluster(ROOT, {}).objects


@pytest.fixture(scope="module")
def larger() -> Objects:
    """The same with another limit of memory."""
    return on_cluster(ROOT, {"resources": {"mlflow": {"memory": "3g"}}}).objects


def without(made: Objects, name: str) -> Objects:
    """A platform without the service of that name and its volumes."""
    kept = tuple(
        each
        for each in made.platform
        if name not in (each["metadata"]["name"], each["metadata"]["name"].rpartition("-")[0])
    )
    return Objects(kept, made.tasks, made.nameserver)


def names(memory: Addressed) -> set[tuple[str, str]]:
    return {(key[1], key[3]) for key in memory.objects}


def thing(memory: Addressed, kind: str, name: str) -> Any:
    (found,) = (each for key, each in memory.objects.items() if key[1::2] == (kind, name))
    return found


def said(result: Result) -> set[str]:
    return {f"{each.operation} {each.thing}" for each in result.changes}


def test_all_is_made_and_the_next_run_does_nothing(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    done = engine.up(platform)
    wanted = {(each["kind"], each["metadata"]["name"]) for each in platform.platform}
    assert names(memory) == wanted
    assert said(done) == {f"create {kind}/{name}" for kind, name in wanted}
    memory.calls.clear()
    assert engine.up(platform).changes == ()
    assert memory.calls == []


def test_the_program_waits_for_the_cluster_without_taking_a_processor(
    engine: Engine, memory: Addressed, platform: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Pulumi's SDK waits by asking over and over, it does so thousands of times a second."""
    asked = 0
    slept = asyncio.sleep

    async def counted(delay: float, *result: Any) -> Any:
        nonlocal asked
        asked += 1
        return await slept(delay, *result)

    monkeypatch.setattr(asyncio, "sleep", counted)
    engine.up(platform)
    assert 0 < asked < 10 * len(memory.objects)


def test_what_is_made_is_what_was_asked_for(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    engine.up(platform)
    for made in platform.platform:
        each: dict[str, Any] = dict(made)
        live = thing(memory, each["kind"], each["metadata"]["name"])
        own = {
            k: v for k, v in live["metadata"].get("annotations", {}).items() if "pulumi" not in k
        }
        assert own == each["metadata"].get("annotations", {})
        for key in set(each) - {"metadata", "spec"}:
            assert live[key] == each[key], (each["kind"], key)
        if each["kind"] != "Service":
            assert live.get("spec") == each.get("spec"), each["metadata"]["name"]


def test_an_ingress_is_made_and_goes_with_its_settings(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    cluster = {"ingress_class": "nginx", "ingress_annotations": {"a": "b"}}
    engine.up(on_cluster(ROOT, {"cluster": cluster}).objects)
    made = thing(memory, "Ingress", "nginx-proxy")
    assert made["spec"]["rules"][0]["host"] == "admin-python.dap.test"
    # Content is told the settings.
    wanted = {"delete Ingress/nginx-proxy", "update ConfigMap/content"}
    assert said(engine.up(platform)) == wanted


def test_pods_ask_the_address_that_the_nameserver_got(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    other = Objects(
        tuple(_with_names(each, "") for each in platform.platform),
        platform.tasks,
        platform.nameserver,
    )
    engine.up(other)
    pod = thing(memory, "StatefulSet", "minio")["spec"]["template"]["spec"]
    assert pod["dnsConfig"]["nameservers"] == [ADDRESS]
    order = memory.order
    serves = order.index(("Deployment", "nameserver"))
    assert serves < order.index(("StatefulSet", "minio"))
    # It begins to answer once it finds the entry, by this.
    assert order.index(("Service", "nginx-proxy")) < serves


def _with_names(manifest: Any, address: str) -> Any:
    spec = manifest.get("spec", {}).get("template", {}).get("spec", {})
    if "dnsConfig" not in spec:
        return manifest
    names = {**spec["dnsConfig"], "nameservers": [address]}
    template = {**manifest["spec"]["template"], "spec": {**spec, "dnsConfig": names}}
    return {**manifest, "spec": {**manifest["spec"], "template": template}}


def test_a_plan_says_what_differs_and_changes_nothing(
    engine: Engine, memory: Addressed, platform: Objects, larger: Objects
) -> None:
    engine.up(platform)
    memory.calls.clear()
    found = engine.preview(larger)
    assert memory.calls == []
    (pod,) = (each for each in found.changes if each.thing == "StatefulSet/mlflow")
    assert pod.operation == "update"
    assert any(path.endswith("resources.limits.memory") for path in pod.paths), pod.paths
    assert said(engine.up(larger)) == said(found)
    assert said(found) == {"update StatefulSet/mlflow", "update ResourceQuota/dap"} | {
        # The content of the platform says which limits it has.
        *("update ConfigMap/content",)
    }
    assert engine.preview(larger).changes == ()


def test_what_others_changed_is_shown_and_mended(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    engine.up(platform)
    thing(memory, "Deployment", "portal")["spec"]["replicas"] = 5
    gone = next(key for key in memory.objects if key[1::2] == ("NetworkPolicy", "all"))
    del memory.objects[gone]
    wanted = {"update Deployment/portal", "create NetworkPolicy/all"}
    assert said(engine.preview(platform)) == wanted
    assert said(engine.up(platform, repair=True)) == wanted
    assert thing(memory, "Deployment", "portal")["spec"]["replicas"] == 1
    assert engine.preview(platform).changes == ()


def test_a_run_with_nothing_to_do_is_known_before_it_is_run(
    engine: Engine, platform: Objects, larger: Objects
) -> None:
    assert not engine.is_current(platform), "nothing was run yet"
    engine.up(platform)
    assert engine.is_current(platform)
    assert not engine.is_current(larger)
    engine.up(larger)
    assert not engine.is_current(platform)
    assert engine.is_current(larger)
    engine.destroy(data=False)
    assert not engine.is_current(larger), "the state is another"


def test_a_run_that_fails_is_told_and_the_next_one_goes_on(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    memory.refuses.add("minio")
    with pytest.raises(DapError, match="minio is refused") as caught:
        engine.up(platform)
    assert caught.value.status == 1
    made = names(memory)
    assert ("Namespace", "dap") in made
    assert ("StatefulSet", "minio") not in made
    memory.refuses.clear()
    engine.up(platform)
    assert len(memory.objects) == len(platform.platform)


def test_a_run_after_one_that_was_cut_off_asks_the_cluster(
    engine: Engine, memory: Addressed, platform: Objects, told: list[str]
) -> None:
    engine.up(platform)
    (engine.state / "dap.running").touch()
    gone = next(key for key in memory.objects if key[1::2] == ("Service", "minio"))
    del memory.objects[gone]
    assert said(engine.up(platform)) == {"create Service/minio"}
    assert told[-2] == "the last run was cut off: asking the cluster what there is"
    assert not (engine.state / "dap.running").exists()


def test_a_service_that_is_gone_leaves_its_data(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    engine.up(platform)
    smaller = without(platform, "minio")
    engine.up(smaller)
    assert ("StatefulSet", "minio") not in names(memory)
    assert ("PersistentVolumeClaim", "minio-data") in names(memory)
    assert engine.up(smaller).changes == ()
    engine.up(platform)
    assert ("StatefulSet", "minio") in names(memory)


@pytest.mark.parametrize("backup", [True, False], ids=["with the one before", "alone"])
def test_a_state_that_was_cut_off_is_mended(
    engine: Engine, memory: Addressed, platform: Objects, told: list[str], backup: bool
) -> None:
    """Killed while it wrote its state, Pulumi can't read it: "unexpected end of JSON input"."""
    engine.up(platform)
    engine.up(platform)
    before = set(memory.objects)
    file = engine.state / ".pulumi" / "stacks" / "dap" / "dap.json"
    file.write_bytes(file.read_bytes()[:1000])
    if not backup:
        for old in file.parent.glob("*.bak*"):
            old.unlink()
    done = engine.up(platform)
    assert any("cut off while it was written" in line for line in told)
    assert not [each for each in done.changes if each.operation in ("delete", "replace")]
    assert set(memory.objects) == before
    assert engine.up(platform).changes == ()


def test_destroy_keeps_data_unless_it_is_asked_for(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    engine.up(platform)
    engine.destroy(data=False)
    left = {kind for kind, _ in names(memory)}
    assert left == {"Namespace", "PersistentVolumeClaim"}
    engine.up(platform)
    assert len(memory.objects) == len(platform.platform)
    engine.destroy(data=True)
    assert memory.objects == {}


def test_a_class_that_changes_makes_no_volume_anew(
    engine: Engine, memory: Addressed, platform: Objects
) -> None:
    engine.up(platform)
    other = on_cluster(ROOT, {"cluster": {"storage_class": "fast"}}).objects
    with pytest.raises(DapError, match="protect"):
        engine.up(other)
    assert not [call for call in memory.calls if call[0] == "delete"]


def test_no_secret_is_plain_in_what_is_kept(
    engine: Engine, memory: Addressed, platform: Objects, larger: Objects
) -> None:
    engine.up(platform)
    engine.up(larger)
    values = {
        value
        for key, each in memory.objects.items()
        if key[1] == "Secret"
        for value in each["data"].values()
    }
    plain = {base64.b64decode(value).decode() for value in values} | {PASSPHRASE}
    files = [path for path in engine.state.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode(errors="replace")
        assert "value-of-" not in text.replace("value-of-tls-ca-certificate-x7", ""), path
        for value in values | plain:
            # A short one may stand there by chance; the certificate is for everybody.
            assert len(value) < 16 or "tls-ca-certificate" in value or value not in text, path
    assert engine.state.stat().st_mode & 0o777 == 0o700


def test_two_runs_at_once_are_refused(engine: Engine, platform: Objects) -> None:
    engine.up(platform)
    lock = engine.state / ".pulumi" / "locks" / "organization" / "dap" / "dap" / "other.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(
        '{"pid": 1, "username": "ada", "hostname": "desk", "timestamp": "2026-11-01T00:00:00Z"}'
    )
    with pytest.raises(DapError, match="another run is at work"):
        engine.up(platform)
