"""The inventory gives each role what it asks for: nothing compares them when a deploy runs."""

from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from dap.catalogue import read_catalogue
from dap.engine.inventory import told_file, write_inventory
from dap.plan import Plan, make_plan, secret_specs
from dap.render import render
from dap.secrets import Vault, ensure_hosts, ensure_tls
from dap.settings import Settings

from tests.paths import ROOT

ROLES = sorted(path.name for path in (ROOT / "infrastructure" / "ansible" / "roles").iterdir())
HOSTS = [
    {"name": "hub", "address": "localhost", "roles": ["service"]},
    {"name": "r1", "address": "10.0.0.1", "user": "root", "roles": ["runner"]},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "one": {},
    "several": {"domain": "dap.test", "address": "10.0.0.9", "hosts": HOSTS},
}


@pytest.fixture(scope="module", params=list(SETTINGS.values()), ids=list(SETTINGS))
def variables(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Host → its variables."""
    folder = tmp_path_factory.mktemp("run")
    settings = Settings.model_validate(request.param)
    plan: Plan = make_plan(settings, read_catalogue(ROOT))
    vault = Vault(folder / "vault.yml", "test", b"key", b"", {})
    vault.ensure(secret_specs(plan))
    ensure_tls(vault, settings, ROOT)
    ensure_hosts(vault, settings)
    inventory = write_inventory(
        folder, ROOT, plan, render(plan, vault), vault.values(), "test", "test"
    )
    hosts: dict[str, dict[str, Any]] = yaml.safe_load(inventory.read_text())["platform"]["hosts"]
    for each in hosts.values():
        assert each["dap_told"] == str(told_file(folder))
    return hosts


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_what_it_asks_for(role: str, variables: dict[str, dict[str, Any]]) -> None:
    path = ROOT / "infrastructure" / "ansible" / "roles" / role / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    asked = {name: spec for name, spec in options.items() if name.startswith("dap_")}
    for host, given in variables.items():
        wanted = {name: given[name] for name in asked if name in given}
        found = ArgumentSpecValidator(asked).validate(wanted)
        assert not found.error_messages, f"{host}: {found.error_messages}"
