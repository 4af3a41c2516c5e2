"""What an analyst finds in the environment."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import PASSWORD, Workspace, run

LIMIT_BYTES = 829_000_000

KERNEL = """
import json, os, requests, sys, uuid, websocket
url, host = "http://127.0.0.1:8888", "me.example:8443"
browser = {"Host": host, "X-Forwarded-Proto": "https", "Origin": "https://" + host}
cookies = requests.get(url + "/login", headers=browser).cookies.get_dict()
def post(path, **options):
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = {**browser, "Cookie": header, "X-XSRFToken": cookies["_xsrf"]}
    return requests.post(url + path, headers=headers, allow_redirects=False, **options)
assert post("/api/kernels").status_code == 403
assert post("/login", data={"password": "wrong"}).status_code == 401
login = post("/login", data={"password": sys.stdin.read()})
assert login.status_code == 302, login.text
cookies |= login.cookies.get_dict()
kernel = post("/api/kernels", json={}).json()["id"]
cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
def connect(origin):
    return websocket.create_connection(
        f"ws://127.0.0.1:8888/api/kernels/{kernel}/channels",
        host=host, origin=origin, cookie=cookie, timeout=30)
try:
    connect("https://other.example")
except websocket.WebSocketBadStatusException as error:
    assert error.status_code == 403
else:
    raise SystemExit("a foreign origin got in")
channel = connect("https://" + host)
channel.send(json.dumps({
    "header": {"msg_id": uuid.uuid4().hex, "username": "", "session": "s",
               "msg_type": "execute_request", "version": "5.3"},
    "parent_header": {}, "metadata": {}, "buffers": [], "channel": "shell",
    "content": {"code": "import os; print(6 * 7, os.environ['PGHOST'])", "silent": False}}))
while (message := json.loads(channel.recv()))["msg_type"] != "stream":
    pass
print(message["content"]["text"], end="")
"""


WHEEL = """cd /tmp && python - <<'MAKE'
import zipfile
with zipfile.ZipFile("tiny-1-py3-none-any.whl", "w") as wheel:
    about = "tiny-1.dist-info/"
    wheel.writestr("tiny.py", "print(__file__)")
    wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
    kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    wheel.writestr(about + "WHEEL", kind)
    wheel.writestr(about + "RECORD", "")
MAKE
"""


INSTALLED = """
import re
from importlib.metadata import distributions
for each in distributions(path=["/usr/local/lib/python3.13/dist-packages"]):
    print(re.sub("[-_.]+", "-", each.name).lower() + "==" + each.version)
"""


def test_the_route_that_the_environment_describes_is_served(workspace: Workspace) -> None:
    described = yaml.safe_load((Path(__file__).parents[1] / "environment.yml").read_text())
    route = described["route"]

    def status(path: str) -> str:
        url = f"http://127.0.0.1:{route['port']}{path}"
        return workspace.execute("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url)

    assert status(route["health"]) == "200"
    assert status(route["refuses"]) in {"401", "403"}


def test_notebook_cell_runs(workspace: Workspace) -> None:
    run(
        "docker",
        "exec",
        "-i",
        workspace.container,
        "sh",
        "-c",
        "cat >/tmp/k.py",
        stdin=KERNEL.encode(),
    )
    shown = run(
        *("docker", "exec", "-i", workspace.container, "python", "/tmp/k.py"),
        stdin=PASSWORD.encode(),
    )
    assert shown == "42 postgres.example\n"


def test_pip_installs_into_the_home(job: Callable[[str], str]) -> None:
    assert job(WHEEL + "pip install -q --no-index tiny*.whl && python -c 'import tiny'") == (
        "/home/analyst/.local/lib/python3.13/site-packages/tiny.py\n"
    )


def test_packages_fit_together(job: Callable[[str], str]) -> None:
    assert job("pip check").strip() == "No broken requirements found."


def test_jupyter_starts_without_building_a_grammar(job: Callable[[str], str]) -> None:
    loaded = job("python -c 'import sys, jupyterlab.labapp; print(*sys.modules)'").split()
    assert "jsonschema" in loaded
    assert "lark" not in loaded


@pytest.mark.own
def test_size(image: str, tool: str) -> None:
    if tool != "docker":
        pytest.skip("the size is the one that Docker's engine tells")
    assert int(run("docker", "image", "inspect", "-f", "{{.Size}}", image)) <= LIMIT_BYTES


def test_what_is_installed_is_listed_and_locked(job: Callable[[str], str]) -> None:
    listed = json.loads(job("cat /usr/share/sbom/python.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    names = {f"{each['name']}=={each['version']}" for each in listed["components"]}
    assert names == set(job("python -I -c " + shlex.quote(INSTALLED)).split())
    locks = job("cat /usr/share/environments/*/requirements.lock")
    assert names <= set(re.findall(r"^[a-z0-9._-]+==[^ ;]+", locks, flags=re.MULTILINE))
