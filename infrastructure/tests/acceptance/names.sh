#!/bin/bash
# Prints where each name leads to: {"NAME": ["ADDRESS", …], …}.
set -euo pipefail
for name in "$@"; do
    addresses=$(getent ahosts "$name" | cut -d ' ' -f 1 | sort -u | jq -R . | jq -cs .)
    jq -cn --arg name "$name" --argjson addresses "${addresses:-[]}" '{($name): $addresses}'
done | jq -cs add
