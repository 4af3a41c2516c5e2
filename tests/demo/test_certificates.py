"""The user's own certificates: what the settings accept, clients in the environments accept too."""

import json
import subprocess
from pathlib import Path

from cryptography import x509
from dap.errors import InputError
from dap.secrets import ensure_tls, open_vault
from dap.settings import load

from tests.certificates import Signed, authority, pem, server, write
from tests.demo.conftest import Platform

DOMAIN = "certs.localhost"
NAMES = (DOMAIN, f"*.{DOMAIN}")
HOST = f"mlflow.{DOMAIN}"
ROOT = authority("root")

# Serves each folder's chain and asks for it as a job does: through the entrypoint, which makes the
# clients trust the CA that the job was given. Prints which clients said yes.
TRIAL = r"""
import http.server, json, os, ssl, subprocess, sys, threading
CLIENTS = {
    "urllib": ["python3", "-c",
               "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=9).read()"],
    "requests": ["python3", "-c",
                 "import sys, requests; requests.get(sys.argv[1], timeout=9).raise_for_status()"],
    "curl": ["curl", "-sSf", "--max-time", "9"],
}
said = {}
for kind in sorted(os.listdir("/chains")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"/chains/{kind}/c.pem", f"/chains/{kind}/k.pem")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    url = f"https://{sys.argv[1]}:{httpd.server_port}/"
    job = {**os.environ, "DAP_CA_CERTIFICATE": f"/chains/{kind}/ca.pem"}
    said[kind] = {}
    for name, command in CLIENTS.items():
        done = subprocess.run(["dap-entrypoint", *command, url], env=job, capture_output=True,
                              text=True)
        said[kind][name] = "" if done.returncode == 0 else done.stderr[-2000:] or "failed"
print(json.dumps(said))
"""


def chains() -> dict[str, list[Signed]]:
    """Chains by what is special about them; `ROOT` is known without being in them."""
    middle = authority("middle", ROOT)
    no_usage = authority("no-usage", without=x509.KeyUsage)
    not_critical = authority("not-critical", critical=False)
    return {
        "root": [server(NAMES, ROOT), ROOT],
        "intermediate": [server(NAMES, middle), middle, ROOT],
        "root-left-out": [server(NAMES, middle), middle],
        "alone": [server(NAMES, None)],
        "no-usage": [server(NAMES, no_usage), no_usage],
        "no-identifier": [server(NAMES, ROOT, without=x509.AuthorityKeyIdentifier), ROOT],
        "not-critical": [server(NAMES, not_critical), not_critical],
    }


def refusal(folder: Path, chain: list[Signed]) -> str:
    """What the settings say against a chain; it and the CA for clients are written beside them."""
    write(folder, chain)
    (folder / "extra.pem").write_text(pem([ROOT]))
    (folder / "platform.yml").write_text(
        f"domain: {DOMAIN}\ntls: {{certificate: c.pem, key: k.pem}}\n"
        "packages: {extra_ca: [extra.pem]}\n"
    )
    try:
        settings = load(folder / "platform.yml")
    except InputError as error:
        (folder / "ca.pem").write_text(pem(chain[-1:]))
        return error.message
    vault = open_vault(folder, settings.name)
    ensure_tls(vault, settings, folder)
    (folder / "ca.pem").write_text(vault.get("tls/ca-certificate"))
    return ""


def test_the_settings_judge_as_the_environments_clients_do(
    platform: Platform, tmp_path: Path
) -> None:
    refusals = {}
    for kind, chain in chains().items():
        folder = tmp_path / kind
        folder.mkdir()
        refusals[kind] = refusal(folder, chain)
        for file in folder.iterdir():
            file.chmod(0o644)  # the container's user reads it
        folder.chmod(0o755)
    tmp_path.chmod(0o755)
    command = [
        *("docker", "run", "--rm", "--interactive", "--network", "none"),
        *("--add-host", f"{HOST}:127.0.0.1", "--volume", f"{tmp_path}:/chains:ro"),
        *(platform.plan["environments"]["python"], "python3", "-", HOST),
    ]
    done = subprocess.run(
        command, input=TRIAL, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said) == set(refusals)
    for kind, clients in said.items():
        if refusals[kind]:
            assert "clients that verify strictly" in refusals[kind], kind
            for name in ("urllib", "requests"):  # strict since Python 3.13
                assert "CERTIFICATE_VERIFY_FAILED" in clients[name], kind
        else:
            assert set(clients.values()) == {""}, kind
    assert sorted(kind for kind, why in refusals.items() if why) == [
        "no-identifier",
        "no-usage",
        "not-critical",
    ]
