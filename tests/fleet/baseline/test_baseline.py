"""What the baseline does to fresh hosts, seen from outside; and that it goes as it came.

The tests tell one story, in their order: a runner host (and the service host beside it) gets the
baseline, is looked at, hurt, restarted, and is left as it was found.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from demo.access import await_result
from tests.fleet.baseline.controls import CONTROLS, Control, Measured, said
from tests.fleet.baseline.deploys import SWITCHES, baseline, deploy, told
from tests.fleet.hosts import Entry, Fleet, FreshHost, archive

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# Of the platform, of the operator's choice, and of nobody's.
PLATFORM, FURTHER, OTHER = 443, 9100, 8080
BOOT_S = 90
# Tables of others: they are found again as they were.
OWN_RULES = "add table inet own; add chain inet own c; add rule inet own c ip saddr 192.0.2.1 drop"
# What a host is, as far as the baseline reaches: files with their modes, units, parameters, rules.
PICTURE = r"""
find /etc/ssh /etc/systemd /etc/sysctl.d /etc/modprobe.d /etc/apt /etc/dap /usr/local/lib \
    /var/lib/dap -xdev -type f \
    -exec stat -c '%n %a %s' {} + 2>/dev/null | sort
systemctl list-unit-files --no-legend --state=enabled
stat -c '%n %a' /usr/lib/openssh/ssh-keysign
sysctl -a 2>/dev/null | grep -E '^net\.ipv[46]\.(conf\.(all|default)|icmp|tcp_)' | sort
nft list tables
sshd -T | sort
"""


def opens(origin: FreshHost, target: str, port: int) -> bool:
    """Whether a connection from one host to another comes to be."""
    ask = f"import socket; socket.create_connection(('{target}', {port}), 2); print('open')"
    try:
        return "open" in origin.execute("python3", "-c", ask)
    except RuntimeError:
        return False


def reached(origin: FreshHost, host: FreshHost, port: int) -> bool | None:
    """Whether a host is reached; None as long as it is not."""
    return opens(origin, host.front, port) or None


def picture(host: FreshHost) -> str:
    """What of a host the baseline could change."""
    return said(host, PICTURE)


def wanted(host: FreshHost, hub: FreshHost, on: tuple[str, ...] = SWITCHES) -> dict[str, object]:
    """The baseline of a host as the inventory has it."""
    if host is hub:
        return baseline(on, everyone=[PLATFORM])
    return baseline(
        on, service=[PLATFORM], service_address=hub.front, open=[f"{FURTHER}/tcp", "5000/udp"]
    )


@pytest.fixture(scope="module")
def before(runner: FreshHost, hub: FreshHost) -> dict[str, str]:
    """The hosts before the first deploy, with a table of another's in their firewall."""
    for host in (runner, hub):
        host.execute("nft", OWN_RULES)
        # As it is on a server; in a container all that is not of its own network is another's.
        host.execute(
            "sh",
            "-c",
            "rm /etc/systemd/system/systemd-sysctl.service; D=/etc/systemd/system/"
            "systemd-sysctl.service.d; mkdir $D; printf '[Unit]\\nConditionPathIsReadWrite=\\n"
            "[Service]\\nExecStart=\\nExecStart=/lib/systemd/systemd-sysctl --prefix=/net\\n'"
            " > $D/own.conf; systemctl daemon-reload",
        )
        own = {
            "etc/docker/": Entry("", 0o755),
            "etc/docker/daemon.json": Entry('{"debug": false, "log-level": "warn"}'),
        }
        host.container.put_archive("/", archive(own))
    return {host.name: picture(host) for host in (runner, hub)}


@pytest.mark.usefixtures("before")
def test_a_plan_tells_all_and_changes_nothing(
    runner: FreshHost, hub: FreshHost, folder: Path
) -> None:
    there = picture(runner)
    outcome = deploy({runner: wanted(runner, hub)}, folder, check=True)
    changes = told(outcome)
    for what in ("unattended-upgrades", "dap-firewall", "sshd_config.d/01-dap.conf", "daemon.json"):
        assert any(what in change for change in changes), what
    diffs = {path: text for step in outcome.steps for path, text in step.diffs.items()}
    assert "+PasswordAuthentication no" in diffs["/etc/ssh/sshd_config.d/01-dap.conf"]
    assert picture(runner) == there


