"""Git's server knows the owner of a workspace, without any set-up."""

from __future__ import annotations

from acceptance import Deployed, Workspace, expect

REMEDY = "the workspace's /run/dap/SSH_CONFIG says how; make deploy"


def test_git_s_server_greets_the_owner(platform: Deployed, workspace: Workspace) -> None:
    server = f"git@git.{platform.settings.domain}"
    listed = workspace.run("ssh", "-o", "BatchMode=yes", server, "info")
    expect(f"hello {workspace.owner}," in listed, f"git's server greets {listed[:80]!r}", REMEDY)
