"""A platform on a Kubernetes of one node, and what its engine takes as it grows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from dap.settings import Settings
from dap.stack import Engine

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.timing import seconds
from tests.cluster import image
from tests.cluster.cluster import chosen
from tests.cluster.platform import ClusterPlatform
from tests.paths import ROOT
from tests.pulumi.platform import Addressed, Passphrase
from tests.pulumi.standin.serve import served
from tests.unit.cluster.conftest import ON_CLUSTER, on_cluster

FIRST_S = 180
NO_CHANGE_S = 10
WORKSPACES = (10, 100, 1000)


def measure(bench: Bench) -> None:
    """Time a platform from an empty cluster on, and the engine with many workspaces."""
    first(bench)
    for count in WORKSPACES:
        grown(bench, count)


def first(bench: Bench) -> None:
    """Time what its operator does on an empty cluster whose node has the images."""
    cluster = chosen()
    platform = ClusterPlatform.on(cluster)
    cluster.up()
    try:
        platform.scaffold()
        platform.load()
        deployed = seconds(platform.deploy)
        verified = seconds(lambda: verify(platform))
        bench.add(
            Figure(
                *("from an empty cluster to accepted", "s", [deployed + verified]),
                "`make deploy`, then `make verify`; the node has the images",
                FIRST_S,
            ),
            Figure("`make deploy` on an empty cluster", "s", [deployed], "part of that"),
            Figure("`make verify`", "s", [verified], "part of that"),
        )
        same = [seconds(platform.deploy) for _ in range(bench.repeats)]
        bench.add(Figure("`make deploy`, nothing to change", "s", same, at_most=NO_CHANGE_S))
    finally:
        cluster.down()
        platform.project.forget_key()


def verify(platform: ClusterPlatform) -> None:
    """Have the platform proven."""
    done = platform.dap("verify", "--json")
    if not json.loads(done.stdout)["ok"]:
        raise RuntimeError(done.stdout)


def grown(bench: Bench, count: int) -> None:
    """Time the engine with so many workspaces, over a cluster that is a dictionary."""
    people = [f"u{number:04}" for number in range(count)]
    data: dict[str, Any] = {
        "users": [{"name": name, "email": f"{name}@dap.test"} for name in people],
        "workspaces": [
            {"name": f"{name}-w", "owner": name, "environment": "python"} for name in people
        ],
    }
    made = on_cluster(ROOT, data).objects
    with tempfile.TemporaryDirectory() as folder, served(lambda _: Addressed()) as environment:
        root = Path(folder)
        config = root / "kubeconfig"
        config.write_text(yaml.dump({"contexts": [{"name": "here"}]}), encoding="utf-8")
        cluster = {**ON_CLUSTER["cluster"], "kubeconfig": str(config)}
        settings = Settings.model_validate({**ON_CLUSTER, **data, "cluster": cluster})
        variables = {
            **environment,
            "PULUMI_HOME": str(root / "home"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PATH": os.environ["PATH"],
        }
        command = image.tool("pulumi").parent.parent
        engine = Engine(
            root, settings, Passphrase(), lambda _: None, variables=variables, command=command
        )
        ways: dict[str, Callable[[], object]] = {
            "first plan": lambda: engine.preview(made),
            "first run": lambda: engine.up(made),
            "run, nothing to change": lambda: engine.up(made),
            "plan, nothing to change": lambda: engine.preview(made),
        }
        for what, way in ways.items():
            taken = seconds(way)
            how = f"{len(made.platform)} objects; the engine alone, the API server's time not in it"
            bench.add(Figure(f"{what}, workspaces: {count}", "s", [taken], how))
