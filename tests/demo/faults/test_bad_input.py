"""Row 14: every bad answer is refused before any change, naming the field; exit status 2."""

import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.project import clean_environment
from tests.certificates import authority, key_pem, pem, server
from tests.demo.conftest import Platform, privileged
from tests.demo.faults.record import keep

# What is put in the place of which line of platform.yml, and what the message then names.
Case = tuple[str, str, tuple[str, ...]]
HOST = "- {name: local, address: localhost, roles: [service, runner], slots: 2}"
SETTINGS: dict[str, Case] = {
    "unknown key": ("tls: {}", "tsl: {}", (": tsl: unknown key", "tls (nearest)")),
    "unknown key within": ("ports: {http:", "ports: {htpp:", (": ports.htpp: unknown key",)),
    "key twice": ("tls: {}", "tls: {}\ntls: {}", (": tls: ", "twice")),
    "no YAML": ("tls: {}", "tls: {", ("no valid YAML",)),
    "empty name": ("name: {name}\n", "name:\n", (": name: must be text",)),
    "empty domain": ("domain: {domain}", "domain: ''", (": domain: ",)),
    "domain without a dot": ("domain: {domain}", "domain: local", (": domain: is no domain",)),
    "domain with a $": ("domain: {domain}", "domain: $(reboot).test", (": domain: is no domain",)),
    "domain with a quote": ("domain: {domain}", "domain: 'a\".test'", (": domain: is no domain",)),
    "address of nothing": ("address: {address}", "address: 300.1.2.3", (": address: ",)),
    "port twice": ("https: 443", "https: 80", (": ports.https: ", "ports.http")),
    "port out of range": ("https: 443", "https: 65536", (": ports.https: is no port",)),
    "port as text": ("https: 443", "https: many", (": ports.https: must be a whole number",)),
    "no users": ("users:\n", "users: []\nusars:\n", (": users: is empty",)),
    "user's name with a $": ("- name: admin", "- name: $HOME", (": users[0].name: ",)),
    "user's name with a newline": ("- name: admin", '- name: "ad\\nmin"', (": users[0].name: ",)),
    "full name with a newline": (
        "full_name: Administrator", 'full_name: "A\\nB"', (": users[0].full_name: ",),
    ),
    "e-mail with a quote": (
        "email: \"admin@{domain}\"", "email: 'a\"b@{domain}'", (": users[0].email: ",),
    ),
    "no SSH key": ('- "ssh-ed25519 ', '- "ssh-ed25519 AAAA', (": users[0].ssh_keys[0]: ",)),
    "SSH key with options": (
        '- "ssh-ed25519 ', '- "command=sh ssh-ed25519 ', (": users[0].ssh_keys[0]: ",),
    ),
    "project with a path": ("name: analysis", "name: ../analysis", (": projects[0].name: ",)),
    "project of an unknown member": (
        "members: []", "members: [nobody]", (": projects[0].members[0]: is no user",),
    ),
    "fewer slots than none": ("slots: 2", "slots: -1", (": hosts[0].slots: ",)),
    "unknown environment": (
        "environment: python", "environment: pyhton", (": workspaces[0].environment: ",),
    ),
    "memory in words": ("memory: 4g", "memory: lots", (": workspaces[0].memory: ",)),
    "unknown forge": ("forge: lite", "forge: full", (": forge: ",)),
    "unknown service in resources": (
        "tls: {}", "tls: {}\nresources: {nothing: {memory: 1g}}", ("resources.nothing",),
    ),
    "certificate that is not there": (
        "tls: {}", "tls: {certificate: no.pem, key: no.key}",
        (": tls.certificate: ", ": tls.key: "),
    ),
    "password in an address": (
        "tls: {}", "tls: {}\npackages: {pip_index: 'https://a:b@c.example/s'}",
        (": packages.pip_index: ",),
    ),
    "store without its keys": (
        "tls: {}",
        "tls: {}\nstorage: {stores: [{name: ext, endpoint: 'https://s3.example.org'}]}",
        ("secret storage/ext/access-key: is missing",),
    ),
}  # fmt: skip
TYPED = {
    "empty": ("", "is empty"),
    "$": ("pass$word", "holds $"),
    "quote": ("pass'word", "holds '"),
    "double quote": ('pass"word', 'holds "'),
    "backslash": ("pass\\word", "holds \\"),
    "back quote": ("pass`id`word", "holds `"),
    "newline": ("pass\nword", "holds a line break"),
    "carriage return": ("password\r\n", "holds a line break"),
    "control character": ("pass\0word", "holds a control character"),
    "blank at its end": ("password ", "begins or ends with a blank"),
}


@pytest.fixture
def intact() -> None:
    """Nothing happens to the platform here, which each test sees for itself."""


