"""How the fault tests break things: only containers of the demo's platform, and copies of them."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from demo.access import SYSTEM_CA, await_result
from demo.project import ADMIN
from tests.demo.conftest import Platform, privileged

LABEL = "dap.fault"


def kill(container: Container) -> float:
    """Kill all processes of a container at once, as the kernel would; when, in monotonic seconds.

    Not by `docker kill`: the engine takes that for a wish and starts it no more.
    """
    container.reload()
    pid = int(container.attrs["State"]["Pid"])
    assert pid > 1, f"{container.name} does not run"
    moment = time.monotonic()
    privileged("kill", "-KILL", str(pid))
    return moment


def health(container: Container) -> str:
    """Say how a container is: its health, or its status where it does not run."""
    try:
        container.reload()
    except NotFound:
        return "gone"
    state = container.attrs["State"]
    if state["Status"] != "running":
        return str(state["Status"])
    return str(state.get("Health", {}).get("Status", "running"))


def await_health(container: Container, wanted: str, timeout_s: float) -> None:
    """Wait for a container's health."""
    what = f"{container.name} {wanted}"
    await_result(what, lambda: health(container) == wanted or None, timeout_s, 0.2)


def await_all_healthy(platform: Platform, services: set[str], timeout_s: float) -> None:
    """Wait until just these services run and are healthy."""

    def look() -> bool | None:
        states = {}
        for name, container in platform.containers(stopped=True).items():
            states[name] = health(container)
        return (set(states) == services and set(states.values()) == {"healthy"}) or None

    await_result(f"health of {len(services)} services", look, timeout_s)


def seconds_until(moment: float, what: str, ask: Callable[[], bool], timeout_s: float) -> float:
    """Wait until something holds; the seconds since `moment`."""
    await_result(what, lambda: ask() or None, timeout_s, 0.1)
    return time.monotonic() - moment


def median(values: list[float]) -> float:
    """The middle one, rounded to a tenth."""
    return round(sorted(values)[len(values) // 2], 1)


def execute(container: Container, *command: str) -> str:
    """Run a command in a container; what was printed."""
    code, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    assert code == 0, output.decode()
    return output.decode()


@contextmanager
def small_volume(platform: Platform, name: str, mib: int, uid: int, file: Path) -> Iterator[str]:
    """Make a volume of a fixed size: ext4 on a loop device, or tmpfs where there is none.

    Yields the kind of its filesystem, and wants the volume in use afterwards: the device goes
    when it is unmounted. `file` is where the filesystem may lie.
    """
    options: dict[str, str]
    device = ""
    try:
        subprocess.run(["truncate", "--size", f"{mib}M", str(file)], check=True)
        device = privileged("losetup", "--find", "--show", str(file)).strip()
    except (subprocess.CalledProcessError, FileNotFoundError):
        size = f"size={mib}m,uid={uid},gid={uid},mode=0700"
        options = {"type": "tmpfs", "device": "tmpfs", "o": size}
    else:
        owner = f"root_owner={uid}:{uid}"
        privileged("mkfs.ext4", "-q", "-m", "0", "-E", owner, device)
        options = {"type": "ext4", "device": device}
    platform.docker.volumes.create(name, driver_opts=options, labels={LABEL: platform.name})
    try:
        yield options["type"]
    finally:
        if device:
            privileged("losetup", "--detach", device)
        file.unlink(missing_ok=True)


class Twin:
    """A second container like one of the platform's, with its data on a small volume of its own.

    Image, command, user, limits, mounts and restart policy are the service's. Another container
    keeps the volume mounted, so that what is on it outlives a restart.
    """

    def __init__(
        self,
        platform: Platform,
        service: str,
        directory: str,
        mib: int,
        file: Path,
        aliases: tuple[str, ...] = (),
    ) -> None:
        original = platform.container(service)
        config, host = dict(original.attrs["Config"]), dict(original.attrs["HostConfig"])
        uid = int(config["User"].split(":")[0])
        self.platform, self.directory = platform, directory
        self.volume = f"{platform.name}-small-{service}"
        mounts = [m for m in original.attrs["Mounts"] if m["Destination"] != directory]
        binds = [f"{m['Source']}:{m['Destination']}:ro" for m in mounts if m["Type"] == "bind"]
        host |= {"Binds": [*binds, f"{self.volume}:{directory}"], "Mounts": [], "PortBindings": {}}
        network = f"{platform.name}_internal"
        host["NetworkMode"] = network
        config["Healthcheck"] = {**config["Healthcheck"], "Interval": 10**9}
        config["Labels"] = {LABEL: platform.name}
        config.pop("Hostname")
        engine = platform.docker
        with small_volume(platform, self.volume, mib, uid, file) as self.kind:
            self.holder = engine.containers.run(
                config["Image"],
                ["sleep", "infinity"],
                detach=True,
                init=True,
                user=str(uid),
                network_mode="none",
                volumes=[f"{self.volume}:{directory}"],
                labels={LABEL: platform.name},
            )
        create: Any = engine.api.create_container_from_config  # has no types
        made = create(
            {
                **config,
                "HostConfig": host,
                "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": [*aliases]}}},
            },
            f"{platform.name}-twin-{service}",
        )
        self.container = engine.containers.get(made["Id"])

    @property
    def address(self) -> str:
        """Its IP address, as this host reaches it."""
        self.container.reload()
        networks = self.container.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def execute(self, *command: str) -> str:
        """Run a command in it; what was printed."""
        return execute(self.container, *command)

    def on_volume(self, *command: str) -> str:
        """Run a command beside it, where its volume is; what was printed."""
        return execute(self.holder, *command)

    def free_mib(self) -> int:
        """Free space of its volume."""
        return int(
            self.on_volume("df", "--output=avail", "--block-size=1M", self.directory).split()[-1]
        )

    def fill(self, leave_mib: int) -> None:
        """Take the space of the volume but for some, by a file that is no data."""
        size = max(0, self.free_mib() - leave_mib)
        self.on_volume("fallocate", "--length", f"{size}M", f"{self.directory}/ballast")

    def free(self) -> None:
        """Give the space back."""
        self.on_volume("rm", "-f", f"{self.directory}/ballast")

    def remove(self) -> None:
        """Remove it with its data."""
        for container in (self.container, self.holder):
            container.remove(force=True)
        self.platform.docker.volumes.get(self.volume).remove()


@contextmanager
def twin(*arguments: Any, **options: Any) -> Iterator[Twin]:
    """Have a twin for a while; see Twin."""
    made = Twin(*arguments, **options)
    try:
        yield made
    finally:
        made.remove()


def s3(platform: Platform) -> Any:
    """The store as the platform's first user reaches it: through the proxy, asking once."""
    return boto3.client(
        "s3",
        endpoint_url=platform.admin.url("s3").rstrip("/"),
        aws_access_key_id=ADMIN,
        aws_secret_access_key=platform.admin.password,
        region_name="us-east-1",
        verify=str(SYSTEM_CA),
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def remove_leftovers(platform: Platform) -> None:
    """Remove what an interrupted run of these tests left: containers, then volumes."""
    label: dict[str, Any] = {"label": f"{LABEL}={platform.name}"}
    for container in platform.docker.containers.list(all=True, filters=label):
        try:
            container.remove(force=True)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise
    for volume in platform.docker.volumes.list(filters=label):
        volume.remove(force=True)
