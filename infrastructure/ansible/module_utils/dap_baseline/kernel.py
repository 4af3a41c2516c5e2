"""Kernel parameters, and kernel modules that no host of a platform needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.dap_baseline.change import Change, file
from ansible.module_utils.dap_baseline.host import Given, Host
from ansible.module_utils.dap_baseline.state import State

PART = "kernel"
FILE = Path("/etc/sysctl.d/60-dap.conf")
MODULES = Path("/etc/modprobe.d/dap.conf")
PARAMETERS = Path("/proc/sys")
# Where systemd-sysctl looks; of files of one name the first folder's counts, and of all files
# the last in order of their names.
FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
NETWORK = {
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.icmp_ratelimit": "100",
    "net.ipv4.icmp_ratemask": "88089",
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.conf.all.shared_media": "1",
    "net.ipv4.conf.default.shared_media": "1",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv6.conf.all.accept_source_route": "0",
    "net.ipv6.conf.default.accept_source_route": "0",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.default.secure_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.log_martians": "1",
    "net.ipv4.conf.default.log_martians": "1",
    "net.ipv6.conf.all.accept_redirects": "0",
    "net.ipv6.conf.default.accept_redirects": "0",
}
# With these an interface learns no address and no route: only for hosts that have learned none.
FIXED_ADDRESSES = {
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.default.accept_ra_rtr_pref": "0",
    "net.ipv6.conf.default.accept_ra_pinfo": "0",
    "net.ipv6.conf.default.accept_ra_defrtr": "0",
    "net.ipv6.conf.all.accept_ra": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.autoconf": "0",
    "net.ipv6.conf.default.dad_transmits": "0",
    "net.ipv6.conf.default.max_addresses": "1",
}
# Of the whole machine: in a container they are not this host's to set.
MACHINE = {
    "kernel.sysrq": "0",
    "kernel.randomize_va_space": "2",
    "kernel.kptr_restrict": "1",
    "kernel.dmesg_restrict": "1",
    "fs.suid_dumpable": "0",
    "fs.protected_fifos": "1",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
}
RARE = ("cramfs", "freevxfs", "jffs2", "hfs", "hfsplus", "squashfs", "udf", "vfat")
PERMANENT = 0x80  # flag of an address in /proc/net/if_inet6: nothing will end it
LEARNED = 0x00040000  # flag of a route in /proc/net/ipv6_route: by router advertisement


def place(parameter: str) -> Path:
    """Return the file of a kernel parameter."""
    return PARAMETERS / parameter.replace(".", "/")


def value(parameter: str) -> str | None:
    """Return what a parameter is now, None if the kernel has none of that name."""
    try:
        return place(parameter).read_text(encoding="ascii").strip()
    except OSError:
        return None


def learns_addresses(addresses: str, routes: str) -> bool:
    """Tell whether a host has an IPv6 address or route that a router told it.

    Args:
        addresses: text of /proc/net/if_inet6.
        routes: text of /proc/net/ipv6_route.
    """
    for line in addresses.splitlines():
        _, _, _, scope, flags, _ = line.split()
        if scope == "00" and not int(flags, 16) & PERMANENT:
            return True
    return any(int(line.split()[8], 16) & LEARNED for line in routes.splitlines())


def set_later(parameters: set[str]) -> set[str]:
    """Return those of the parameters that a file which counts more than ours sets."""
    files: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in Path(folder).glob("*.conf"):
            files.setdefault(path.name, path)
    later = [path for name, path in sorted(files.items()) if name > FILE.name]
    found = set()
    for path in later:
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for key in re.findall(r"^\s*-?([A-Za-z0-9_./*-]+)\s*=", text, re.MULTILINE):
            found.add(key.replace("/", "."))
    return parameters & found


def wanted(host: Host) -> dict[str, str]:
    """Return parameter → value, less what the kernel lacks and what a later file sets."""
    parameters = dict(NETWORK)
    network = Path("/proc/net")
    addresses, routes = network / "if_inet6", network / "ipv6_route"
    if addresses.exists() and not learns_addresses(addresses.read_text(), routes.read_text()):
        parameters |= FIXED_ADDRESSES
    if not host.container:
        parameters |= MACHINE
    there = {name: each for name, each in parameters.items() if value(name) is not None}
    others = set_later(set(there))
    return {name: each for name, each in there.items() if name not in others}


def parameters_text(parameters: dict[str, str]) -> str:
    """Return the file for systemd-sysctl."""
    lines = "".join(f"{name} = {each}\n" for name, each in sorted(parameters.items()))
    return f"# Of the platform's baseline (hosts[].baseline.kernel).\n{lines}"


def modules_text() -> str:
    """Return the file for modprobe; firmware that boots by EFI has its files on vfat."""
    rare = [name for name in RARE if name != "vfat" or not Path("/sys/firmware/efi").exists()]
    if Path("/snap").exists():
        rare.remove("squashfs")
    lines = "".join(f"install {name} /bin/true\n" for name in rare)
    return (
        f"# Of the platform's baseline (hosts[].baseline.kernel): file systems of no use.\n{lines}"
    )


def changes(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what the kernel's parameters differ in."""
    on = given.switches[PART]
    parameters = wanted(host) if on else {}
    yield from file(FILE, parameters_text(parameters) if on else None, guarded=True)
    yield from file(MODULES, modules_text() if on else None)
    now = {name: value(name) for name in parameters}
    wrong = {name: each for name, each in parameters.items() if now[name] != each}
    # What is ours no more gets back what it had.
    back = {name: each for name, each in state.kernel.items() if name not in parameters}
    if not wrong and not back:
        return

    def do() -> None:
        for name, each in wrong.items():
            state.kernel.setdefault(name, now[name] or "")
            place(name).write_text(f"{each}\n", encoding="ascii")
        for name, each in back.items():
            if value(name) is not None:
                place(name).write_text(f"{each}\n", encoding="ascii")
            del state.kernel[name]

    told = [f"{name} from {now[name]} to {each}" for name, each in sorted(wrong.items())]
    told += [f"{name} back to {each}" for name, each in sorted(back.items())]
    what = f"set {told[0]}" if len(told) == 1 else f"set {len(told)} kernel parameters"
    undo = tuple(
        f"echo {shlex.quote(value(name) or '')} > {place(name)}" for name in [*wrong, *back]
    )
    yield Change(what, do, {} if len(told) == 1 else {str(PARAMETERS): "\n".join(told)}, undo=undo)
