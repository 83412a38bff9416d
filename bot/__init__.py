"""Frontdesk: a customer-service bot framework with scripted flows and a governed LLM beside them."""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout (and an editable install of it) `channels`, `actions` and `domains` stand beside this
# folder, because the top level is theirs; in a wheel they lie inside it. The import name is the same.
_parent = Path(__file__).resolve().parent.parent
if (_parent / "pyproject.toml").is_file() and (_parent / "domains").is_dir():
    __path__.append(str(_parent))
