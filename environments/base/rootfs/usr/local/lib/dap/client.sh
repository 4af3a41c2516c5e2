# shellcheck shell=bash
# Sourced by dap-entrypoint: makes what a client of the platform needs true for all processes below it.
#
# A workspace mounts all of it as one secret, {"environment": {NAME: VALUE}, "files": {NAME: TEXT}}, where
# NAME of a file is the variable that points to it. A job has variables already, and files that are
# readable by everyone, which libpq refuses (PGPASSFILE): they are copied.

dap_directory=/run/dap
# A container that runs as another user than analyst or root has no right to /run/dap.
[ -w "$dap_directory" ] || dap_directory=$(mktemp -d)

# Unpack the secret file $1 and write the variables to $dap_directory/environment for later shells.
dap_unpack() {
    local name
    for name in $(jq -r '.files | keys[]' "$1"); do
        jq -j --arg name "$name" '.files[$name]' "$1" >"$dap_directory/$name"
    done
    jq -r --arg directory "$dap_directory" '
        .environment + (.files | with_entries(.value = $directory + "/" + .key))
        | to_entries[] | "\(.key)=\(.value | @sh)"' "$1" >"$dap_directory/client"
    set -a
    # shellcheck source=/dev/null
    . "$dap_directory/client"
    set +a
}

# Copy each file of a job that is named by a client's variable to a place that only this user reads.
dap_make_private() {
    local name
    for name in AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE NETRC PGPASSFILE; do
        [ -r "${!name:-}" ] || continue
        cp "${!name}" "$dap_directory/$name"
        chmod 0600 "$dap_directory/$name"
        export "$name=$dap_directory/$name"
    done
}

# Join the system's CA certificates with the platform's and point every client to the result.
dap_trust() {
    local bundle=$dap_directory/ca-bundle.pem name
    cat /etc/ssl/certs/ca-certificates.crt ${DAP_CA_CERTIFICATE:+"$DAP_CA_CERTIFICATE"} >"$bundle"
    for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE AWS_CA_BUNDLE GIT_SSL_CAINFO \
        NODE_EXTRA_CA_CERTS; do
        export "$name=$bundle"
    done
    export PGSSLROOTCERT="${PGSSLROOTCERT:-$bundle}"
}
