"""Pulumi's engine over a real API server, by the plugin that stands where the real one would."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation as auto
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, PersistentVolumeClaim, Secret, Service

from tests.cluster.cluster import Cluster
from tests.cluster.space import PAGE, PORT, Space, template
from tests.pulumi.engine import Engine, up
from tests.pulumi.sdk import sdk_left_open as sdk_left_open
from tests.pulumi.sdk import sdk_loop as sdk_loop

MANAGER = {"pulumi.com/patchFieldManager": "dap"}
LABELS = {"app": "page"}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine with the plugin installed."""
    made = Engine(tmp_path)
    made.install()
    return made


def in_space(space: Space, program: Callable[[pulumi.ResourceOptions], None]) -> Callable[[], None]:
    """A program with a provider of the space's own."""

    def run() -> None:
        provider = Provider(
            "cluster",
            kubeconfig=space.cluster.kubeconfig.read_text(),
            namespace=space.name,
            upsert_existing_objects=True,
        )
        program(pulumi.ResourceOptions(provider=provider))

    return run


def platform(replicas: int, text: str) -> Callable[[pulumi.ResourceOptions], None]:
    """A page, who serves it, where its data lies, and a secret."""

    def program(options: pulumi.ResourceOptions) -> None:
        spec: Any = template("page", PAGE)
        spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        claim: Any = {"accessModes": ["ReadWriteOnce"]}
        PersistentVolumeClaim(
            "data",
            metadata={"name": "data", "annotations": MANAGER},
            spec=claim | {"resources": {"requests": {"storage": "1Gi"}}},
            opts=options,
        )
        ConfigMap(
            "config",
            metadata={"name": "config", "annotations": MANAGER, "labels": {"text": text}},
            data={"port": str(PORT)},
            opts=options,
        )
        Secret(
            "key",
            metadata={"name": "key", "annotations": MANAGER},
            string_data={"word": pulumi.Output.secret("correct horse")},
            opts=options,
        )
        made = Deployment(
            "page",
            metadata={"name": "page", "annotations": MANAGER},
            spec={
                "replicas": replicas,
                "selector": {"match_labels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": spec},
            },
            opts=options,
        )
        Service(
            "page",
            metadata={"name": "page", "annotations": MANAGER},
            spec={"selector": LABELS, "ports": [{"port": PORT}], "type": "LoadBalancer"},
            opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[made])),
        )

    return program


def stack_of(engine: Engine, space: Space, replicas: int, text: str) -> auto.Stack:
    """The stack of that platform."""
    return engine.stack(in_space(space, platform(replicas, text)))


def test_objects_are_made_ready_changed_repaired_and_removed(engine: Engine, space: Space) -> None:
    stack = stack_of(engine, space, 1, "one")
    assert up(stack)["create"] >= 5
    assert space.get("deployment", "page")["status"]["readyReplicas"] == 1
    assert space.get("pvc", "data")["status"]["phase"] == "Bound"
    assert set(up(stack)) == {"same"}
    assert set(up(stack, refresh=True)) == {"same"}, "what the server adds is no drift"

    assert up(stack_of(engine, space, 2, "two"))["update"] == 2
    assert space.get("deployment", "page")["status"]["readyReplicas"] == 2
    assert space.get("configmap", "config")["metadata"]["labels"] == {"text": "two"}

    stack = stack_of(engine, space, 2, "two")
    space.kubectl("delete", "configmap", "config")
    space.kubectl("scale", "deployment/page", "--replicas=0")
    seen = stack.preview(on_output=lambda _: None, refresh=True).change_summary
    assert seen[auto.OpType("create")] == seen[auto.OpType("update")] == 1
    done = up(stack, refresh=True)
    assert (done["create"], done["update"]) == (1, 1)
    assert space.get("deployment", "page")["status"]["readyReplicas"] == 2
    assert space.get("configmap", "config")

    stack.destroy(on_output=lambda _: None)
    left = space.kubectl("get", "deployments,services,secrets,pvc", "--output", "name")
    assert left.split() == []
    assert "correct horse" not in engine.kept()


