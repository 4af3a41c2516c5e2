"""Clusters that run jobs, by the real engine: each is a stack, which fails and goes by itself."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dap.engine import Prepared
from dap.errors import DapError, InputError
from dap.plan import Plan, make_plan, secret_specs
from dap.render import render
from dap.secrets import Vault, open_vault
from dap.settings import Settings
from dap.stack import clusters
from dap.stack.live import connected

from tests.cluster import image
from tests.gitlab.forge import catalogue
from tests.pulumi.platform import Addressed
from tests.pulumi.standin.serve import served
from tests.pulumi.standin.store import Memory
from tests.pulumi.standin.values import Object
from tests.unit.cluster.conftest import BESIDE
from tests.unit.cluster.server import Server, serving

# Where a run fails, Pulumi's SDK leaves its event loop open, which is found at any time later.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# The package has its verb by the module's name.
deploying = importlib.import_module("dap.stack.deploy")
planning = importlib.import_module("dap.stack.plan")
TOKEN = "value-of-the-kubeconfig-x7"
GPU = {"name": "gpu", "context": "lab", "gpus": 1}
MAY = {"get namespaces", "patch namespaces"}
FAR = {"name": "far", "context": "far", "namespace": "guests"}


def kubeconfig(context: str) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": context, "cluster": {"server": "https://10.0.0.9:6443"}}],
            "users": [{"name": context, "user": {"token": TOKEN}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        }
    )


class Ready:
    """What a cluster would be asked once its objects are there: tests/cluster asks a real one."""

    def refuse(self, *_: object) -> None:
        """Take all."""

    def drift(self, *_: object) -> list[str]:
        """Find all as it was made."""
        return []

    def sweep(self, *_: object) -> None:
        """Find nothing that is left over."""

    def await_ready(self, *_: object) -> None:
        """Find all ready."""

    def address(self, name: str) -> str:
        """The address of every Service."""
        return f"10.96.0.{len(name)}"


@contextmanager
def ready(_: object) -> Iterator[Ready]:
    yield Ready()


class Lab:
    """A project whose clusters are dictionaries, one for each context."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contexts: dict[str, Memory] = {}
        self.told: list[str] = []
        self.vault: Vault = open_vault(root, "dap")
        for each in (GPU, FAR):
            name, context = str(each["name"]), str(each["context"])
            self.vault.set(f"clusters/{name}/kubeconfig", kubeconfig(context))

    def connect(self, configuration: Object) -> Memory:
        """The cluster of a provider's context."""
        return self.contexts.setdefault(configuration["context"], Memory())

    def prepared(self, *listed: dict[str, Any], **more: Any) -> Prepared:
        """The project with these clusters."""
        settings = Settings.model_validate({**BESIDE, **more, "clusters": list(listed)})
        plan: Plan = make_plan(settings, catalogue())
        specs = secret_specs(plan)
        new = tuple(self.vault.ensure(specs))
        for name in (*specs, "tls/ca-certificate", "tls/certificate", "tls/key"):
            if name not in self.vault.names():
                self.vault.put(name, f"value-of-{name.replace('/', '-')}-x7")
        return Prepared(self.root, plan, self.vault, new, ())

    def deploy(self, *listed: dict[str, Any], **more: Any) -> dict[str, list[str]]:
        """What a deploy to these clusters changed."""
        done = clusters.deploy(self.prepared(*listed, **more), self.told.append)
        return {each.cluster: [str(change) for change in each.changes] for each in done}

    def there(self, context: str) -> set[tuple[str, str]]:
        """What is in a cluster: kind and name."""
        return {(key[1], key[3]) for key in self.contexts[context].objects}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAP_VAULT_KEY_FILE", raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    monkeypatch.setenv("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    monkeypatch.setenv("PATH", str(image.tool("pulumi").parent), prepend=":")
    monkeypatch.setattr(clusters, "connected", ready)
    made = Lab(root)
    with served(made.connect) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield made


