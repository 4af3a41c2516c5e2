# shellcheck shell=sh
# /etc/profile has just replaced PATH.
PATH=$HOME/.local/bin:$PATH
# shellcheck source=/dev/null
. /etc/dap/shell.sh
