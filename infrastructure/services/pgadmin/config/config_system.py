"""pgAdmin's settings, where they differ from its own."""

DATA_DIR = "/var/lib/pgadmin"
SQLITE_PATH = f"{DATA_DIR}/pgadmin.db"
SESSION_DB_PATH = f"{DATA_DIR}/sessions"
STORAGE_DIR = f"{DATA_DIR}/storage"
AZURE_CREDENTIAL_CACHE_DIR = f"{DATA_DIR}/azure"
KERBEROS_CCACHE_DIR = f"{DATA_DIR}/kerberos"
# What matters is on the console, too.
LOG_FILE = "/tmp/pgadmin.log"  # noqa: S108  of this container alone

# The proxy asks for the password and says who it is; it overwrites the header in every request, and
# is the one peer that reaches this container but for other services of the platform.
AUTHENTICATION_SOURCES = ["webserver"]
WEBSERVER_REMOTE_USER = "X-Forwarded-User"
WEBSERVER_REMOTE_USER_FROM_HEADER = True
WEBSERVER_TRUSTED_PROXIES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
# Users are made at the start, with their list of servers.
WEBSERVER_AUTO_CREATE_USER = False
PROXY_X_HOST_COUNT = 1
SESSION_COOKIE_SECURE = True

# Passwords of databases are not kept here.
ALLOW_SAVE_PASSWORD = False
MASTER_PASSWORD_REQUIRED = False
# Nothing leaves the platform.
UPGRADE_CHECK_ENABLED = False
LLM_ENABLED = False
