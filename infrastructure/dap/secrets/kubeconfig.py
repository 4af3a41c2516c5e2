"""A kubeconfig, and one among the secrets: that works on any machine, with nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from dap.errors import InputError

_PARTS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))
# What is a file of one machine, or a program there.
_ELSEWHERE = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
    "tokenFile": "token, or client-certificate-data and client-key-data",
    "exec": "token, or client-certificate-data and client-key-data",
    "auth-provider": "token, or client-certificate-data and client-key-data",
}


def is_kubeconfig(name: str) -> bool:
    """Whether the secret of that name is a kubeconfig."""
    return name.startswith("clusters/") and name.endswith("/kubeconfig")


def contexts(text: str) -> list[str]:
    """Return the names of the contexts that a kubeconfig has; it may have none.

    Raises:
        ValueError: it is no kubeconfig; the message quotes nothing of it.
    """
    data = _read(text)
    # One of several files, as kubectl takes them, may have but users or clusters.
    listed = _parts(data, "contexts") if data.get("contexts") else []
    return [str(each["name"]) for each in listed]


def check_kubeconfig(name: str, text: str) -> str:
    """Return `text`, if it is a kubeconfig that needs no file and no program.

    Raises:
        InputError: it is not; the message names the secret and the key, no value.
    """
    try:
        data = _read(text)
        wrong = [problem for each in _PARTS for problem in _problems(data, *each)]
        if not data["contexts"]:
            wrong.append("is no kubeconfig: it has no contexts")
    except ValueError as error:
        wrong = [str(error)]
    if wrong:
        raise InputError(
            f"secret {name}: {'; '.join(wrong)}",
            "kubectl config view --raw --minify --flatten --context NAME writes one that is whole",
        )
    return text


def _read(text: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("is no YAML") from None  # whose message would quote it
    if data is None or isinstance(data, dict):
        return data or {}
    raise ValueError("is no kubeconfig: it has no contexts")


def _parts(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = data.get(key)
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and each.get("name") for each in listed
    ):
        raise ValueError(f"is no kubeconfig: {key} must be a list of names")
    return listed


def _problems(data: dict[str, Any], key: str, inner: str) -> Iterator[str]:
    for index, each in enumerate(_parts(data, key)):
        part = each.get(inner)
        for name in part if isinstance(part, dict) else ():
            if name in _ELSEWHERE:
                where = f"{key}[{index}].{inner}.{name}"
                yield f"{where} is of one machine; allowed: {_ELSEWHERE[name]}"
