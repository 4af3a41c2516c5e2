"""A platform on this machine's Docker engine whose jobs run in the tests' cluster, too."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import docker
import yaml
from botocore.config import Config  # type: ignore[import-untyped]
from dap.files import digest_of_files, read_files

from demo.project import ADMIN, Project
from tests.cluster import image
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import JobsPlatform
from tests.gitlab import team
from tests.paths import ROOT
from tests.programs import tried
from tests.tools.pages import page_blocks

HERE = Path(__file__).resolve().parent
PAGE = ROOT / "doc" / "kubernetes.md"
GPU, LABEL = "gpu", "a100"
HOST = "local"
GPUS = 2  # that the node says it has
PORTS = {"http": 80, "https": 443, "ssh": 2222, "postgres": 5432, "workspaces": 2200}
ACCOUNT = "operator"
ACCOUNTS = "operators"
# The page's own, which the operator puts others in the place of.
DOMAIN = "dap.example.org"


@dataclass
class BesidePlatform(JobsPlatform):
    """A platform with forge gitlab on a host, at the address that this machine has for the node.

    Attributes:
        ports: of its proxy.
    """

    ports: dict[str, int] = field(default_factory=lambda: PORTS)

    @classmethod
    def on(cls, cluster: Cluster) -> BesidePlatform:
        """The platform beside a cluster."""
        name, address = f"{cluster.name}-hub", str(cluster.addresses.nodes[1])
        directory = cluster.directory / "hub"
        return cls(cluster, Project(directory, name, f"{name}.test", address))

    @property
    def entry(self) -> str:
        return self.project.address

    @property
    def space(self) -> str:
        return f"{self.project.name}-{GPU}"

    @property
    def registry(self) -> str:
        """Name of the platform's registry."""
        return f"registry.{self.project.domain}"

    @property
    def folder(self) -> Path:
        """Where the platform is on its host."""
        return Path("/srv/dap", self.project.name)

    @property
    def compute(self) -> dict[str, Any]:
        """What the settings say of the cluster."""
        return {
            "name": GPU,
            "context": "cluster",
            "labels": [LABEL],
            "slots": 2,
            "gpus": 1,
            "job": {"cpus": 1, "memory": "1g"},
            "platform_address": self.entry,
        }

    def settings(self) -> dict[str, Any]:
        helper = image.have(*image.RUNNERS)["gitlab-runner-helper"]
        return {
            "forge": "gitlab",
            "environments": ["python"],
            "workspaces": [],
            "hosts": [
                {"name": HOST, "address": "localhost", "roles": ["service", "runner"], "slots": 1}
            ],
            "clusters": [self.compute],
            "images": {"overrides": {"gitlab": self.standin, "gitlab-runner": self.runner}},
            "options": {"gitlab-runner": {"helper_image": helper}},
        }

    @property
    def runner(self) -> str:
        """Image of the runner, for a host and for a cluster; made if it is not there."""
        own = image.have(*image.RUNNERS)["gitlab-runner"]
        standin = team.image("gitlab-runner", image.base())
        place = HERE / "both"
        made_of = (own, standin, digest_of_files(read_files(place, place)))
        tag = hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]
        reference = f"{image.REPOSITORY}/gitlab-runner-both:{tag}"
        if not docker.from_env().images.list(reference):
            given = ("--build-arg", f"OWN={own}", "--build-arg", f"STANDIN={standin}")
            label = ("--label", f"{team.LABEL}=gitlab-runner-both")
            build = ("docker", "build", "--quiet", "--tag", reference, *label, *given, str(place))
            subprocess.run(build, check=True)
        return reference

    def load(self) -> None:
        """Give the node the runner's images, of which no registry is at hand; no environment."""
        self.cluster.load(self.runner, image.have(*image.RUNNERS)["gitlab-runner-helper"])
        ctr = ("ctr", "--namespace", "k8s.io", "images")
        rows = [row.split() for row in self.cluster.execute(*ctr, "ls").splitlines()[1:]]
        own = {row[2] for row in rows if row[0].startswith(f"{self.registry}/")}
        # By its other names, too: else its layers stay, and none of them is pulled anew.
        for name in (row[0] for row in rows if row[2] in own):
            self.cluster.execute(*ctr, "rm", "--sync", name)

    def pulled(self) -> list[str]:
        """The images of the platform's registry that the node has."""
        there = self.cluster.execute("ctr", "--namespace", "k8s.io", "images", "ls", "-q")
        return [name for name in there.split() if name.startswith(f"{self.registry}/")]

    def give_gpus(self) -> None:
        """Have the node say that it has GPUs, as their plugin would."""
        patch = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(GPUS)}]
        words = ("--subresource=status", "--type=json", f"--patch={json.dumps(patch)}")
        self.cluster.kubectl("patch", "node", "node", *words)

    def block(self, start: str) -> str:
        """What the page has one type, from the block that starts so, for this platform."""
        (found,) = (each.text for each in page_blocks(PAGE) if each.text.startswith(start))
        return found.replace(DOMAIN, self.project.domain).replace("10.0.0.5", self.entry)

    def give_account(self) -> None:
        """Make the account that the page asks for, and keep its kubeconfig in the vault."""
        kubectl = self.cluster.kubectl
        kubectl("apply", "--server-side", "-f", "-", given=self.block("apiVersion: rbac"))
        kubectl("create", "namespace", ACCOUNTS)
        kubectl("create", "serviceaccount", ACCOUNT, "--namespace", ACCOUNTS)
        for role in ("dap-jobs", "dap-jobs-namespaces"):
            who = f"--serviceaccount={ACCOUNTS}:{ACCOUNT}"
            kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", who)
        given = ("--namespace", ACCOUNTS, "--duration=24h")
        token = kubectl("create", "token", ACCOUNT, *given).strip()
        config = yaml.safe_load(self.cluster.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        self.secret(f"clusters/{GPU}/kubeconfig", yaml.safe_dump(config))

    def take_account(self) -> None:
        """Take away what `give_account` has made."""
        kubectl = self.cluster.kubectl
        roles = ("dap-jobs", "dap-jobs-namespaces")
        kubectl("delete", "--ignore-not-found", "clusterrolebindings,clusterroles", *roles)
        kubectl("delete", "--ignore-not-found", "namespace", ACCOUNTS)

    def secret(self, name: str, value: str) -> None:
        """Keep a secret in the vault, as the operator does."""
        program = str(self.project.path / ".venv" / "bin" / "dap")
        done = tried(self.project.path, program, "secret", name, given=value, **self.variables)
        assert done.returncode == 0, done.stderr

    def trusted(self) -> None:
        """Set the node up as the page says: it finds the registry, and trusts its CA."""
        self._type(self.block("registry="))

    def named(self) -> None:
        """Have the node find the registry, and no more."""
        lines = self.block("registry=").splitlines()
        self._type("\n".join((lines[0], lines[-1])))

    def _type(self, lines: str) -> None:
        ca = self.ca.read_text(encoding="utf-8")
        self.cluster.execute("sh", "-ec", f'cd /root\nprintf %s "$0" >ca.pem\n{lines}', ca)

    @property
    def _token(self) -> str:
        return self.kept("gitlab/token")

    def kept(self, name: str) -> str:
        """A secret as content has it on the host."""
        found: dict[str, str] = json.loads(
            (self.folder / "secrets/content/content/vault.json").read_text(encoding="utf-8")
        )
        return found[name]

    @cached_property
    def password(self) -> str:
        """The cluster's at the registry, as its pods have it."""
        secret = self.cluster.get("secret", "registry.pull", "--namespace", self.space)
        login = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
        user, _, password = base64.b64decode(login["auths"][self.registry]["auth"]).partition(b":")
        assert user.decode() == f"cluster_{GPU}"
        return password.decode()

    @property
    def as_root(self) -> dict[str, str]:
        """What a request to the forge has as its root."""
        return {"PRIVATE-TOKEN": self._token}

    @property
    def runners(self) -> dict[str, dict[str, Any]]:
        """The forge's runners by what they are called there."""

        def asked(path: str) -> Any:
            answer = self.anonymous.request("GET", "git", f"/api/v4{path}", headers=self.as_root)
            answer.raise_for_status()
            return answer.json()

        rows = [asked(f"/runners/{each['id']}") for each in asked("/runners/all")]
        return {row["description"]: row for row in rows}

    @property
    def store(self) -> Any:
        """The platform's object store, as the first user."""
        return boto3.client(
            "s3",
            endpoint_url=f"https://s3.{self.project.domain}",
            aws_access_key_id=ADMIN,
            aws_secret_access_key=str(self.credentials["password"]),
            verify=str(self.ca),
            config=Config(s3={"addressing_style": "path"}),
        )

    @contextmanager
    def changed(self, **settings: Any) -> Iterator[None]:
        """Have other settings for a while."""
        file = self.project.path / "platform.yml"
        text = file.read_text(encoding="utf-8")
        data = yaml.safe_load(text) | settings
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")