@pytest.mark.usefixtures("before")
def test_two_hosts_get_it_and_a_second_deploy_changes_nothing(
    runner: FreshHost, hub: FreshHost, folder: Path
) -> None:
    hosts = {host: wanted(host, hub) for host in (hub, runner)}
    assert len(told(deploy(hosts, folder))) > 30
    again = deploy(hosts, folder)
    assert told(again) == []
    tasks = [step for step in again.steps if "arg spec" not in step.task]
    assert [step.task.split(" : ")[-1] for step in tasks] == ["Check the host"] * 2
    assert runner.ssh("echo", "in").strip() == "in"


@pytest.mark.parametrize(
    "control", [c for c in CONTROLS if c.outcome != "not asked"], ids=lambda c: c.id
)
def test_control(hub: FreshHost, measured: Measured, control: Control) -> None:
    assert measured.host is hub
    assert measured.holds(control) is (control.outcome == "holds"), control.title


@pytest.fixture(scope="module")
def measured(hub: FreshHost) -> Measured:
    """The service host, asked for the controls."""
    return Measured(hub)


@pytest.fixture(scope="module")
def published(runner: FreshHost, folder: Path, hub: FreshHost) -> FreshHost:
    """The runner host with Docker's engine, as a deploy installs it, and containers' ports."""
    told(deploy({runner: wanted(runner, hub)}, folder, engine=True))
    script = (
        "apt-get -qq -y install busybox-static >/dev/null && mkdir -p /tmp/image/bin && "
        "cp /bin/busybox /tmp/image/bin/ && tar -C /tmp/image -c . | docker import - small && "
        f"docker run --detach --name web --restart always -p {PLATFORM}:80 -p {FURTHER}:80 "
        f"-p {OTHER}:80 small /bin/busybox httpd -f -p 80"
    )
    runner.execute("sh", "-c", script)
    return runner


def closed_to_strangers(runner: FreshHost, hub: FreshHost, stranger: FreshHost) -> None:
    """What the firewall promises, looked at from both sides."""
    for origin, port, answer in (
        (hub, PLATFORM, True),
        (stranger, PLATFORM, False),
        (hub, FURTHER, True),
        (stranger, FURTHER, True),
        (hub, OTHER, False),
        (stranger, OTHER, False),
        (stranger, runner.member.port, True),
    ):
        if answer:
            await_result(
                f"port {port} from {origin.name}", partial(reached, origin, runner, port), 60
            )
        else:
            assert not opens(origin, runner.front, port), (origin.name, port)
    assert "inet own" in runner.execute("nft", "list", "tables")


def test_ports_of_containers_are_open_to_those_they_are_for(
    published: FreshHost, hub: FreshHost, stranger: FreshHost
) -> None:
    closed_to_strangers(published, hub, stranger)


def test_a_container_is_reached_by_no_other_way(published: FreshHost, stranger: FreshHost) -> None:
    """A neighbour may send what is for a container's own address to the host."""
    inside = published.execute(
        "docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"
    ).strip()
    route = ("ip", "route", "replace", inside, "via", published.front)
    stranger.execute(*route)
    try:
        assert not opens(stranger, inside, 80)
        published.execute("nft", "delete table inet dap")
        assert opens(stranger, inside, 80), "the test can't see a firewall at all"
    finally:
        published.execute("systemctl", "restart", "dap-firewall.service")
        stranger.execute("ip", "route", "delete", inside)


def test_a_program_of_the_host_is_closed_too(runner: FreshHost, hub: FreshHost) -> None:
    runner.execute("systemd-run", "--unit=own-server", "python3", "-m", "http.server", "8000")
    try:
        await_result("the program", lambda: opens(runner, "127.0.0.1", 8000) or None, 20)
        assert not opens(hub, runner.front, 8000)
    finally:
        runner.execute("systemctl", "stop", "own-server")


