"""A workspace from its start to a shell's prompt over SSH and to its page."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from demo.access import SYSTEM_CA, await_result
from demo.project import ADMIN
from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running, bridge_address, container
from tests.bench.timing import interleave, seconds
from tests.demo.workspaces.client import Client, client

AT_MOST_S = 3
TIMEOUT_S = 60
EVERY_S = 0.02
PROMPT = b"$ "
JUPYTER = ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]


def prompt(client: Client, name: str) -> None:
    """Log in with a terminal, through the jump, until the shell's prompt is there."""

    def shown() -> bool | None:
        said = b""
        with subprocess.Popen(
            ["ssh", "-tt", "-F", str(client.config), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as session:
            assert session.stdout is not None
            while part := os.read(session.stdout.fileno(), 4096):
                said += part
                if PROMPT in said:
                    session.terminate()
                    return True
        return None  # the workspace does not answer yet

    await_result(f"the prompt of {name}", shown, TIMEOUT_S, EVERY_S)


def answers(url: str) -> None:
    """Wait until a page answers."""
    with requests.Session() as session:
        session.verify = str(SYSTEM_CA)
        session.trust_env = False

        def ready() -> bool | None:
            try:
                return session.get(url, timeout=5).ok or None
            except requests.ConnectionError:
                return None

        await_result(url, ready, TIMEOUT_S, EVERY_S)


@dataclass
class Starts:
    """Starts of one workspace.

    Attributes:
        platform: has the workspace.
        name: of the workspace.
        client: logs in.
        pages: seconds from each start to its page.
    """

    platform: Running
    name: str
    client: Client
    pages: list[float] = field(default_factory=list)

    def start(self) -> float:
        """Start the stopped workspace; seconds to the prompt, those to the page are kept."""
        plan = self.platform.plan
        [route] = [entry for entry in plan["routes"] if entry["name"] == self.name]
        made = self.platform.containers()[self.name]
        made.stop()
        to_prompt: list[float] = []

        def all_of_it() -> None:
            def shell() -> None:
                made.start()
                prompt(self.client, self.name)

            to_prompt.append(seconds(shell))
            answers(route["url"] + route["health"])

        self.pages.append(seconds(all_of_it))
        return to_prompt[0]

    def bare(self, command: list[str], wait: Callable[[str], None] | None) -> float:
        """Start the image alone with a command; seconds to its answer, or to its end."""
        image = self.platform.containers()[self.name].attrs["Config"]["Image"]
        quiet = {"JUPYTER_NO_CONFIG": "1"}
        with container(
            self.platform.engine, image, command=command, environment=quiet, mem_limit="1g"
        ) as made:

            def run() -> None:
                made.start()
                if wait is None:
                    made.wait(timeout=TIMEOUT_S)
                else:
                    wait(f"http://{bridge_address(made)}:8888/api")

            return seconds(run)


def measure(bench: Bench) -> None:
    """Time starts of the first workspace, and of its image alone."""
    platform = bench.platform
    with tempfile.TemporaryDirectory() as folder:
        admin = client(platform.project, Path(folder), ADMIN, platform.project.key)
        starts = Starts(platform, min(platform.plan["workspaces"]), admin)
        values = interleave(
            bench.repeats,
            {
                "workspace": starts.start,
                "shell": lambda: starts.bare(["true"], None),
                "jupyter": lambda: starts.bare(JUPYTER, answers),
            },
        )
    bench.add(
        Figure(
            *("start → SSH prompt", "s", values["workspace"]),
            "a stopped workspace by `docker start`; a terminal through the jump",
            AT_MOST_S,
            Baseline("the image running `true`", values["shell"]),
        ),
        Figure(
            *("start → JupyterLab answers", "s", starts.pages),
            "of the same start, through the proxy",
            AT_MOST_S,
            Baseline("the image running `jupyter lab` alone", values["jupyter"]),
        ),
    )
