"""Finds a project's custom actions and runs them in this process: ours, and rasa-sdk's classes unchanged.

An action written with `async def` throughout runs on the event loop. Any other runs in a worker thread,
so that a slow database or web request in it keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import importlib.util
import inspect
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import orjson

from bot.action_answers import ActionResult, read_events, read_messages
from bot.domain import Domain
from bot.errors import ActionError, ActionRejected, ConfigError, Source, StoreError, UnknownName
from bot.interfaces import Action, Dispatcher
from bot.registry import FOLDERS, construct, known_names
from bot.stores import encode, encode_events
from bot.tracker import Tracker
from bot.tracker_state import tracker_state

log = logging.getLogger(__name__)

OWN = "actions"
"""The module or package that every Rasa project has for its actions."""

LONGEST_RUN = 60.0
"""Seconds until an action counts as failed: as long as Rasa keeps a conversation locked for its turn."""

_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="action")


# ---- finding -------------------------------------------------------------------------------------


def load_actions(
    root: Path,
    modules: Sequence[str | Path] = (),
    context: Mapping[str, Any] | None = None,
    *,
    own: bool = True,
    source: Source | None = None,
) -> dict[str, Any]:
    """The actions by name: those of `modules`, then the project's own (actions.py or actions/ in `root`).

    A module is the name of a file in our actions/ folder (`banking`), a module of the project
    (`lib.refunds`) or a path. A class that comes later replaces one of the same name from an earlier
    module; without `own` the project's are left out. `context` fills the constructors' keywords by name;
    `source` is where `modules` are written. A file that cannot be imported is a
    `ConfigError` with its line.
    """
    root = root.resolve()
    _forget_other_project(root)
    before = set(sys.modules)
    loaded: list[ModuleType] = []
    try:
        for module in modules:
            loaded += _load_named(module, root, source)
        loaded += _load_own(root) if own else []
    finally:
        _projects[root] = [name for name in set(sys.modules) - before if _is_in(sys.modules.get(name), root)]
    actions: dict[str, Any] = {}
    for cls in _action_classes(loaded):
        action = _instance(cls, context or {})
        name = _name_of(action)
        if name is None:
            continue
        if name in actions and _package(type(actions[name])) == _package(cls):
            log.warning("%s: action '%s' is written twice, this one counts", place_of(cls), name)
        actions[name] = action
    return actions


_projects: dict[Path, list[str]] = {}
"""By project: the modules that were imported for it. Two projects may use the same module names."""


def _forget_other_project(root: Path) -> None:
    for other, names in list(_projects.items()):
        for name in names:
            sys.modules.pop(name, None)
        if str(other) in sys.path and other != root:
            sys.path.remove(str(other))
        del _projects[other]
    if str(root) not in sys.path:
        # Last, so that nothing in a project can take the place of a library.
        sys.path.append(str(root))
    importlib.invalidate_caches()


def _load_named(module: str | Path, root: Path, source: Source | None) -> list[ModuleType]:
    if isinstance(module, Path):
        path = root / module
        if not path.exists():
            raise ConfigError(f"there is no file or folder {path} with actions", source)
        return _load_path(path.stem, path, root)
    if module in known_names("action"):
        return [_import(f"{FOLDERS['action']}.{module}", root)]
    if module == OWN:
        return []
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None:
        raise UnknownName("module with actions", module, known_names("action"), source)
    return [_import(module, root)]


def _load_own(root: Path) -> list[ModuleType]:
    folder, file = root / OWN, root / f"{OWN}.py"
    if folder.is_dir():
        ours = importlib.import_module(FOLDERS["action"]).__path__
        # In our own checkout that folder is bot.actions, which is loaded by name.
        return [] if str(folder) in ours else _load_path(OWN, folder, root)
    return _load_path(OWN, file, root) if file.is_file() else []


def _load_path(name: str, path: Path, root: Path) -> list[ModuleType]:
    """The module or package at `path` under this name, whatever else on sys.path has it, and all inside it."""
    if path.is_file():
        spec = importlib.util.spec_from_file_location(name, path)
        return [_execute(spec, root)]
    start = path / "__init__.py"
    if start.is_file():
        spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(path)])
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(path)]
    loaded = [_execute(spec, root)]
    for file in sorted(path.rglob("*.py")):
        parts = file.relative_to(path).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and all(part.isidentifier() for part in parts):
            loaded.append(_import(".".join((name, *parts)), root))
    return loaded


def _execute(spec: ModuleSpec | None, root: Path) -> ModuleType:
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if spec.loader is not None:
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[spec.name]
            raise _import_error(error, spec.name, root) from error
    return module


def _import(name: str, root: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _import_error(error, name, root) from error


def _import_error(error: BaseException, module: str, root: Path) -> ConfigError:
    if isinstance(error, SyntaxError) and error.filename:
        source: Source | None = Source(_shown(error.filename), error.lineno or 0)
    else:
        source = _last_place(error.__traceback__, root)
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").split(".")[0]
        extra = "'frontdesk[rasa-sdk]'" if missing == "rasa_sdk" else missing
        hint = f". Is it installed? pip install {extra}"
        if missing == "bot":
            hint = ". 'bot' is Frontdesk itself: call the project's own folder or module otherwise"
    return ConfigError(f"'{module}' cannot be imported: {type(error).__name__}: {error}{hint}", source)


def _is_in(module: ModuleType | None, root: Path) -> bool:
    """Whether a module is the project's own: in its folder, and not in a virtual environment there."""
    if module is None or module.__name__.split(".")[0] == "bot":
        return False
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return any(Path(place).is_relative_to(root) and "site-packages" not in place for place in places)


