"""The vault: what it adds, what it keeps, what it refuses, and that it tells nothing."""

import re
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from dap.errors import DapError, InputError
from dap.secrets import KINDS, Vault, open_vault

OpenVault = Callable[[], Vault]

SPECS = {
    "users/ada/password": "password",
    "mlflow/session-key": "token",
    "forge/host-key": "ssh-key",
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def stored(opened: OpenVault) -> Vault:
    vault = opened()
    vault.ensure(SPECS)
    assert vault.save()
    return vault


def test_each_kind_is_made_as_promised(stored: Vault) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{32}", stored.get("users/ada/password"))
    assert re.fullmatch(r"[0-9a-f]{64}", stored.get("mlflow/session-key"))
    key = load_ssh_private_key(stored.get("forge/host-key").encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert set(KINDS) == {*SPECS.values(), "user", "content"}


def test_what_is_stored_is_read_again(stored: Vault, opened: OpenVault) -> None:
    again = opened()
    assert again.names() == sorted(SPECS)
    assert again.values() == stored.values()


@pytest.mark.usefixtures("stored")
def test_ensure_adds_what_is_missing_and_nothing_else(opened: OpenVault) -> None:
    vault = opened()
    before = vault.values()
    assert vault.ensure({**SPECS, "new/one": "token"}) == ["new/one"]
    assert {name: vault.get(name) for name in before} == before
    assert vault.names() == sorted([*SPECS, "new/one"])


@pytest.mark.usefixtures("stored")
def test_ensure_keeps_what_is_no_longer_asked_for(opened: OpenVault) -> None:
    vault = opened()
    assert vault.ensure({}) == []
    assert vault.names() == sorted(SPECS)


def test_the_file_is_written_only_when_something_is_new(stored: Vault, opened: OpenVault) -> None:
    before = (stored.file.read_bytes(), stored.file.stat().st_mtime_ns, stored.file.stat().st_ino)
    vault = opened()
    vault.ensure(SPECS)
    vault.set("users/ada/password", vault.get("users/ada/password"))
    assert not vault.save()
    after = (stored.file.read_bytes(), stored.file.stat().st_mtime_ns, stored.file.stat().st_ino)
    assert after == before


def test_nothing_is_written_before_save(opened: OpenVault, root: Path, home: Path) -> None:
    opened().ensure(SPECS)
    assert list(root.iterdir()) == []
    assert list(home.iterdir()) == []


def test_the_file_is_a_labelled_ansible_vault(stored: Vault) -> None:
    label = stored.key_file.stem
    assert re.fullmatch(r"dap-[0-9a-f]{8}", label)
    assert stored.file.read_text().startswith(f"$ANSIBLE_VAULT;1.2;AES256;{label}\n")
    assert stored.get("users/ada/password").encode() not in stored.file.read_bytes()


def test_ansible_vault_reads_it(stored: Vault) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-vault"),
            "view",
            "--vault-id",
            f"{stored.key_file.stem}@{stored.key_file}",
            stored.file,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert stored.get("users/ada/password") in done.stdout


def test_key_and_vault_are_the_owners_alone(stored: Vault, home: Path) -> None:
    assert stored.key_file.parent == home / ".config" / "dap"
    assert mode(stored.key_file) == 0o600
    assert mode(stored.key_file.parent) == 0o700
    assert mode(stored.file) == 0o600


def test_nothing_is_left_beside_the_vault(stored: Vault) -> None:
    assert [path.name for path in stored.file.parent.iterdir()] == ["vault.yml"]


def test_the_key_file_can_be_named(
    opened: OpenVault, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "keys" / "mine"
    monkeypatch.setenv("DAP_VAULT_KEY_FILE", str(named))
    vault = opened()
    vault.ensure(SPECS)
    vault.save()
    assert mode(named) == 0o600
    assert list(home.iterdir()) == []
    assert opened().values() == vault.values()


def test_a_key_that_is_there_is_used_not_overwritten(
    opened: OpenVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "mine"
    named.write_text("chosen by a person\n")
    named.chmod(0o600)
    monkeypatch.setenv("DAP_VAULT_KEY_FILE", str(named))
    vault = opened()
    vault.ensure(SPECS)
    vault.save()
    assert named.read_text() == "chosen by a person\n"
    assert opened().values() == vault.values()


def test_a_key_that_others_may_read_is_refused(stored: Vault, opened: OpenVault) -> None:
    for bad in (0o640, 0o604, 0o660):
        stored.key_file.chmod(bad)
        with pytest.raises(InputError, match=f"allowed: mode 0600; found: {bad:04o}") as caught:
            opened()
        assert caught.value.status == 2


def test_a_missing_key(stored: Vault, opened: OpenVault) -> None:
    stored.key_file.unlink()
    with pytest.raises(InputError, match="key is missing") as caught:
        opened()
    assert str(stored.key_file) in caught.value.message
    assert "DAP_VAULT_KEY_FILE" in caught.value.hint


def test_an_empty_key(stored: Vault, opened: OpenVault) -> None:
    stored.key_file.write_text("\n")
    with pytest.raises(InputError, match="key is empty"):
        opened()


def test_a_wrong_key(stored: Vault, opened: OpenVault) -> None:
    stored.key_file.write_text("wrong-key-0123456789\n")
    with pytest.raises(InputError, match="can't be decrypted with the key in") as caught:
        opened()
    assert caught.value.status == 2
    assert str(stored.key_file) in caught.value.message
    assert "wrong-key-0123456789" not in "".join(traceback.format_exception(caught.value))


def test_a_damaged_vault(stored: Vault, opened: OpenVault) -> None:
    text = stored.file.read_text()
    stored.file.write_text(text[:200] + ("0" if text[200] != "0" else "1") + text[201:])
    with pytest.raises(InputError, match="can't be decrypted"):
        opened()


@pytest.mark.parametrize(
    "text",
    [
        "users/ada/password: plain\n",
        "$ANSIBLE_VAULT;1.1;AES256\n00\n",
        "$ANSIBLE_VAULT;1.2;AES256;../../etc/x\n00\n",
    ],
)
def test_a_file_that_is_no_such_vault(root: Path, opened: OpenVault, text: str) -> None:
    file = root / "infrastructure" / "secrets" / "vault.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(InputError, match="is no vault of this kind"):
        opened()


@pytest.mark.usefixtures("stored")
def test_another_process_wrote_meanwhile(opened: OpenVault) -> None:
    first, second = opened(), opened()
    first.ensure({"first/one": "token"})
    second.ensure({"second/one": "token"})
    assert first.save()
    with pytest.raises(DapError, match="changed by another process"):
        second.save()
    assert opened().names() == sorted([*SPECS, "first/one"])


def test_a_folder_that_can_not_be_written(root: Path, opened: OpenVault) -> None:
    (root / "infrastructure").write_text("in the way")
    with pytest.raises(InputError, match="can't be read"):
        opened()


def test_an_unknown_kind_or_name_adds_nothing(opened: OpenVault) -> None:
    vault = opened()
    with pytest.raises(InputError, match="secret a/b: unknown kind; allowed: password"):
        vault.ensure({"c/d": "token", "a/b": "pasword"})
    for bad in ("plain", "A/b", "../x", "a//b", "a/b/", "a/b c", ""):
        with pytest.raises(InputError, match="is no name of a secret"):
            vault.ensure({"c/d": "token", bad: "token"})
    assert vault.names() == []


def test_secrets_of_a_person_must_be_typed_first(opened: OpenVault) -> None:
    vault = opened()
    specs = {"a/one": "token", "storage/s/access-key": "user", "storage/s/secret-key": "user"}
    with pytest.raises(InputError) as caught:
        vault.ensure(specs)
    assert vault.names() == []
    assert "dap secret storage/s/access-key" in caught.value.hint
    assert "storage/s/secret-key" in caught.value.message
    vault.set("storage/s/access-key", "AKIA")
    vault.set("storage/s/secret-key", "s3cr3t/with+signs=")
    assert vault.ensure(specs) == ["a/one"]
    assert vault.get("storage/s/access-key") == "AKIA"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("", "is empty"),
        ("hunter2\n", "holds a line break"),
        ("hunter2\r", "holds a line break"),
        ("hunter2\nmore", "holds a line break"),
        ('hunter2"', 'holds "'),
        ("hunter2'", "holds '"),
        ("hunter2`", "holds `"),
        ("$hunter2", r"holds \$"),
        ("hunter2\\", r"holds \\"),
        ("$hunter2'", r"holds \$ and '"),
        ("hunter2\t", "holds a control character"),
        ("hunter2\x00", "holds a control character"),
        ("hunter2\x7f", "holds a control character"),
        ("hunter2\x85", "holds a control character"),
        (" hunter2", "begins or ends with a blank"),
    ],
)
def test_a_typed_secret_is_refused_by_name_not_value(
    opened: OpenVault, value: str, what: str
) -> None:
    vault = opened()
    with pytest.raises(InputError, match=f"secret storage/s/secret-key: {what}") as caught:
        vault.set("storage/s/secret-key", value)
    assert caught.value.status == 2
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert vault.names() == []


def test_a_typed_secret_may_hold_all_else(opened: OpenVault) -> None:
    value = "aZ09 !#%&()*+,-./:;<=>?@[]^_{|}~ß"
    vault = opened()
    vault.set("storage/s/secret-key", value)
    vault.save()
    assert opened().get("storage/s/secret-key") == value


def test_a_secret_that_is_not_there(opened: OpenVault) -> None:
    with pytest.raises(DapError, match="secret a/b: there is none"):
        opened().get("a/b")


def test_given_values_are_not_stored(stored: Vault, opened: OpenVault) -> None:
    vault = opened()
    vault.give("tls/key", "from a file")
    vault.give("users/ada/password", "another")
    assert vault.get("tls/key") == "from a file"
    assert vault.values()["users/ada/password"] == "another"
    assert not vault.save()
    assert opened().values() == stored.values()


def test_no_representation_tells_a_secret(stored: Vault) -> None:
    told = f"{stored!r} {stored} {stored.names()}"
    key = stored.key_file.read_text().strip()
    for value in (*stored.values().values(), key):
        assert value not in told


def test_damaged_content_is_not_quoted(root: Path, stored: Vault) -> None:
    from ansible.parsing.vault import VaultLib, VaultSecret

    secret = VaultSecret(stored.key_file.read_bytes().strip())
    label = stored.key_file.stem
    for plain, what in (
        ("a/b: 'hunter2\n", "no YAML"),
        ("- hunter2\n", "not one text"),
        ("a/b: 5\n", "not one"),
    ):
        stored.file.write_bytes(VaultLib([(label, secret)]).encrypt(plain, secret, label))
        with pytest.raises(InputError, match=what) as caught:
            open_vault(root, "dap")
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_opening_needs_no_ansible_before_there_is_a_vault(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dap.secrets import open_vault;"
        f"v = open_vault(Path({str(root)!r}), 'dap'); v.ensure({{'a/b': 'token'}});"
        "print('ansible' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
