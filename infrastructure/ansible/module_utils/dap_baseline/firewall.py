"""A firewall in a table of its own: other tables, Docker's too, are left as they are.

Its chains look at a packet before those of others do, and what they drop no other table lets in.
A connection to a published port has been led to its container by then, so that it is judged by
the port that it came to, on its way through the host as well as into it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.dap_baseline import ssh
from ansible.module_utils.dap_baseline.change import Change, file, text_of
from ansible.module_utils.dap_baseline.host import Given, Host, ssh_connection
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import CommandError, output, run
from ansible.module_utils.dap_requirements import process_of

PART = "firewall"
PACKAGE = "nftables"
TABLE = "dap"
RULES = Path("/etc/dap/firewall.nft")
UNIT_NAME = "dap-firewall.service"
UNIT = Path("/etc/systemd/system", UNIT_NAME)
REMOVE = f"nft 'add table inet {TABLE}; delete table inet {TABLE}'"
NETFILTER, NFTABLES, GENERATION = 12, 10, 16  # netlink: family, subsystem, NFT_MSG_GETGEN
REQUEST, ERROR = 1, 2
LISTENS = {"tcp": "0A", "udp": "07"}  # state of a socket that waits, in /proc/net
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
UNKNOWN = "an unknown process"  # as process_of says
OWN_UDP = {68, 546}  # of the DHCP client


def kernel_lacks() -> str:
    """Say why the kernel can't hold nftables' rules; empty if it can."""
    header = struct.pack("=IHHII", 20, NFTABLES << 8 | GENERATION, REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as asked:
            asked.settimeout(5)
            asked.send(header + struct.pack("=BBH", 0, 0, 0))
            answer = asked.recv(4096)
    except OSError as error:
        return os.strerror(error.errno or errno.EPROTONOSUPPORT)
    _, kind = struct.unpack_from("=IH", answer)
    code = struct.unpack_from("=i", answer, 16)[0] if kind == ERROR else 0
    return os.strerror(-code) if code else ""


def refused(given: Given) -> Iterator[tuple[str, str]]:
    """Yield why the part can't be on, each with the remedy."""
    if not given.switches[PART]:
        return
    lacks = kernel_lacks()
    if lacks:
        yield (
            f"baseline.firewall: the kernel takes no rules of nftables here ({lacks})",
            "use a kernel with nf_tables, or set firewall: false in hosts[].baseline of this host",
        )
    if given.service:
        try:
            ipaddress.ip_address(given.service_address)
        except ValueError:
            yield (
                "baseline.firewall: the service host's address is no IP address: "
                f"{given.service_address}",
                "set listen of the service host in platform.yml, "
                "or firewall: false in hosts[].baseline of this host",
            )


def _set(ports: list[int]) -> str:
    return "{ " + ", ".join(str(port) for port in sorted(set(ports))) + " }"


def split(ports: tuple[str, ...]) -> dict[str, list[int]]:
    """Return protocol → ports of texts such as 9100, 9100/tcp or 51820/udp."""
    found: dict[str, list[int]] = {"tcp": [], "udp": []}
    for each in ports:
        number, _, kind = each.partition("/")
        found[kind or "tcp"].append(int(number))
    return found


def rules(given: Given, ssh_ports: set[int]) -> str:
    """Return the file for nft: it puts the table in the place of the one that is there."""
    further = split(given.open)
    tcp, udp = [*given.everyone, *further["tcp"]], further["udp"]
    lines = []
    if tcp:
        lines.append(f"meta l4proto tcp ct original proto-dst {_set(tcp)} accept")
    if udp:
        lines.append(f"meta l4proto udp ct original proto-dst {_set(udp)} accept")
    if given.service:
        family = "ip6" if ":" in given.service_address else "ip"
        lines.append(
            f"{family} saddr {given.service_address} meta l4proto tcp "
            f"ct original proto-dst {_set(list(given.service))} accept"
        )
    named = "".join(f"        {line}\n" for line in lines)
    shell = f"        tcp dport {_set(list(ssh_ports))} accept\n" if ssh_ports else ""
    return f"""\
# Of the platform's baseline (hosts[].baseline.firewall).
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    chain named {{
{named}        meta l4proto {{ tcp, udp }} counter drop
    }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        ct state established,related accept
        iifname "lo" accept
{shell}        udp sport 67 udp dport 68 accept
        udp dport 546 accept
        jump named
    }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        ct state established,related accept
        ct status dnat jump named
        iifname "docker0" accept
        iifname "br-*" accept
        oifname "docker0" counter drop
        oifname "br-*" counter drop
    }}
}}
"""


