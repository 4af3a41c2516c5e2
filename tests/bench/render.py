"""Validating and rendering a large platform."""

import shutil

import yaml

from demo.flow import PLATFORM
from demo.project import run
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.timing import interleave, seconds

HOSTS = 10
WORKSPACES = 50
AT_MOST_S = 1


def large_settings(text: str) -> str:
    """Give settings of many hosts and workspaces, made from those of a project."""
    settings = yaml.safe_load(text)
    owner = settings["users"][0]["name"]
    settings["hosts"] = [{"name": "main", "address": "192.0.2.1", "roles": ["service"]}] + [
        {"name": f"runner-{n}", "address": f"192.0.2.{n + 1}", "roles": ["runner"]}
        for n in range(1, HOSTS)
    ]
    settings["address"] = "192.0.2.1"
    settings["workspaces"] = [
        {"name": f"{owner}-{n}", "owner": owner, "environment": "python", "ssh_port": 2300 + n}
        for n in range(WORKSPACES)
    ]
    return yaml.safe_dump(settings, sort_keys=False)


def measure(bench: Bench) -> None:
    """Time the whole command, and the start of its program alone."""
    source = bench.platform.project.path
    project = PLATFORM.directory / "bench" / "large"
    if project.exists():
        shutil.rmtree(project)
    unwanted = shutil.ignore_patterns(".venv", ".git", ".dap")
    shutil.copytree(source, project, symlinks=True, ignore=unwanted)
    file = project / "platform.yml"
    file.write_text(large_settings(file.read_text()))
    program = str(PLATFORM.path / ".venv" / "bin" / "dap")
    render = (program, "--project", str(project), "render", "--out", str(project / "trees"))
    run(*render)
    ways = {
        "render": lambda: seconds(lambda: run(*render)),
        "start": lambda: seconds(lambda: run(program, "--help")),
    }
    values = interleave(bench.repeats, ways)
    bench.add(
        Figure(
            *(f"{HOSTS} hosts, {WORKSPACES} workspaces", "s", values["render"]),
            "`dap render`, the whole command",
            AT_MOST_S,
            Baseline("`dap --help`", values["start"]),
        )
    )
