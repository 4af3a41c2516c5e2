"""What OpenSSH's programs do through the jump, and what the jump does not let through."""

import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from demo.access import await_result
from tests.demo.conftest import Platform
from tests.demo.workspaces.client import Client

MINE = "admin-python"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@contextmanager
def forwarding(client: Client, *arguments: str) -> Iterator[None]:
    session = client.start("-N", "-o", "ExitOnForwardFailure=yes", *arguments)
    try:
        yield
    finally:
        session.terminate()
        session.communicate(timeout=10)


def test_a_name_is_enough(admin: Client) -> None:
    assert admin.said(MINE, "id -un; hostname -f >/dev/null; pwd") == "analyst\n/home/analyst\n"
    assert admin.said(f"{MINE}.{admin.project.name}", "id -u") == "1000\n"


def test_no_host_key_is_taken_on_trust(admin: Client, tmp_path: Path) -> None:
    known = admin.config.parent / f"{admin.project.name}.known_hosts"
    assert admin.run(MINE, "true").returncode == 0
    # Of the jump, then of the workspace behind it.
    for wrong in ("workspaces", MINE):
        lines = [line for line in known.read_text().splitlines() if f"[{wrong}" not in line]
        (tmp_path / "known").write_text("\n".join([*lines, ""]))
        (tmp_path / "config").write_text(
            admin.config.read_text().replace("Include ", f"Include {tmp_path}/")
        )
        conf = admin.config.parent / f"{admin.project.name}.conf"
        here = tmp_path / str(conf).lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_text(conf.read_text().replace(str(known), str(tmp_path / "known")))
        done = Client(admin.project, tmp_path / "config").run(MINE, "true")
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr


def test_sftp_and_scp_carry_a_file_there_and_back(admin: Client, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(os.urandom(2**20))
    batch = f"put {sent} dap-test\nget dap-test {tmp_path / 'back'}\n"
    admin.said("-b", "-", MINE, program="sftp", given=batch)
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()
    admin.said(f"{MINE}:dap-test", str(tmp_path / "copied"), program="scp")
    assert (tmp_path / "copied").read_bytes() == sent.read_bytes()
    admin.said(MINE, "rm dap-test")


def test_a_port_of_the_workspace_comes_here(admin: Client) -> None:
    port = free_port()

    def jupyter() -> int | None:
        try:
            return requests.get(f"http://127.0.0.1:{port}/api", timeout=5).status_code
        except requests.ConnectionError:
            return None

    with forwarding(admin, "-L", f"127.0.0.1:{port}:127.0.0.1:8888", MINE):
        assert await_result("Jupyter through the tunnel", jupyter, 30) == 200


def test_a_port_from_here_goes_there(admin: Client) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from here")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = admin.run(
            *("-o", "ExitOnForwardFailure=yes", "-R", f"47001:127.0.0.1:{server.server_port}"),
            *(MINE, "curl -s --max-time 10 http://127.0.0.1:47001/"),
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.stdout == "from here", done.stderr


def test_a_socket_is_forwarded_as_editors_do(admin: Client, tmp_path: Path) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/tmp/dap-test'); s.listen();"
        "print('ready', flush=True); s.accept()[0].sendall(b'by socket')"
    )
    local = tmp_path / "socket"
    session = admin.start("-L", f"{local}:/tmp/dap-test", MINE, f'python -c "{script}"')
    try:
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        with socket.socket(socket.AF_UNIX) as there:
            there.connect(str(local))
            assert there.recv(100) == b"by socket"
    finally:
        session.terminate()
        session.communicate(timeout=10)
        admin.said(MINE, "rm -f /tmp/dap-test")


