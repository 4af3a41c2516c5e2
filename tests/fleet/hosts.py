"""Fresh hosts: Debian servers in containers, reached over SSH as real ones are.

Each is a privileged container with systemd and sshd, an address of its own and a volume for
Docker's files. Two networks: on `front` the hosts reach each other and this machine reaches them;
on `back` this machine has no address, so a host whose sshd listens there alone is reached through
the bastion, a container with an sshd and nothing else.
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from demo.access import await_result
from demo.project import ROOT, run
from tests.fleet import image

LABEL = "dap.test"
VALUE = "fleet"
OWNER = "dap.fleet"  # label: which fleet it belongs to
BASTION = "bastion"
BASTION_PORT = 2222
BOOT_S = 90
# Docker lays its own files over these; a server has its own, and they outlast a restart.
START = "umount /etc/hosts /etc/hostname /etc/resolv.conf && exec /sbin/init"


@dataclass(frozen=True)
class Member:
    """What a fresh host is, and how it is reached.

    Attributes:
        name: of the host.
        number: last part of its addresses.
        user: the account that the test's key opens.
        port: of its sshd.
        hidden: its sshd answers on the network behind the bastion alone.
        settings: further settings of it in platform.yml.
        memory: limit of all that runs on it.
        by_agent: platform.yml names no key: ssh has it from elsewhere.
    """

    name: str
    number: int
    user: str = "root"
    port: int = 22
    hidden: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    memory: str = "4g"
    by_agent: bool = False


def members(count: int = 3) -> tuple[Member, ...]:
    """A service host and runner hosts, no two of which are reached alike.

    Args:
        count: how many hosts, 1 to 9.
    """

    def runner(label: str) -> dict[str, Any]:
        return {"roles": ["runner"], "slots": 1, "labels": [label]}

    first = (
        Member("hub", 10, settings={"roles": ["service"]}, memory="8g"),
        Member("r1", 11, "ops", 2022, settings=runner("one")),
        Member("r2", 12, hidden=True, settings=runner("two")),
    )
    more = (Member(f"r{n}", 10 + n, settings=runner(f"r{n}")) for n in range(3, count))
    return (*first, *more)[:count]


class FreshHost:
    """One of the hosts, as seen from this machine beside SSH: its power switch and its console."""

    def __init__(self, fleet: Fleet, member: Member) -> None:
        self.fleet, self.member = fleet, member
        self.name = member.name
        self.front = fleet.address(0, member.number)
        self.back = fleet.address(1, member.number)

    @property
    def container(self) -> Container:
        """The container that it is."""
        return self.fleet.docker.containers.get(f"{self.fleet.name}-{self.name}")

    @property
    def address(self) -> str:
        """Where its sshd answers."""
        return self.back if self.member.hidden else self.front

    @property
    def volume(self) -> str:
        """Volume with Docker's files."""
        return f"{self.fleet.name}-{self.name}-docker"

    @property
    def settings(self) -> dict[str, Any]:
        """Its entry in `hosts:` of platform.yml."""
        member = self.member
        entry: dict[str, Any] = {"name": self.name, "address": self.address, "user": member.user}
        if member.port != 22:
            entry["port"] = member.port
        if not member.by_agent:
            entry["key"] = str(self.fleet.key)
        if member.hidden:
            entry["jump"] = f"{image.ACCOUNT}@{self.fleet.bastion_address}:{BASTION_PORT}"
            entry["listen"] = self.front
        return {**entry, **member.settings}

    def create(self) -> None:
        """Make it from blank and switch it on, with SSH host keys that nobody has seen."""
        self.make(["/bin/sh", "-c", START], {})
        self.on()

    def make(self, command: list[str], further: dict[str, Entry]) -> None:
        """Make the container, with further files; it is not started."""
        listen = f"Port {self.member.port}\nPasswordAuthentication no\n"
        if self.member.hidden:
            listen += f"ListenAddress {self.back}\nListenAddress 127.0.0.1\n"
        home = "root" if self.member.user == "root" else f"home/{self.member.user}"
        files = {
            **further,
            **self.fleet.host_keys(self.name),
            **self.fleet.login(home, self.member.user),
            "etc/ssh/sshd_config.d/server.conf": Entry(listen),
            "etc/hosts": Entry(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n"),
            "etc/hostname": Entry(f"{self.name}\n"),
            "etc/resolv.conf": Entry(Path("/etc/resolv.conf").read_text(encoding="utf-8")),
        }
        self.fleet.docker.volumes.create(self.volume, labels=self.fleet.labels)
        made = self.fleet.docker.containers.create(
            self.fleet.image,
            command,
            name=f"{self.fleet.name}-{self.name}",
            hostname=self.name,
            privileged=True,
            cgroupns="private",
            tmpfs={"/run": "", "/run/lock": ""},
            volumes=[f"{self.volume}:/var/lib/docker"],
            mem_limit=self.member.memory,
            labels=self.fleet.labels,
            network=self.fleet.network(0),
            networking_config={
                self.fleet.network(0): self.fleet.endpoint(self.front),
            },
        )
        self.fleet.docker.networks.get(self.fleet.network(1)).connect(made, ipv4_address=self.back)
        made.put_archive("/", archive(files))

    def on(self) -> None:
        """Switch it on; it has booted when sshd answers."""
        self.container.start()
        await_result(f"boot of {self.name}", self._booted, BOOT_S)

    def off(self) -> None:
        """Cut its power."""
        self.container.kill()

    def reboot(self) -> None:
        """Shut it down in order and start it again."""
        self.container.restart(timeout=60)
        await_result(f"boot of {self.name}", self._booted, BOOT_S)

    def remove(self) -> None:
        """Take it away with all it holds."""
        self._take_away()
        for volume in self.fleet.docker.volumes.list(filters={"name": f"^{self.volume}$"}):
            volume.remove(force=True)

    def replace(self) -> None:
        """Put a blank machine in its place; the disk with Docker's files is put into that."""
        self._take_away()
        self.create()

    def _take_away(self) -> None:
        for container in self.fleet.docker.containers.list(
            all=True, filters={"name": f"^{self.fleet.name}-{self.name}$"}
        ):
            container.remove(force=True, v=True)

    def new_ssh_keys(self) -> None:
        """Give its sshd other host keys, as a machine put in its place would have."""
        self.container.put_archive("/", archive(self.fleet.host_keys(self.name)))
        # Nor would it know the sessions that are open.
        self.execute("systemctl", "stop", "ssh.service", "session-*.scope")
        self.execute("systemctl", "start", "ssh.service")

    def execute(self, *command: str) -> str:
        """Run a command as root at its console; what it printed.

        Raises:
            RuntimeError: it returned nonzero.
        """
        code, output = self.container.exec_run(list(command))
        assert isinstance(output, bytes)
        text = output.decode(errors="replace")
        if code:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: exit status {code}\n{text}")
        return text

    def put(self, path: str, text: str) -> None:
        """Write a file of root's."""
        self.container.put_archive("/", archive({path.lstrip("/"): Entry(text)}))

    def ssh(self, *command: str) -> str:
        """Run a command over SSH as its account; what it printed."""
        return run("ssh", *self.fleet.ssh_options, *self._destination(), *command)

    def _destination(self) -> list[str]:
        jump = []
        if self.member.hidden:
            options = " ".join(self.fleet.ssh_options)
            bastion = f"{image.ACCOUNT}@{self.fleet.bastion_address}"
            jump = [f"-oProxyCommand=ssh {options} -p{BASTION_PORT} -W %h:%p {bastion}"]
        return [*jump, f"-p{self.member.port}", f"{self.member.user}@{self.address}"]

    def _booted(self) -> bool | None:
        code, state = self.container.exec_run(["systemctl", "is-system-running"])
        assert isinstance(state, bytes)
        if state.decode().strip() not in {"running", "degraded"}:
            return None
        code, _ = self.container.exec_run(["systemctl", "is-active", "ssh.service"])
        return code == 0 or None


@dataclass(frozen=True)
class Entry:
    """A file for an archive."""

    text: str
    mode: int = 0o644
    owner: int = 0


def archive(files: dict[str, Entry]) -> bytes:
    """Put files into a tar archive, with the folders of an account's own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, entry in files.items():
            if path.endswith("/"):
                member = tarfile.TarInfo(path)
                member.type = tarfile.DIRTYPE
            else:
                member = tarfile.TarInfo(path)
                member.size = len(entry.text.encode())
            member.mode, member.uid, member.gid = entry.mode, entry.owner, entry.owner
            tar.addfile(member, io.BytesIO(entry.text.encode()))
    return buffer.getvalue()


class Fleet:
    """Hosts with their networks; several fleets can be there at once.

    Args:
        name: prefix of all that is made.
        number: 0 to 255; its networks are 198.18.NUMBER.0/24 and 198.19.NUMBER.0/24, of the
            block that RFC 2544 sets aside for tests between networks.
        wanted: the hosts.
    """

    def __init__(self, name: str, number: int, wanted: tuple[Member, ...]) -> None:
        self.name, self.number = name, number
        self.hosts = {member.name: FreshHost(self, member) for member in wanted}

    @cached_property
    def docker(self) -> docker.DockerClient:
        """The machine's Docker engine."""
        return docker.from_env()

    @cached_property
    def image(self) -> str:
        """Image of a fresh host."""
        return image.reference()

    @property
    def directory(self) -> Path:
        """Scratch folder of the fleet."""
        return ROOT / "build" / self.name

    @property
    def key(self) -> Path:
        """Private SSH key that opens every host."""
        return self.directory / "id_ed25519"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all that belongs to the fleet."""
        return {LABEL: VALUE, OWNER: self.name}

    @property
    def bastion_address(self) -> str:
        """Address of the bastion, as this machine reaches it."""
        return self.address(0, 9)

    @property
    def ssh_options(self) -> list[str]:
        """Options of ssh for a test's own look at a host."""
        return [
            f"-oIdentityFile={self.key}",
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            "-oUserKnownHostsFile=/dev/null",
            "-oStrictHostKeyChecking=no",
            "-oLogLevel=ERROR",
        ]

    def address(self, network: int, number: int) -> str:
        """An address on the front (0) or back (1) network."""
        return f"198.{18 + network}.{self.number}.{number}"

    def network(self, which: int) -> str:
        """Name of the front (0) or back (1) network."""
        return f"{self.name}-{('front', 'back')[which]}"

    def endpoint(self, address: str) -> Any:
        """How a container is on a network."""
        return self.docker.api.create_endpoint_config(ipv4_address=address)

    @property
    def hosts_section(self) -> str:
        """The sections `address:` and `hosts:` of platform.yml."""
        section = {
            "address": next(iter(self.hosts.values())).front,
            "hosts": [host.settings for host in self.hosts.values()],
        }
        return str(yaml.safe_dump(section, sort_keys=False))

    def up(self) -> None:
        """Make networks, bastion and hosts, all new."""
        self.down()
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", VALUE, "-f", str(self.key))
        for which in (0, 1):
            # Without an address on the bridge, this machine can't reach what is on it.
            hidden = {"com.docker.network.bridge.inhibit_ipv4": "true"} if which else {}
            self.docker.networks.create(
                self.network(which),
                driver="bridge",
                internal=bool(which),
                options=hidden,
                labels=self.labels,
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=f"{self.address(which, 0)}/24")]),
            )
        self._bastion()
        for host in self.hosts.values():
            host.create()

    def _bastion(self) -> None:
        made = self.docker.containers.create(
            self.image,
            ["/usr/sbin/sshd", "-D", "-e", "-p", str(BASTION_PORT)],
            name=f"{self.name}-{BASTION}",
            hostname=BASTION,
            tmpfs={"/run/sshd": "mode=0755"},
            mem_limit="256m",
            labels=self.labels,
            network=self.network(0),
            networking_config={self.network(0): self.endpoint(self.bastion_address)},
        )
        self.docker.networks.get(self.network(1)).connect(made, ipv4_address=self.address(1, 9))
        home = f"home/{image.ACCOUNT}"
        made.put_archive("/", archive(self.host_keys(BASTION) | self.login(home, image.ACCOUNT)))
        made.start()

    def down(self) -> None:
        """Remove all that bears the fleet's label."""
        mine: dict[str, Any] = {"label": f"{OWNER}={self.name}"}
        for container in self.docker.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for host in self.hosts.values():
            host.remove()
        for volume in self.docker.volumes.list(filters=mine):
            volume.remove(force=True)
        for network in self.docker.networks.list(filters=mine):
            network.remove()

    def host_keys(self, name: str) -> dict[str, Entry]:
        """New keys of an sshd, by path."""
        folder = self.directory / "host-keys"
        folder.mkdir(exist_ok=True)
        found = {}
        for kind in ("ed25519", "ecdsa"):
            path = folder / f"{name}-{kind}"
            for old in (path, path.with_suffix(".pub")):
                old.unlink(missing_ok=True)
            run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(path))
            place = f"etc/ssh/ssh_host_{kind}_key"
            found[place] = Entry(path.read_text(), 0o600)
            found[f"{place}.pub"] = Entry(path.with_suffix(".pub").read_text())
        return found

    def public_host_key(self, name: str) -> str:
        """The ed25519 key that a host shows: kind and base64."""
        text = (self.directory / "host-keys" / f"{name}-ed25519.pub").read_text()
        return " ".join(text.split()[:2])

    def login(self, home: str, user: str) -> dict[str, Entry]:
        """Let the fleet's key into an account."""
        owner = 0 if user == "root" else image.UID
        public = self.key.with_suffix(".pub").read_text()
        return {
            f"{home}/.ssh/": Entry("", 0o700, owner),
            f"{home}/.ssh/authorized_keys": Entry(public, 0o600, owner),
        }


def chosen(count: int = 3) -> Fleet:
    """The fleet that DAP_FLEET=NAME@NUMBER names; fleet@0 without."""
    name, _, number = os.environ.get("DAP_FLEET", "fleet@0").partition("@")
    return Fleet(name, int(number or 0), members(count))
