"""What the engine of clusters takes as a platform grows: with 10, 100 and 1,000 workspaces."""

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
from tests.cluster import image
from tests.paths import ROOT
from tests.pulumi.platform import Addressed, Passphrase
from tests.pulumi.standin.serve import served
from tests.unit.cluster.conftest import ON_CLUSTER, on_cluster

WORKSPACES = (10, 100, 1000)


def measure(bench: Bench) -> None:
    """Time the engine over a cluster that is a dictionary."""
    for count in WORKSPACES:
        grown(bench, count)


def grown(bench: Bench, count: int) -> None:
    """Time the engine with so many workspaces."""
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
