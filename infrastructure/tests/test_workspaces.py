"""In a workspace git works as its owner, without any set-up."""

from __future__ import annotations

from acceptance import Deployed, Workspace, expect, expect_none
from dap.secrets.kinds import ssh_public_key

REMEDY = "the workspace's /run/dap/SSH_CONFIG and GIT_CONFIG say how; make deploy"


def test_git_commits_as_the_owner(platform: Deployed, workspace: Workspace) -> None:
    owner = next(user for user in platform.settings.users if user.name == workspace.owner)
    said = workspace.run("git", "config", "user.email").strip()
    expect(said == owner.email, f"git commits as {said}, not as {owner.email}", REMEDY)


def test_a_workspace_trusts_no_other_server(platform: Deployed, workspace: Workspace) -> None:
    """Keys of servers with repositories are known beforehand, from what was deployed."""
    found = workspace.run("cat", "/run/dap/SSH_KNOWN_HOSTS").splitlines()
    wanted = {
        stream.hostname: (stream.listen, ssh_public_key(platform.prepared.secrets[key]))
        for stream in platform.prepared.plan.streams
        if stream.ssh and stream.ssh.repositories and (key := stream.ssh.host_key)
    }
    expect_none(
        (
            f"the key of {name} is not known in the workspace"
            for name, (port, key) in wanted.items()
            if f"[{name}]:{port} {key}" not in found
        ),
        REMEDY,
    )