def test_rules_outlast_a_restart_of_docker(
    published: FreshHost, hub: FreshHost, stranger: FreshHost
) -> None:
    started = ("docker", "inspect", "--format", "{{.State.StartedAt}}", "web")
    since = published.execute(*started)
    published.execute("systemctl", "restart", "docker.service")
    closed_to_strangers(published, hub, stranger)
    assert published.execute(*started) == since  # live-restore: the container went on


def test_rules_outlast_a_reboot(
    published: FreshHost, hub: FreshHost, stranger: FreshHost, folder: Path
) -> None:
    published.reboot()
    published.execute("nft", OWN_RULES)  # keeping it would be its owner's affair
    await_result("the container", partial(reached, hub, published, PLATFORM), BOOT_S)
    closed_to_strangers(published, hub, stranger)
    assert published.execute("cat", "/proc/sys/net/ipv4/conf/all/arp_ignore").strip() == "1"
    assert published.ssh("echo", "in").strip() == "in"
    assert told(deploy({published: wanted(published, hub)}, folder)) == []


def test_rules_outlast_a_firewall_of_the_operator(
    published: FreshHost, hub: FreshHost, stranger: FreshHost
) -> None:
    """Debian's nftables.service clears all tables when it starts or reads its file."""
    for verb in ("restart", "reload"):
        published.execute("systemctl", verb, "nftables.service")
        published.execute("nft", OWN_RULES)
        assert not opens(stranger, published.front, OTHER), verb
    published.execute("systemctl", "restart", "docker.service")
    closed_to_strangers(published, hub, stranger)


def test_a_deploy_puts_back_what_somebody_took_away(
    published: FreshHost, hub: FreshHost, stranger: FreshHost, folder: Path
) -> None:
    published.execute("nft", "delete table inet dap")
    assert opens(stranger, published.front, OTHER), "the test can't see a firewall at all"
    published.execute("sysctl", "-w", "net.ipv4.conf.all.arp_ignore=0")
    published.execute("rm", "/etc/ssh/sshd_config.d/01-dap.conf")
    changes = told(deploy({published: wanted(published, hub)}, folder))
    assert changes == [
        "r1: set net.ipv4.conf.all.arp_ignore from 0 to 1",
        "r1: load the firewall's rules",
        "r1: add /etc/ssh/sshd_config.d/01-dap.conf",
        "r1: let the SSH server read its configuration",
    ]
    closed_to_strangers(published, hub, stranger)


def test_docker_keeps_its_owner_s_settings_and_its_containers(
    published: FreshHost, hub: FreshHost, folder: Path
) -> None:
    present = json.loads(published.execute("cat", "/etc/docker/daemon.json"))
    assert present["log-level"] == "warn"
    assert present["log-opts"] == {"max-size": "10m", "max-file": "3"}
    started = ("docker", "inspect", "--format", "{{.State.StartedAt}}", "web")
    since = published.execute(*started)
    rest = tuple(name for name in SWITCHES if name != "docker")
    (change,) = told(deploy({published: wanted(published, hub, rest)}, folder))
    assert "restart Docker's engine, containers start anew" in change
    assert json.loads(published.execute("cat", "/etc/docker/daemon.json")) == {
        "debug": False,
        "log-level": "warn",
    }
    middle = published.execute(*started)
    assert middle != since
    (change,) = told(deploy({published: wanted(published, hub)}, folder))
    assert "restart Docker's engine, containers go on" in change
    assert published.execute(*started) == middle
    network = published.execute("sh", "-c", "docker network create n && docker network inspect n")
    assert '/24"' in network


