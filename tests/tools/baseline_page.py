"""doc/baseline.md, whose table is that of the controls: `make docs` writes it, a test keeps it."""

from collections import Counter

from tests.fleet.baseline.controls import CONTROLS, Control
from tests.paths import ROOT

PAGE = ROOT / "doc" / "baseline.md"
HEAD = """\
# Baseline of hosts

For operators. After reading it you know what a deploy makes of a host beside the platform, how to switch each part
off, and how that compares with a public profile.

A host that is reached over SSH gets all of it, `localhost` nothing. Each part has a switch in `platform.yml`:

```yaml settings=valid
domain: dap.example.org
address: 10.0.0.10
hosts:
  - name: hub
    address: 10.0.0.10
    baseline:
      docker: false            # this part off, the others as they are
      open: [9100, 51820/udp]  # further ports that the firewall leaves open to everybody
```

`make plan` tells what a deploy would change, with the difference of each file. A host that is as it should be costs
nothing: what differs is found by the check that each deploy makes anyway. A part that is switched off takes away
what it put there (files, rules, packages, units) and gives back what was there before (permissions, kernel
parameters); so does the removal of a host, and `make destroy`. A host has one baseline: a second platform on it is
refused until its switches are off.

| switch | on | what of the host's own counts more |
|---|---|---|
| `updates` | `unattended-upgrades` installs Debian's security updates each day; nothing is rebooted | |
| `ssh` | server: keys, no passwords; strong algorithms alone; nothing is forwarded (TCP is, where a host has a `jump`). Client likewise. `/etc/ssh/sshd_config` is read by root alone | `/etc/ssh/sshd_config.d/00-*.conf`; a person's own `~/.ssh/config` |
| `time` | `systemd-timesyncd`, unless chrony, ntpsec or openntpd is there | a time service that is there |
| `firewall` | see below | |
| `logs` | the journal is kept for 90 days, 1 GiB at most; `logrotate` runs | later files in `journald.conf.d` |
| `docker` | address pools for 4096 networks, logs of 3 times 10 MB a container, `live-restore` | keys that stand in `/etc/docker/daemon.json` |
| `disk` | every 5 minutes all file systems are looked at; below 10 % free (of space or files) `make status` warns, below 5 % it is a problem, and the journal has it | |
| `kernel` | parameters against spoofing and misuse, rare file systems are not loaded | later files in `sysctl.d`, `/etc/sysctl.conf` |

All parts need systemd. What a host can't have is refused before anything is changed.

## Firewall

New connections by TCP and UDP are closed but for

- SSH, at every port that the server has, and DHCP,
- on the service host: the platform's ports, to everybody,
- on other hosts: the platform's ports, to the service host's `listen` alone,
- `open`, to everybody.

That holds for programs of the host and for ports that Docker publishes, those of other containers too, and for IPv4
and IPv6. A deploy that closes a port where something listens says which, and who listens. A tunnel that you come
in by (WireGuard and the like) needs its port in `open`.

The rules are a table of nftables of their own (`inet dap`, `/etc/dap/firewall.nft`). Docker's rules and yours stay as
they are; what the table drops none of them lets in. It is there before the network at boot, and comes back when
`nftables.service` clears all tables. Connections that exist go on.

```sh not run: needs a host with the baseline
nft list table inet dap             # with what was dropped
systemctl stop dap-firewall.service # open, until the next deploy or boot
```

## Nobody is locked out

What could keep you out (SSH, firewall, kernel) is changed last. The host is told to take it back after 45 seconds
unless the deploy confirms it over a new SSH connection, with its account and key. If that connection does not come to be,
the host is as it was, and the deploy says so. Accounts that log in with passwords are not asked: give them keys first.

## Docker is restarted

… when `docker` is switched, and the deploy says so. Switched on, containers go on; switched off, they start anew.
Networks that exist keep their addresses.

## Measured

"""
AFTER = """
A control that names a file is asked by what that file is for: SSH by the settings that server and client read
themselves (`sshd -T`, `ssh -G`), so that it does not matter in which file they stand. Tests deploy to a fresh Debian 12 and
ask there. It is a container, whose kernel is the machine's: the parameters of sysctl-30 to sysctl-32 and sysctl-34 are
set on hosts of their own alone, and are compared with what would be set.
"""


def cell(text: str) -> str:
    """Write a value so that it stays within its cell."""
    return text.replace("|", "\\|")


def row(control: Control) -> str:
    """Write a control as a row of the table."""
    how = f"switch `{control.switch}`" if control.switch else ""
    remark = "; ".join(part for part in (how, control.why) if part)
    return f"| {control.id} | {cell(control.title)} | {control.outcome} | {cell(remark)} |"


def page() -> str:
    """Write the page."""
    count = Counter(control.outcome for control in CONTROLS)
    asked = len(CONTROLS) - count["not asked"]
    each = []
    for profile in ("linux-baseline", "ssh-baseline"):
        mine = [c for c in CONTROLS if c.profile == profile and c.outcome != "not asked"]
        each.append(f"{sum(c.outcome == 'holds' for c in mine)} of {len(mine)} of {profile}")
    said = (
        f"Of the {len(CONTROLS)} controls of dev-sec's profiles linux-baseline and ssh-baseline "
        f"(Apache-2.0),\n{asked} are for such a host. {count['holds']} hold ({' and '.join(each)}), "
        f"{count['fails']} do not:\n"
    )
    head = ["| control | asks for | | why |", "|---|---|---|---|"]
    fails = [row(c) for c in CONTROLS if c.outcome == "fails"]
    rest = [row(c) for c in CONTROLS if c.outcome != "fails"]
    lines = [said, *head, *fails, AFTER, "## All others", "", *head, *rest]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
