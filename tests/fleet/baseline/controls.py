"""The controls of controls.yml, and what a host is asked for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.hosts import FreshHost
from tests.unit.engine.modules import load

load("dap_baseline")  # makes the modules' shared package known

from ansible.module_utils.dap_baseline import kernel  # noqa: E402

FILE = Path(__file__).with_name("controls.yml")
# Set-user-ID programs that the profile refuses, of those that Debian's packages have.
REFUSED = {
    *("/usr/bin/rcp", "/usr/bin/rlogin", "/usr/bin/rsh", "/usr/lib/openssh/ssh-keysign"),
    *("/usr/sbin/pppd", "/usr/bin/lockfile", "/usr/bin/mail-lock", "/usr/bin/mail-unlock"),
    *("/usr/bin/mail-touchlock", "/usr/bin/dotlockfile", "/usr/bin/arping", "/usr/sbin/arping"),
    *("/usr/sbin/uuidd", "/usr/bin/mtr", "/usr/lib/pt_chown", "/usr/lib/mc/cons.saver"),
    *("/usr/sbin/netreport", "/usr/sbin/usernetctl", "/usr/lib/eject/dmcrypt-get-device"),
}
NOEXEC = ("/boot", "/dev", "/dev/shm", "/tmp", "/var/log", "/var/log/audit", "/var/tmp")
NOSUID = (*NOEXEC, "/home", "/run", "/var")
NODEV = tuple(place for place in NOSUID if place != "/dev")
CRON = " ".join(["/etc/crontab", *(f"/etc/cron.{e}" for e in ("d", "hourly", "daily", "weekly"))])
MINBITS = 2047
END, TRIES = "--end--", 5


@dataclass(frozen=True)
class Control:
    """A control: what it asks for, which switch makes it hold, and whether it should."""

    id: str
    title: str
    check: Any = None
    switch: str = ""
    outcome: str = "holds"
    why: str = ""

    @property
    def profile(self) -> str:
        """Name of the profile that it is of."""
        return "ssh-baseline" if self.id.startswith("ssh") else "linux-baseline"


CONTROLS = [Control(**each) for each in yaml.safe_load(FILE.read_text(encoding="utf-8"))]


@dataclass
class Measured:
    """A host that is asked; what is asked for often is asked once."""

    host: FreshHost
    looks: dict[str, Callable[[], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [name for name in dir(self) if name.startswith("look_")]
        self.looks = {name[5:].replace("_", "-"): getattr(self, name) for name in names}

    def say(self, command: str) -> str:
        """Run a line of shell as root and return what it says, whatever its exit status."""
        return said(self.host, command)

    def holds(self, control: Control) -> bool:
        """Whether what a control asks for is so."""
        if control.check == "look":
            return self.looks[control.id]()
        return all(getattr(self, kind)(wanted) for kind, wanted in control.check.items())

    @cached_property
    def _sshd(self) -> dict[str, list[str]]:
        return settings(self.say("sshd -T"))

    @cached_property
    def _ssh(self) -> dict[str, list[str]]:
        return settings(self.say("ssh -G localhost"))

    @cached_property
    def _packages(self) -> set[str]:
        return set(self.say("dpkg-query -W -f '${Package}\\n'").split())

    @cached_property
    def _mounts(self) -> dict[str, list[str]]:
        rows = (line.split() for line in self.say("cat /proc/self/mounts").splitlines())
        return {row[1]: row[3].split(",") for row in rows}

    @cached_property
    def _greeting(self) -> str:
        ask = "import socket; print(socket.create_connection(('127.0.0.1', 22), 5).recv(99))"
        return self.host.execute("python3", "-c", ask)

    def sshd(self, wanted: dict[str, str]) -> bool:
        """Whether the server's settings, as it reads them itself, are so."""
        return all(allowed(self._sshd.get(name, []), each) for name, each in wanted.items())

    def no_sshd(self, name: str) -> bool:
        """Whether the server has no setting of that name."""
        return bool(self._sshd) and name not in self._sshd

    def ssh(self, wanted: dict[str, str]) -> bool:
        """Whether the client's settings, as it reads them itself, are so."""
        return all(allowed(self._ssh.get(name, []), each) for name, each in wanted.items())

    def sysctl(self, wanted: dict[str, str]) -> bool:
        """Whether kernel parameters are so."""
        paths = " ".join(str(kernel.place(name)) for name in wanted)
        now = self.say(f"cat {paths}").split()
        pairs = zip(now, wanted.values(), strict=True)
        return all(there in each.split() for there, each in pairs)

    def machine(self, wanted: dict[str, str]) -> bool:
        """Whether parameters of the whole machine are what a host of its own would be given.

        One that the baseline does not set has to be so as it is, or not to be there.
        """
        for name, each in wanted.items():
            set_to = kernel.MACHINE.get(name)
            there = set_to or self.say(f"cat {kernel.place(name)}").strip()
            if there not in ("", *each.split()):
                return False
        return True

    def package(self, name: str) -> bool:
        """Whether a package is there."""
        return name in self._packages

    def no_package(self, names: str) -> bool:
        """Whether none of the packages is there."""
        return bool(self._packages) and not self._packages & set(names.split())

    def absent(self, path: str) -> bool:
        """Whether a file is not there."""
        return self.say(f"ls -d {path}") == ""

    def file(self, wanted: dict[str, str]) -> bool:
        """Whether a file is root's, of a group and a mode."""
        told = self.say(f"stat -c '%a %U %G' {wanted['path']}").split()
        return told == [wanted["mode"], "root", wanted["group"]]

    def look_os_03b(self) -> bool:
        """Hashes of passwords are elsewhere."""
        rows = [line.split(":") for line in self.say("cat /etc/passwd").splitlines()]
        return bool(rows) and all(row[1] in ("x", "*") for row in rows)

    def look_os_04(self) -> bool:
        """The path of a login has whole names of folders alone."""
        parts = self.say("su - root -c 'echo $PATH'").strip().split(":")
        return len(parts) > 1 and all(part.startswith("/") for part in parts)

    def look_os_05(self) -> bool:
        """Ages of passwords and the umask are as the profile has them."""
        told = settings(self.say("cat /etc/login.defs"))
        wanted = {"pass_max_days": "60", "pass_min_days": "7", "umask": "027"}
        return all(told.get(name) == [each] for name, each in wanted.items())

    def look_os_06(self) -> bool:
        """No refused program may act as its owner or group."""
        find = "find / -xdev -type f -perm /6000"
        return not REFUSED & set(self.say(find).split())

    def look_os_07(self) -> bool:
        """Each number is given once."""
        rows = self.say("cut -d: -f3 /etc/passwd; echo; cut -d: -f3 /etc/group").split("\n\n")
        return all(len(set(part.split())) == len(part.split()) > 1 for part in rows)

    def look_os_08(self) -> bool:
        """The kernel says that it has entropy."""
        return int(self.say("cat /proc/sys/kernel/random/entropy_avail")) >= 1000

    def look_os_09(self) -> bool:
        """Nobody has a file that lets others in or holds passwords."""
        return self.say("find / -maxdepth 3 -iname .rhosts -o -maxdepth 3 -iname .netrc") == ""

    def look_os_10(self) -> bool:
        """Nothing happens when a rare file system's module is asked for."""
        told = self.say("cat /etc/modprobe.d/*.conf")
        efi = self.say("ls -d /sys/firmware/efi")
        names = [name for name in kernel.RARE if not (name == "vfat" and efi)]
        return all(f"install {name} /bin/true" in told for name in names)

    def look_os_11(self) -> bool:
        """Logs are in a folder of root's."""
        told = self.say("stat -c '%F %U %G' /var/log").split()
        return told[:2] == ["directory", "root"] and told[2] in ("root", "syslog")

    def look_os_13(self) -> bool:
        """Cron's files are nobody's else to read."""
        modes = self.say(f"stat -c %a {CRON}").split()
        return all(mode.endswith("00") for mode in modes)

    def look_os_14(self) -> bool:
        """No programs there."""
        return self._mounted(NOEXEC, "noexec")

    def look_os_15(self) -> bool:
        """No set-user-ID programs there."""
        return self._mounted(NOSUID, "nosuid")

    def look_os_16(self) -> bool:
        """No devices there."""
        return self._mounted(NODEV, "nodev")

    def _mounted(self, places: tuple[str, ...], option: str) -> bool:
        there = [place for place in places if place in self._mounts]
        return bool(there) and all(option in self._mounts[place] for place in there)

    def look_sysctl_33(self) -> bool:
        """The processor keeps data from being run."""
        flags = re.search(r"^flags\s*:(.*)$", self.say("cat /proc/cpuinfo"), re.MULTILINE)
        return flags is not None and "nx" in flags[1].split()

    def look_ssh_04(self) -> bool:
        """The client knows one protocol."""
        return self.say("ssh -Q protocol-version").split() == ["2"]

    def look_sshd_09(self) -> bool:
        """The server does not listen at all addresses."""
        listens = self._sshd["listenaddress"]
        return not any(each.startswith(("0.0.0.0:", "[::]:")) for each in listens)

    def look_sshd_10(self) -> bool:
        """The server offers one protocol."""
        return self._greeting.startswith("b'SSH-2.0-")

    def look_sshd_47(self) -> bool:
        """The server's first words are about itself alone."""
        return "OpenSSH" in self._greeting and "Debian" not in self._greeting

    def look_sshd_48(self) -> bool:
        """Primes for key exchanges are long."""
        sizes = re.findall(
            r"^\d+ \d+ \d+ \d+ (\d+) ", self.say("cat /etc/ssh/moduli"), re.MULTILINE
        )
        return bool(sizes) and all(int(size) >= MINBITS for size in sizes)

    def look_sshd_49(self) -> bool:
        """The server's command line has no settings that would count more."""
        lines = [line for line in self.say("ps -eo args").splitlines() if "sshd -D" in line]
        return len(lines) == 1 and "-o" not in lines[0]


def settings(text: str) -> dict[str, list[str]]:
    """Names in lower case and their values; some names stand more than once."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, each = line.strip().replace("\t", " ").partition(" ")
        if name and not name.startswith("#"):
            found.setdefault(name.lower(), []).append(each.strip())
    return found


def allowed(there: list[str], wanted: str) -> bool:
    """Whether a value is one of those that blanks part, or the values are those that | parts."""
    if "|" in wanted:
        return sorted(there) == sorted(wanted.split("|"))
    return len(there) == 1 and there[0] in wanted.split()


def said(host: FreshHost, command: str) -> str:
    """Run a line of shell as root on a host; what it says, whatever its exit status.

    Raises:
        RuntimeError: the engine lost the end of it, again and again.
    """
    line = f"{{ {command}\n}} 2>/dev/null; echo; echo {END}"
    for _ in range(TRIES):
        # A busy engine may lose what a short program says.
        text = host.execute("sh", "-c", line)
        if text.endswith(f"\n{END}\n"):
            return text.removesuffix(f"\n{END}\n")
    raise RuntimeError(f"{host.name}: the engine lost what this says: {command}")
