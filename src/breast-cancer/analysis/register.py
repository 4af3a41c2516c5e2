"""Step 3: registers the model of a run if it beats the registered one on the same rows."""

import os

import mlflow
import psycopg
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from analysis.config import Config
from analysis.database import fetch, table_name
from analysis.score import beats, judge
from analysis.split import split

ALIAS = "champion"
_THERE = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)


def ensure_registered_model(client: mlflow.MlflowClient, name: str) -> None:
    """Make the registered model, without versions, unless it is there.

    Before it is there, the server refuses to say anything of it: nobody has a right to it.
    """
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _THERE:
            raise


def champion_loss(config: Config, data_version: str) -> float:
    """Return the champion's log loss on the test rows of a version of the data.

    It is computed anew: its own run may have been judged by other data or another split.
    """
    model = mlflow.sklearn.load_model(f"models:/{config.name}@{ALIAS}")
    with psycopg.connect() as connection:
        data = fetch(connection, table_name(config.name, data_version))
    return judge(model, split(data, config.split).test)["test_log_loss"]


def main(config: Config) -> None:
    """Compare the model of the run in RUN_ID with the champion."""
    client = mlflow.MlflowClient()
    run = client.get_run(os.environ["RUN_ID"])
    ensure_registered_model(client, config.name)
    champion = None
    if ALIAS in client.get_registered_model(config.name).aliases:
        champion = champion_loss(config, run.data.tags["data_version"])
    challenger = run.data.metrics["test_log_loss"]
    print(f"test log loss: {challenger:.6f}, champion: {champion or 'none yet'}")
    if not beats(challenger, champion):
        print("the champion stays")
        return
    (model,) = run.outputs.model_outputs
    registered = mlflow.register_model(f"models:/{model.model_id}", config.name)
    client.set_registered_model_alias(config.name, ALIAS, registered.version)
    print(f"{config.name} version {registered.version} is the {ALIAS}")