def test_an_agent_comes_along_only_when_asked(admin: Client, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as process:
        try:
            await_result("the agent", lambda: agent.exists() or None, 10)
            key = str(admin.project.key)
            environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
            subprocess.run(
                ["ssh-add", "-q", key], check=True, env=environment, stderr=subprocess.DEVNULL
            )
            command = ["ssh", "-F", str(admin.config)]
            listing = ["ssh-add", "-l"]
            asked, plain = (
                subprocess.run(
                    [*command, *options, MINE, *listing],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                for options in (["-A"], [])
            )
        finally:
            process.terminate()
    assert "ED25519" in asked.stdout
    assert plain.returncode != 0
    assert "ED25519" not in plain.stdout


def test_another_user_reaches_her_own_alone(platform: Platform, grace: Client) -> None:
    assert grace.said("grace-shell", "echo in") == "in\n"
    jump = f"workspaces.{platform.domain}"
    closed = [f"{MINE}:2222", "admin-shell:2222", "grace-shell:8888", "127.0.0.1:2222"]
    closed += ["postgres-data:5432", "nginx-proxy:443", f"{platform.domain}:443"]
    for place in closed:
        done = grace.run("-W", place, jump)
        assert done.returncode == 255, place
        assert "open failed: administratively prohibited" in done.stderr, done.stderr
        assert done.stdout == ""


def test_another_users_key_opens_nothing_inside_either(grace: Client, graces_key: Path) -> None:
    """From a workspace the others' SSH servers can be seen: they want their own owner's key."""
    grace.said("grace-shell", "umask 077; cat >/tmp/key", given=graces_key.read_text())
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    done = grace.run("grace-shell", f"ssh {options} -i /tmp/key -p 2222 analyst@{MINE} true")
    grace.said("grace-shell", "rm /tmp/key")
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


def test_the_owner_has_no_shell_on_the_jump(platform: Platform, admin: Client) -> None:
    jump = f"workspaces.{platform.domain}"
    for command in (["true"], ["-s", "sftp"], ["-tt"]):
        done = admin.run(*(["-s", jump, "sftp"] if "-s" in command else [jump, *command]))
        assert done.returncode == 255, done.stdout
        assert "session open refused by peer" in done.stderr or "open failed" in done.stderr
    done = admin.run("-N", "-o", "ExitOnForwardFailure=yes", "-R", "47002:127.0.0.1:1", jump)
    assert done.returncode == 255
    assert "remote port forwarding failed" in done.stderr


def test_a_strangers_key_is_refused_at_the_jump(
    admin: Client, platform: Platform, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text = admin.config.read_text().replace(str(platform.project.key), str(key))
    (tmp_path / "config").write_text(text)
    done = Client(platform.project, tmp_path / "config").run(MINE, "true")
    assert done.returncode == 255
    assert f"jump@workspaces.{platform.domain}: Permission denied (publickey)" in done.stderr


def test_a_direct_port_is_an_option(platform: Platform, admin: Client) -> None:
    assert admin.said(f"admin-shell.{platform.domain}", "hostname >/dev/null; echo in") == "in\n"
    streams = {each["name"]: each["listen"] for each in platform.plan["streams"]}
    assert streams["admin-shell"] == 2201
    assert MINE not in streams


def test_a_volume_is_shared(admin: Client, grace: Client) -> None:
    admin.said("admin-shell", "cat >/volumes/shared/table", given="a,b\n")
    assert grace.said("grace-shell", "cat /volumes/shared/table; touch /volumes/shared/hers") == (
        "a,b\n"
    )
    assert admin.said("admin-shell", "ls /volumes/shared").split() == ["hers", "table"]


def test_only_the_home_outlives_the_container(platform: Platform, admin: Client) -> None:
    here = ["docker", "run", "--rm", "--entrypoint", "find"]
    image = platform.container("admin-shell").attrs["Config"]["Image"]
    found = subprocess.run(
        [*here, image, "/etc/ssh", "-name", "ssh_host_*"], check=True, capture_output=True
    )
    assert found.stdout == b""  # no host key is in the image
    admin.said("admin-shell", "echo kept >~/kept; echo gone >/tmp/gone")
    assert admin.run("admin-shell", "touch /usr/local/kept").returncode != 0
    before = platform.container("admin-shell").id
    done = platform.dap("workspace", "--name", "admin-shell", "recreate")
    assert done.stdout == "admin-shell is made anew with its home\n", done.stderr
    assert platform.container("admin-shell").id != before
    # With the same host key, or this would be refused.
    assert admin.said("admin-shell", "cat ~/kept; ls /tmp/gone 2>&1 | grep -c gone") == (
        "kept\n1\n"
    )
