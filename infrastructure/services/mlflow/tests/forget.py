"""Deletes a run for good, the rows of its metrics and tags too; MLflow's own interface keeps them.

`mlflow gc` would also empty the users' trash, so this asks the store alone. Runs in MLflow's image.
"""

import os
import sys

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
store._hard_delete_run(sys.argv[1])
