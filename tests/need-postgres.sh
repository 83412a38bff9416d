#!/usr/bin/env bash
# Conversations are kept in a real PostgreSQL: install its server where we may, else say what to type.
set -euo pipefail
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing postgresql for the tests"
  # The tests start servers of their own: Debian's is not to run beside them.
  mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q postgresql >/dev/null
else
  echo "error: the tests need PostgreSQL. Type: sudo apt-get install postgresql" >&2
  exit 2
fi
