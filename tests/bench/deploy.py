"""`make deploy` over a running platform: nothing changed, and one setting changed."""

from pathlib import Path

import yaml

from tests.bench.bench import Bench
from tests.bench.figure import Baseline, Figure
from tests.bench.running import Running, privileged
from tests.bench.timing import interleave, seconds

AT_MOST_S = 8
MEMORY = ("4g", "5g")


def touched(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Services whose container is not the one that ran before."""
    return sorted(name for name in before | after if before.get(name) != after.get(name))


def deploy_unchanged(platform: Running) -> None:
    """Deploy.

    Raises:
        RuntimeError: the deploy changed something.
    """
    result = platform.project.make_json("deploy")
    if result["changed"]:
        raise RuntimeError(f"a deploy over an unchanged platform changed {result['changes']}")


def compose_up(platform: Running) -> None:
    """Bring the platform's tree up by Compose alone."""
    up = ("docker", "compose", "--project-directory", platform.tree, "up", "--detach")
    privileged(*up, "--no-build", "--pull", "never")


def change_memory(file: Path) -> str:
    """Give the first workspace of some settings another limit of memory; the workspace's name."""
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    workspace = settings["workspaces"][0]
    workspace["memory"] = MEMORY[workspace.get("memory", MEMORY[0]) == MEMORY[0]]
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return str(workspace["name"])


def measure(bench: Bench) -> None:
    """Time deploys that change nothing and one setting, and see what the latter touch."""
    platform = bench.platform
    file = platform.project.path / "platform.yml"
    original = file.read_text(encoding="utf-8")
    restarted: list[list[str]] = []
    names: set[str] = set()

    def unchanged() -> float:
        return seconds(lambda: deploy_unchanged(platform))

    def changed() -> float:
        names.add(change_memory(file))
        before = platform.started()
        taken = seconds(lambda: platform.project.make_json("deploy"))
        restarted.append(touched(before, platform.started()))
        return taken

    ways = {
        "unchanged": unchanged,
        "plan": lambda: seconds(lambda: platform.project.make_json("plan")),
        "compose": lambda: seconds(lambda: compose_up(platform)),
        "changed": changed,
    }
    deploy_unchanged(platform)
    try:
        values = interleave(min(3, bench.repeats), ways)
    finally:
        file.write_text(original, encoding="utf-8")
        platform.project.make_json("deploy")
    compose = Baseline("`docker compose up` alone", values["compose"])
    nothing = Baseline("nothing to change", values["unchanged"])
    others = sorted({name for services in restarted for name in services} - names)
    bench.add(
        Figure(
            *("`make deploy`, nothing to change", "s", values["unchanged"]),
            "changed=0 each time; Compose looks at containers only",
            AT_MOST_S,
            compose,
        ),
        Figure("`make plan`, nothing to change", "s", values["plan"]),
        Figure(
            *("`make deploy`, one setting changed", "s", values["changed"]),
            "a workspace's memory; to the new container's health",
            baseline=nothing,
        ),
        Figure(
            *("containers that it touched", "", [float(len(found)) for found in restarted]),
            f"besides the workspace: {', '.join(others) or 'none'}; by their start times",
            1,
        ),
    )
