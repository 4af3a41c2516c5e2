"""How SSH reaches a host: the options that the settings mean on a command line of ssh.

Keys of hosts are learned at the first contact and kept with the project, under the hosts' names.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dap.errors import DapError
from dap.replace import replace_file
from dap.settings import jump_parts

KNOWN_HOSTS = Path("infrastructure", "known_hosts")
CONNECT_S = 10


class Host(Protocol):
    """A host as settings and plan have it."""

    @property
    def name(self) -> str:
        """Name in messages, and of its key among the known ones."""

    @property
    def address(self) -> str:
        """What it is reached at over SSH; localhost: this machine."""

    @property
    def user(self) -> str | None:
        """Account; None: as ssh's own configuration says."""

    @property
    def port(self) -> int | None:
        """Port of the SSH server; None: as ssh's own configuration says."""

    @property
    def key(self) -> str:
        """File of the private key, from the project's folder; empty: as ssh's own says."""

    @property
    def jump(self) -> str | None:
        """[account@]host[:port] to go through; None: none."""


def options(root: Path, host: Host) -> list[str]:
    """Return the options of ssh for a host, without its address; no password is asked for."""
    given = [*_common(root, host.key), "-o", f"HostKeyAlias={host.name}"]
    given += ["-l", host.user] if host.user else []
    given += ["-p", str(host.port)] if host.port else []
    if host.jump:
        account, name, port = jump_parts(host.jump)
        through = ["ssh", *_common(root, host.key)]
        through += ["-l", account] if account else []
        through += ["-p", port] if port else []
        # Ssh puts its own values for what begins with a percent sign.
        command = shlex.join([*through, "-W", "DESTINATION", name]).replace("%", "%%")
        given += ["-o", f"ProxyCommand={command.replace('DESTINATION', '[%h]:%p')}"]
    return given


@contextmanager
def shared(root: Path, hosts: Sequence[Host]) -> Iterator[Callable[[Host], list[str]]]:
    """Let many commands share a connection to each host; gives the options of a host for that.

    The first command makes the connection; it is closed at the end.
    """
    far = [host for host in hosts if host.address != "localhost"]
    with tempfile.TemporaryDirectory(prefix="dap-") as place:

        def given(host: Host) -> list[str]:
            control = [
                "ControlMaster=auto",
                f"ControlPath={place}/{host.name}",
                "ControlPersist=60",
            ]
            return [*options(root, host), *(word for one in control for word in ("-o", one))]

        try:
            yield given
        finally:
            for host in far:
                if Path(place, host.name).exists():
                    end = ["ssh", *given(host), "-O", "exit", host.address]
                    subprocess.run(end, capture_output=True, check=False)


def line(root: Path, host: Host) -> str:
    """Return the command line by which a person tries to reach a host."""
    words = ["-i", str(root / Path(host.key).expanduser())] if host.key else []
    words += ["-J", host.jump] if host.jump else []
    words += ["-p", str(host.port)] if host.port else []
    there = f"{host.user}@{host.address}" if host.user else host.address
    return shlex.join(["ssh", *words, there])


def account(root: Path, host: Host) -> str:
    """Return the account that ssh logs in with, as settings or ssh's own configuration say.

    Raises:
        DapError: ssh is not installed here.
    """
    if shutil.which("ssh") is None:
        raise DapError(f"ssh is not installed here; {host.name} can't be reached", "install it")
    if host.user:
        return host.user
    command = ["ssh", "-G", *options(root, host), host.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    fields = (line.partition(" ") for line in done.stdout.splitlines())
    return next((value for key, _, value in fields if key == "user"), "")


def problem(host: str, said: str) -> tuple[str, str] | None:
    """Return what ssh's words about a refused host key mean, and the remedy; None: they don't."""
    if "HOST IDENTIFICATION HAS CHANGED" not in said and "Host key verification failed" not in said:
        return None
    return (
        f"its SSH host key is not the one in {KNOWN_HOSTS}",
        f"if {host} was installed anew: ssh-keygen -R {host} -f {KNOWN_HOSTS}; "
        "if it was not, somebody else answers at its address",
    )


def forget_keys(root: Path, names: Collection[str]) -> None:
    """Forget the keys of hosts, so that other machines may have their names."""
    file = root / KNOWN_HOSTS
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition(" ")[0] not in names]
    if kept != lines:
        replace_file(file, "".join(kept).encode(), 0o644)


def _common(root: Path, key: str) -> list[str]:
    known = f'"{root / KNOWN_HOSTS}"'.replace("%", "%%")
    given = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
    given += ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}"]
    given += ["-o", "HashKnownHosts=no"]
    if key:
        given += ["-i", str(root / Path(key).expanduser()), "-o", "IdentitiesOnly=yes"]
    return given
