"""The image of a fresh Debian server: what its installer leaves, and nothing of the platform."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import docker

from demo.project import run
from tests.unit.engine.modules import load

SUITE = "bookworm"
REPOSITORY = "dap-fleet/host"
LABEL = "dap.fleet.image"
# Priority "important" is a server's; the rest comes with an SSH server and Debian's cloud images.
PACKAGES = (
    *("systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo"),
    *("python3", "ca-certificates", "iproute2"),
)
# Who the installer asked for besides root.
ACCOUNT, UID = "ops", 1000
# What would reach beyond the container: devices, and settings of the kernel that all share.
MASKED = (
    *("systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket"),
    *("systemd-udev-trigger.service", "systemd-modules-load.service"),
    *("systemd-remount-fs.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("getty.target", "console-getty.service", "networking.service"),
)
DOCKERFILE = f"""\
ARG DEBIAN
FROM $DEBIAN
COPY machine/ /
RUN update-ca-certificates \\
    && useradd --create-home --shell /bin/bash --uid {UID} {ACCOUNT} \\
    && passwd --lock root && passwd --lock {ACCOUNT} \\
    && echo '{ACCOUNT} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{ACCOUNT} \\
    && chmod 0440 /etc/sudoers.d/{ACCOUNT} \\
    && systemctl mask {" ".join(MASKED)} \\
    && rm -f /etc/ssh/ssh_host_* /etc/machine-id /usr/sbin/policy-rc.d /usr/lib/sysctl.d/*.conf \\
    && mkdir -p /run/sshd \\
    && touch /etc/machine-id
ENV container=docker
STOPSIGNAL SIGRTMIN+3
"""
# Where a server's own clients look for what `base/machine/` has of them.
PLACES = {
    "apt/90host.conf": "etc/apt/apt.conf.d/90host.conf",
    "pip.conf": "etc/pip.conf",
    "npmrc": "etc/npmrc",
    "goenv": "root/.config/go/env",
    "environment": "etc/environment",
}


def sources() -> list[Any]:
    """The machine's own Debian mirror, for the hosts' suite.

    Raises:
        RuntimeError: the machine names none.
    """
    machine = load("dap_machine", "module_utils")
    found = [
        machine.Source(
            source.uri,
            source.suite.replace(machine.TARGET, SUITE),
            source.components,
            source.keyring,
        )
        for source in machine.apt_sources("")
    ]
    if not found:
        raise RuntimeError("the machine's apt sources name no Debian mirror to make hosts from")
    return found


def machine_files() -> dict[str, str]:
    """How a host's clients reach packages, as this machine's do; path → text."""
    collected = load("dap_machine", "module_utils").collect({}, {})
    files = {place: collected[name] for name, place in PLACES.items() if collected.get(name)}
    for name, text in collected.items():
        if name.startswith("ca/"):
            files[f"usr/local/share/ca-certificates/{name.removeprefix('ca/')}"] = text
    files[f"etc/apt/sources.list.d/{SUITE}.sources"] = "\n".join(s.deb822() for s in sources())
    files["etc/apt/sources.list"] = ""
    return files


def reference() -> str:
    """Name of the image that the hosts are made from; made if it is not there.

    Raises:
        subprocess.CalledProcessError: it can't be made.
    """
    client = docker.from_env()
    files = machine_files()
    made_of = repr((SUITE, PACKAGES, DOCKERFILE, sorted(files.items())))
    tag = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    name = f"{REPOSITORY}:{tag}"
    if client.images.list(name):
        return name
    start = debian()
    make(name, files, start)
    for image in client.images.list(filters={"label": LABEL}):
        for old in set(image.tags) - {name, start}:
            client.images.remove(old)
    return name


def debian() -> str:
    """A minimal Debian of the hosts' suite as an image; made from packages if it is not there."""
    lines = [source.line() for source in sources()]
    tag = hashlib.sha256(repr((lines, PACKAGES)).encode()).hexdigest()[:12]
    name = f"dap-fleet/debian:{SUITE}-{tag}"
    if docker.from_env().images.list(name):
        return name
    if shutil.which("mmdebstrap") is None:
        install = load("dap_images").APT_INSTALL
        run(*install, "mmdebstrap", "debian-archive-keyring")
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder, "debian.tar"))
        include = f"--include={','.join(PACKAGES)}"
        run("mmdebstrap", "--quiet", "--variant=important", include, SUITE, archive, *lines)
        run("docker", "import", "--change", f"LABEL {LABEL}=debian", archive, name)
    return name


def make(name: str, files: dict[str, str], start: str) -> None:
    """Make the image of a host from a Debian and the machine's configuration."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        for place, text in files.items():
            path = context / "machine" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        build(folder, name, DOCKERFILE, DEBIAN=start)


def build(folder: str, name: str, dockerfile: str, **arguments: str) -> None:
    """Build an image of the fleet's from a folder."""
    given = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    subprocess.run(
        [
            *("docker", "build", "--quiet", "--tag", name, "--label", f"{LABEL}={name}"),
            *given,
            *("--file", "-", folder),
        ],
        input=dockerfile,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def remove() -> None:
    """Remove all images of fleets."""
    client = docker.from_env()
    for found in client.images.list(filters={"label": LABEL}):
        for tag in found.tags:
            client.images.remove(tag)
