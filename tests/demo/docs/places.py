"""Where the blocks of a page run: scratch folders, an analyst's workspace and a bare machine."""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from dap.catalogue import read_catalogue
from dap.plan import make_plan
from dap.settings import load

from demo.project import ROOT, clean_environment
from tests.demo.conftest import Platform, privileged
from tests.demo.docs.session import Session
from tests.template.conftest import snapshot

WORKSPACE = "admin-python"
ANALYST = 1000  # the user of every environment


@dataclass
class Places:
    """The places, made below `directory`, which must be empty.

    The names and addresses of the pages are those of a default platform; `here` puts this one's
    in their place.
    """

    platform: Platform
    directory: Path

    @property
    def host(self) -> Path:
        """Where the operator makes projects; no project yet."""
        return self.directory / "host"

    @property
    def project(self) -> Path:
        """A clone of the platform's project, which deploys to the same platform."""
        return self.directory / "my-platform"

    @property
    def laptop(self) -> Path:
        """Home of somebody who has an SSH key and the platform's CA, and nothing else."""
        return self.directory / "laptop"

    def here(self, text: str) -> str:
        """Say what a page says, of this platform."""
        for pattern, value in self._words.items():
            text = re.sub(pattern, value.replace("\\", r"\\"), text)
        return text

    def hidden(self, text: str) -> str:
        """The text without the password."""
        return text.replace(self.platform.project.password, "PASSWORD")

    @cached_property
    def _words(self) -> dict[str, str]:
        project = self.platform.project
        return {
            r"\bdap\.localhost\b": project.domain,
            r"127\.0\.0\.1\b": project.address,
            r"/srv/dap/dap\b": f"/srv/dap/{project.name}",
            r"(?<=DELETE_DATA=)dap\b": project.name,
            r"(?<=compose\.project=)dap\b": project.name,
            r"(?m)^dap(?=: )": project.name,
            r"\bdap(?=\.(conf|known_hosts)\b)": project.name,
            r"\bPASSWORD\b": project.password,
            r"\bREPOSITORY\b": str(self.directory / "distribution"),
        }

    def make(self) -> None:
        """Make what all pages share."""
        for folder in (self.directory / "bin", self.directory / "home" / ".ssh"):
            folder.mkdir(parents=True)
        self._home()
        self._programs()
        distribution = self.directory / "distribution"
        distribution.mkdir()
        snapshot(distribution)
        self.git("init", "--quiet", cwd=distribution)
        self.git("add", "--all", cwd=distribution)
        self.git("commit", "--quiet", "--message", "Working tree", cwd=distribution)
        source = self.platform.project.path
        self.git("clone", "--quiet", str(source), str(self.project), cwd=self.directory)
        remote = self.git("remote", "get-url", "origin", cwd=source).strip()
        self.git("remote", "set-url", "origin", remote, cwd=self.project)
        subprocess.run(["infrastructure/bootstrap"], cwd=self.project, check=True)

    def reset(self) -> None:
        """Make the folders new; what git ignores in the project stays, such as `.venv`."""
        self.git("reset", "--quiet", "--hard", "HEAD", cwd=self.project)
        self.git("clean", "-qffd", cwd=self.project)
        for folder in (self.host, self.laptop):
            privileged("rm", "-rf", str(folder))
            folder.mkdir()
        self._laptop()

    def _home(self) -> None:
        """Make a home like the real one, but with the demo's SSH key and its own git settings."""
        home = self.directory / "home"
        for path in Path.home().iterdir():
            if path.name not in (".ssh", ".gitconfig"):
                (home / path.name).symlink_to(path)
        (home / ".gitconfig").write_text(
            "[user]\nname = Admin\nemail = admin@example.org\n[init]\ndefaultBranch = main\n"
        )
        self._key(home / ".ssh")

    def _key(self, folder: Path) -> None:
        key = self.platform.project.key
        for path in (key, key.with_suffix(".pub")):
            shutil.copy(path, folder / path.name)

    def _programs(self) -> None:
        """Put programs before the real ones that know this demo's key and answers."""
        project = self.platform.project
        # OpenSSH looks for its files in the account's home, whatever HOME says.
        here = self.directory / "home" / ".ssh"
        options = [option.removeprefix("-o").replace("=", " ") for option in project.ssh_options]
        (here / "options").write_text("\n".join(["Host *", *options, ""]))
        for name in ("ssh", "sftp", "scp"):
            self._program(
                name,
                f"here={shlex.quote(str(here))}\n"
                'if [ -d "$here/dap" ]; then sed "s#~/.ssh/dap#$here/dap#" "$here"/dap/*.conf; fi'
                ' >"$here/all"\n'
                'cat "$here/options" >>"$here/all"\n'
                f'exec {shutil.which(name)} -F "$here/all" "$@"',
            )
        if shutil.which("sudo") is None:  # then this is root, for whom it does nothing
            self._program("sudo", 'exec "$@"')
        copier = str(ROOT / ".venv" / "bin" / "copier")
        answers = shlex.join(
            f"--data={key}={getattr(project, key)}" for key in ("name", "domain", "address")
        )
        secrets = project.path / "infrastructure" / "secrets"
        # With the secrets of the running platform, the new project may deploy to it.
        self._program(
            "copier",
            f'{copier} "$1" {answers} "${{@:2}}"\n'
            f'cp -r {shlex.quote(str(secrets))} "${{@: -1}}/infrastructure/"',
        )

    def _program(self, name: str, script: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(f"#!/bin/bash\nset -e\n{script}\n")
        path.chmod(0o755)

    def _laptop(self) -> None:
        ssh = self.laptop / ".ssh"
        ssh.mkdir(parents=True)
        self._key(ssh)
        (ssh / "config").write_text(
            "Include dap/*.conf\nHost *\nStrictHostKeyChecking accept-new\n"
        )
        # What the operator gives: where it belongs, and as it comes.
        for folder in (ssh / "dap", self.laptop):
            self._dap("ssh-config", "--folder", str(folder))
        shutil.copy(self.directory / "home" / ".gitconfig", self.laptop)
        (self.laptop / "ca.pem").write_text(self._dap("credentials", "--ca"))
        privileged("chmod", "-R", "go=", str(self.laptop))
        privileged("chown", "-R", f"{ANALYST}:{ANALYST}", str(self.laptop))

    def _dap(self, *arguments: str) -> str:
        done = self.platform.dap(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def git(self, *arguments: str, cwd: Path) -> str:
        """Run git; what it printed."""
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
            env=self._environment,
        ).stdout

    @property
    def _environment(self) -> dict[str, str]:
        home, programs = self.directory / "home", self.directory / "bin"
        environment = clean_environment()
        return environment | {"HOME": str(home), "PATH": f"{programs}:{environment['PATH']}"}

    def open(self, place: str) -> Session:
        """Open a shell there."""
        if place == "laptop":
            return Session(self._laptop_command(), self.laptop)
        if place == "workspace":
            self._dap("ssh-config", "--folder", str(self.directory / "home" / ".ssh" / "dap"))
            return Session(["ssh", WORKSPACE, "exec", "bash"], self.host, self._environment)
        folder = {"host": self.host, "project": self.project}[place]
        return Session(["bash", "--noprofile", "--norc"], folder, self._environment)

    def _laptop_command(self) -> list[str]:
        image = self.platform.plan["environments"]["python"]
        return [
            *("docker", "run", "--rm", "--interactive", "--network", "host"),
            *("--label", f"dap.docs={self.platform.name}", "--entrypoint", "env"),
            *("--volume", f"{self.laptop}:/home/analyst", image),
            *("-i", "HOME=/home/analyst", "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"),
            *("bash", "--noprofile", "--norc"),
        ]

    def tree(self) -> str:
        """What runs on the host, and as what."""
        folder = f"/srv/dap/{self.platform.name}"
        return privileged("cat", f"{folder}/plan.json", f"{folder}/compose.yml")

    def remove_images(self) -> None:
        """Remove the images that readers built, so that they are built the next time, too."""
        made = re.compile(r"(/|-)(handbook|sqlite):")
        for image in self.platform.docker.images.list():
            for tag in filter(made.search, image.tags):
                self.platform.docker.images.remove(tag)

    def workspace_home(self) -> set[str]:
        """Names in the home of the workspace."""
        return set(self.platform.execute(WORKSPACE, "ls", "-A", "/home/analyst").splitlines())

    def restore_workspace_home(self, kept: set[str]) -> None:
        """Remove what came after `kept` was read."""
        for name in self.workspace_home() - kept:
            self.platform.execute(WORKSPACE, "rm", "-rf", f"/home/analyst/{name}")

    def empty(self, repository: str) -> None:
        """Take all branches from a repository, if it is there: pages begin with an empty one."""
        path = f"/home/git/repositories/{repository}.git"
        script = (
            f"[ ! -d {path} ] || git -C {path} for-each-ref --format='delete %(refname)'"
            f" | git -C {path} update-ref --stdin"
        )
        self.platform.execute("git", "sh", "-c", script)

    def set(self, text: str, *, keep: bool) -> None:
        """Merge settings into those of the project and check them; `keep` leaves them there.

        Raises:
            DapError: the settings are refused.
        """
        file = self.project / "platform.yml"
        before = file.read_text()
        settings = merged(yaml.safe_load(before), yaml.safe_load(text))
        if settings.get("target") == "kubernetes":
            # What is this machine's goes, as doc/kubernetes-setup.md has its readers do.
            settings = {k: v for k, v in settings.items() if k not in ("hosts", "address")}
        file.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        try:
            make_plan(load(file), read_catalogue(self.project))
        finally:
            if not keep:
                file.write_text(before)


def merged(settings: dict[str, object], more: dict[str, object]) -> dict[str, object]:
    """Settings with those of `more`: entries of a list take the place of those of their name."""
    result = dict(settings)
    for key, value in more.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = merged(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            names = {entry["name"] for entry in value}
            result[key] = [entry for entry in old if entry["name"] not in names] + value
        else:
            result[key] = value
    return result
