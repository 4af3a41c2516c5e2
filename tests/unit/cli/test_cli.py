"""The command line as a person meets it: messages, exit status, and what is printed where."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dap import cli
from dap.cli import _project
from dap.errors import DapError, InputError
from dap.secrets import ensure_tls, open_vault
from dap.settings import load

DAP = Path(sys.executable).with_name("dap")
SETTINGS = """\
users:
  - {name: ada, email: ada@example.org, admin: true}
  - {name: bob, email: bob@example.org}
workspaces:
  - {name: ada-python, owner: ada, environment: python, ssh_port: 2201}
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Dap = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAP_VAULT_KEY_FILE", raising=False)
    return home


@pytest.fixture
def root(project: Any, home: Path) -> Path:
    """A project with a small catalogue and a settings file."""
    assert home.exists()
    project.write("platform.yml", SETTINGS)
    root: Path = project.root
    return root


@pytest.fixture
def dap(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dap:
    """Runs `dap` as its console script does, in this process."""

    def run(*arguments: str, cwd: Path = root, stdin: bytes = b"") -> Done:
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(sys, "argv", ["dap", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            try:
                status = cli.main()
            except SystemExit as ending:
                status = int(ending.code or 0)
        told = capsys.readouterr()
        return Done(status, told.out, told.err)

    return run


@pytest.fixture
def secrets(root: Path) -> dict[str, str]:
    """What a deploy would have made."""
    vault = open_vault(root, "dap")
    vault.ensure({"users/ada/password": "password", "users/bob/password": "password"})
    ensure_tls(vault, load(root / "platform.yml"), root)
    vault.save()
    return vault.values()


def test_help_lists_every_verb(dap: Dap) -> None:
    done = dap("--help")
    assert done.returncode == 0
    assert {"validate", "schema", "secret", "credentials"} <= set(cli.verbs())
    listed = [
        line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line
    ]
    assert listed == cli.verbs()


def test_no_verb_is_wrong_usage(dap: Dap) -> None:
    assert dap().returncode == 2


def test_the_console_script(root: Path) -> None:
    (root / "platform.yml").write_text("domian: x")
    done = subprocess.run([DAP, "validate"], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: platform.yml:1: domian: unknown key")


def test_help_is_quick() -> None:
    code = (
        "import sys, time; sys.argv = ['dap', '--help']\nfrom dap.cli import main\n"
        "try: main()\nfinally: print(time.process_time())"
    )
    taken = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        taken.append(float(done.stdout.split()[-1]))
    assert min(taken) < 0.25


def test_help_loads_no_slow_library() -> None:
    code = (
        "import sys; from dap.cli import build; build(['--help']);"
        "print(*{'pydantic', 'ansible', 'cryptography', 'jinja2', 'docker'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_verb_is_loaded_alone() -> None:
    code = (
        "import sys; from dap.cli import build; build(['--project', 'secret', 'schema']);"
        "print(*sorted(m for m in sys.modules if m.startswith('dap.cli.') and '._' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dap.cli.schema"]


@pytest.mark.parametrize(
    "arguments",
    [("bogus",), ("validate", "--bogus"), ("secret",), ("validate", "more")],
)
def test_wrong_usage(dap: Dap, arguments: tuple[str, ...]) -> None:
    done = dap(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: dap" in done.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(DapError("it broke", "mend it"), 1), (InputError("[not] so"), 2)]
)
def test_errors_become_messages_and_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: DapError,
    status: int,
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "build", fail)
    assert cli.main() == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: {error.message}\n" + (f"{error.hint}\n" if error.hint else "")


def test_an_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build", interrupt)
    assert cli.main() == 130
    assert capsys.readouterr().err == ""


def test_the_project_is_found_upward(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = root / "environments" / "python"
    monkeypatch.chdir(below)
    _project.choose(None)
    assert _project.project_root() == root


def test_no_project(dap: Dap, tmp_path: Path) -> None:
    done = dap("validate", cwd=tmp_path)
    assert done.returncode == 2
    assert "platform.yml" in done.stderr
    done = dap("--project", str(tmp_path / "none"), "validate")
    assert done.returncode == 2
    assert "has no platform.yml" in done.stderr


def test_validate(dap: Dap, root: Path, tmp_path: Path) -> None:
    done = dap("--project", str(root), "validate", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "platform.yml: ok\n", "")
    assert json.loads(dap("validate", "--json").stdout) == {"valid": True, "problems": []}


def test_validate_tells_all_problems_whole(dap: Dap, root: Path) -> None:
    text = SETTINGS.replace("owner: ada", "owner: adda") + "domian: a.example.org\n"
    (root / "platform.yml").write_text(text)
    done = dap("validate")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first == (
        "error: platform.yml:5: workspaces[0].owner: is no user; allowed: ada (nearest), bob;"
        ' found: "adda"'
    )
    assert second.startswith("platform.yml:6: domian: unknown key; allowed: domain (nearest), ")
    done = dap("validate", "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["valid"] is False
    assert [(each["line"], each["path"]) for each in told["problems"]] == [
        (5, ["workspaces", 0, "owner"]),
        (6, ["domian"]),
    ]


def test_validate_knows_the_catalogue(dap: Dap, root: Path) -> None:
    (root / "platform.yml").write_text(
        SETTINGS.replace("environment: python", "environment: pyton")
    )
    done = dap("validate")
    assert done.returncode == 2
    assert "platform.yml:5: workspaces[0].environment: is no environment" in done.stderr


def test_bad_input_changes_nothing(dap: Dap, root: Path, home: Path) -> None:
    (root / "platform.yml").write_text("domian: a.example.org")
    before = sorted(path for path in root.rglob("*"))
    for arguments in (("validate",), ("credentials",), ("secret", "a/b")):
        assert dap(*arguments, stdin=b"value").returncode == 2
    assert sorted(path for path in root.rglob("*")) == before
    assert list(home.iterdir()) == []


def test_schema(dap: Dap) -> None:
    assert json.loads(dap("schema").stdout)["properties"]["domain"]["default"] == "dap.localhost"


def test_secret_is_read_from_standard_input(dap: Dap, root: Path) -> None:
    done = dap("secret", "storage/archive/access-key", stdin=b"AKIA hunter2\n")
    assert done.returncode == 0
    assert done.stdout == "secret storage/archive/access-key: kept\n"
    assert open_vault(root, "dap").get("storage/archive/access-key") == "AKIA hunter2"
    done = dap("secret", "storage/archive/access-key", stdin=b"AKIA hunter2")
    assert done.stdout == "secret storage/archive/access-key: unchanged\n"


@pytest.mark.parametrize(
    "value", [b"", b"\n", b"hunter2'", b"$hunter2", b"hunter2\n\n", b"hunter2\xff"]
)
def test_a_bad_secret_is_refused_and_not_repeated(dap: Dap, root: Path, value: bytes) -> None:
    done = dap("secret", "storage/archive/access-key", stdin=value)
    assert done.returncode == 2
    assert "secret storage/archive/access-key: " in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not (root / "infrastructure" / "secrets").exists()


def test_what_a_deploy_makes_is_not_typed(dap: Dap) -> None:
    done = dap("secret", "tls/ca-key", stdin=b"value")
    assert done.returncode == 2
    assert "platform.yml" in done.stderr


def test_credentials_of_one(dap: Dap, secrets: dict[str, str]) -> None:
    done = dap("credentials", "--user", "ada")
    assert done.returncode == 0
    assert secrets["users/ada/password"] in done.stdout
    assert "https://app.dap.localhost" in done.stdout
    assert "app --url https://app.dap.localhost" in done.stdout
    told = [name for name, value in secrets.items() if value in done.stdout]
    assert told == ["users/ada/password"]


def test_credentials_for_a_script(dap: Dap, secrets: dict[str, str]) -> None:
    told = json.loads(dap("credentials", "--user", "ada", "--json").stdout)
    assert (told["user"], told["password"]) == ("ada", secrets["users/ada/password"])
    assert told["pages"] == {"App": "https://app.dap.localhost"}
    everybody = json.loads(dap("credentials", "--json").stdout)
    assert [each["user"] for each in everybody] == ["ada", "bob"]
    assert everybody[0] == told
    assert everybody[1]["workspaces"] == {}


def test_credentials_of_nobody(dap: Dap, secrets: dict[str, str]) -> None:
    done = dap("credentials", "--user", "adda")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--user: is no user; allowed: ada (nearest), bob; found: adda" in done.stderr
    assert not [value for value in secrets.values() if value in done.stderr]


def test_the_authority_for_browsers(dap: Dap, secrets: dict[str, str]) -> None:
    assert dap("credentials", "--ca").stdout == secrets["tls/ca-certificate"]


def test_credentials_before_the_first_deploy(dap: Dap, root: Path) -> None:
    done = dap("credentials", "--user", "ada")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not deployed yet" in done.stderr
    assert "make deploy" in done.stderr
    assert not (root / "infrastructure" / "secrets").exists()


def test_a_wrong_key_is_told_without_it(dap: Dap, secrets: dict[str, str], home: Path) -> None:
    (key,) = (home / ".config" / "dap").iterdir()
    key.write_text("another-key\n")
    done = dap("credentials", "--user", "ada")
    assert (done.returncode, done.stdout) == (2, "")
    assert "can't be decrypted with the key in" in done.stderr
    assert "another-key" not in done.stderr
    assert not [value for value in secrets.values() if value in done.stderr]
