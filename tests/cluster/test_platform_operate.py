"""`make logs` and `make doctor` of the platform on the cluster."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import threading
import time
from typing import Any

from demo.access import await_result
from tests.cluster.platform import ClusterPlatform
from tests.cluster.space import STRAY, Space, pod, stray

READY_S = 120
SERVICE = "talker"
# Each run of the container has a name of its own, which it says, and ends where it is told to.
TALK = """
run=$(cat /proc/sys/kernel/random/uuid)
echo "run $run begins with {secret}"
while [ ! -e /tmp/end ]; do sleep 0.2; done
echo "run $run ends"
exit 3
"""


def talker(platform: ClusterPlatform, name: str = STRAY, secret: str = "nothing") -> dict[str, Any]:
    """A pod that seems to be of the platform's, as one that crashes."""
    labels = {
        "test": STRAY,
        "app.kubernetes.io/name": SERVICE,
        "app.kubernetes.io/part-of": platform.project.name,
    }
    made = pod(name, TALK.format(secret=secret), labels=labels)
    made["spec"]["volumes"] = []
    return made


def crash(here: Space, name: str = STRAY) -> None:
    """Have the container end, and await that it was started anew."""

    def restarts() -> int:
        (status,) = here.get("pod", name)["status"]["containerStatuses"]
        return int(status["restartCount"]) if "running" in status["state"] else -1

    before = restarts()
    here.kubectl("exec", name, "--", "touch", "/tmp/end")
    await_result("its next run", lambda: restarts() > before or None, READY_S)


def logs(platform: ClusterPlatform, *arguments: str) -> list[dict[str, str]]:
    """What `dap logs` shows."""
    done = platform.dap("logs", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_logs_of_all_services_are_by_time(platform: ClusterPlatform) -> None:
    told = logs(platform, "--lines", "200")
    assert [each["time"] for each in told] == sorted(each["time"] for each in told)
    assert len(told) <= 200
    assert {each["host"] for each in told} == {"cluster"}
    assert len({each["service"] for each in logs(platform, "--since", "1h")}) > 5
    (last,) = logs(platform, "--service", "postgres-service", "--lines", "1")
    assert last["service"] == "postgres-service"


def test_a_service_that_is_not_there_is_refused_with_those_that_are(
    platform: ClusterPlatform,
) -> None:
    done = platform.dap("logs", "--service", "mlfow")
    assert done.returncode == 2
    assert "no service is called mlfow; there are: mlflow (nearest), " in done.stderr


def test_what_crashed_shows_its_run_before_and_no_secret(
    platform: ClusterPlatform, here: Space
) -> None:
    here.apply(talker(platform, secret=platform.admin.password))
    here.wait("condition=Ready", f"pod/{STRAY}")
    crash(here)
    said = [each["text"] for each in logs(platform, "--service", SERVICE)]
    assert len(said) == 3, said
    first, ended, again = said
    assert platform.admin.password not in "".join(said)
    assert first.endswith("begins with [masked]")
    assert ended.split()[1] == first.split()[1] != again.split()[1]
    assert logs(platform, "--service", SERVICE, "--since", "2200-01-01") == []


def lines(process: subprocess.Popen[str]) -> queue.Queue[str]:
    """What a process prints, by lines; an empty one is its end."""
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        while line := process.stdout.readline():
            found.put(line)
        found.put("")

    threading.Thread(target=read, daemon=True).start()
    return found


def test_follow_goes_on_with_what_is_started_anew(platform: ClusterPlatform, here: Space) -> None:
    """In the same pod and in another one; nothing twice, and Control-C is its good end."""
    here.apply(talker(platform))
    here.wait("condition=Ready", f"pod/{STRAY}")
    with platform.begun("logs", "--service", SERVICE, "--follow") as process:
        said = lines(process)
        told = [said.get(timeout=READY_S)]
        crash(here)
        told += [said.get(timeout=READY_S) for _ in range(2)]
        here.apply(talker(platform, f"{STRAY}-2"))
        told.append(said.get(timeout=READY_S))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=READY_S) == 0
        assert process.stderr is not None
        assert (said.get(timeout=READY_S), process.stderr.read()) == ("", "")
    found = [re.fullmatch(r"run (\S+) (begins|ends).*\n", line) for line in told]
    assert all(found), told
    runs = [(each[1], each[2]) for each in found if each]
    assert [what for _, what in runs] == ["begins", "ends", "begins", "begins"]
    assert len(set(runs)) == 4
    assert len({run for run, _ in runs}) == 3


