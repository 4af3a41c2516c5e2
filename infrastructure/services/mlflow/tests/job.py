#!/usr/bin/env python3
# environment: python
"""Logs a run with an artifact, as an analysis does."""

import json
import os
import tempfile
from pathlib import Path

import mlflow

commit = os.environ["CI_COMMIT_SHA"]
with mlflow.start_run(run_name="dap.verify", tags={"commit": commit}) as run:
    mlflow.log_metric("proof", 1.0)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "proof").write_text(commit)
        mlflow.log_artifact(f"{folder}/proof")
print(json.dumps({"run": run.info.run_id, "experiment": run.info.experiment_id}))
