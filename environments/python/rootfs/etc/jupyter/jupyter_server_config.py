"""Jupyter behind the platform's proxy: one password, TLS ends at the proxy."""

from pathlib import Path

from jupyter_server.auth import passwd

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # Jupyter provides it
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = str(Path.home())
# The proxy chooses the container by the Host header and says which scheme the browser used.
c.ServerApp.allow_remote_access = True
c.ServerApp.trust_xheaders = True
c.PasswordIdentityProvider.hashed_password = passwd(
    Path("/run/secrets/jupyter-password").read_text(encoding="utf-8").strip()
)
c.PasswordIdentityProvider.password_required = True
c.PasswordIdentityProvider.allow_password_change = False
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