def test_a_workload_that_is_not_well_stops_the_run_and_the_next_one_mends_it(
    engine: Engine, space: Space
) -> None:
    def program(script: str) -> Callable[[pulumi.ResourceOptions], None]:
        def run(options: pulumi.ResourceOptions) -> None:
            spec: Any = template("page", script)
            Deployment(
                "page",
                metadata={
                    "name": "page",
                    "annotations": MANAGER | {"pulumi.com/timeoutSeconds": "5"},
                },
                spec={
                    "selector": {"match_labels": LABELS},
                    "template": {"metadata": {"labels": LABELS}, "spec": spec},
                },
                opts=options,
            )

        return run

    with pytest.raises(auto.CommandError, match="0 of 1 pods are ready"):
        up(engine.stack(in_space(space, program("exit 1"))))
    assert engine.resources()["page"]["initErrors"]
    assert up(engine.stack(in_space(space, program(PAGE))))["update"] == 1
    assert "initErrors" not in engine.resources()["page"]


@pytest.mark.parametrize("manager", [MANAGER, {}], ids=["named", "unnamed"])
def test_objects_that_no_state_knows_are_taken_over_under_a_named_manager_alone(
    engine: Engine, space: Space, manager: dict[str, str]
) -> None:
    """What a killed run made is adopted as it is; to change it, its fields must be one's own."""

    def program(port: str) -> Callable[[pulumi.ResourceOptions], None]:
        def run(options: pulumi.ResourceOptions) -> None:
            metadata: Any = {"name": "config", "annotations": manager, "labels": {"port": port}}
            ConfigMap("config", metadata=metadata, opts=options)

        return run

    up(engine.stack(in_space(space, program("1"))))
    shutil.rmtree(engine.state)
    stack = engine.stack(in_space(space, program("2")))
    if manager:
        up(stack)
        assert space.get("configmap", "config")["metadata"]["labels"] == {"port": "2"}
    else:
        with pytest.raises(auto.CommandError, match="conflict"):
            up(stack)


def test_an_object_of_somebody_else_is_refused_before_anything_changes(
    engine: Engine, space: Space
) -> None:
    """A preview asks the server, so that a deploy can look before it leaps."""
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "config", "labels": {"text": "theirs"}},
        }
    )
    stack = stack_of(engine, space, 1, "ours")
    with pytest.raises(auto.CommandError, match='conflict with "kubectl"'):
        stack.preview(on_output=lambda _: None)
    assert space.kubectl("get", "secrets,pvc", "--output", "name").split() == []


def test_who_may_not_is_told_what(engine: Engine, space: Space, cluster: Cluster) -> None:
    """The verb and the resource that are missing."""
    space.kubectl("create", "serviceaccount", "weak")
    space.kubectl("create", "role", "weak", "--verb=get,patch,create", "--resource=configmaps")
    space.kubectl(
        "create", "rolebinding", "weak", "--role=weak", f"--serviceaccount={space.name}:weak"
    )
    token = space.kubectl("create", "token", "weak").strip()
    text = cluster.kubeconfig.read_text()
    begin = text.index("  user:\n    client-certificate-data")
    end = text.index("contexts:")
    weak = f"{text[:begin]}  user:\n    token: {token}\n{text[end:]}"

    def run() -> None:
        provider = Provider(
            "weak", kubeconfig=weak, namespace=space.name, upsert_existing_objects=True
        )
        platform(1, "one")(pulumi.ResourceOptions(provider=provider))

    with pytest.raises(auto.CommandError) as refused:
        engine.stack(run).preview(on_output=lambda _: None)
    assert 'cannot patch resource "secrets"' in str(refused.value)


def test_a_context_that_is_not_there_is_refused(engine: Engine, cluster: Cluster) -> None:
    def run() -> None:
        provider = Provider("far", kubeconfig=str(cluster.kubeconfig), context="far")
        ConfigMap("config", opts=pulumi.ResourceOptions(provider=provider))

    with pytest.raises(auto.CommandError, match="far"):
        up(engine.stack(run))


def test_one_program_has_several_clusters(engine: Engine, space: Space) -> None:
    """Each provider is a process of its own, as the real plugin's are."""
    space.cluster.kubectl("create", "namespace", f"{space.name}-2")

    def run() -> None:
        for name in (space.name, f"{space.name}-2"):
            provider = Provider(
                name, kubeconfig=space.cluster.kubeconfig.read_text(), namespace=name
            )
            ConfigMap(
                f"config-{name}",
                metadata={"name": "config"},
                opts=pulumi.ResourceOptions(provider=provider),
            )

    try:
        up(engine.stack(run))
        for name in (space.name, f"{space.name}-2"):
            found = space.cluster.get("configmap", "config", "--namespace", name)
            assert found["metadata"]["namespace"] == name
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr) from error
    finally:
        space.cluster.kubectl("delete", "namespace", f"{space.name}-2")
