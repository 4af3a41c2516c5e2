"""A kubeconfig as a secret: it must be whole, and its refusal tells none of it."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from dap.errors import InputError
from dap.secrets import Vault
from dap.secrets.kubeconfig import contexts

OpenVault = Callable[[], Vault]
NAME = "clusters/gpu/kubeconfig"
TOKEN = "hunter2-hunter2"


def text(user: dict[str, Any], cluster: dict[str, Any] | None = None) -> str:
    server = {"server": "https://10.0.0.9:6443", **(cluster or {})}
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": server}],
        "users": [{"name": "dap", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "dap"}}],
    }
    return yaml.safe_dump(data)


def refused(vault: Vault, given: str) -> str:
    with pytest.raises(InputError) as caught:
        vault.set(NAME, given)
    assert caught.value.message.startswith(f"secret {NAME}: ")
    assert TOKEN not in caught.value.message
    assert "--flatten" in caught.value.hint
    return caught.value.message


def test_one_that_is_whole_is_kept_as_it_is(opened: OpenVault) -> None:
    vault = opened()
    given = text({"token": TOKEN}, {"certificate-authority-data": "QQ=="})
    vault.set(NAME, given)
    vault.save()
    assert opened().get(NAME) == given
    assert contexts(given) == ["lab"]


@pytest.mark.parametrize(
    ("user", "cluster", "where"),
    [
        ({"client-key": f"/{TOKEN}"}, {}, "users[0].user.client-key"),
        ({"client-certificate": TOKEN}, {}, "users[0].user.client-certificate"),
        ({"tokenFile": TOKEN}, {}, "users[0].user.tokenFile"),
        ({"exec": {"command": TOKEN}}, {}, "users[0].user.exec"),
        ({"auth-provider": {"name": TOKEN}}, {}, "users[0].user.auth-provider"),
        ({"token": TOKEN}, {"certificate-authority": TOKEN}, "cluster.certificate-authority"),
    ],
)
def test_what_is_of_one_machine_is_refused(
    opened: OpenVault, user: dict[str, Any], cluster: dict[str, Any], where: str
) -> None:
    assert f"{where} is of one machine; allowed: " in refused(opened(), text(user, cluster))


@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        f"- {TOKEN}",
        f"{TOKEN}: [",
        "contexts: []",
        "{contexts: [], clusters: [{name: a}], users: [{name: a}]}",
        f"contexts: {TOKEN}",
        "contexts: [{}]",
    ],
)
def test_what_is_none_is_refused(opened: OpenVault, given: str) -> None:
    assert ": is no " in refused(opened(), given)
