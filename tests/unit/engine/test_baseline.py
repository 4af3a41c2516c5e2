"""What the baseline decides, as far as it can be seen without a host."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from dap.engine.baseline import leads_through
from dap.settings.models import Baseline

from tests.unit.engine.modules import load

load("dap_baseline")  # makes the modules' shared package known

from ansible.module_utils.dap_baseline import (  # noqa: E402
    dockerd,
    firewall,
    kernel,
    plan,
    ssh,
    watch_disks,
)
from ansible.module_utils.dap_baseline import state as states  # noqa: E402
from ansible.module_utils.dap_baseline.host import Given, Host  # noqa: E402
from ansible.module_utils.dap_host import CommandError  # noqa: E402

PARTS = [name for name, _ in plan.PARTS]


def given(*on: str, **told: Any) -> Given:
    return Given("dap", {name: name in on for name in PARTS}, **told)


class TestSwitches:
    def test_are_on_for_hosts_over_ssh_and_off_for_this_machine(self) -> None:
        assert set(Baseline().switches("localhost").values()) == {False}
        assert set(Baseline().switches("10.0.0.1").values()) == {True}

    def test_what_is_set_counts_more_than_the_rule(self) -> None:
        assert Baseline(ssh=True).switches("localhost")["ssh"]
        assert not Baseline(ssh=False).switches("10.0.0.1")["ssh"]

    def test_are_the_parts_of_the_module(self) -> None:
        assert sorted(Baseline().switches("localhost")) == sorted(PARTS)


class TestForwarding:
    @pytest.mark.parametrize(
        ("jump", "leads"),
        [
            ("ops@10.0.0.10:2222", True),
            ("10.0.0.10", True),
            ("hub", True),
            ("root@10.9.0.1", True),
            ("ops@10.0.0.11", False),
            ("bastion:22", False),
            (None, False),
        ],
    )
    def test_is_for_hosts_on_the_way_to_others_alone(self, jump: str | None, leads: bool) -> None:
        """So that a host that comes or goes touches none that it does not need."""
        view = SimpleNamespace(name="hub", address="10.0.0.10", listen="10.9.0.1")
        host: Any = SimpleNamespace(host=view)
        assert leads_through(jump, host) is leads


class TestFirewall:
    def test_ports_of_the_platform_are_open_to_those_they_are_for(self) -> None:
        text = firewall.rules(
            given("firewall", everyone=(2201,), service=(443, 2376), service_address="10.0.0.10"),
            {22},
        )
        assert "ct original proto-dst { 2201 } accept" in text
        assert "ip saddr 10.0.0.10 meta l4proto tcp ct original proto-dst { 443, 2376 }" in text
        assert "tcp dport { 22 } accept" in text

    def test_further_ports_keep_their_protocol(self) -> None:
        text = firewall.rules(given("firewall", open=("9100", "51820/udp", "80/tcp")), {22})
        assert "meta l4proto tcp ct original proto-dst { 80, 9100 } accept" in text
        assert "meta l4proto udp ct original proto-dst { 51820 } accept" in text

    def test_a_service_host_of_ipv6_is_known_by_its_family(self) -> None:
        text = firewall.rules(given("firewall", service=(443,), service_address="fd00::1"), set())
        assert "ip6 saddr fd00::1 " in text
        assert "dport { " not in text.split("chain input")[1].split("udp")[0]

    @pytest.mark.parametrize("chain", ["input", "forward"])
    def test_what_is_open_stays_open(self, chain: str) -> None:
        lines = firewall.rules(given("firewall"), {22}).split(f"chain {chain}")[1].splitlines()
        assert lines[2].strip() == "ct state established,related accept"

    def test_a_name_is_no_address_of_the_service_host(self) -> None:
        told = given("firewall", service=(443,), service_address="hub.example.org")
        assert "set listen" in list(firewall.refused(told))[-1][1]


class TestDocker:
    def test_keys_of_the_owner_stay(self) -> None:
        own = {"log-opts": {"max-size": "1g"}, "runtimes": {"nvidia": {}}, "live-restore": False}
        put = dockerd.wanted(own, swarm=False)
        assert sorted(put) == ["default-address-pools"]

    def test_options_of_logs_are_for_drivers_that_take_them(self) -> None:
        assert "log-opts" not in dockerd.wanted({"log-driver": "journald"}, swarm=False)
        assert "log-opts" in dockerd.wanted({"log-driver": "local"}, swarm=False)

    def test_an_engine_of_a_swarm_can_t_have_live_restore(self) -> None:
        assert "live-restore" not in dockerd.wanted({}, swarm=True)

    def test_only_what_was_put_there_and_not_changed_since_is_taken_away(self) -> None:
        put = {"live-restore": True, "log-opts": {"max-size": "10m"}}
        present = {"live-restore": True, "log-opts": {"max-size": "1g"}, "bip": "10.9.0.1/24"}
        assert dockerd.without(present, put) == {
            "log-opts": {"max-size": "1g"},
            "bip": "10.9.0.1/24",
        }

    def test_what_was_put_there_is_known_after_a_restart_that_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = {"live-restore": True}
        path = tmp_path / "daemon.json"
        path.write_text(json.dumps(put))

        def restart(*, lives_on: bool) -> None:
            raise CommandError(f"it does not answer, {lives_on}")

        monkeypatch.setattr(dockerd, "FILE", path)
        monkeypatch.setattr(dockerd, "restart", restart)
        monkeypatch.setattr(dockerd, "run", lambda _: None)
        state, host = states.State(docker=put), Host()
        host.__dict__["_units"] = {"docker.service": {"ActiveState": "active"}}
        for _ in range(2):
            (change,) = dockerd.changes(given(), host, state)
            with pytest.raises(CommandError):
                change.do()
            assert json.loads(path.read_text()) == put


ADDRESS = "fd000000000000000000000000000001 02 40 {scope} {flags}     eth0\n"
ROUTE = f"{'0' * 32} 00 {'0' * 32} 00 {'f' * 32} 00000400 00000001 00000000 {{flags}}     eth0\n"


class TestKernel:
    @pytest.mark.parametrize(
        ("addresses", "routes", "learns"),
        [
            ("", "", False),
            (ADDRESS.format(scope="00", flags="80"), ROUTE.format(flags="00000001"), False),
            (ADDRESS.format(scope="00", flags="00"), "", True),
            (ADDRESS.format(scope="20", flags="00"), "", False),
            ("", ROUTE.format(flags="00450003"), True),
        ],
    )
    def test_a_host_that_learns_its_address_goes_on_learning(
        self, addresses: str, routes: str, learns: bool
    ) -> None:
        assert kernel.learns_addresses(addresses, routes) is learns

    def test_a_later_file_counts_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder, name, text in (
            ("etc", "99-own.conf", "net.ipv4.tcp_syncookies = 0\n-net/ipv4/tcp_rfc1337=0\n"),
            ("etc", "50-own.conf", "net.ipv4.icmp_ratelimit = 5\n"),
            ("usr", "99-own.conf", "net.ipv4.icmp_ratemask = 5\n"),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(text)
        monkeypatch.setattr(kernel, "FOLDERS", [str(tmp_path / "etc"), str(tmp_path / "usr")])
        later = kernel.set_later(set(kernel.NETWORK))
        assert later == {"net.ipv4.tcp_syncookies", "net.ipv4.tcp_rfc1337"}


class TestSsh:
    @pytest.mark.parametrize(
        ("main", "read"),
        [
            ("# a\n\nInclude /etc/ssh/sshd_config.d/*.conf\nPort 22\n", True),
            ("include /etc/ssh/other.conf /etc/ssh/sshd_config.d/*.conf\n", True),
            ("Port 22\nInclude /etc/ssh/sshd_config.d/*.conf\n", False),
            ("# Include /etc/ssh/sshd_config.d/*.conf\n", False),
            ("", False),
        ],
    )
    def test_a_server_that_does_not_read_our_file_first_is_known(
        self, main: str, read: bool
    ) -> None:
        assert ssh.includes(main) is read

    def test_key_exchanges_are_those_that_this_ssh_speaks(self) -> None:
        known = "diffie-hellman-group-exchange-sha256\ncurve25519-sha256@libssh.org\nother"
        assert ssh.exchanges(known) == (
            "curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256"
        )

    def test_forwarding_is_for_hosts_on_the_way_to_others(self) -> None:
        assert "AllowTcpForwarding no\n" in ssh.server_text("x", forwarding=False)
        assert "AllowTcpForwarding local\n" in ssh.server_text("x", forwarding=True)

    def test_no_setting_stands_twice(self) -> None:
        names = re.findall(r"^(\w+) ", ssh.server_text("x", forwarding=False), re.MULTILINE)
        assert len(names) == len(set(names))


def disk(free: int, files: int = 100) -> os.statvfs_result:
    """A file system of 100 blocks of 1 GiB and 100 files."""
    return os.statvfs_result((2**30, 2**30, 100, free, free, 100, files, files, 0, 255))


class TestDisks:
    @pytest.mark.parametrize(
        ("told", "level"),
        [
            (disk(10), None),
            (disk(9), "warning"),
            (disk(4), "problem"),
            (disk(50, files=3), "problem"),
        ],
    )
    def test_judgement(self, told: os.statvfs_result, level: str | None) -> None:
        found = watch_disks.judged("/data", told)
        assert (found["level"] if found else None) == level

    def test_a_file_system_counts_once_and_only_if_it_can_be_filled(self) -> None:
        text = (
            "/dev/a / ext4 rw 0 0\n/dev/a /mnt ext4 rw 0 0\n/dev/b /with\\040blank xfs rw 0 0\n"
            "proc /proc proc rw 0 0\n/dev/c /media vfat ro,nosuid 0 0\n"
            "overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n"
        )
        assert list(watch_disks.mounts(text)) == ["/", "/with blank"]


class TestState:
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(states, "HOME", tmp_path / "dap")
        monkeypatch.setattr(states, "FILE", tmp_path / "dap" / "baseline.json")
        return tmp_path / "dap"

    def test_is_kept_and_leaves_nothing_when_there_is_nothing(self, home: Path) -> None:
        states.State("dap", on=["ssh"]).save()
        assert states.load() == states.State("dap", on=["ssh"])
        states.State("dap").save()
        assert not home.exists()
        assert states.load() == states.State()

    def test_another_platform_is_refused_and_takes_nothing_back(self) -> None:
        kept = states.State("other", on=["ssh"])
        assert not plan.concerns(given(), kept)
        assert plan.concerns(given("ssh"), kept)
        host: Any = ModuleType("host")
        refused = list(plan.refused(given("ssh"), host, kept))
        assert refused == [
            (
                "the platform other keeps the baseline of this host",
                "set ssh: false in hosts[].baseline of this host, or the same in that platform",
            )
        ]