def test_who_would_be_locked_out_is_not(
    fleet: Fleet, stranger: FreshHost, hub: FreshHost, folder: Path
) -> None:
    """A client that speaks none of the baseline's ciphers stands for all that it would refuse."""
    weak = {"etc/ssh/sshd_config.d/weak.conf": Entry("Ciphers +aes128-cbc\n")}
    stranger.container.put_archive("/", archive(weak))
    stranger.execute("systemctl", "reload", "ssh.service")
    serves = "sshd -T | sort; nft list tables"
    there = said(stranger, serves)
    told_of = baseline(("ssh", "firewall"), service=[PLATFORM], service_address=hub.front)
    outcome = deploy({stranger: told_of}, folder, ssh="-o Ciphers=aes128-cbc")
    (failure,) = outcome.failures
    assert "was not let in with the baseline, which the host has taken back" in failure.reason
    assert "switch ssh, firewall or kernel off" in failure.remedy
    assert said(stranger, serves) == there
    assert fleet.hosts["r2"].ssh("echo", "in").strip() == "in"
    # With a client that it lets in, the next deploy does it.
    assert told(deploy({stranger: told_of}, folder))
    assert told(deploy({stranger: told_of}, folder)) == []


def test_a_host_that_can_t_have_it_is_refused_before_anything(
    stranger: FreshHost, folder: Path
) -> None:
    stranger.execute("sed", "-i", "s/^Include/#Include/", "/etc/ssh/sshd_config")
    there = picture(stranger)
    try:
        outcome = deploy({stranger: baseline(("ssh", "updates"))}, folder)
        (failure,) = outcome.failures
        assert failure.refused
        assert "does not begin with an Include" in failure.reason
        assert "put 'Include /etc/ssh/sshd_config.d/*.conf' there as the first line" in (
            failure.remedy
        )
        assert picture(stranger) == there
    finally:
        stranger.execute("sed", "-i", "s/^#Include/Include/", "/etc/ssh/sshd_config")


def test_a_disk_that_runs_full_is_found(hub: FreshHost) -> None:
    hub.execute(
        "sh",
        "-c",
        "dd if=/dev/zero of=/var/tmp/disk bs=1M count=16 status=none && "
        "mkfs.ext4 -q -F /var/tmp/disk && "
        "mkdir -p /mnt/small && mount -o loop /var/tmp/disk /mnt/small && "
        "{ dd if=/dev/zero of=/mnt/small/all bs=64K status=none 2>/dev/null || exit 0; }",
    )
    try:
        hub.execute("systemctl", "start", "dap-disk.service")
        found = json.loads(hub.execute("cat", "/var/lib/dap/findings/disk.json"))["findings"]
        (mine,) = [each for each in found if each["place"] == "/mnt/small"]
        assert mine["level"] == "problem"
        assert "(0%) free on /mnt/small" in mine["what"]
        said = hub.execute("journalctl", "-u", "dap-disk.service", "-p", "err", "-o", "cat")
        assert "free on /mnt/small" in said
    finally:
        hub.execute("umount", "/mnt/small")


def test_each_switch_alone_goes_as_it_came(
    stranger: FreshHost, hub: FreshHost, folder: Path
) -> None:
    told(deploy({stranger: baseline(())}, folder))
    there = picture(stranger)
    for name in ("firewall", "ssh"):
        assert told(deploy({stranger: wanted(stranger, hub, (name,))}, folder)), name
        assert picture(stranger) != there, name
        assert told(deploy({stranger: baseline(())}, folder)), name
        assert picture(stranger) == there, name


def test_all_goes_as_it_came(
    before: dict[str, str], hub: FreshHost, runner: FreshHost, folder: Path
) -> None:
    off = {host: baseline(()) for host in (hub, runner)}
    assert told(deploy(off, folder))
    assert told(deploy(off, folder)) == []
    left = picture(hub).splitlines()
    gone = set(before["hub"].splitlines()) - set(left)
    added = set(left) - set(before["hub"].splitlines())
    assert gone == set()
    # What other packages brought along stays: apt would take it by its own rules.
    assert {line for line in added if "dap" in line} == set()
    assert "inet dap" not in runner.execute("nft", "list", "tables")
    assert runner.ssh("echo", "in").strip() == "in"
