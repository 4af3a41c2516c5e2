"""What GitLab's image has around GitLab: `python -m tests.gitlab.standin.omnibus WHAT`.

start          what the container runs: takes gitlab.rb over, serves, runs the script that is given
healthcheck    what its health check runs
rails          `gitlab-rails runner FILE`: of it the stand-in knows only the platform's own file
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.gitlab.standin.internal import digest
from tests.gitlab.standin.repositories import Repositories
from tests.gitlab.standin.serve import Server, Standin
from tests.gitlab.standin.shell import API, PROGRAM, REPOSITORIES, SECRET, ask
from tests.gitlab.standin.state import State

CONFIGURATION = Path("/etc/gitlab/gitlab.rb")
EVALUATES = "/opt/gitlab/embedded/omnibus.rb"
REQUESTS = Path("/var/log/gitlab/requests")
DIE_ONCE = Path("/var/opt/gitlab/standin/die-once")
HOST_KEYS = {kind: Path(f"/etc/gitlab/ssh_host_{kind}_key") for kind in ("rsa", "ecdsa", "ed25519")}
SCRIPT = "GITLAB_POST_RECONFIGURE_SCRIPT"


def start() -> int:
    """Serve until the container is ended, as GitLab does after its own start."""
    configuration = reconfigure()
    account = pwd.getpwnam("git")
    folder = SECRET.parent
    folder.mkdir(parents=True, exist_ok=True)
    REPOSITORIES.mkdir(parents=True, exist_ok=True)
    os.chown(REPOSITORIES, account.pw_uid, account.pw_gid)
    if not SECRET.exists():
        SECRET.touch(mode=0o440)
        os.chown(SECRET, 0, account.pw_gid)
        SECRET.write_text(secrets.token_hex(32))
    for kind, file in HOST_KEYS.items():
        if not file.exists():
            make = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)]
            subprocess.run(make, check=True)
    file = folder / "state.json"
    first = not file.exists()
    state = State.load(file)
    rails = configuration["gitlab_rails"]
    if first:
        state.passwords["1"] = digest(rails["initial_root_password"])
        state.save(file)
    boot_s = float(os.environ["STANDIN_BOOT_S"]) if first else 0
    standin = Standin(
        state,
        file,
        REQUESTS,
        until=time.monotonic() + boot_s,
        die_once=DIE_ONCE,
        shell_secret=SECRET.read_text(),
        url=configuration["external_url"],
        repositories=Repositories(REPOSITORIES, Path(PROGRAM), account.pw_uid),
    )
    servers: list[ThreadingHTTPServer] = [Server(("", int(rails["nginx"]["listen_port"])), standin)]
    if configuration["registry"]["enable"]:
        address, _, port = configuration["registry"]["registry_http_addr"].partition(":")
        servers.append(ThreadingHTTPServer((address, int(port)), Registry))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    subprocess.Popen(["/usr/sbin/sshd", "-f", "/assets/sshd_config"])
    print("gitlab Reconfigured!", flush=True)
    # The script asks Rails, which is up when the pages are.
    forever = threading.Event()
    forever.wait(boot_s)
    if script := os.environ.get(SCRIPT):
        print("Running Post Reconfigure Script...", flush=True)
        done = subprocess.run(["bash", "-c", script], check=False)
        if done.returncode:
            print(f"Post Reconfigure Script failed with {done.returncode}", flush=True)
    forever.wait()
    return 0


def reconfigure() -> dict[str, Any]:
    """Return what gitlab.rb sets, evaluated by Ruby.

    Raises:
        subprocess.CalledProcessError: it can't be evaluated.
    """
    command = ["ruby", EVALUATES, str(CONFIGURATION)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Registry(BaseHTTPRequestHandler):
    """The container registry, as who has not logged in meets it."""

    def do_GET(self) -> None:
        known = {"/": 200, "/v2/": 401}
        self.send_response(known.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


def healthcheck(words: list[str]) -> int:
    """Ask the page that says that GitLab is up; the options are those of curl."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fail", action="store_true", required=True)
    parser.add_argument("--max-time", type=float, required=True)
    given = parser.parse_args(words)
    address = API.partition("/api/")[0]
    try:
        urllib.request.urlopen(f"{address}/help", timeout=given.max_time).close()
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"gitlab-healthcheck: {error}", file=sys.stderr)
        return 1
    return 0


def rails(words: list[str]) -> int:
    """Run the file that makes the platform's token: by name, for Rails there is none.

    Rails runs as another user than root, who must be able to read the file.
    """
    if words[:1] != ["runner"] or len(words) != 2:
        print(f"gitlab-rails: the stand-in knows no {' '.join(words)}", file=sys.stderr)
        return 1
    account = pwd.getpwnam("git").pw_uid
    subprocess.run(["ruby", "-c", words[1]], check=True, user=account, stdout=subprocess.DEVNULL)
    ask("token", {"value": sys.stdin.read().strip()})
    return 0


def main(words: list[str]) -> int:
    """Do what the words say."""
    if words[0] == "start":
        return start()
    return healthcheck(words[1:]) if words[0] == "healthcheck" else rails(words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
