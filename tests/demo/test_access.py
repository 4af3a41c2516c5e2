"""Who gets in: nobody without a name, and no secret out."""

import json
import re
import socket
import ssl

import pytest
import requests

from demo.access import SYSTEM_CA
from demo.project import REPOSITORY
from tests.demo.conftest import Platform


def test_http_leads_to_https(platform: Platform) -> None:
    for host in (platform.domain, f"mlflow.{platform.domain}"):
        answer = requests.get(f"http://{host}/a?b=c", timeout=10, allow_redirects=False)
        assert answer.status_code in {301, 308}
        assert answer.headers["Location"] == f"https://{host}/a?b=c"


def test_every_route_refuses_who_gives_no_name(platform: Platform) -> None:
    routes = platform.plan["routes"]
    assert len(routes) >= 5
    for route in routes:
        answer = requests.get(
            route["url"] + route["refuses"],
            verify=str(SYSTEM_CA),
            timeout=30,
            allow_redirects=False,
        )
        assert answer.status_code in {401, 403}, f"{answer.url}: {answer.status_code}"


def test_a_wrong_password_is_refused(platform: Platform) -> None:
    for host in ("mlflow", "git"):
        answer = requests.get(
            platform.admin.url(host),
            auth=("admin", "wrong"),
            verify=str(SYSTEM_CA),
            timeout=30,
        )
        assert answer.status_code == 401


def test_the_start_page_links_to_what_runs(platform: Platform) -> None:
    answer = platform.admin.request("GET", "")
    assert answer.status_code == 200
    for route in platform.plan["routes"]:
        if route["portal"] and route["portal"]["page"]:
            assert route["url"] in answer.text, route["name"]


def test_an_unknown_name_gets_nothing(platform: Platform) -> None:
    context = ssl.create_default_context(cafile=str(SYSTEM_CA))
    with (
        socket.create_connection((platform.project.address, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=f"mlflow.{platform.domain}") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: evil.example.org\r\nConnection: close\r\n\r\n")
        answer = tls.recv(100)
    assert re.match(rb"HTTP/1.1 (400|403|404|421) ", answer) or answer == b""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(platform: Platform) -> None:
    context = ssl.create_default_context(cafile=str(SYSTEM_CA))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((platform.project.address, 443), timeout=10) as plain,
        pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"),
    ):
        context.wrap_socket(plain, server_hostname=platform.domain)


def test_only_the_proxy_publishes_ports_and_only_here(platform: Platform) -> None:
    published = {
        (name, binding["HostIp"])
        for name, container in platform.containers().items()
        for bindings in (container.attrs["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert len({name for name, _ in published}) == 1
    assert {ip for _, ip in published} == {platform.project.address}


def test_containers_run_with_little(platform: Platform) -> None:
    roots, writable = [], []
    for name, container in platform.containers().items():
        host = container.attrs["HostConfig"]
        assert not host["Privileged"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert container.attrs["Config"].get("Healthcheck"), name
        if container.attrs["Config"]["User"].split(":")[0] in {"", "0", "root"}:
            roots.append(name)
        if not host["ReadonlyRootfs"]:
            writable.append(name)
        sockets = [m for m in container.attrs["Mounts"] if m["Source"].endswith("docker.sock")]
        assert not sockets or name in roots, name
    # The worker of the pipelines starts the jobs' containers.
    assert len(roots) <= 1
    assert len(writable) <= 1


def test_all_are_healthy(platform: Platform) -> None:
    health = {n: c.attrs["State"]["Health"]["Status"] for n, c in platform.containers().items()}
    assert len(health) >= 8
    assert set(health.values()) == {"healthy"}


def test_no_secret_in_inspect_logs_or_the_repository(platform: Platform) -> None:
    secrets = platform.secrets()
    assert len(secrets) > 10
    places = {}
    for name, container in platform.containers(stopped=True).items():
        places[f"docker inspect {name}"] = json.dumps(container.attrs)
        places[f"logs of {name}"] = container.logs().decode(errors="replace")
    places["logs of jobs"] = platform.execute(
        "pipelines", "sh", "-c", f"cat /var/lib/pipelines/{REPOSITORY}/*/logs/*"
    )
    assert "Z image " in places["logs of jobs"]
    places["the repository"] = platform.project.git("log", "-p", "--all")
    places["the answer to the push"] = platform.outcome.answer
    leaks = [place for place, text in places.items() if any(secret in text for secret in secrets)]
    assert leaks == []
