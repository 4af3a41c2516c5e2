"""What there is to be measured, in the order in which nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import (
    cluster,
    cold,
    demo,
    deploy,
    fleet,
    growth,
    images,
    memory,
    mlflow,
    pipeline,
    postgres,
    render,
    s3,
    workspace,
)
from tests.bench.bench import Bench


@dataclass(frozen=True)
class Subject:
    """Figures that are taken together.

    Attributes:
        title: heading of their table.
        measure: takes them.
    """

    title: str
    measure: Callable[[Bench], None]


SUBJECTS = {
    "cold": Subject("From nothing", cold.measure),
    "demo": Subject("The demo", demo.measure),
    "memory": Subject("Idle memory", memory.measure),
    "deploy": Subject("Deploys", deploy.measure),
    "pipeline": Subject("Pipelines", pipeline.measure),
    "mlflow": Subject("MLflow", mlflow.measure),
    "s3": Subject("Objects", s3.measure),
    "postgres": Subject("PostgreSQL", postgres.measure),
    "workspace": Subject("Workspaces", workspace.measure),
    "images": Subject("Images", images.measure),
    "render": Subject("Rendering", render.measure),
    "fleet": Subject("Several hosts", fleet.measure),
    "many": Subject("Many hosts", fleet.measure_many),
    "cluster": Subject("On a cluster", cluster.measure),
    "growth": Subject("Growth on a cluster", growth.measure),
}

APART = ("cold", "cluster", "growth")
"""Subjects without which the page is written: each needs far more than the others to be taken."""


def chosen(names: str) -> list[str]:
    """Subjects that a list with commas names, in their order; all for an empty one.

    Raises:
        ValueError: a name is no subject's.
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted - SUBJECTS.keys())
    if unknown:
        raise ValueError(f"no subject '{unknown[0]}'; there are: {', '.join(SUBJECTS)}")
    return [name for name in SUBJECTS if not wanted or name in wanted]
