"""SSH server and client of a host: keys alone, strong algorithms, nothing forwarded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.dap_baseline.change import Change, file, permissions, text_of
from ansible.module_utils.dap_baseline.host import Given, Host
from ansible.module_utils.dap_baseline.state import State
from ansible.module_utils.dap_host import CommandError, output, run

PART = "ssh"
MAIN = Path("/etc/ssh/sshd_config")
# Of several values the first counts: our names come early, and an owner's 00-….conf before them.
SERVER = Path("/etc/ssh/sshd_config.d/01-dap.conf")
CLIENT = Path("/etc/ssh/ssh_config.d/01-dap.conf")
KEYSIGN = Path("/usr/lib/openssh/ssh-keysign")  # for a login that nobody can use any more
CIPHERS = (
    "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,"
    "aes256-ctr,aes192-ctr,aes128-ctr"
)
MACS = (
    "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com,"
    "hmac-sha2-512,hmac-sha2-256"
)
EXCHANGES = (
    "mlkem768x25519-sha256",  # from OpenSSH 9.9
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group-exchange-sha256",
)


def exchanges(known: str) -> str:
    """Return the key exchanges for a configuration; `known`: what this OpenSSH speaks."""
    return ",".join(name for name in EXCHANGES if name in known.split())


def server_text(key_exchanges: str, *, forwarding: bool) -> str:
    """Return the server's settings; `forwarding`: SSH to other hosts goes through this one."""
    return f"""\
# Of the platform's baseline (hosts[].baseline.ssh). What a file named 00-….conf sets counts more.
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
HostbasedAuthentication no
KerberosAuthentication no
KerberosOrLocalPasswd no
KerberosTicketCleanup yes
GSSAPIAuthentication no
GSSAPICleanupCredentials yes
IgnoreRhosts yes
IgnoreUserKnownHosts yes
StrictModes yes
PermitUserEnvironment no
Ciphers {CIPHERS}
KexAlgorithms {key_exchanges}
MACs {MACS}
LoginGraceTime 30s
MaxSessions 10
MaxStartups 10:30:100
TCPKeepAlive no
ClientAliveInterval 300
ClientAliveCountMax 3
AllowTcpForwarding {"local" if forwarding else "no"}
AllowStreamLocalForwarding no
AllowAgentForwarding no
GatewayPorts no
PermitTunnel no
X11Forwarding no
X11UseLocalhost yes
SyslogFacility AUTH
LogLevel VERBOSE
PrintMotd no
PrintLastLog no
Banner none
DebianBanner no
"""


def client_text(key_exchanges: str) -> str:
    """Return the client's settings; a person's own configuration and options count more."""
    return f"""\
# Of the platform's baseline (hosts[].baseline.ssh).
Host *
    AddressFamily any
    BatchMode no
    CheckHostIP yes
    StrictHostKeyChecking ask
    PasswordAuthentication no
    HostbasedAuthentication no
    GSSAPIAuthentication no
    GSSAPIDelegateCredentials no
    ForwardAgent no
    ForwardX11 no
    Tunnel no
    PermitLocalCommand no
    Ciphers {CIPHERS}
    KexAlgorithms {key_exchanges}
    MACs {MACS}
"""


def includes(main: str) -> bool:
    """Tell whether the server reads our file, before anything that would count more."""
    for line in main.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        return bool(
            re.match(rf"\s*include\s+.*{re.escape(str(SERVER.parent))}/\*\.conf", line, re.I)
        )
    return False


def refused(given: Given, host: Host) -> Iterator[tuple[str, str]]:
    """Yield why the part can't be on, each with the remedy."""
    if not given.switches[PART]:
        return
    if not host.installed("openssh-server"):
        yield (
            "baseline.ssh: the host has no package openssh-server",
            "set ssh: false in hosts[].baseline of this host",
        )
    elif not includes(text_of(MAIN) or ""):
        yield (
            f"baseline.ssh: {MAIN} does not begin with an Include of {SERVER.parent}/*.conf",
            f"put 'Include {SERVER.parent}/*.conf' there as the first line, "
            "or set ssh: false in hosts[].baseline of this host",
        )


def reload() -> None:
    """Have the server read its configuration; raises CommandError if that is not valid."""
    output(["sshd", "-t"])
    output(["systemctl", "reload-or-try-restart", "ssh.service"])


def ports() -> set[int]:
    """Return the ports that the server listens on by its configuration; empty without one."""
    try:
        told = run(["sshd", "-T"])
    except CommandError:
        return set()
    lines = [line.split() for line in told.stdout.splitlines()]
    found = {int(line[1]) for line in lines if line[:1] == ["port"]}
    addresses = [line[1] for line in lines if line[:1] == ["listenaddress"]]
    return found | {int(each.rsplit(":", 1)[1]) for each in addresses if each[-1:].isdigit()}


def changes(given: Given, _host: Host, state: State) -> Iterator[Change]:
    """Yield what SSH's configuration differs in."""
    on = given.switches[PART]
    known = exchanges(output(["ssh", "-Q", "kex"])) if on else ""
    told = [
        *file(
            SERVER,
            server_text(known, forwarding=given.forwarding) if on else None,
            mode=0o600,
            guarded=True,
        ),
        *_modes(on, state),
    ]
    yield from told
    yield from file(CLIENT, client_text(known) if on else None)
    if told or PART in state.pending:
        yield Change(
            "let the SSH server read its configuration",
            reload,
            undo=("systemctl reload-or-try-restart ssh.service",),
        )


def _modes(on: bool, state: State) -> Iterator[Change]:
    """Yield what files' permissions differ in; when off, they get back what they had."""
    for path, mode in ((MAIN, 0o600), (KEYSIGN, 0o755)):
        name = str(path)
        if path.exists() and (on or name in state.modes):
            for change in permissions(path, mode if on else state.modes[name]):
                yield _remembered(change, path, state, on=on)


def _remembered(change: Change, path: Path, state: State, *, on: bool) -> Change:
    """Return a change of permissions that the state and the packages' manager know of."""
    name, before = str(path), path.stat().st_mode & 0o7777

    def do() -> None:
        if path == KEYSIGN:
            run(["dpkg-statoverride", "--quiet", "--remove", name])
        if on:
            state.modes.setdefault(name, before)
            if path == KEYSIGN:
                output(["dpkg-statoverride", "--add", "root", "root", "0755", name])
        else:
            del state.modes[name]
        change.do()

    return Change(change.what, do, change.diffs, change.files)
