"""Certificates by which hosts know each other: who is whose client, and when they are renewed."""

import datetime as dt
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from dap.secrets import Vault, certificates, ensure_hosts
from dap.secrets.hosts import HOSTS_CA, HOSTS_CA_KEY, host_certificate, host_key
from dap.settings import Settings

Opened = Callable[[], Vault]
CLIENT, SERVER = certificates.CLIENT, certificates.SERVER


def settings(*runners: str) -> Settings:
    others = [
        {"name": name, "address": f"10.0.0.{number}", "roles": ["runner"]}
        for number, name in enumerate(runners, 1)
    ]
    roles = ["service"] if others else ["service", "runner"]
    return Settings.model_validate({"hosts": [{"name": "hub", "roles": roles}, *others]})


def test_one_host_needs_none(opened: Opened) -> None:
    vault = opened()
    assert ensure_hosts(vault, settings()) == []
    assert vault.names() == []


def test_the_service_host_alone_may_be_a_client(opened: Opened) -> None:
    vault = opened()
    new = ensure_hosts(vault, settings("r1", "r2"))
    assert len(new) == 8
    found = {
        name: certificates.usages_of(vault.get(host_certificate(name)))
        for name in ("hub", "r1", "r2")
    }
    assert found == {"hub": [SERVER, CLIENT], "r1": [SERVER], "r2": [SERVER]}
    assert certificates.names_of(vault.get(host_certificate("r1"))) == ["r1"]


def test_each_is_signed_by_the_hosts_own_ca(opened: Opened) -> None:
    vault = opened()
    ensure_hosts(vault, settings("r1"))
    authority = x509.load_pem_x509_certificate(vault.get(HOSTS_CA).encode())
    for name in ("hub", "r1"):
        leaf = x509.load_pem_x509_certificate(vault.get(host_certificate(name)).encode())
        leaf.verify_directly_issued_by(authority)
    # OpenSSL takes the three as a server does.
    context = ssl.create_default_context(cadata=vault.get(HOSTS_CA))
    assert context.get_ca_certs()


def test_a_host_that_comes_later_leaves_the_others_as_they_are(opened: Opened) -> None:
    vault = opened()
    ensure_hosts(vault, settings("r1"))
    before = vault.values()
    assert ensure_hosts(vault, settings("r1")) == []
    new = ensure_hosts(vault, settings("r1", "r2"))
    assert new == [host_key("r2"), host_certificate("r2")]
    assert {name: vault.get(name) for name in before} == before


def test_one_that_becomes_the_service_host_gets_another(opened: Opened) -> None:
    vault = opened()
    ensure_hosts(vault, settings("r1"))
    swapped = Settings.model_validate(
        {
            "hosts": [
                {"name": "r1", "roles": ["service"]},
                {"name": "hub", "address": "10.0.0.9", "roles": ["runner"]},
            ]
        }
    )
    assert set(ensure_hosts(vault, swapped)) == {
        *(host_key("r1"), host_certificate("r1")),
        *(host_key("hub"), host_certificate("hub")),
    }


@pytest.mark.parametrize(("days", "renewed"), [(29, True), (31, False)])
def test_what_ends_soon_is_made_anew(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, days: int, renewed: bool
) -> None:
    vault = opened()
    monkeypatch.setattr(certificates, "LEAF_LIFE", dt.timedelta(days=days))
    ensure_hosts(vault, settings("r1"))
    monkeypatch.undo()
    assert bool(ensure_hosts(vault, settings("r1"))) is renewed


def test_with_a_new_ca_all_are_made_anew(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = opened()
    monkeypatch.setattr(certificates, "CA_LIFE", dt.timedelta(days=29))
    ensure_hosts(vault, settings("r1"))
    monkeypatch.undo()
    assert {HOSTS_CA_KEY, HOSTS_CA, host_key("hub"), host_key("r1")} <= set(
        ensure_hosts(vault, settings("r1"))
    )