def _action_classes(modules: Iterable[ModuleType]) -> Iterator[type[Any]]:
    """Every action class that these modules define or import, each once."""
    bases: tuple[type[Any], ...] = (Action,)
    if "rasa_sdk" in sys.modules:
        bases += (sys.modules["rasa_sdk"].Action,)
    seen: set[type[Any]] = set()
    for module in modules:
        for value in list(vars(module).values()):
            if not inspect.isclass(value) or not issubclass(value, bases) or value in seen:
                continue
            seen.add(value)
            if not _is_given(value) and not inspect.isabstract(value):
                yield value


def _is_given(cls: type[Any]) -> bool:
    """Whether the class is not the author's but rasa-sdk's, ours or Python's own base."""
    return cls is object or cls.__module__ == "bot.interfaces" or _package(cls) == "rasa_sdk"


def _instance(cls: type[Any], context: Mapping[str, Any]) -> Any:
    try:
        return construct(cls, {}, place_of(cls), **context)
    except ConfigError:
        raise
    except Exception as error:
        place = _last_place(error.__traceback__, _folder_of(cls)) or place_of(cls)
        raise ConfigError(f"{cls.__name__} cannot be created: {type(error).__name__}: {error}", place) from error


def _name_of(action: Any) -> str | None:
    """What `name()` says; None for a class that is only a base of others and has no name."""
    try:
        name = action.name()
    except NotImplementedError:
        return None
    except Exception as error:
        cls = type(action)
        raise ConfigError(f"{cls.__name__}.name() failed: {type(error).__name__}: {error}", place_of(cls)) from error
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{type(action).__name__}.name() must return a name, not {name!r}", place_of(type(action)))
    return name


def _package(cls: type[Any]) -> str:
    return cls.__module__.split(".")[0]


# ---- running -------------------------------------------------------------------------------------


async def run_action(action: Any, tracker: Tracker, domain: Domain, *, idempotency_key: str = "") -> ActionResult:
    """Run one action on a copy of the tracker. Nothing it does to its arguments reaches ours.

    Raises `ActionRejected` when the action declines, and `ActionError` when it fails, answers with
    something else than events, or takes longer than `LONGEST_RUN`.
    """
    name = action.name()
    theirs: Any
    if isinstance(action, Action):
        theirs = tracker.copy()
        theirs.idempotency_key = idempotency_key
    else:
        theirs = _sdk_tracker(tracker)
    returned, said = await call_action(action, theirs, domain.raw)
    result = ActionResult(read_events(returned, name, domain), read_messages(said, name))
    try:
        encode(result.messages)
        encode_events(result.events)
    except StoreError as error:
        raise ActionError(f"action '{name}' ({place_of(type(action))}): {error}") from error
    return result


