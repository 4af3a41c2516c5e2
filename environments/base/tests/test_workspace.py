"""A workspace, met the way editors and people meet it."""

import re
import socket
import subprocess
from pathlib import Path

import pytest
from support import CLIENT, Workspace, run, wait

SHELLS = ["env", "bash -c env", "bash -lc env", "bash -ic env", "sh -c env"]


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.mark.parametrize("shell", SHELLS)
def test_ssh_has_client_variables(workspace: Workspace, shell: str) -> None:
    found = variables(workspace.ssh(shell))
    assert found["PGHOST"] == CLIENT["environment"]["PGHOST"]
    assert found["QUOTED"] == CLIENT["environment"]["QUOTED"]
    assert found["SSL_CERT_FILE"] == "/run/dap/ca-bundle.pem"
    assert "/home/analyst/.local/bin" in found["PATH"].split(":")


def test_docker_exec_has_client_variables(workspace: Workspace) -> None:
    found = variables(workspace.execute("bash", "-c", "env"))
    assert found["QUOTED"] == CLIENT["environment"]["QUOTED"]


def test_a_script_keeps_what_it_has_set(workspace: Workspace) -> None:
    assert workspace.ssh("PGHOST=other bash -c 'echo $PGHOST'") == "other\n"


def test_shells_are_quiet(workspace: Workspace) -> None:
    done = workspace.ssh("bash -lc true 2>&1; bash -c true 2>&1; true")
    assert done == ""


def test_files_are_private(workspace: Workspace) -> None:
    text = workspace.ssh("stat -c %a $PGPASSFILE $NETRC && cat $PGPASSFILE")
    assert text == f"600\n600\n{CLIENT['files']['PGPASSFILE']}"


def test_runs_as_the_user(workspace: Workspace) -> None:
    assert workspace.ssh("id -un") == "analyst\n"
    owners = workspace.execute("ps", "-eo", "uid=").split()
    assert set(owners) == {"1000"}


def test_no_secret_in_command_lines(workspace: Workspace) -> None:
    shown = workspace.execute("ps", "-eo", "args") + run("docker", "inspect", workspace.container)
    assert "secret" not in re.sub(r"/run/secrets", "", shown)


def test_terminal(workspace: Workspace) -> None:
    assert "/dev/pts/" in workspace.ssh("-tt", "tty")


def test_sftp(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("content", encoding="ascii")
    target = ("-P", workspace.port, *workspace.options)
    commands = f"put {tmp_path}/sent\nget sent {tmp_path}/got\n"
    run("sftp", *target, "-b", "-", "analyst@127.0.0.1", stdin=commands.encode())
    assert (tmp_path / "got").read_text(encoding="ascii") == "content"


def test_port_forwarding(workspace: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = subprocess.Popen(
        [
            *("ssh", *workspace.options, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:2222"),
            *("-p", workspace.port, "analyst@127.0.0.1"),
        ]
    )
    try:
        wait(lambda: _greets(port), timeout_s=10)
    finally:
        forward.terminate()
        forward.wait()


def _greets(port: int) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            assert connection.recv(8) == b"SSH-2.0-"
    except OSError as error:
        raise AssertionError(str(error)) from error


def test_strangers_stay_out(workspace: Workspace, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    options = [
        str(tmp_path / "key") if part.endswith("/user") else part for part in workspace.options
    ]
    done = subprocess.run(
        ["ssh", *options, "-o", "BatchMode=yes", "-p", workspace.port, "analyst@127.0.0.1", "true"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_what_editors_need(workspace: Workspace) -> None:
    version = workspace.ssh("ldd --version | head -1").split()[-1]
    assert tuple(map(int, version.split("."))) >= (2, 28)
    assert workspace.ssh("command -v tar curl git").count("\n") == 3


IDLE = ("timeout", "6", "dap-idle", "2s")
ENDED, GOES_ON = 0, 124


def idle(workspace: Workspace) -> int:
    """Exit status of what ends when the workspace is unused; 124 where it was in use for 6 s."""
    return subprocess.run(["docker", "exec", workspace.container, *IDLE], check=False).returncode


def test_unused_it_is_idle(workspace: Workspace) -> None:
    assert idle(workspace) == ENDED


def test_a_session_is_use(workspace: Workspace) -> None:
    command = ["ssh", *workspace.options, "-N", "-p", workspace.port, "analyst@127.0.0.1"]
    with subprocess.Popen(command) as session:
        try:
            wait(lambda: workspace.execute("pgrep", "-f", "^sshd-session: analyst$"), timeout_s=10)
            assert idle(workspace) == GOES_ON
        finally:
            session.terminate()


@pytest.mark.parametrize(("command", "status"), [("sleep 8", GOES_ON), ("bash --norc", ENDED)])
def test_a_program_in_a_terminal_is_use_and_a_waiting_shell_is_not(
    workspace: Workspace, command: str, status: int
) -> None:
    # A shell that waits for somebody to type ends after TMOUT seconds.
    terminal = ["docker", "exec", "--tty", "--env", "TMOUT=8", workspace.container]
    with subprocess.Popen([*terminal, *command.split()], stdout=subprocess.DEVNULL) as opened:
        wait(lambda: workspace.execute("pgrep", "-fx", command), timeout_s=10)
        found = idle(workspace)
        assert opened.wait(timeout=20) is not None
    assert found == status