UNIT_TEXT = f"""\
# Of the platform's baseline (hosts[].baseline.firewall).
[Unit]
Description=Firewall of the data analysis platform
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target
After=local-fs.target systemd-modules-load.service nftables.service
# It clears all tables when it starts or reads its file.
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft --file {RULES}
ExecReload=nft --file {RULES}
ExecStop={REMOVE}

[Install]
WantedBy=sysinit.target
"""


def listing() -> str:
    """Return the loaded table without counters; empty if there is none."""
    try:
        return run(["nft", "--stateless", "list", "table", "inet", TABLE]).stdout
    except CommandError:
        return ""


def tunnels() -> bool:
    """Tell whether the host has a tunnel of WireGuard's."""
    links = Path("/sys/class/net").glob("*/uevent")
    return any("DEVTYPE=wireguard" in link.read_text(encoding="utf-8") for link in links)


def closes(given: Given, ssh_ports: set[int]) -> list[str]:
    """Return what listens to other hosts now and will not be reached by them any more."""
    further = split(given.open)
    kept = {
        "tcp": {*given.everyone, *given.service, *further["tcp"], *ssh_ports},
        "udp": {*further["udp"], *OWN_UDP},
    }
    found: dict[tuple[str, int], str] = {}
    for kind, waits in LISTENS.items():
        for version in ("", "6"):
            table = Path(f"/proc/net/{kind}{version}")
            if not table.exists():
                continue
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                address, port = fields[1].split(":")
                connected = set(fields[2].split(":")[0]) != {"0"}
                if fields[3] != waits or connected or address in LOOPBACK:
                    continue
                if kind == "tcp" and address.endswith("7F") and len(address) == 8:
                    continue
                if int(port, 16) not in kept[kind]:
                    found[kind, int(port, 16)] = fields[9]
    told = []
    for (kind, number), inode in sorted(found.items()):
        process = process_of(inode)
        # A socket of the kernel's own is a tunnel's, or passing.
        if kind == "tcp" or process != UNKNOWN or tunnels():
            told.append(f"close {kind} port {number}, where {process} listens")
    return told


def changes(given: Given, host: Host, state: State) -> Iterator[Change]:
    """Yield what the firewall differs in."""
    on = given.switches[PART]
    if not on:
        yield from _gone(state)
        return
    connection = ssh_connection()
    ssh_ports = ssh.ports() | ({connection[1]} if connection else set())
    told = [
        *file(RULES, rules(given, ssh_ports), guarded=True),
        *file(UNIT, UNIT_TEXT, guarded=True),
    ]
    loaded = listing()
    first = text_of(RULES) is None
    if first:
        told += [Change(each, lambda: None) for each in closes(given, ssh_ports)]
    yield from told
    missing = not loaded or loaded != state.firewall
    starts = host.starts(UNIT_NAME) and host.runs(UNIT_NAME)
    if not (told or missing or not starts or PART in state.pending):
        return

    def load() -> None:
        output(["nft", "--check", "--file", str(RULES)])
        output(["systemctl", "daemon-reload"])
        output(["systemctl", "enable", UNIT_NAME])
        output(["systemctl", "reload-or-restart", UNIT_NAME])
        state.firewall = listing()

    undo = (REMOVE, f"systemctl disable {UNIT_NAME}") if first else (f"nft --file {RULES}",)
    yield Change("load the firewall's rules", load, undo=("systemctl daemon-reload", *undo))


def _gone(state: State) -> Iterator[Change]:
    if not (RULES.exists() or UNIT.exists() or state.firewall):
        return

    def unload() -> None:
        if UNIT.exists():
            output(["systemctl", "disable", "--now", UNIT_NAME])
        if listing():
            output(["nft", "delete", "table", "inet", TABLE])
        state.firewall = ""

    # The rules and nft itself are needed to take them away: the files go after that.
    yield Change("unload the firewall's rules", unload)
    yield from file(RULES, None)
    yield from file(UNIT, None)
    yield Change("forget the firewall's unit", _forget)


def _forget() -> None:
    output(["systemctl", "daemon-reload"])