@dataclass
class Copy:
    """A copy of the platform's own project, with its vault: what it asks for would be done."""

    platform: Platform
    path: Path
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = (self.path / "platform.yml").read_text()

    def change(self, old: str, new: str) -> None:
        """Write the settings with one change."""
        project = self.platform.project
        for name in ("name", "domain", "address"):
            old, new = (t.replace(f"{{{name}}}", getattr(project, name)) for t in (old, new))
        assert self.settings.count(old) == 1, old
        (self.path / "platform.yml").write_text(self.settings.replace(old, new))

    def state(self) -> dict[str, object]:
        """What a refusal leaves alone: the host, the vault and its key."""
        tree = privileged(
            "find", f"/srv/dap/{self.platform.name}", "-printf", "%p %T@ %C@ %m %U %s\n"
        )
        name = self.platform.name
        vault = self.path / "infrastructure" / "secrets" / "vault.yml"
        key_folder = Path.home() / ".config" / "dap"
        return {
            "tree": hashlib.sha256(tree.encode()).hexdigest(),
            "containers": self.platform.started(),
            "volumes": self.platform.volumes(),
            "vault": vault.read_bytes(),
            # Other platforms may come and go on the machine meanwhile.
            "keys": sorted(path.name for path in key_folder.glob(f"{name}-*.key")),
            "hosts": Path("/etc/hosts")
            .read_text()
            .partition(f"BEGIN platform {name} ")[2]
            .partition("END platform")[0],
        }

    def refuses(self, *arguments: str, typed: str | None = None, **environment: str) -> str:
        """Run `dap`; what it said on refusing.

        Raises:
            AssertionError: it did not refuse, or changed something.
        """
        before = self.state()
        done = subprocess.run(
            [str(self.platform.project.path / ".venv" / "bin" / "dap"),
             "--project", str(self.path), *(arguments or ("deploy",))],
            capture_output=True,
            text=True,
            input=typed,
            check=False,
            env=clean_environment() | environment,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert self.state() == before
        assert "Traceback" not in said
        return said


@pytest.fixture(scope="module")
def refusals() -> Iterator[list[str]]:
    """What was refused, by name."""
    names: list[str] = []
    yield names
    keep(
        14,
        "bad input to `dap deploy` and `dap secret`, in a copy of the platform's own project",
        "rejected before any change, naming the field; exit code != 0",
        refused=len(names),
        accepted=0,
        exit=2,
        changed_on_the_host=0,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, platform: Platform) -> Path:
    root = tmp_path_factory.mktemp("bad") / "project"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".dap", "build")
    shutil.copytree(platform.project.path, root, ignore=unwanted)
    return root


@pytest.fixture
def copy(platform: Platform, folder: Path, refusals: list[str]) -> Iterator[Copy]:
    made = Copy(platform, folder)
    yield made
    (folder / "platform.yml").write_text(made.settings)
    refusals += made.refused


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(copy: Copy, name: str) -> None:
    old, new, told = SETTINGS[name]
    copy.change(old, new)
    said = copy.refuses()
    for part in told:
        assert part in said, said
    copy.refused.append(name)


@pytest.mark.parametrize("name", TYPED)
def test_passwords_that_are_typed(copy: Copy, name: str) -> None:
    value, told = TYPED[name]
    said = copy.refuses("secret", "storage/archive/secret-key", typed=value)
    assert f"secret storage/archive/secret-key: {told}" in said
    assert not value or value not in said
    copy.refused.append(name)


def certificates(domain: str) -> dict[str, tuple[str, str, str]]:
    """Files of certificate and key that are wrong, and what is said of them."""
    names, root = (domain, f"*.{domain}"), authority("root")
    old = server(names, root, days=(-20, -10))
    other = server(("example.org", "*.example.org"), root)
    good = server(names, root)
    single = server((domain,), root)
    return {
        "expired": (pem([old, root]), key_pem(old), "expired"),
        "of another domain": (pem([other, root]), key_pem(other), domain),
        "not for the names below": (pem([single, root]), key_pem(single), f"*.{domain}"),
        "of another key": (pem([good, root]), key_pem(other), "tls.key: "),
        "no certificate": ("nonsense\n", key_pem(good), "tls.certificate: "),
        "no key": (pem([good, root]), "nonsense\n", "tls.key: "),
        "locked key": (pem([good, root]), key_pem(good, b"secret"), "tls.key: "),
    }


@pytest.mark.parametrize("name", certificates("a.test"))
def test_certificates(copy: Copy, name: str) -> None:
    certificate, key, told = certificates(copy.platform.domain)[name]
    (copy.path / "c.pem").write_text(certificate)
    (copy.path / "k.pem").write_text(key)
    copy.change("tls: {}", "tls: {certificate: c.pem, key: k.pem}")
    said = copy.refuses()
    assert ": tls." in said, said
    assert told in said, said
    copy.refused.append(f"certificate {name}")


def test_a_port_that_something_else_has(copy: Copy) -> None:
    with socket.create_server((copy.platform.project.address, 0)) as held:
        port = held.getsockname()[1]
        copy.change("postgres: 5432", f"postgres: {port}")
        said = copy.refuses()
    assert f"port {port} on {copy.platform.project.address} is in use by " in said
    copy.refused.append("port in use")


def test_an_address_that_the_machine_has_not(copy: Copy) -> None:
    copy.change("address: {address}", "address: 192.0.2.7")
    assert "the host has no address 192.0.2.7" in copy.refuses()
    copy.refused.append("address of another machine")


def test_a_key_that_is_not_the_vaults(copy: Copy, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_text("another-key\n")
    wrong.chmod(0o600)
    said = copy.refuses(DAP_VAULT_KEY_FILE=str(wrong))
    assert str(wrong) in said
    assert "another-key" not in said
    copy.refused.append("key of another vault")
