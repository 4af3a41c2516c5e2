"""What a build finds in the image."""

from collections.abc import Callable

Job = Callable[[str], str]


def test_tools(job: Job) -> None:
    said = job("buildah --version; git --version; python3 -c 'import pytest, yaml'; echo done")
    assert "buildah version 1." in said
    assert said.endswith("done\n")


def test_nobody_becomes_root_in_the_container(job: Job) -> None:
    assert job("id -u") == "1000\n"
    programs = job("find / -xdev -perm -4000 -name 'new*idmap' 2>/dev/null; echo none")
    assert programs == "none\n"


def test_users_are_set_aside(job: Job) -> None:
    assert job("cat /etc/subuid /etc/subgid") == "analyst:500000000:65536\n" * 2