def doctor(platform: ClusterPlatform) -> dict[str, Any]:
    """What `dap doctor` finds; its exit status is as it says."""
    done = platform.dap("doctor", "--json")
    assert done.returncode in (0, 1), f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return found


def of(found: dict[str, Any], *levels: str) -> dict[str, str]:
    """What was found, by where it is."""
    told = [each for each in found["findings"] if each["level"] in levels]
    assert all(each["remedy"] for each in told if each["level"] != "ok")
    return {each["where"]: each["what"] for each in told}


def test_doctor_of_a_platform_that_is_well(platform: ClusterPlatform) -> None:
    found = doctor(platform)
    assert found["deployed"]
    # How full this machine's disk is, and what names it knows, is no matter of the platform.
    assert of(found, "problem").keys() <= {"disk"}
    assert of(found, "warning").keys() <= {"disk", "names", *restarted(platform)}
    well = of(found, "ok")
    assert {"version", "deploy", "room", "images", "services", "volumes"} <= well.keys()
    assert "days left" in well["certificate"]
    assert well["policies"].startswith("they are enforced: ")


def restarted(platform: ClusterPlatform) -> set[str]:
    """Services that other tests had started again, by a power cut."""
    return {
        each["metadata"]["labels"]["app.kubernetes.io/name"]
        for each in platform.pods().values()
        if any(status["restartCount"] for status in each["status"]["containerStatuses"])
    }


def test_doctor_tells_what_is_wrong(platform: ClusterPlatform, here: Space) -> None:
    everyone = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    rules: dict[str, Any] = {"ingress": [{}], "egress": [{}]}
    size = {"requests": {"storage": "1Mi"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": size, "storageClassName": "nowhere"}
    here.apply(
        talker(platform),
        stray("PersistentVolumeClaim", spec=claim),
        stray("NetworkPolicy", "networking.k8s.io/v1", spec=everyone | rules),
    )
    here.wait("condition=Ready", f"pod/{STRAY}")
    crash(here)
    here.kubectl("set", "image", "deployment/portal", "portal=dap/none:none")
    try:
        pulled = "ErrImageNeverPull"

        def wrong() -> dict[str, Any] | None:
            found = doctor(platform)
            said = of(found, "problem")
            complete = pulled in said.get("portal", "") and {STRAY, "policies"} <= said.keys()
            return found if complete and "not found" in said[STRAY] else None

        found = await_result("all that is wrong", wrong, READY_S, 1)
        said = of(found, "problem")
        assert said[STRAY].startswith("the volume is Pending: ")
        assert said["policies"].startswith("they are not enforced: ")
        again = of(found, "warning")[SERVICE]
        assert again == "ended and was started again (1 times), last with exit status 3"
        assert platform.dap("doctor").returncode == 1
    finally:
        here.kubectl("rollout", "undo", "deployment/portal")
        here.kubectl("rollout", "status", "deployment/portal", f"--timeout={READY_S}s")


def test_doctor_before_a_deploy(platform: ClusterPlatform) -> None:
    """Nothing is there, and what would keep a deploy from working is told, as it refuses it."""
    name = f"{platform.project.name}-bare"
    with platform.cluster_settings(namespace=name, storage_class="nowhere"):
        found = doctor(platform)
        assert not found["deployed"]
        assert of(found, "problem").keys() == {"deploy"}
        said = [each["what"] for each in found["findings"] if each["where"] == "deploy"]
        # Its ports are those of the one that is there.
        assert any("is taken by Service nginx-proxy of namespace" in each for each in said)
        what = "cluster.storage_class: is no storage class of the cluster"
        assert any(what in each for each in said)
    with platform.cluster_settings(context="nowhere"):
        (only,) = doctor(platform)["findings"]
        assert (only["level"], only["where"]) == ("problem", "context")
        assert "allowed: cluster" in only["what"]
    (here,) = platform.cluster.get("namespaces", "--field-selector", f"metadata.name={name}")[
        "items"
    ] or (None,)
    assert here is None, "a look makes nothing"


def test_doctor_of_a_cluster_that_does_not_answer(platform: ClusterPlatform) -> None:
    file = platform.project.directory / "kubeconfig-of-nobody"
    text = platform.cluster.kubeconfig.read_text(encoding="utf-8")
    address = platform.cluster.addresses.node
    file.touch(mode=0o600)
    file.write_text(text.replace(str(address), "127.0.0.1"), encoding="utf-8")
    begun = time.monotonic()
    with platform.cluster_settings(kubeconfig=str(file)):
        (only,) = doctor(platform)["findings"]
    assert "the cluster of context cluster does not answer" in only["what"]
    assert only["remedy"] == "try: kubectl --context cluster version"
    assert time.monotonic() - begun < READY_S
