#!/usr/bin/env bash
# Conversations are imported from a real Redis: install its server where we may, else say what to type.
set -euo pipefail
if command -v redis-server >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing redis-server for the tests"
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q redis-server >/dev/null
else
  echo "error: the tests need Redis. Type: sudo apt-get install redis-server" >&2
  exit 2
fi