def test_each_cluster_gets_its_own_and_the_next_deploy_does_nothing(lab: Lab) -> None:
    done = lab.deploy(GPU, FAR)
    assert set(done) == {"gpu", "far"}
    for context, namespace in (("lab", "dap-gpu"), ("far", "guests")):
        found = lab.there(context)
        assert ("Namespace", namespace) in found
        for kind in ("Deployment", "Role", "RoleBinding", "ServiceAccount", "Secret", "ConfigMap"):
            assert (kind, "gitlab-runner") in found
        assert ("Secret", "registry.pull") in found
        assert {name for kind, name in found if kind in ("ResourceQuota", "LimitRange")} == {"dap"}
    assert {line.partition(": ")[0] for line in lab.told} >= {"gpu", "far"}
    assert lab.deploy(GPU, FAR) == {"gpu": [], "far": []}


def test_a_plan_tells_what_a_deploy_would_do_and_leaves_no_state(lab: Lab) -> None:
    first = lab.prepared(GPU)
    assert "cluster/state-passphrase" in first.new_secrets
    (found,) = clusters.plan(first, lab.told.append)
    assert {change.operation for change in found.changes} == {"create"}
    assert "gpu: create Deployment/gitlab-runner" in lab.told
    assert clusters.stacks(first) == []
    lab.deploy(GPU)
    (found,) = clusters.plan(lab.prepared({**GPU, "slots": 5}), lab.told.append)
    changed = {change.thing: change for change in found.changes}
    assert set(changed) == {
        *("ResourceQuota/dap", "Secret/gitlab-runner", "Deployment/gitlab-runner"),
    }
    assert all(change.operation == "update" for change in changed.values())
    assert lab.deploy({**GPU, "slots": 5})["gpu"] == [str(each) for each in found.changes]


def test_a_new_token_reaches_the_cluster_that_it_is_for(lab: Lab) -> None:
    lab.deploy(GPU, FAR)
    lab.vault.put("gitlab-runner/token-gpu", "glrt-another")
    done = lab.deploy(GPU, FAR)
    assert done["far"] == []
    assert {line.split(":")[0] for line in done["gpu"]} == {
        *("update Secret/gitlab-runner", "update Deployment/gitlab-runner"),
    }


def test_a_cluster_that_is_gone_from_the_settings_is_taken_off(lab: Lab) -> None:
    lab.deploy(GPU, FAR)
    planned = clusters.plan(lab.prepared(GPU), lab.told.append)
    assert [str(change) for each in planned for change in each.changes] == ["delete far"]
    done = lab.deploy(GPU)
    assert done["gpu"] == []
    assert len(done["far"]) > 5
    assert lab.there("far") == set()
    assert ("Deployment", "gitlab-runner") in lab.there("lab")
    assert clusters.stacks(lab.prepared(GPU)) == ["gpu"]
    assert lab.deploy(GPU) == {"gpu": []}


def test_one_that_is_gone_for_good_is_forgotten_unasked(lab: Lab) -> None:
    lab.deploy(GPU, FAR)
    prepared = lab.prepared(GPU)
    with pytest.raises(InputError, match="yml still names it"):
        clusters.forget(prepared, "gpu")
    assert clusters.forget(prepared, "other") is False
    assert clusters.forget(prepared, "far") is True
    assert lab.deploy(GPU) == {"gpu": []}
    assert ("Deployment", "gitlab-runner") in lab.there("far")


def test_a_cluster_that_fails_keeps_no_other_from_being_deployed(lab: Lab) -> None:
    lab.connect({"context": "lab"}).refuses.add("registry.pull")
    with pytest.raises(DapError, match=r"cluster gpu: Pulumi failed: .*registry.pull is refused"):
        lab.deploy(GPU, FAR)
    assert ("Deployment", "gitlab-runner") in lab.there("far")
    assert ("Deployment", "gitlab-runner") not in lab.there("lab")
    lab.contexts["lab"].refuses.clear()
    assert lab.deploy(GPU, FAR)["far"] == []
    assert ("Deployment", "gitlab-runner") in lab.there("lab")


