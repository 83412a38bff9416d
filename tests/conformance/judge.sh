#!/usr/bin/env bash
# Asks the judge: records with real Rasa 3.6.21 what it does in every case, and compares ours with that.
# Rasa runs on Python 3.10 alone: name one with PYTHON310=… where it is not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-rasa

if [ ! -x "$venv/bin/rasa" ]; then
  .venv/bin/python - "$venv" <<'END'
import sys
from pathlib import Path

from bot.certify.real_rasa import make_environment
from bot.errors import FrontdeskError

try:
    make_environment(print, Path(sys.argv[1]))
except FrontdeskError as error:
    sys.exit(f"error: {error}")
END
fi
"$venv/bin/python" tests/conformance/record.py --times "$venv/times.json"
git --no-pager diff --stat -- tests/conformance/recordings || true
.venv/bin/python tests/conformance/compare.py "$venv/times.json"
