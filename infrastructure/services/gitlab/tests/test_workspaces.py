"""In a workspace git works as its owner, without any set-up."""

from __future__ import annotations

from acceptance import Deployed, Workspace, expect

REMEDY = "the workspace's /run/dap/SSH_CONFIG and GIT_CONFIG say how; make deploy"


def test_git_works_as_the_owner(platform: Deployed, workspace: Workspace) -> None:
    settings = platform.settings
    owner = next(user for user in settings.users if user.name == workspace.owner)
    said = workspace.run("git", "config", "user.email").strip()
    expect(said == owner.email, f"git commits as {said}, not as {owner.email}", REMEDY)
    login = "ssh -o BatchMode=yes git@git.$0 2>&1"
    greeted = workspace.run("sh", "-c", login, settings.domain)
    expect(f"Welcome to GitLab, @{owner.name}" in greeted, f"git says {greeted[:80]!r}", REMEDY)


def test_a_workspace_trusts_no_other_server(platform: Deployed, workspace: Workspace) -> None:
    """The server's key is known beforehand, from what was deployed."""
    found = workspace.run("cat", "/run/dap/SSH_KNOWN_HOSTS")
    expect(
        f"[git.{platform.settings.domain}]:{platform.settings.ports.ssh} ssh-ed25519 " in found,
        "the key of git's server is not known in the workspace",
        REMEDY,
    )