def test_destroy_leaves_nothing_anywhere(lab: Lab) -> None:
    lab.deploy(GPU, FAR)
    prepared = lab.prepared(GPU)
    done = clusters.destroy(prepared, lab.told.append)
    assert {each.cluster for each in done} == {"gpu", "far"}
    assert lab.there("lab") == lab.there("far") == set()
    assert clusters.destroy(prepared, lab.told.append) == []
    assert len(lab.deploy(GPU)["gpu"]) > 5


def test_a_context_that_the_kubeconfig_lacks_is_refused_before_anything(lab: Lab) -> None:
    with pytest.raises(InputError) as caught:
        clusters.check(lab.prepared(GPU, {**FAR, "context": "fra"}), lab.told.append)
    message = caught.value.message
    assert "clusters[1].context: is no context of the secret clusters/far/kubeconfig" in message
    assert message.endswith("allowed: far")
    assert lab.contexts == {}
    clusters.check(lab.prepared(GPU, FAR), lab.told.append)
    assert lab.told == []


def test_what_a_cluster_refuses_is_told_before_anything_and_one_without_answer_keeps_nobody(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "connected", connected)
    foreign = {"/api/v1/namespaces/dap-gpu": {"metadata": {"name": "dap-gpu"}}}
    with ExitStack() as context:
        for name, server in (("gpu", Server(foreign, wide=MAY)), ("poor", Server(rules=[]))):
            folder = tmp_path / name
            folder.mkdir()
            config = context.enter_context(serving(server, folder))
            lab.vault.put(f"clusters/{name}/kubeconfig", config.read_text())
        listed = [{**GPU, "context": "here"}, {**GPU, "name": "poor", "context": "here"}]
        with pytest.raises(InputError) as caught:
            clusters.check(lab.prepared(*listed), lab.told.append)
        lines = caught.value.message.splitlines()
        start = "platform.yml:1: clusters"
        assert lines[0].startswith(f"cluster gpu: {start}[0].namespace: Namespace dap-gpu is there")
        assert lines[2].startswith(f"cluster poor: {start}[1].context: here may not do all that")
        assert lines[3].startswith(f"cluster poor: {start}[1].context: here has not itself what")
        assert lab.told == []
        # What is wrong with one that answers is told, whoever does not.
        (tmp_path / "far").mkdir()
        with serving(Server(), tmp_path / "far") as config:
            lab.vault.put("clusters/far/kubeconfig", config.read_text())
        clusters.check(lab.prepared({**FAR, "context": "here"}), lab.told.append)
        (line,) = lab.told
        assert line.startswith("far: the cluster of context here does not answer: ")
        assert line.endswith("; going on without")
        listed.append({**FAR, "context": "here"})
        with pytest.raises(InputError, match="cluster gpu: "):
            clusters.check(lab.prepared(*listed), lab.told.append)
    assert lab.contexts == {}


def test_a_kubeconfig_that_the_vault_has_not_is_asked_for(lab: Lab) -> None:
    with pytest.raises(InputError, match="clusters/new/kubeconfig: is missing") as caught:
        lab.prepared({"name": "new", "context": "a"})
    assert ".venv/bin/dap secret clusters/new/kubeconfig" in caught.value.hint


def test_neither_kubeconfig_nor_other_secrets_are_plain_in_what_is_kept(lab: Lab) -> None:
    lab.deploy(GPU)
    lab.deploy({**GPU, "slots": 7})
    files = [path for path in (lab.root / ".dap").rglob("*") if path.is_file()]
    assert len(files) > 3
    secrets = {TOKEN, lab.vault.get("cluster/state-passphrase")}
    secrets |= {lab.vault.get("gitlab-runner/token-gpu"), lab.vault.get("gitlab-runner/cache-key")}
    for path in files:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        for secret in secrets:
            assert secret not in text, path


