"""Step 2: trains a model and records all that made it in one MLflow run."""

import os
from importlib.metadata import version
from pathlib import Path

import mlflow
import psycopg
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from mlflow.utils.time import get_current_time_millis
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import log_loss

from analysis.config import Config
from analysis.database import fetch, table_name
from analysis.score import judge
from analysis.split import Part, split
from analysis.tracking import run_name, run_tags


def losses(model: GradientBoostingClassifier, part: Part) -> list[float]:
    """Return the log loss (nats) after each boosting iteration."""
    return [
        float(log_loss(part.target, probabilities))
        for probabilities in model.staged_predict_proba(part.features)
    ]


def plot(curves: dict[str, list[float]]) -> Figure:
    """Return a figure of the loss over the iterations, one line a curve."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=name)
    axes.set(xlabel="iteration", ylabel="log loss [nats]")
    axes.legend()
    return figure


def steps(curves: dict[str, list[float]], model: ModelInfo) -> list[Metric]:
    """Return the values of metrics over the iterations, from 0, as figures of a logged model."""
    now = get_current_time_millis()
    return [
        Metric(name, value, now, step, model_id=model.model_id)
        for name, values in curves.items()
        for step, value in enumerate(values)
    ]


def main(config: Config) -> None:
    """Train on the version in DATA_VERSION and tell the next job the id of the run."""
    data_version = os.environ["DATA_VERSION"]
    table = table_name(config.name, data_version)
    with psycopg.connect() as connection:
        data = fetch(connection, table)
    parts = split(data, config.split)

    model = GradientBoostingClassifier(**config.model)
    model.fit(parts.train.features, parts.train.target)
    curves = {
        "train_log_loss": losses(model, parts.train),
        "validation_log_loss": losses(model, parts.validation),
    }
    scores = judge(model, parts.test)

    name, tags = run_name(config.name), run_tags(data_version, table)
    with mlflow.start_run(run_name=name, tags=tags) as run:
        # The model comes first: figures then name it, instead of being looked up for it one by one.
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(parts.train.features, model.predict(parts.train.features)),
            input_example=parts.train.features.head(3),
            # skops refuses to load what could be made to crash; we load only trees grown here.
            skops_trusted_types=["sklearn.tree._tree.Tree"],
            # Named, because MLflow would load the model in a process of its own to find them.
            pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "pandas")],
        )
        # One request for all steps; mlflow.log_metric in a loop would make one for each.
        mlflow.MlflowClient().log_batch(
            run.info.run_id,
            params=[
                *(Param(f"model.{key}", str(value)) for key, value in config.model.items()),
                *(Param(f"split.{key}", str(value)) for key, value in vars(config.split).items()),
            ],
            metrics=steps({**curves, **{name: [value] for name, value in scores.items()}}, logged),
        )
        mlflow.log_figure(plot(curves), "loss.png")
    print(f"run {run.info.run_id}:", ", ".join(f"{k} {v:.4f}" for k, v in scores.items()))
    Path("train.env").write_text(f"RUN_ID={run.info.run_id}\n", encoding="utf-8")
