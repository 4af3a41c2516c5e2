"""The demo's project: a scratch copy of the template, driven by git and make as by a user."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "analysis"
ADMIN = "admin"


@dataclass(frozen=True)
class Project:
    """A generated project and the SSH key that its first user has.

    Attributes:
        directory: scratch folder; holds the key and, in `platform/`, the project.
        name: name of the platform.
        domain: its domain.
        address: IP address of this machine that it binds to.
        ssh_port: port of git over SSH.
    """

    directory: Path
    name: str = "dap"
    domain: str = "dap.localhost"
    address: str = "127.0.0.1"
    ssh_port: int = 2222

    @property
    def path(self) -> Path:
        """Root of the generated project."""
        return self.directory / "platform"

    @property
    def key(self) -> Path:
        """Private SSH key; the public one lies beside it."""
        return self.directory / "id_ed25519"

    @property
    def ssh_options(self) -> list[str]:
        """Options that keep ssh to this key and leave the person's own known hosts alone."""
        return [
            f"-oIdentityFile={self.key}",
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            f"-oUserKnownHostsFile={self.directory / 'known_hosts'}",
            "-oStrictHostKeyChecking=accept-new",
            "-oConnectTimeout=10",
        ]

    def scaffold(self) -> None:
        """Make the key and the project; over an earlier one, bring its files up to the template."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            comment = f"{ADMIN}@{self.domain}"
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(self.key))
        if (self.path / ".git").exists() and self.git("status", "--porcelain"):
            self.commit("Kept before the template's files come anew")
        source = ["--vcs-ref", "HEAD"] if (ROOT / ".git").exists() else []
        run(
            *(
                str(Path(sys.executable).parent / "copier"),
                "copy",
                "--quiet",
                "--defaults",
                "--overwrite",
            ),
            *source,
            *("--data", f"name={self.name}"),
            *("--data", f"domain={self.domain}"),
            *("--data", f"address={self.address}"),
            *("--data", f"admin_ssh_key={self.key.with_suffix('.pub').read_text().strip()}"),
            *(str(ROOT), str(self.path)),
            env={"PYTHONWARNINGS": "ignore"},  # copier warns of changes that are not committed yet
        )
        if not (self.path / ".git").exists():
            self.git("init", "--quiet", "--initial-branch", "main")
            remote = f"ssh://git@git.{self.domain}:{self.ssh_port}/{REPOSITORY}"
            self.git("remote", "add", "origin", remote)
        self.git("config", "user.name", "Administrator")
        self.git("config", "user.email", f"{ADMIN}@{self.domain}")
        self.git("config", "core.sshCommand", shlex.join(["ssh", *self.ssh_options]))

    def git(self, *arguments: str) -> str:
        """Run git in the project; what it printed."""
        return run("git", *arguments, cwd=self.path)

    def make(self, target: str, *variables: str) -> None:
        """Run a target of the project with its output shown.

        Raises:
            subprocess.CalledProcessError: it returned nonzero.
        """
        command = ["make", "--no-print-directory", target, *variables]
        subprocess.run(command, cwd=self.path, check=True, env=clean_environment())

    def make_json(self, target: str, *variables: str) -> Any:
        """Run a target with JSON=1; what it printed, parsed.

        Raises:
            subprocess.CalledProcessError: it returned nonzero.
        """
        command = ("make", "--no-print-directory", "--silent", target, "JSON=1", *variables)
        return json.loads(run(*command, cwd=self.path))

    def commit(self, message: str) -> str:
        """Commit the project's state, changed or not; the commit's hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def push(self) -> str:
        """Push, showing what the forge answers; that answer."""
        command = ["git", "push", "--set-upstream", "origin", "HEAD:main"]
        answer = []
        with subprocess.Popen(
            command,
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        ) as process:
            assert process.stdout is not None  # noqa: S101  PIPE was asked for
            for line in process.stdout:
                answer.append(line)
                if line.startswith(("remote:", "To ", " ", "error", "fatal", "ssh:")):
                    print(f"  {line.rstrip()}", flush=True)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, "".join(answer))
        return "".join(answer)

    def forget_key(self) -> None:
        """Remove the key of the project's secrets from this account."""
        for key in (Path.home() / ".config" / "dap").glob(f"{self.name}-*.key"):
            key.unlink()

    @property
    def password(self) -> str:
        """Password of the first user, as `make credentials` shows it."""
        credentials = self.make_json("credentials", f"USER={ADMIN}")
        return str(credentials["password"])


def clean_environment() -> dict[str, str]:
    """Give this environment less what the make, the git and the Python around us put there."""
    unwanted = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VIRTUAL_ENV", "PYTHONPATH"}
    unwanted |= {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    return {key: value for key, value in os.environ.items() if key not in unwanted}


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command quietly; what it printed on its standard output.

    Raises:
        subprocess.CalledProcessError: it returned nonzero; carries what it said.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment() | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        done.check_returncode()
    return done.stdout