class Giving(Ready):
    """A cluster whose content gets the runner's token in its first run."""

    def __init__(self) -> None:
        self.ran = 0
        self.fails = False

    def drift(self, *_: object) -> list[str]:
        """Have all as it was asked for."""
        return []

    def named(self, *_: object) -> dict[str, Any]:
        """Have no server of names."""
        return {}

    def await_started(self, *_: object) -> None:
        """Find all started."""

    def run(self, task: dict[str, Any]) -> str:
        """What content says."""
        assert task["metadata"]["name"] == "content"
        self.ran += 1
        if self.fails:
            raise DapError("task content failed")
        return f'{{"changed": {int(self.ran == 1)}}}'

    def read(self, task: dict[str, Any], volume: str, name: str) -> str:
        """What content keeps until the vault has it."""
        assert (task["metadata"]["name"], volume, name) == ("content", "content-kept", "kept.json")
        return json.dumps({"gitlab-runner/token-jobs": "glrt-given"}) if self.ran == 1 else ""


@pytest.fixture
def giving(monkeypatch: pytest.MonkeyPatch) -> Giving:
    made = Giving()

    @contextmanager
    def connecting(_: object) -> Iterator[Giving]:
        yield made

    for module in (deploying, planning):
        monkeypatch.setattr(module, "connected", connecting)
    return made


def on_a_cluster(lab: Lab) -> Prepared:
    (lab.root / "kubeconfig").write_text(kubeconfig("here"))
    lab.contexts["here"] = Addressed()
    cluster = {"context": "here", "kubeconfig": "kubeconfig"}
    prepared = lab.prepared(target="kubernetes", cluster=cluster)
    return replace(prepared, trees=render(prepared.plan, lab.vault))


def test_a_platform_in_a_cluster_brings_its_runner_the_token_that_content_got(
    lab: Lab, giving: Giving
) -> None:
    prepared = on_a_cluster(lab)
    lab.vault.put("gitlab-runner/token-jobs", "")
    done = deploying.deploy(prepared, lab.told.append)
    assert giving.ran == 2
    assert done.content == 1
    assert lab.vault.get("gitlab-runner/token-jobs") == "glrt-given"
    assert [str(each) for each in done.changes if each.operation == "update"] == [
        "update Secret/content: data.vault.json"
    ]
    (jobs,) = clusters.deploy(prepared, lab.told.append)
    assert jobs.cluster == "jobs"
    found = {(key[1], key[2], key[3]): each for key, each in lab.contexts["here"].objects.items()}
    held = found["Secret", "dap-jobs", "gitlab-runner"]["data"]["config.toml"]
    assert 'token = "glrt-given"' in base64.b64decode(held).decode()
    # Where the platform's own entry is; none of the settings says that.
    runner = found["Deployment", "dap-jobs", "gitlab-runner"]["spec"]["template"]["spec"]
    assert {each["ip"] for each in runner["hostAliases"]} == {f"10.96.0.{len('nginx-proxy')}"}
    assert ("Secret", "dap", "gitlab-runner") not in found
    assert ("Deployment", "dap", "gitlab-runner") not in found
    # No more of it is left to do.
    again = replace(prepared, trees=render(prepared.plan, lab.vault), new_secrets=())
    done = deploying.deploy(again, lab.told.append)
    assert (done.changes, done.content, giving.ran) == ((), 0, 3)
    clusters.destroy(again, lab.told.append)
    assert {key[2] for key in lab.contexts["here"].objects if key[2]} == {"dap"}


def test_a_token_that_content_got_before_it_failed_is_not_lost(lab: Lab, giving: Giving) -> None:
    prepared = on_a_cluster(lab)
    giving.fails = True
    with pytest.raises(DapError, match="task content failed"):
        deploying.deploy(prepared, lab.told.append)
    assert open_vault(lab.root, "dap").get("gitlab-runner/token-jobs") == "glrt-given"


def test_pulumi_that_is_not_there_is_told_before_anything(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="pulumi is not installed, which clusters need"):
        clusters.check(lab.prepared(GPU), lab.told.append)
    # Nothing is asked of a project without clusters.
    clusters.check(replace(lab.prepared(), new_secrets=()), lab.told.append)
