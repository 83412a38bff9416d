#!/usr/bin/env bash
# Asks the judge: records with real Rasa 3.6.21 what it does in every case, and compares ours with that.
# Rasa runs on Python 3.10 alone: name one with PYTHON310=… where it is not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-rasa

if [ ! -x "$venv/bin/rasa" ]; then
  python=${PYTHON310:-$(command -v python3.10 || ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python 2>/dev/null | tail -n 1 || true)}
  if [ -z "$python" ]; then
    echo "error: Rasa 3.6.21 needs a Python 3.10. Install one, and name it: make conformance PYTHON310=/path/to/python3.10" >&2
    exit 2
  fi
  echo "Installing rasa 3.6.21 with $("$python" --version) (some minutes)"
  "$python" -m venv "$venv"
  wanted=$(sed -n 's/^rasa = \["\(.*\)"\].*/\1/p' pyproject.toml)
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wanted"
fi
"$venv/bin/python" tests/conformance/record.py --times "$venv/times.json"
git --no-pager diff --stat -- tests/conformance/recordings || true
.venv/bin/python tests/conformance/compare.py "$venv/times.json"
