"""Split a lock file: `split.py LOCK FOLDER` writes each layer's part to FOLDER/NAME.lock.

A build makes only those layers anew whose part has changed. What is named in no layer is in one of
`rest-0`, `rest-1` …, always in the same: so that one package more costs the time of a few.
"""

import re
import sys
import zlib
from pathlib import Path

# Large packages that belong together; each layer is packed on a core of its own when it is pushed.
LAYERS = {
    "numeric": "contourpy fonttools joblib kiwisolver matplotlib narwhals numpy pandas pillow "
    "scikit-learn scipy",
    "jupyter": "babel debugpy ipykernel ipython jedi jupyter-server jupyterlab pip pygments ruff",
    "clients": "boto3 botocore cryptography databricks-sdk mlflow-skinny psycopg psycopg-binary "
    "skops",
}

RESTS = 4

lock, folder = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
layer_of = {name: layer for layer, names in LAYERS.items() for name in names.split()}
parts: dict[str, list[str]] = {
    layer: [] for layer in (*LAYERS, *(f"rest-{number}" for number in range(RESTS)))
}
for entry in re.findall(r"^[a-z0-9].*(?:\n[ \t]+.*)*", lock, flags=re.MULTILINE):
    name = re.split(r"[^a-z0-9._-]", entry, maxsplit=1)[0].split("==")[0]
    rest = f"rest-{zlib.crc32(name.encode()) % RESTS}"
    parts[layer_of.get(name, rest)].append(entry)
folder.mkdir(parents=True, exist_ok=True)
for layer, entries in parts.items():
    (folder / f"{layer}.lock").write_text("\n".join([*entries, ""]), encoding="utf-8")
