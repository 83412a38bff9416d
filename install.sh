#!/usr/bin/env bash
# Makes the virtual environment $1 and installs $2 (this project with its extras) into it, with pinned versions.
set -euo pipefail
venv=$1
what=$2

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }

if [ ! -x "$venv/bin/python" ]; then
  python=${PYTHON:-}
  for candidate in python3 python3.12 python3.13 python3.11 python3.14; do
    [ -n "$python" ] && break
    if fits "$candidate"; then python=$candidate; fi
  done
  if [ -z "$python" ] || ! fits "$python"; then
    echo "error: Python 3.11 to 3.14 is needed. On Debian or Ubuntu: apt-get install python3 python3-venv" >&2
    exit 2
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "Installing $package"
      apt-get update -q >/dev/null && apt-get install -y -q "$package" >/dev/null
    else
      echo "error: Python's venv is missing. Type: sudo apt-get install $package" >&2
      exit 2
    fi
  fi
  echo "Making $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi

echo "Installing Frontdesk (some minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$what"
