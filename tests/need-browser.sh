#!/usr/bin/env bash
# The browser tests drive a real Chromium: install it where we may, else say what to type.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing chromium for the browser tests"
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium >/dev/null
else
  echo "error: the browser tests need Chromium. Type: sudo apt-get install chromium" >&2
  exit 2
fi
