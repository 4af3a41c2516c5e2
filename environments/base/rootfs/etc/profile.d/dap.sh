# /etc/profile has just replaced PATH.
PATH=$HOME/.local/bin:$PATH
. /etc/dap/shell.sh
