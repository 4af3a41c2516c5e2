"""Bring a rendered tree to a host: compare first, then send just the files that differ."""

from __future__ import annotations

import base64
import difflib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

PARTS = ("sha256", "mode", "uid", "secret")


class ActionModule(ActionBase):  # type: ignore[misc]
    """`tree`: a JSON file here, path → sha256, mode, uid, secret and content (base64)."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changes: the paths written and removed; with --diff a unified diff of each."""
        super().run(tmp, task_vars)
        arguments = self._task.args
        tree = json.loads(Path(arguments["tree"]).read_text(encoding="utf-8"))
        manifest = {path: {part: file[part] for part in PARTS} for path, file in tree.items()}
        module = {
            "directory": arguments["directory"],
            "manifest": manifest,
            "keep": arguments["keep"],
            "members": arguments["members"],
        }
        found: dict[str, Any] = self._execute_module("dap_tree", module, task_vars=task_vars)
        found.pop("invocation", None)
        if found.get("failed"):
            return found
        result: dict[str, Any] = {
            "changed": found["changed"],
            "changes": [
                *changes(found),
                *(f"forget host {host['name']}" for host in found["gone"]),
            ],
            "gone": found["gone"],
        }
        if self._task.diff:
            result["diffs"] = {
                path: difference(path, found["texts"][path], tree.get(path))
                for path in found["write"] + found["remove"]
                if path in found["texts"]
            }
        if not found["changed"] or self._task.check_mode:
            return result
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(pack(tree, found["write"]))
            archive.flush()
            remote = self._connection._shell.join_path(
                self._make_tmp_path(), "tree.tar"
            )  # the directory is 0700
            self._transfer_file(archive.name, remote)
        try:
            done = self._execute_module(
                "dap_tree", {**module, "archive": remote}, task_vars=task_vars
            )
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if done.get("failed"):
            done.pop("invocation", None)
            return dict(done)
        return result


def changes(found: dict[str, Any]) -> list[str]:
    """Name what is written and removed."""
    verbs = {"missing": "add", "content": "change", "mode": "set mode of"}
    written = [f"{verbs[found['how'][path]]} {path}" for path in found["write"]]
    return written + [f"remove {path}" for path in found["remove"]]


def pack(tree: dict[str, Any], paths: list[str]) -> bytes:
    """Put files into a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in paths:
            content = base64.b64decode(tree[path]["content"])
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def difference(path: str, old: str | None, new: dict[str, Any] | None) -> str:
    """Return a unified diff of a text file; an empty text for a binary one."""
    try:
        after = base64.b64decode(new["content"]).decode("utf-8") if new else ""
    except UnicodeDecodeError:
        return ""
    lines = difflib.unified_diff(
        (old or "").splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="", n=2
    )
    return "\n".join(lines)
