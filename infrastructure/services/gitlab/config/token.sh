# shellcheck shell=bash
# GitLab's image runs this as root at the end of each start. gitlab-rails goes on as another user, who
# may not read secrets: so the token comes through its standard input.
gitlab-rails runner /etc/dap/token.rb </run/secrets/token
