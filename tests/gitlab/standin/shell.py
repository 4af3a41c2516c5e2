"""Programs of the container that sshd and git run: `python -m tests.gitlab.standin.shell WHAT`.

keys KEY        what sshd asks: the line of an authorized_keys file for a public key
serve WHO       what sshd runs for it: git, with the repository that SSH_ORIGINAL_COMMAND names
pre-receive, post-receive    what git runs, with `OLD NEW REF` on standard input
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

API = "http://127.0.0.1:80/api/v4/internal"
SECRET = Path("/var/opt/gitlab/standin/shell-secret")
REPOSITORIES = Path("/var/opt/gitlab/git-data/repositories")
PROGRAM = "/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell"
COMMAND = re.compile(r"(git-(?:upload|receive)-pack) '/?([^']+?)(?:\.git)?/?'")
NONE = "0" * 40
TIMEOUT_S = 30


class RefusedError(Exception):
    """The API says no; the message is for the person who asked."""


def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the API.

    Raises:
        RefusedError: it says no.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Gitlab-Shell-Secret": SECRET.read_text()}
    request = urllib.request.Request(f"{API}/{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == 502:
            raise RefusedError("GitLab is not responding") from error
        raise RefusedError(json.load(error).get("message", "no")) from error


def keys(key: str) -> None:
    """Print the line for a key that somebody has."""
    found = ask(f"authorized_keys?{urllib.parse.urlencode({'key': key})}")
    print(f'command="{PROGRAM} serve {found["who"]}",restrict {found["key"]}')


def serve(who: str) -> int:
    """Serve git to somebody who is known by now; return the exit status."""
    asked = COMMAND.fullmatch(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    if asked is None:
        if os.environ.get("SSH_ORIGINAL_COMMAND"):
            raise RefusedError("Disallowed command")
        print(f"Welcome to GitLab, @{ask(f'discover?who={who}')['username']}!")
        return 0
    action, project = asked.groups()
    ask("allowed", {"who": who, "project": project, "action": action})
    environment = {**os.environ, "GL_ID": who, "GL_PROJECT": project}
    place = str(REPOSITORIES / f"{project}.git")
    return subprocess.run([action, place], env=environment, check=False).returncode


def hook(name: str) -> None:
    """Ask about, or tell of, what is pushed."""
    changes = [_change(line.strip()) for line in sys.stdin if line.strip()]
    about = {"who": os.environ["GL_ID"], "project": os.environ["GL_PROJECT"], "changes": changes}
    if name == "pre-receive":
        ask("allowed", {**about, "action": "git-receive-pack"})
    else:
        number = int(os.environ.get("GIT_PUSH_OPTION_COUNT", "0"))
        options = [os.environ[f"GIT_PUSH_OPTION_{each}"] for each in range(number)]
        for line in ask("post_receive", {**about, "options": options})["messages"]:
            print(line)


def _change(line: str) -> str:
    old, new, _ = line.split()
    if NONE in (old, new):
        return line
    ancestor = ["git", "merge-base", "--is-ancestor", old, new]
    return f"{line} forced" if subprocess.run(ancestor, check=False).returncode else line


def main(words: list[str]) -> int:
    """Do what the words say."""
    try:
        if words[0] == "keys":
            keys(words[1])
        elif words[0] == "serve":
            return serve(words[1])
        else:
            hook(words[0])
    except RefusedError as error:
        print(f"GitLab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
