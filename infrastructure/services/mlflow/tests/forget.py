"""Deletes a run for good, the rows of its metrics and tags too; MLflow's own interface keeps them.

`mlflow gc` would also empty the users' trash, so this asks the store alone. Runs in MLflow's image.
"""

import os
import sys
import tempfile
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

# In a cluster the file is the service's group's, too, and libpq passes over such a one.
with tempfile.NamedTemporaryFile("w") as own:
    own.write(Path(os.environ["PGPASSFILE"]).read_text())
    own.flush()
    os.environ["PGPASSFILE"] = own.name
    store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
    store._hard_delete_run(sys.argv[1])
