"""`make demo` and `make clean`."""

import shutil
import subprocess
import sys

import requests

from demo.access import Clock
from demo.flow import PLATFORM, DemoError, Outcome, deploy, push_and_wait
from demo.project import ADMIN, REPOSITORY, ROOT


def up() -> None:
    """Go through the whole demo and say where to look."""
    clock = Clock()
    deploy(PLATFORM, clock)
    outcome = push_and_wait(PLATFORM, clock)
    clock.say("done")
    print(summary(outcome))


def summary(outcome: Outcome) -> str:
    """Say what ran and where to look at it."""
    domain = PLATFORM.domain
    run = outcome.run["info"]
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in sorted(outcome.metrics.items()))
    experiment = f"https://mlflow.{domain}/#/experiments/{run['experiment_id']}"
    return f"""
The example ran in its pipeline: commit {outcome.commit[:12]}, {metrics}

  start page      https://{domain}
  MLflow run      {experiment}/runs/{run["run_id"]}
  pipeline        {outcome.url}
  repository      https://git.{domain}/{REPOSITORY}

  user {ADMIN}; the password is shown by
    make -C {PLATFORM.path.relative_to(ROOT)} credentials USER={ADMIN}

  The project is in {PLATFORM.path}: change something in src/ there, commit, git push.
  `make clean` here removes the platform with its data."""


def clean() -> None:
    """Remove the platform with its data, and what was built here."""
    if (PLATFORM.path / "platform.yml").exists():
        PLATFORM.make("destroy", f"DELETE_DATA={PLATFORM.name}")
        shutil.rmtree(PLATFORM.directory)
    for path in (ROOT / "build").glob("*"):
        # Another demo's project holds what its platform is removed with.
        if not (path / "platform" / "platform.yml").exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> int:
    """Run the verb that the command line names; the exit status."""
    verbs = {(): up, ("clean",): clean}
    verb = verbs.get(tuple(sys.argv[1:]))
    if verb is None:
        print("usage: python -m demo [clean]", file=sys.stderr)
        return 2
    try:
        verb()
    except (DemoError, requests.RequestException) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        command = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
        print(f"demo: {command}: exit status {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
