"""Git's server knows the owner of a workspace, without any set-up."""

from __future__ import annotations

from acceptance import Deployed, Workspace, expect

REMEDY = "the workspace's /run/dap/SSH_CONFIG says how; make deploy"


def test_git_s_server_greets_the_owner(platform: Deployed, workspace: Workspace) -> None:
    login = "ssh -o BatchMode=yes git@git.$0 2>&1"
    said = workspace.run("sh", "-c", login, platform.settings.domain)
    expect(f"Welcome to GitLab, @{workspace.owner}" in said, f"git says {said[:80]!r}", REMEDY)
