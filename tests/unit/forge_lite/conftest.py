import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "infrastructure/services/forge-lite"
sys.path[:0] = [str(FOLDER / "pipelines"), str(FOLDER / "git/opt/lib")]
