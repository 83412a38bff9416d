#!/usr/bin/env bash
# Events go out to a real RabbitMQ: install its server where we may, else say what to type.
set -euo pipefail
if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing rabbitmq-server for the tests"
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rabbitmq-server >/dev/null
else
  echo "error: the tests need RabbitMQ. Type: sudo apt-get install rabbitmq-server" >&2
  exit 2
fi
