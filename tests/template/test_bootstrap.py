"""The way from python3 alone to `dap`, in a project as it comes from the template."""

import subprocess

import pytest

from demo.project import clean_environment
from tests.template.conftest import Scaffold


@pytest.mark.slow
def test_the_second_of_two_runs_waits_for_the_first(scaffold: Scaffold) -> None:
    project = scaffold()

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [project / "infrastructure/bootstrap"],
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )

    with start() as first:
        assert first.stderr is not None
        # Once it says what it does, it is at work.
        assert "getting uv" in first.stderr.readline()
        with start() as second:
            _, said = second.communicate(timeout=300)
        assert first.poll() is not None, "the second did not wait"
        rest = first.stderr.read()
    assert (first.returncode, second.returncode) == (0, 0), rest + said
    assert said == "bootstrap: another run is at work on .venv; waiting for its end\n"
    subprocess.run([project / ".venv/bin/dap", "--help"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_what_a_cluster_needs_is_there_for_a_cluster_alone(scaffold: Scaffold) -> None:
    project = scaffold()
    settings = project / "platform.yml"

    def has_pulumi() -> bool:
        bootstrap = [project / "infrastructure/bootstrap"]
        subprocess.run(bootstrap, check=True, env=clean_environment(), capture_output=True)
        asked = [str(project / ".venv/bin/python"), "-c", "import pulumi_kubernetes"]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    assert not has_pulumi()
    on_hosts = settings.read_text()
    settings.write_text(f"{on_hosts}target: kubernetes\n")
    assert has_pulumi()
    settings.write_text(on_hosts)
    assert not has_pulumi()
    settings.write_text(f"{on_hosts}clusters: [{{name: gpu, context: lab}}]\n")
    assert has_pulumi()
    settings.write_text(on_hosts)
    (project / ".dap/state/.pulumi").mkdir(parents=True)
    assert has_pulumi()
