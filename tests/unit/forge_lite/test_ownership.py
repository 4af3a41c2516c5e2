import os
import subprocess
from pathlib import Path

import pytest
from dap_pipelines.ownership import end_user

UID = 61234


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_nothing_of_a_user_is_left_to_the_next_pipeline(tmp_path: Path) -> None:
    secrets = tmp_path / "gitlab-ci-local-file-variables-1"
    secrets.mkdir()
    (secrets / "NETRC").write_text("a secret")
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    for path in (secrets / "NETRC", secrets, link):
        os.lchown(path, UID, UID)
    (tmp_path / "of-another").touch()
    with subprocess.Popen(["/bin/sleep", "300"], user=UID, group=UID, extra_groups=[]) as process:
        end_user(UID, [tmp_path])
        assert process.wait(timeout=10) == -9
    assert [path.name for path in tmp_path.iterdir()] == ["of-another"]
    assert Path("/etc/passwd").stat().st_uid == 0