async def call_action(
    action: Any, tracker: Any, domain: Mapping[str, Any], *, longest: float | None = None
) -> tuple[Any, list[dict[str, Any]]]:
    """What the action returned, and what it said, as it gave them. `tracker` is ours, or rasa-sdk's for its classes.

    Raises what `run_action` does; `longest` is in seconds, `LONGEST_RUN` when it is not given.
    """
    name, ours = action.name(), isinstance(action, Action)
    # A form's list of slots is what an action may lengthen in place; the rest is large and only read.
    described = {**domain, "forms": _apart(domain.get("forms") or {})}
    dispatcher: Any = Dispatcher() if ours else _sdk().executor.CollectingDispatcher()
    try:
        async with asyncio.timeout(longest or LONGEST_RUN):
            returned = await _call(action, dispatcher, tracker, described)
            if getattr(dispatcher, "is_streaming_active", False):
                await dispatcher.stream_end()
            return returned if ours else _sdk_events(action, returned), list(dispatcher.messages)
    except ActionError:
        raise
    except TimeoutError as error:
        raise ActionError(f"action '{name}' {_at(error, type(action))} timed out") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something inside the action was cancelled, not the turn.
        raise ActionError(f"action '{name}' failed {_at(error, type(action))}: cancelled") from error
    except (Exception, SystemExit) as error:
        if not ours and isinstance(error, _sdk().interfaces.ActionExecutionRejection):
            raise ActionRejected(error.action_name, error.message) from error
        # Only the kind of error: its text may hold what a customer said.
        raise ActionError(f"action '{name}' failed {_at(error, type(action))}: {type(error).__name__}") from error


def _sdk_events(action: Any, returned: Any) -> Any:
    """As rasa-sdk's server reads them: what is no event at all is passed over, and logged."""
    if not isinstance(returned or (), Iterable):
        return returned
    events: list[Any] = []
    for item in returned or ():
        if isinstance(item, Mapping) and item.get("event"):
            events.append(item)
        else:
            what = "something that is no event" if isinstance(returned, list | tuple) else "no list of events"
            log.error("action '%s' (%s) returned %s: ignored", action.name(), place_of(type(action)), what)
    return events


def _apart(forms: Mapping[str, Any]) -> dict[str, Any]:
    """The forms with lists of slots of their own."""
    return {
        name: {key: list(value) if isinstance(value, list) else value for key, value in form.items()}
        for name, form in forms.items()
    }


async def _call(action: Any, dispatcher: Any, tracker: Any, domain: Mapping[str, Any]) -> Any:
    if _is_async(action):
        return await action.run(dispatcher, tracker, domain)

    def run() -> Any:
        returned = action.run(dispatcher, tracker, domain)
        return asyncio.run(returned) if inspect.iscoroutine(returned) else returned

    inside = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, inside.run, run)


def _is_async(action: Any) -> bool:
    """Whether all that the author wrote to be called is `async def`: `run`, and a form's methods."""
    for cls in type(action).__mro__:
        if _is_given(cls):
            continue
        for attribute, value in vars(cls).items():
            called = attribute == "run" or attribute.startswith(("validate_", "extract_"))
            if called and inspect.isfunction(value) and not inspect.iscoroutinefunction(value):
                return False
    return inspect.iscoroutinefunction(action.run)


def _sdk() -> Any:
    import rasa_sdk.executor

    return rasa_sdk


def _sdk_tracker(tracker: Tracker) -> Any:
    """rasa-sdk's tracker with the recent events, made of fresh objects as if it had come over the wire."""
    state = orjson.loads(encode(tracker_state(tracker, tracker.events, "ALL")))
    return _sdk().Tracker.from_dict(state)


# ---- places, for error messages ------------------------------------------------------------------


def _at(error: BaseException, cls: type[Any]) -> str:
    place = _last_place(error.__traceback__, _folder_of(cls))
    return f"at {place}" if place else f"({place_of(cls)})"


def place_of(cls: type[Any]) -> Source:
    """Where the class is written."""
    try:
        return Source(_shown(inspect.getfile(cls)), inspect.getsourcelines(cls)[1])
    except (OSError, TypeError):
        return Source(cls.__module__)


def _folder_of(cls: type[Any]) -> Path:
    try:
        return Path(inspect.getfile(cls)).resolve().parent
    except TypeError:
        return Path.cwd()


def _last_place(trace: TracebackType | None, folder: Path) -> Source | None:
    """The innermost line of the traceback that is in this folder and in no library."""
    for frame in reversed(traceback.extract_tb(trace)):
        if Path(frame.filename).is_relative_to(folder) and "site-packages" not in frame.filename:
            return Source(_shown(frame.filename), frame.lineno or 0)
    return None


def _shown(file: str) -> str:
    """The path as the user would type it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
