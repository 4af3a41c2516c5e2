"""Split a lock file: `split.py LOCK FOLDER` writes each layer's part to FOLDER/NAME.lock.

A build makes only those layers anew whose part has changed. What is named in no layer is in `rest`.
"""

import re
import sys
from pathlib import Path

# Large packages that belong together; each layer is packed on a core of its own when it is pushed.
LAYERS = {
    "numeric": "contourpy fonttools joblib kiwisolver matplotlib narwhals numpy pandas pillow "
    "scikit-learn scipy",
    "jupyter": "babel debugpy ipykernel ipython jedi jupyter-server jupyterlab pip pygments ruff",
    "clients": "boto3 botocore cryptography databricks-sdk mlflow-skinny psycopg psycopg-binary "
    "skops",
}

lock, folder = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
layer_of = {name: layer for layer, names in LAYERS.items() for name in names.split()}
parts: dict[str, list[str]] = {layer: [] for layer in (*LAYERS, "rest")}
for entry in re.findall(r"^[a-z0-9].*(?:\n[ \t]+.*)*", lock, flags=re.MULTILINE):
    name = re.split(r"[^a-z0-9._-]", entry, maxsplit=1)[0].split("==")[0]
    parts[layer_of.get(name, "rest")].append(entry)
folder.mkdir(parents=True, exist_ok=True)
for layer, entries in parts.items():
    (folder / f"{layer}.lock").write_text("\n".join([*entries, ""]), encoding="utf-8")
