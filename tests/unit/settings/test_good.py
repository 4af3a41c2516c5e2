"""What is accepted, and what it becomes."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dap.settings import Settings, load, memory_bytes

DEFAULTS = Settings().model_dump()
Accepted = Callable[[str], Settings]


def test_an_empty_file_is_the_default_platform(accepted: Accepted) -> None:
    settings = accepted("")
    assert settings.model_dump() == DEFAULTS
    assert (settings.name, settings.domain, settings.forge) == ("dap", "dap.localhost", "lite")
    assert [(user.name, user.admin) for user in settings.users] == [("admin", True)]
    assert [(host.address, host.roles) for host in settings.hosts] == [
        ("localhost", ["service", "runner"])
    ]
    assert [(each.name, each.owner) for each in settings.workspaces] == [("admin-python", "admin")]


def test_every_default_may_be_written_out(accepted: Accepted) -> None:
    assert accepted(yaml.safe_dump(DEFAULTS)).model_dump() == DEFAULTS


def test_the_documented_shape_is_accepted(accepted: Accepted, public_key: str) -> None:
    settings = accepted(f"""
name: dap
domain: dap.example.org
address: 0.0.0.0
ports: {{http: 80, https: 443, ssh: 2222, postgres: 5432}}
forge: lite
tls: {{}}
users:
  - name: ada
    full_name: Ada L.
    email: ada@example.org
    admin: true
    ssh_keys: ["{public_key} at home"]
  - {{name: bob, email: bob@example.org}}
projects:
  - {{name: analysis, members: []}}
  - {{name: churn, members: [ada, bob]}}
hosts:
  - {{name: main, address: 10.0.0.1, roles: [service], slots: 2, directory: /srv/platform}}
  - name: gpu
    address: gpu.example.org
    user: ops
    port: 2022
    key: platform.yml
    jump: ops@bastion.example.org:22
    listen: 10.0.0.2
    labels: [gpu, big]
    reserve: {{cpus: 1, memory: 2g}}
    roles: [runner]
workspaces:
  - {{name: ada-python, owner: ada, environment: python, cpus: 0.5, memory: 512m, ssh_port: 2201}}
storage:
  default: archive
  stores: [{{name: archive, endpoint: "https://s3.example.org:9000", region: eu-1}}]
images:
  base: registry.example.org:5000/debian:trixie-slim
  overrides: {{minio: quay.example.org/minio/minio:1}}
packages: {{apt_mirror: "http://mirror.example.org/debian", no_proxy: "localhost,.example.org"}}
resources: {{mlflow: {{cpus: 2, memory: 2g}}}}
""")
    assert settings.users[0].ssh_keys == [f"{public_key} at home"]
    assert settings.resources["mlflow"].memory == "2g"
    assert settings.storage.stores[0].region == "eu-1"


def test_emptied_sections_mean_their_defaults(accepted: Accepted) -> None:
    assert accepted("tls:\nstorage:\npackages:\nresources:\nports:\n").model_dump() == DEFAULTS


def test_the_default_workspace_is_the_first_users(accepted: Accepted) -> None:
    settings = accepted("users: [{name: bob, email: bob@example.org}]")
    assert settings.workspaces[0].owner == "bob"


def test_the_default_user_has_an_address_in_the_domain(accepted: Accepted) -> None:
    assert accepted("domain: a.example.org").users[0].email == "admin@a.example.org"


def test_anchors_and_merge_keys_work(accepted: Accepted) -> None:
    settings = accepted("""
workspaces:
  - &first {name: one, owner: admin, environment: python, memory: 1g, ssh_port: 2201}
  - {<<: *first, name: two, ssh_port: 2203}
""")
    assert [each.memory for each in settings.workspaces] == ["1g", "1g"]


def test_a_later_check_finds_its_line(accepted: Accepted) -> None:
    settings = accepted(
        "workspaces:\n  - name: one\n    owner: admin\n    environment: pyton\n    ssh_port: 2201\n"
    )
    problem = settings.problem(
        ("workspaces", 0, "environment"), "is no environment", "python", "pyton"
    )
    assert str(problem) == (
        "platform.yml:4: workspaces[0].environment: is no environment; allowed: python;"
        ' found: "pyton"'
    )


@pytest.mark.parametrize(
    ("text", "amount"), [("16m", 16 * 2**20), ("4g", 2**32), ("99999k", 99999 * 1024)]
)
def test_memory_in_bytes(text: str, amount: int) -> None:
    assert memory_bytes(text) == amount


def test_a_certificate_for_the_domain(accepted: Accepted, certificate: Callable[..., None]) -> None:
    certificate("a.example.org", "*.a.example.org")
    settings = accepted("domain: a.example.org\ntls: {certificate: c.pem, key: k.pem}")
    assert settings.tls.key == "k.pem"


def test_many_hosts_and_workspaces_are_quick(write: Callable[[str], Path]) -> None:
    hosts = "".join(f"  - {{name: h{i}, address: 10.0.0.{i}, roles: [runner]}}\n" for i in range(9))
    spaces = "".join(
        f"  - {{name: w{i}, owner: admin, environment: python, ssh_port: {3000 + i}}}\n"
        for i in range(50)
    )
    main = "domain: dap.test\naddress: 10.0.0.99\nhosts:\n  - {name: main, roles: [service]}\n"
    text = f"{main}{hosts}workspaces:\n{spaces}"
    file = write(text)
    begin = time.process_time()
    settings = load(file)
    assert time.process_time() - begin < 0.3
    assert (len(settings.hosts), len(settings.workspaces)) == (10, 50)


def test_loading_settings_needs_no_slow_library() -> None:
    slow = "{'ansible', 'cryptography', 'typer', 'rich'}"
    code = f"import dap.settings, sys; print(*{slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
