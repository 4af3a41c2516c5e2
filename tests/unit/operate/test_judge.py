"""What is said about a platform, from facts as a host tells them."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from dap.cli._report import console
from dap.findings import Finding
from dap.status import HostStatus, Survey, judge
from dap.status.judge import size
from dap.status.table import show
from rich.console import Console

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


def certificate(begin: dt.timedelta, end: dt.timedelta) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW + begin).not_valid_after(NOW + end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


GOOD = certificate(-dt.timedelta(days=1), dt.timedelta(days=365))


def container(**changes: Any) -> dict[str, Any]:
    return {
        "service": "app",
        "container": "dap-app-1",
        "id": "1" * 64,
        "image": "dap/app:1",
        "digest": "sha256:" + "a" * 64,
        "state": "running",
        "health": "healthy",
        "said": "",
        "exit_status": 0,
        "rests": False,
        "last_words": "",
        "error": "",
        "out_of_memory": False,
        "oom_kills": 0,
        "restarts": 0,
        "started": "2026-06-01T11:00:00.123456789Z",
        "finished": "0001-01-01T00:00:00Z",
        "cpu_percent": 1.25,
        "memory_used": 100 * 2**20,
        "memory_limit": 512 * 2**20,
        **changes,
    }


def facts(*containers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "plan": {
            "host": "local",
            "settings": {"tls": {"certificate": "", "key": ""}, "workspaces": [{"name": "desk"}]},
            "services": [
                {"name": "app", "host": "local", "image": "dap/app:1", "task": False},
                {"name": "content", "host": "local", "image": "dap/content:1", "task": True},
                {"name": "elsewhere", "host": "other", "image": "dap/app:1", "task": False},
            ],
            "routes": [{"service": "app", "host": "local", "url": "https://app.test"}],
            "streams": [
                {"service": "app", "host": "local", "hostname": "app.test", "listen": 2201},
                {"service": "app", "host": "other", "hostname": "other.test", "listen": 2201},
            ],
        },
        "engine": {"version": "26.1"},
        "containers": list(containers),
        "disks": [
            {
                "places": ["/srv"],
                "total": 2**40,
                "used": 2**39,
                "free": 2**39,
                "left": 0.5,
                "level": "ok",
            }
        ],
        "watched": [],
        "certificates": {"server": {"pem": GOOD}, "authority": {"pem": GOOD}},
        **changes,
    }


def test_all_is_well() -> None:
    status = judge(facts(container()), NOW)
    assert status.findings == ()
    (row,) = status.rows  # no task, and nothing of another host
    assert (row.service, row.state, row.health, row.well) == ("app", "running", "healthy", True)
    assert row.addresses == ("https://app.test", "app.test:2201")
    assert [each.days for each in status.certificates] == [365, 365]


def test_what_was_stopped_on_purpose_is_well() -> None:
    resting = container(
        state="exited",
        rests=True,
        last_words="stopped after 8h without use",
        finished="2026-06-01T09:00:00Z",
        image="dap/app:0",  # it is made anew when somebody starts it
    )
    status = judge(facts(resting), NOW)
    (row,) = status.rows
    assert (row.state, row.health, row.well) == ("stopped", "", True)
    (finding,) = status.findings
    assert (finding.level, finding.where) == ("ok", "app")
    assert finding.what == "is stopped since 3 h: stopped after 8h without use"
    assert finding.remedy == "make workspace NAME=app start"


@pytest.mark.parametrize(
    ("changes", "level", "words", "remedy"),
    [
        (
            {"state": "exited", "exit_status": 3, "finished": "2026-06-01T11:48:00.1Z"},
            "problem",
            "is stopped since 12 min, exit status 3",
            "make deploy starts it",
        ),
        (
            {"state": "exited", "exit_status": 137, "out_of_memory": True},
            "problem",
            "exit status 137, out of memory (limit 512M)",
            "SERVICE=app",
        ),
        (
            {"state": "restarting", "exit_status": 1, "restarts": 7},
            "problem",
            "again and again (7 times), exit status 1",
            "SERVICE=app",
        ),
        ({"state": "paused"}, "problem", "is paused", "docker unpause dap-app-1"),
        ({"state": "created", "error": "no port"}, "problem", "never started: no port", "deploy"),
        (
            {"health": "unhealthy", "said": "Traceback\n  line\nrefused hush\n"},
            "problem",
            "is unhealthy: refused [hidden]",
            "SERVICE=app",
        ),
        ({"health": "starting"}, "problem", "is starting since 1 h", "wait"),
        ({"oom_kills": 2}, "warning", "killed 2 of its processes", "resources.app"),
        ({"memory_used": 500 * 2**20}, "warning", "uses 500M of 512M", "resources.app"),
        ({"restarts": 1}, "warning", "was started again (1 times)", "SERVICE=app"),
        ({"image": "dap/app:0"}, "warning", "runs dap/app:0, deployed is dap/app:1", "deploy"),
    ],
)
def test_what_is_wrong_with_a_service(
    changes: dict[str, Any], level: str, words: str, remedy: str
) -> None:
    status = judge(facts(container(**changes)), NOW, lambda text: text.replace("hush", "[hidden]"))
    (finding,) = status.findings
    assert (finding.level, finding.host, finding.where) == (level, "local", "app")
    assert words in finding.what
    assert remedy in finding.remedy
    assert status.rows[0].well is (level != "problem")


def test_a_service_without_a_container_and_a_container_without_a_service() -> None:
    status = judge(facts(container(service="old")), NOW)
    assert [(each.level, each.where, each.what) for each in status.findings] == [
        ("problem", "app", "has no container"),
        ("warning", "old", "runs, but was not deployed"),
    ]
    assert [(row.service, row.state) for row in status.rows] == [
        ("app", "missing"),
        ("old", "running"),
    ]


def test_more_memory_for_a_workspace() -> None:
    status = judge(facts(container(), container(service="desk", oom_kills=1)), NOW)
    assert "of the workspace desk" in status.findings[-1].remedy


def test_an_engine_that_does_not_answer_is_told_once() -> None:
    (finding,) = judge(facts(engine={"error": "refused"}), NOW).findings
    assert (finding.level, finding.where) == ("problem", "docker")


@pytest.mark.parametrize("level", ["ok", "warning", "problem"])
def test_a_disk_is_as_the_host_judged_it(level: str) -> None:
    disk = {**facts()["disks"][0], "level": level, "left": 0.02}
    found = judge(facts(container(), disks=[disk]), NOW).findings
    assert [each.level for each in found] == ([] if level == "ok" else [level])
    assert all("(2%) free for /srv" in each.what for each in found)


def test_what_a_timer_of_the_host_found_is_told() -> None:
    found = {"level": "problem", "where": "disk", "what": "0.1 GiB (1%) free on /boot"}
    (finding,) = judge(facts(container(), watched=[{**found, "remedy": "free some"}]), NOW).findings
    assert (finding.level, finding.where, finding.remedy) == ("problem", "disk", "free some")
    assert finding.what == "0.1 GiB (1%) free on /boot"


@pytest.mark.parametrize(
    ("begin", "end", "level", "words"),
    [
        (-9, -1, "problem", "the server's certificate ended on 2026-05-31"),
        (-9, 29, "warning", "ends on 2026-06-30"),
        (-9, 31, "", ""),
        (1, 99, "problem", "is not valid before 2026-06-02"),
    ],
)
def test_a_certificate(begin: int, end: int, level: str, words: str) -> None:
    shown = certificate(dt.timedelta(days=begin), dt.timedelta(days=end))
    told = {"server": {"pem": shown}, "authority": {"pem": GOOD}}
    found = judge(facts(container(), certificates=told), NOW).findings
    assert [each.level for each in found] == ([level] if level else [])
    assert all(words in each.what for each in found)


def test_renewing_a_certificate_of_ones_own_needs_its_files() -> None:
    given = facts(container())
    given["certificates"]["server"]["pem"] = certificate(
        -dt.timedelta(days=9), -dt.timedelta(days=1)
    )
    assert judge(given, NOW).findings[0].remedy == "make deploy"
    given["plan"]["settings"]["tls"]["certificate"] = "platform.pem"
    assert "replace the files" in judge(given, NOW).findings[0].remedy


def survey(status: HostStatus, *silent: Finding) -> Survey:
    return Survey("dap", (status,), silent, ())


def test_exit_status() -> None:
    well, unwell = (judge(facts(container(state=s)), NOW) for s in ("running", "exited"))
    warned = judge(facts(container(restarts=1)), NOW)
    assert [survey(each).status for each in (well, warned, unwell)] == [0, 0, 1]
    silent = Finding("problem", "far", "host", "did not answer", "ssh far")
    assert survey(well, silent).status == 2
    assert survey(well, silent).data()["ok"] is False


@pytest.mark.parametrize("width", [80, 100, 160, 240])
def test_the_table_fits(width: int) -> None:
    names = ("a-workspace-of-somebody", "app")
    given = facts(*(container(service=name) for name in names))
    given["plan"]["routes"] = [
        {"service": name, "host": "local", "url": f"https://{name}.data.example.org"}
        for name in names
    ]
    out = io.StringIO()
    shown = Console(file=out, width=width, force_terminal=True, color_system=None)
    show(survey(judge(given, NOW)), shown)
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    # Whole or folded, an address loses nothing.
    if width >= 100:
        assert "a-workspace-of-somebody.data.example.org" in out.getvalue()
    assert ("dap/app:1" in out.getvalue()) is (width >= 160)


def test_lines_of_words_are_whole_in_a_narrow_window(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    disk = {**facts()["disks"][0], "places": ["/a/folder/of/a/platform", "/a/folder/of/images"]}
    show(survey(judge(facts(container(), disks=[disk]), NOW)), console(as_json=False))
    said = capsys.readouterr().out
    assert "used: /a/folder/of/a/platform and /a/folder/of/images on " in said
    # Unlike these, a table is made to fit.
    assert max(len(line) for line in said.splitlines()[:2]) <= 40


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, ""),
        (0, "0M"),
        (512 * 2**20, "512M"),
        (2**30, "1G"),
        (1024 * 2**20 * 3 // 2, "1.5G"),
        (64 * 2**30, "64G"),
    ],
)
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text
