"""pgAdmin's settings, where they differ from its own."""

import os
import socket
from collections.abc import Iterator


class Proxy(list[str]):
    """Addresses of the platform's proxy, looked up each time: a new container has another."""

    def __iter__(self) -> Iterator[str]:
        """Give them; none where the name is unknown, so that nobody is trusted."""
        try:
            yield from socket.gethostbyname_ex(os.environ["DAP_PROXY"])[2]
        except OSError:
            return


DATA_DIR = "/var/lib/pgadmin"
SQLITE_PATH = f"{DATA_DIR}/pgadmin.db"
STORAGE_DIR = f"{DATA_DIR}/storage"
AZURE_CREDENTIAL_CACHE_DIR = f"{DATA_DIR}/azure"
KERBEROS_CCACHE_DIR = f"{DATA_DIR}/kerberos"
# Sessions hold passwords of databases: in memory, they are in no volume and no backup.
SESSION_DB_PATH = "/tmp/sessions"  # noqa: S108  of this container alone
# What matters is on the console, too.
LOG_FILE = "/tmp/pgadmin.log"  # noqa: S108  of this container alone

# The proxy asks for the password and says in each request who it is.
AUTHENTICATION_SOURCES = ["webserver"]
WEBSERVER_REMOTE_USER = "X-Forwarded-User"
WEBSERVER_REMOTE_USER_FROM_HEADER = True
WEBSERVER_TRUSTED_PROXIES = Proxy()
# Users are made at the start, with their list of servers.
WEBSERVER_AUTO_CREATE_USER = False
PROXY_X_HOST_COUNT = 1
SESSION_COOKIE_SECURE = True

# Passwords of databases are not kept here.
ALLOW_SAVE_PASSWORD = False
MASTER_PASSWORD_REQUIRED = False
# Nothing leaves the platform, nor do browsers ask anybody else.
UPGRADE_CHECK_ENABLED = False
SHOW_GRAVATAR_IMAGE = False
LLM_ENABLED = False
