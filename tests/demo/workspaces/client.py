"""A person's own machine, as far as SSH is concerned."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo.project import Project

TIMEOUT_S = 60


@dataclass(frozen=True)
class Client:
    """OpenSSH with the files that `make ssh-config` writes and one key.

    Attributes:
        project: of the platform whose workspaces are to be reached.
        config: OpenSSH's configuration.
    """

    project: Project
    config: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ssh."""
        return subprocess.Popen(
            ["ssh", "-F", str(self.config), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, program: str = "ssh", given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ssh or a program like it to its end."""
        return subprocess.run(
            [program, "-F", str(self.config), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def said(self, *arguments: str, program: str = "ssh", given: str = "") -> str:
        """Run it; what it printed. It must succeed."""
        done = self.run(*arguments, program=program, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout


def client(project: Project, folder: Path, user: str, key: Path) -> Client:
    """Make the files of a user, as the operator does, and put them to use with a key."""
    project.make("ssh-config", f"USER={user}", f"FOLDER={folder}")
    conf = folder / f"{project.name}.conf"
    # A person's own folder, which ssh looks up by account: not that of who runs the tests.
    conf.write_text(conf.read_text().replace("~/.ssh/dap", str(folder)))
    config = folder / "config"
    config.write_text(
        f"Include {conf}\nHost *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        "  ConnectTimeout 10\n"
    )
    return Client(project, config)
