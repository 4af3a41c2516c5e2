"""What a platform in a cluster takes as it grows: with 10, 100 and 1,000 workspaces."""

from __future__ import annotations

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
from tests.cluster import fakes, image
from tests.cluster.cluster import chosen
from tests.cluster.growing import GrowingPlatform
from tests.paths import ROOT
from tests.pulumi.platform import Addressed, Passphrase
from tests.pulumi.standin.serve import served
from tests.unit.cluster.conftest import ON_CLUSTER, on_cluster

WORKSPACES = (10, 100, 1000)
COMMANDS = (
    *("first plan", "first deploy", "plan, nothing to change"),
    *("deploy, nothing to change", "deploy, one workspace changed"),
)


def measure(bench: Bench) -> None:
    """Time the engine over a cluster that is a dictionary, then whole commands over a real one."""
    for count in WORKSPACES:
        grown(bench, count)
    for count in WORKSPACES:
        served_for_real(bench, count)


def served_for_real(bench: Bench, count: int) -> None:
    """Time commands with so many workspaces on an empty cluster; their pods alone are fakes."""
    cluster = chosen()
    platform = GrowingPlatform.on(cluster)
    cluster.up()
    try:
        platform.scaffold()
        platform.load()
        with fakes.fake_nodes(cluster, count):
            platform.grow(count)
            for what in COMMANDS:
                if what.endswith("one workspace changed"):
                    platform.grow(count, **{fakes.workspaces(1)[0]["name"]: {"memory": "3g"}})
                taken = seconds(platform.deploy if "deploy" in what else platform.look)
                how = "a real API server; the workspaces' pods are on fake nodes"
                bench.add(Figure(f"`make` {what}, workspaces: {count}", "s", [taken], how))
    finally:
        cluster.down()
        platform.project.forget_key()


def grown(bench: Bench, count: int) -> None:
    """Time the engine with so many workspaces."""
    data: dict[str, Any] = {
        "users": fakes.users(count),
        "workspaces": fakes.workspaces(count),
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
