"""Runs one step: python -m analysis STEP [--config FILE]."""

import argparse
from importlib import import_module
from pathlib import Path

from analysis.config import read_config

parser = argparse.ArgumentParser(prog="python -m analysis")
parser.add_argument("step", choices=["load", "train", "register"])
parser.add_argument("--config", type=Path, default=Path("config.toml"))
arguments = parser.parse_args()
# A step imports only what it needs itself: the libraries take seconds.
import_module(f"analysis.{arguments.step}").main(read_config(arguments.config))
