"""The acceptance tests share a package of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "infrastructure" / "tests"))
