# shellcheck shell=bash
# Read by every shell: interactive, login and (through BASH_ENV) script. It prints nothing and starts no
# process. In a workspace it sets what a client needs and is not set yet; a job has it in its environment.
# shellcheck source=/dev/null
[ ! -r /run/dap/environment ] || . /run/dap/environment
