"""What the engine does on a host, as far as it can be seen without one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.modules import load

MACHINE = load("dap_machine", "module_utils")


def entry(content: bytes, mode: int = 0o644) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"sha256": digest, "mode": mode, "uid": os.getuid(), "secret": False}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


class TestTree:
    module = load("dap_tree")

    def test_becomes_equal_and_keeps_what_is_not_its_own(self, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        for name in ("old/file", "audit.log", "base/machine/pip.conf"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("old")
        files = {"compose.yml": b"new", "secrets/a/b": b"hidden"}
        manifest = {"compose.yml": entry(b"new"), "secrets/a/b": entry(b"hidden", 0o400)}
        keep = ["audit.log", "base/machine"]
        self.module.make_folders(tree, manifest)
        self.module.write(tree, manifest, archive(tmp_path / "tar", files))
        left = self.module.present(tree, keep) - set(manifest)
        assert left == {"old/file"}
        self.module.remove(tree, sorted(left), keep)
        assert not (tree / "old").exists()
        assert (tree / "audit.log").read_text() == "old"
        assert (tree / "base/machine/pip.conf").read_text() == "old"
        assert (tree / "secrets").stat().st_mode & 0o777 == 0o700
        assert (tree / "secrets/a/b").stat().st_mode & 0o777 == 0o400
        assert all(
            self.module.differs(tree / path, each) is None for path, each in manifest.items()
        )

    @pytest.mark.parametrize(
        ("content", "mode", "difference"),
        [(b"same", 0o644, None), (b"other", 0o644, "content"), (b"same", 0o600, "mode")],
    )
    def test_difference(
        self, tmp_path: Path, content: bytes, mode: int, difference: str | None
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(content)
        path.chmod(mode)
        assert self.module.differs(path, entry(b"same")) == difference

    def test_a_link_is_never_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"same")
        (tmp_path / "link").symlink_to("target")
        assert self.module.differs(tmp_path / "link", entry(b"same")) == "content"

    def test_archive_with_a_stranger_is_refused(self, tmp_path: Path) -> None:
        tar = archive(tmp_path / "tar", {"../evil": b""})
        with pytest.raises(ValueError, match="evil"):
            self.module.write(tmp_path, {"a": entry(b"")}, tar)


class TestRequirements:
    module = load("dap_requirements", "module_utils")

    def refused(self, arguments: dict[str, Any]) -> list[str]:
        found = self.module.problems(self.module.examine(arguments, {"running": False}))
        return [problem["what"] for problem in found]

    def test_names_the_process_on_a_taken_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            (problem,) = self.module.taken_ports("dap", "127.0.0.1", [port], False)
        assert f"port {port} on 127.0.0.1 is in use by " in problem["what"]
        assert f"(process {os.getpid()})" in problem["what"]

    @pytest.mark.parametrize(
        ("ports", "published"),
        [
            ("127.0.0.1:443->443/tcp, 127.0.0.1:80->80/tcp", True),
            ("127.0.0.14:443->443/tcp", False),
            ("0.0.0.0:443->443/tcp, [::]:443->443/tcp", True),
            ("127.0.0.1:8443->443/tcp, 443/tcp", False),
            ("127.0.0.1:442-444->442-444/tcp", True),
            ("127.0.0.1:444-445->444-445/tcp", False),
        ],
    )
    def test_a_container_of_another_address_does_not_hold_a_port(
        self, ports: str, published: bool
    ) -> None:
        addresses = {"127.0.0.1", "::"}
        assert self.module.publishes({"Ports": ports}, addresses, 443) is published

    def test_a_port_on_another_address_is_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert self.module.taken_ports("dap", "127.0.0.2", [port], False) == []
            assert len(self.module.taken_ports("dap", "0.0.0.0", [port], False)) == 1

    def test_tells_all_that_is_in_the_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        system = {"ID": "fedora", "VERSION_ID": "44", "PRETTY_NAME": "Fedora 44"}
        monkeypatch.setattr(self.module, "operating_system", lambda: system)
        needs: dict[str, object] = {"cores": 10**6, "memory_mib": 10**9, "disk_gib": 10**9}
        kept = {"kept_cpus": 10**6, "kept_memory_mib": 10**9}
        needs["limits"] = {
            "desk": {"cpus": 10**6, "memory_mib": 10**9},
            "small": {"cpus": 0.5, "memory_mib": 16, **kept},
        }
        needs["gpus"] = {"desk": 65, "jobs of host a": ["GPU-0"]}
        arguments = {"project": "dap", "address": "127.0.0.1", "ports": [], **needs}
        arguments["directory"], arguments["owner"] = str(tmp_path / "tree"), "ours"
        found = self.refused(arguments)
        for part in (
            "Fedora 44",
            "processor cores",
            "MiB of memory, ",
            " free for ",
            "desk asks for 1e+06 cpus",
            "desk asks for 1000000000 MiB",
            "1e+06 of them reserved for the host",
            "1000000000 of them reserved for the host",
            "desk: gpus: asks for 65 GPUs, ",
            "jobs of host a: gpus: no GPU GPU-0; ",
        ):
            assert any(part in what for what in found), part
        assert not (tmp_path / "tree").exists()

    @pytest.mark.parametrize(("owner", "refused"), [("ours", False), ("theirs", True)])
    def test_the_platform_of_another_project_is_left_alone(
        self, tmp_path: Path, owner: str, refused: bool
    ) -> None:
        (tmp_path / "owner").write_text(f"{owner}\n")
        needs = {"cores": 1, "memory_mib": 1, "disk_gib": 1, "limits": {}, "gpus": {}}
        arguments = {
            "project": "dap",
            "address": "127.0.0.1",
            "ports": [],
            "owner": "ours",
            **needs,
        }
        found = self.refused({**arguments, "directory": str(tmp_path)})
        assert any("another project" in what for what in found) is refused

    @pytest.mark.parametrize(
        ("gpus", "said"),
        [
            (2, ""),
            ("all", ""),
            ([1, "GPU-aa", "MIG-cc"], ""),
            (3, "desk: gpus: asks for 3 GPUs, 2 there"),
            ([2, "GPU-bb", "GPU-zz"], "desk: gpus: no GPU 2, GPU-zz; 2 there"),
        ],
    )
    def test_gpus_are_held_against_what_the_driver_shows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: object, said: str
    ) -> None:
        listing = (
            "GPU 0: NVIDIA H200 (UUID: GPU-aa)\n"
            "  MIG 1g.18gb     Device  0: (UUID: MIG-cc)\n"
            "GPU 1: NVIDIA H200 (UUID: GPU-bb)\n"
        )
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}END\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        (found,) = self.module.the_gpus({"desk": gpus})
        assert (found["level"], found["what"]) == (
            ("problem", said) if said else ("ok", "2 there, enough for desk")
        )

    def test_without_a_driver_there_is_no_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        (found,) = self.module.the_gpus({"desk": "all"})
        assert found["what"] == (
            "desk: gpus: asks for all GPUs, none there that NVIDIA's driver shows"
        )
        assert found["remedy"].startswith("leave gpus out of platform.yml, or ")
        assert list(self.module.the_gpus({})) == []

    @pytest.mark.parametrize(
        ("text", "numbers"), [("v2.26.1-4", (2, 26)), ("26.1.5+dfsg1", (26, 1)), ("", (0, 0))]
    )
    def test_version(self, text: str, numbers: tuple[int, int]) -> None:
        assert self.module.version(text) == numbers


class TestMachine:
    def test_host_sources_become_those_of_the_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entries = [
            ("http://mirror.test/debian", "bookworm", "main", MACHINE.KEYRING),
            ("http://mirror.test/debian", "bookworm-updates", "main contrib", ""),
            ("http://mirror.test/debian-security", "bookworm-security", "main", ""),
            ("http://mirror.test/debian", "trixie", "main", MACHINE.KEYRING),
            ("https://other.test/debian", "bookworm", "main", "/etc/apt/keyrings/other.gpg"),
            ("https://other.test/node", "nodistro", "main", ""),
        ]
        monkeypatch.setattr(MACHINE, "_entries", lambda: entries)
        assert [(source.uri, source.suite) for source in MACHINE.apt_sources("")] == [
            ("http://mirror.test/debian", "trixie"),
            ("http://mirror.test/debian", "trixie-updates"),
            ("http://mirror.test/debian-security", "trixie-security"),
        ]

    @pytest.mark.parametrize("key", ["apt_mirror", "pip_index", "npm_registry", "http_proxy"])
    def test_a_password_in_an_address_is_refused(self, key: str) -> None:
        with pytest.raises(MACHINE.MachineError, match="password") as error:
            MACHINE.collect({key: "http://me:hush@mirror.test/x"}, {})
        assert "hush" not in str(error.value)

    def test_settings_go_before_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", "https://host.test/simple")
        monkeypatch.setenv("GOPROXY", "https://host.test/go")
        packages = {
            "pip_index": "https://mine.test/simple",
            "npm_registry": "https://mine.test/npm",
        }
        files = MACHINE.collect(packages, {"own.crt": "PEM"})
        assert "https://mine.test/simple" in files["pip.conf"]
        assert "https://mine.test/simple" in files["uv.toml"]
        assert files["npmrc"] == "registry=https://mine.test/npm\n"
        assert "GOPROXY=https://host.test/go\n" in files["goenv"]
        assert files["ca/own.crt"] == "PEM"


class TestImages:
    module = load("dap_images")

    def bake(self, tree: Path, sources: dict[str, list[str]]) -> None:
        targets = {
            name: {"tags": [f"dap/{name}:1"], "contexts": dict(enumerate(contexts))}
            for name, contexts in sources.items()
        }
        (tree / "docker-bake.json").write_text(json.dumps({"target": targets}))

    def test_waves_follow_what_images_start_from(self, tmp_path: Path) -> None:
        base = "docker-image://dap/base:1"
        self.bake(tmp_path, {"base": [], "web": [base], "env": [base], "child": ["target:env"]})
        names = ["base", "web", "env", "child"]
        assert self.module.waves(tmp_path, names) == [["base"], ["child", "env", "web"]]
        assert self.module.waves(tmp_path, ["web"]) == [["web"]]

    def test_a_circle_is_an_error(self, tmp_path: Path) -> None:
        self.bake(tmp_path, {"a": ["docker-image://dap/b:1"], "b": ["docker-image://dap/a:1"]})
        with pytest.raises(self.module.CommandError, match="start from each other"):
            self.module.waves(tmp_path, ["a", "b"])


class TestUp:
    module = load("dap_up")
    before = {  # noqa: RUF012
        "same": {"id": "1", "running": True, "rests": False, "hash": "a"},
        "other": {"id": "2", "running": True, "rests": False, "hash": "old"},
        "stopped": {"id": "3", "running": False, "rests": False, "hash": "a"},
        "resting": {"id": "5", "running": False, "rests": True, "hash": "old"},
        "gone": {"id": "4", "running": True, "rests": False, "hash": "a"},
    }

    def test_expected(self) -> None:
        hashes = {"same": "a", "other": "new", "stopped": "a", "resting": "a", "fresh": "a"}
        assert self.module.expected(self.before, hashes) == [
            "create fresh",
            "recreate other",
            "start stopped",
            "remove gone",
        ]


class TestContent:
    module = load("dap_content")

    def test_steps(self) -> None:
        text = 'db: changed: database a\nstore: ok: bucket b\n{"changed": 2, "ok": 1}\n'
        assert self.module.steps("content", text) == ["db: database a", "1 more in content"]

    @pytest.mark.parametrize("text", ["", "Traceback", "[]", '{"ok": 1}'])
    def test_no_summary_is_an_error(self, text: str) -> None:
        with pytest.raises(self.module.CommandError, match="no summary"):
            self.module.steps("content", text)


class TestTrust:
    module = load("dap_trust")

    def test_only_the_platforms_own_block_goes(self) -> None:
        text = "127.0.0.1 a\n# BEGIN x\n1.2.3.4 b\n# END x\n127.0.0.1 c\n# BEGIN y\n# END y\n"
        assert self.module.without_block(text, "# BEGIN x", "# END x") == (
            "127.0.0.1 a\n127.0.0.1 c\n# BEGIN y\n# END y\n"
        )

    def test_a_ca_that_the_bundle_lost_is_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tmp_path / "ca-certificates.crt"
        monkeypatch.setattr(self.module, "BUNDLE", bundle)
        assert not self.module.bundled("-----BEGIN one-----\n")
        bundle.write_text("-----BEGIN zero-----\n-----BEGIN one-----\n")
        assert self.module.bundled("-----BEGIN one-----\n")
        assert not self.module.bundled("-----BEGIN two-----\n")

    def test_a_block_stays_where_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        monkeypatch.setattr(self.module, "HOSTS", hosts)
        for platform in ("one", "two"):
            hosts.write_text(
                self.module.hosts_text(platform, "127.0.0.1", [f"{platform}.invalid"], present=True)
            )
        both = hosts.read_text()
        assert both.index("one.invalid") < both.index("two.invalid")
        assert self.module.hosts_text("one", "127.0.0.1", ["one.invalid"], present=True) == both
        moved = self.module.hosts_text("one", "127.0.0.2", ["one.invalid"], present=True)
        assert "127.0.0.2 one.invalid" in moved
        assert "127.0.0.1 one.invalid" not in moved

    def test_platforms_that_deploy_at_once_each_get_their_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" * 2000)
        monkeypatch.setattr(self.module, "HOSTS", hosts)
        monkeypatch.setattr(self.module, "ANCHORS", tmp_path)

        def deploy(number: int) -> None:
            given = {
                "project": f"p{number}",
                "names": [f"p{number}.invalid"],
                "address": "127.0.0.1",
                "certificate": "",
                "registry": "",
                "state": "present",
            }
            with self.module.alone():
                self.module.apply(given, False)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(deploy, range(24)))
        assert hosts.read_text().count(".invalid") == 24


class TestGpu:
    """Programs that stand for apt's: no Debian mirror has NVIDIA's package."""

    module = load("dap_gpu")

    @pytest.fixture
    def calls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """File with the calls of apt-get; apt-cache knows the version in the file `candidate`."""
        called, known = tmp_path / "calls", tmp_path / "candidate"
        known.write_text("(none)")
        for name, body in (
            ("apt-get", f'echo "$@" >>{called}'),
            ("apt-cache", f'echo "  Candidate: $(cat {known})"'),
        ):
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return called

    def test_a_host_whose_sources_lack_the_toolkit_is_told_so(self, calls: Path) -> None:
        with pytest.raises(self.module.NoPackageError) as refused:
            self.module.install()
        assert str(refused.value) == (
            "no apt source of this host has the package nvidia-container-toolkit"
        )
        assert "install" not in calls.read_text()

    def test_the_toolkit_comes_from_the_hosts_own_sources(self, calls: Path) -> None:
        calls.with_name("candidate").write_text("1.18.0-1")
        self.module.install()
        (call,) = calls.read_text().splitlines()
        assert call.endswith("install --no-install-recommends nvidia-container-toolkit")


class TestLocked:
    """What a pipeline built is pulled by digest; what the registry lost is built."""

    LOCAL = "dap/environment-r:012345678901"
    REMOTE = "registry.example/environments/r@sha256:" + "1" * 64

    def needed(
        self, monkeypatch: pytest.MonkeyPatch, known: list[str] | None, has: bool | Exception
    ) -> dict[str, Any]:
        module = load("dap_images")
        held = {} if known is None else {self.LOCAL: known}
        monkeypatch.setattr(module, "digests", lambda _: held)
        monkeypatch.setattr(
            module, "missing_images", lambda tags: [tag for tag in tags if tag not in held]
        )

        def ask(_: object, reference: str) -> bool:
            assert reference == self.REMOTE
            if isinstance(has, Exception):
                raise has
            return has

        monkeypatch.setattr(module, "has", ask)
        given = {
            "targets": {"r": [self.LOCAL]},
            "upstream": [],
            "shipped": [],
            "locked": {self.LOCAL: self.REMOTE},
        }
        need: dict[str, Any] = module.needed(given)
        return {**need, "changes": module.changes_of(given, need)}

    def test_what_is_there_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.needed(monkeypatch, [self.REMOTE], has=True)["changes"] == []

    @pytest.mark.parametrize("known", [None, ["registry.example/environments/r@sha256:2"]])
    def test_another_image_is_replaced(
        self, monkeypatch: pytest.MonkeyPatch, known: list[str] | None
    ) -> None:
        need = self.needed(monkeypatch, known, has=True)
        assert need["build"] == []
        assert need["changes"] == [f"pull {self.REMOTE}"]

    def test_what_the_registry_lost_is_built_and_said(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        need = self.needed(monkeypatch, None, has=False)
        assert need["changes"] == [
            f"build {self.LOCAL}: {self.REMOTE} is no longer in the registry"
        ]
        assert self.needed(monkeypatch, ["built here"], has=False)["changes"] == []

    def test_a_registry_that_is_away_keeps_no_deploy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        away = load("dap_images").AwayError("no answer")
        need = self.needed(monkeypatch, None, has=away)
        assert need["changes"] == [f"build {self.LOCAL}: {self.REMOTE} can't be had: no answer"]
