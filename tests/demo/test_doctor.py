"""`make doctor` finds what keeps a deploy, or a platform, from working; it changes nothing."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from demo.access import await_result
from demo.project import clean_environment
from tests.demo.conftest import OTHER, Platform, privileged

# Answers strangers itself: of others' routes the proxy refuses them before it asks the service.
VICTIM = "registry"
HOSTS = Path("/etc/hosts")


def findings(done: subprocess.CompletedProcess[str], level: str) -> dict[str, list[str]]:
    """What was found at a level, by where."""
    found: dict[str, list[str]] = {}
    for each in json.loads(done.stdout)["findings"]:
        if each["level"] == level:
            assert each["remedy"] or level == "ok", each
            found.setdefault(each["where"], []).append(each["what"])
    return found


def test_a_platform_that_is_well(platform: Platform) -> None:
    found = platform.project.make_json("doctor")
    assert (found["ok"], found["deployed"], found["platform"]) == (True, True, platform.name)
    assert [each for each in found["findings"] if each["level"] == "problem"] == []
    assert {each["where"] for each in found["findings"]} >= {
        *("system", "architecture", "account", "cores", "memory", "disk", "ports", "kernel"),
        *("gpu", "docker", "clock", "names", "images", "proxy", "apt", "pip", "npm", "go"),
        *("trust", "routes", "streams", "services", "certificate"),
    }


@pytest.fixture
def stopped(platform: Platform) -> Iterator[Container]:
    container = platform.container(VICTIM)
    container.stop(timeout=1)
    yield container
    container.start()

    def well() -> bool | None:
        container.reload()
        return container.attrs["State"]["Health"]["Status"] == "healthy" or None

    await_result(f"health of {VICTIM}", well, 60)


@pytest.fixture
def astray(platform: Platform) -> Iterator[str]:
    """A name of the platform that a line of /etc/hosts leads elsewhere."""
    name = next(each["hostname"] for each in platform.plan["routes"] if each["name"] == "s3")
    line = f"192.0.2.1 {name}"
    privileged("sh", "-c", f"echo '{line}' >>{HOSTS}")
    yield name
    # In place, and only this line: others write there, too.
    rest = f"kept=$(grep -vxF '{line}' {HOSTS}) && printf '%s\\n' \"$kept\" >{HOSTS}"
    privileged("sh", "-c", rest)
    assert line not in HOSTS.read_text()


@pytest.fixture
def distrusted(platform: Platform) -> Iterator[None]:
    """This machine does not trust the platform's CA."""
    anchor = Path(f"/usr/local/share/ca-certificates/dap-{platform.name}.crt")
    text = anchor.read_text()
    privileged("rm", str(anchor))
    privileged("update-ca-certificates")
    yield
    privileged("sh", "-c", f"cat >{anchor} <<'END'\n{text}END\n")
    privileged("update-ca-certificates")
    assert anchor.read_text() == text


@pytest.mark.usefixtures("distrusted")
def test_a_platform_that_is_broken(platform: Platform, stopped: Container, astray: str) -> None:
    done = platform.dap("doctor", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["deployed"] is True
    found = findings(done, "problem")
    assert set(found) == {VICTIM, "names", "trust", "certificate", "routes"}
    assert "is stopped since" in found[VICTIM][0]
    (wrong,) = found["names"]
    assert re.match(rf"{re.escape(astray)} leads to .*192\.0\.2\.1", wrong)
    number = HOSTS.read_text().splitlines().index(f"192.0.2.1 {astray}") + 1
    assert f"/etc/hosts line {number}: 192.0.2.1" in wrong
    assert "CA is not in" in found["trust"][0]
    assert any("certificate" in what for what in found["routes"])
    stopped.reload()
    assert stopped.status == "exited"


def test_a_route_whose_service_is_gone(platform: Platform, stopped: Container) -> None:
    done = platform.dap("doctor")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert re.search(
        rf"https://{VICTIM}\.{re.escape(platform.domain)} answers 50\d: {VICTIM}", text
    )
    assert f"make logs SERVICE={VICTIM} says why" in text
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    levels = [line.split()[0] for line in lines if re.match(r"(ok|warning|problem) ", line)]
    assert levels == sorted(levels, key=["ok", "warning", "problem"].index)
    assert re.match(rf"{platform.name}: \d problems?, \d warnings?$", lines[-1])
    assert stopped.name


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    privileged("mount", "-t", "tmpfs", "-o", "size=4m", "dap-doctor", str(place))
    yield place
    privileged("umount", str(place))


def test_a_machine_that_can_not_carry_it(
    platform: Platform, other: Path, ports: list[int], full: Path, tmp_path: Path
) -> None:
    file = other / "platform.yml"
    text = file.read_text()
    text = re.sub(r"roles: \[service, runner\]", rf"directory: {full}/tree, \g<0>", text)
    text = text.replace("cpus: 2, memory: 4g", "cpus: 1000, memory: 4g")
    assert f"{full}/tree" in text
    assert "cpus: 1000" in text
    # Nothing listens there: what a mistyped mirror looks like.
    file.write_text(f"{text}packages: {{pip_index: 'http://127.0.0.1:9/simple'}}\n")
    (home := tmp_path / "home").mkdir()
    address = platform.project.address
    before = sorted(path for path in other.rglob("*") if "__pycache__" not in path.parts)
    with socket.create_server((address, ports[1])):
        done = subprocess.run(
            [platform.project.path / ".venv/bin/dap", "--project", other, "doctor", "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={**clean_environment(), "HOME": str(home)},
        )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["deployed"] is False
    found = findings(done, "problem")
    assert set(found) == {"disk", "limits", "pip", "ports"}
    assert f"free for {full}/tree" in found["disk"][0]
    assert "asks for 1000 cpus" in found["limits"][0]
    assert "packages can't be had: http://127.0.0.1:9/simple/pip/" in found["pip"][0]
    assert f"port {ports[1]} on {address} is in use by " in found["ports"][0]
    assert "apt" in findings(done, "ok")
    assert f"platform {OTHER} " not in HOSTS.read_text()
    assert not Path("/srv/dap", OTHER).exists()
    assert list(home.rglob("*.key")) == []
    after = sorted(path for path in other.rglob("*") if "__pycache__" not in path.parts)
    assert after == before
    assert shutil.disk_usage(full).used == 0
