"""Real Rasa on this machine: finds a Python that has it, makes one when asked, and has it hold dialogues."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.certify.copies import copy_of
from bot.certify.turns import Turn, read_turn
from bot.errors import FrontdeskError
from bot.remote_actions import RASA_VERSION

SCRIPT = Path(__file__).with_name("in_rasa.py")
HOME = Path.home() / ".cache" / "frontdesk" / f"rasa-{RASA_VERSION}"
"""Where `make_environment` puts it."""

_ASK = "import importlib.metadata as m; print(m.version('rasa'))"


@dataclass(slots=True)
class RasaRun:
    """What Rasa told. `error` says why it held no dialogue; `memory` is in bytes, `training` in seconds."""

    version: str = ""
    actions: str = ""
    training: float = 0.0
    memory: int = 0
    dialogues: list[list[Turn]] = field(default_factory=list)
    error: str = ""


def find_rasa(project: Path, named: Path | None = None) -> Path | None:
    """A Python with Rasa 3: the one that was named, or where one usually is; None when there is none."""
    if named is not None:
        # Absolute: without a folder before it, it would be looked for on the PATH.
        python = (named / "bin" / "python" if named.is_dir() else named).absolute()
        if not python.is_file():
            raise FrontdeskError(f"there is no Python '{named}': name the program, as in --rasa .venv-rasa/bin/python")
        if not _version(python):
            hint = f"{python} -m pip install rasa=={RASA_VERSION}"
            raise FrontdeskError(f"the Python '{named}' has no Rasa. Install it there: {hint}")
        return python
    environments = (HOME, Path.cwd() / ".venv-rasa", project.absolute() / ".venv-rasa")
    candidates = [*(folder / "bin" / "python" for folder in environments), *python_310()]
    return next((python for python in candidates if python.is_file() and _version(python)), None)


def python_310() -> Iterator[Path]:
    """Pythons of the version that Rasa 3.6 needs, the likeliest first."""
    for found in (os.environ.get("PYTHON310"), shutil.which("python3.10")):
        if found:
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for places in (pyenv / "versions", Path.home() / ".local" / "share" / "uv" / "python", Path("/opt")):
        yield from sorted(places.glob("*3.10*/bin/python3.10"), reverse=True)


def make_environment(tell: Callable[[str], None], folder: Path | None = None) -> Path:
    """A virtual environment with Rasa, for the next time as well; its Python. Some minutes, and 2 GB."""
    folder = folder or HOME
    python = next((python for python in python_310() if _answer(python, "import sys; print(sys.version)")), None)
    if python is None:
        raise FrontdeskError(
            f"Rasa {RASA_VERSION} needs a Python 3.10, and none was found (on the PATH, with pyenv or uv). Install one "
            "(pyenv install 3.10), or name it in the environment: PYTHON310=/path/to/python3.10"
        )
    tell(f"Installing rasa {RASA_VERSION} with {python} into {folder} (some minutes)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder / "bin" / "python"
    pip = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [str(python), "-m", "venv", "--clear", str(folder)],
        [*pip, f"rasa=={RASA_VERSION}"],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            raise FrontdeskError(f"Rasa could not be installed: this failed: {' '.join(command)}")
    return made


def _version(python: Path) -> str:
    return _answer(python, _ASK)


def _answer(python: Path, question: str) -> str:
    """What the Python prints; nothing when it does not run (pyenv has one of each name that may not)."""
    try:
        asked = subprocess.run([str(python), "-c", question], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def ask_rasa(
    python: Path,
    project: Path,
    dialogues: Sequence[Sequence[str]],
    *,
    action_url: str | None,
    tell: Callable[[str], None],
) -> RasaRun:
    """Train a copy of the project with Rasa and hold the dialogues."""
    # Rasa writes into a project: an assistant's id, suggestions in config.yml, its cache.
    with copy_of(project) as copy:
        task = {
            "project": str(copy),
            "dialogues": [[{"say": said} for said in says] for says in dialogues],
            "pythons": [str(python), sys.executable],
            "action_url": action_url,
        }
        log = copy.with_name("rasa.log")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [str(python), str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(task))
                process.stdin.close()
                run = read_lines(process.stdout, tell)
            except BaseException:
                # With the action server that it has started.
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                process.wait()
        if not run.error and (process.returncode or len(run.dialogues) != len(dialogues)):
            run.error = f"Rasa's process ended with {process.returncode}: {_last_words(log)}"
        return run


def read_lines(lines: Iterator[str] | Any, tell: Callable[[str], None] = lambda said: None) -> RasaRun:
    """What `in_rasa.py` tells, line by line."""
    run = RasaRun()
    for line in lines:
        match json.loads(line):
            case {"rasa": version}:
                run.version = version
                tell(f"Rasa {version}: training")
            case {"actions": said}:
                run.actions = said
            case {"trained": {"seconds": seconds, "memory": memory}}:
                run.training, run.memory = seconds, memory
                tell(f"Rasa {run.version}: trained in {seconds:.0f} s; talking")
            case {"dialogue": turns}:
                run.dialogues.append([read_turn(turn) for turn in turns])
            case {"done": {"memory": memory}}:
                run.memory = memory
            case {"error": error}:
                run.error = error
    return run


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
